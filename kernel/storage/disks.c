/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's disks, their partitions and disk modules; and the cache over each of them. */
#include "kernel/storage/disks.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/irq.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/block/cache/cache.h"
#include "drivers/block/fault.h"
#include "drivers/block/partition/partition.h"
#include "drivers/block/ramdisk.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"
#include "kernel/core/step.h"
#include "kernel/storage/ata.h"
#include "kernel/storage/hostdisk.h"

#define MODULE_PREFIX "module:"
#define MODULE_ID_BASE 256u /* leaf ids: the drivers' disks have those below */
/* What a VM's disk may have in the cache: its slots' requests and windows that are read ahead; and
 * requests to the disk below. */
#define JOBS_A_DISK 24u
#define IOS_A_DISK 32u
/* The same for what belongs to no VM. */
#define JOBS_COMMON 64u
#define IOS_COMMON 32u
#define LIST_BYTES 512

STAILQ_HEAD(disk_list, disk);
struct disk {
    struct blkcache_dev cached;
    char name[CONFIG_NAME + sizeof(MODULE_PREFIX)]; /* the whole of it; blk_dev cuts */
    STAILQ_ENTRY(disk) link;
};

static struct disk_list disks = STAILQ_HEAD_INITIALIZER(disks);
static struct blkcache blkcache;
static struct timer fault_timer, write_timer;
static bool common_work; /* the cache's common queue has something to do */
static struct faulty faulty;
static char list[LIST_BYTES];

/* ---- failing on purpose ------------------------------------------------------------------- */

static void fault_deadline_changed(void *ctx)
{
    uint64_t next = faulty_next(&faulty);

    (void)ctx;
    if (next != UINT64_MAX) {
        sched_arm(&fault_timer, next);
    }
}

static void fault_due(void *ctx, uint64_t now_ns)
{
    faulty_tick(&faulty, now_ns);
    fault_deadline_changed(ctx);
}

/* The leaf disk as everybody is to see it. */
static struct blk_dev *with_faults(struct blk_dev *leaf, const char *name)
{
    struct faulty_dev *d = boot_alloc(sizeof(*d), 64);

    faulty_dev_init(d, &faulty, leaf, name);
    return &d->dev;
}

static void init_faults(const struct config *config)
{
    timer_init(&fault_timer, fault_due, NULL);
    faulty_init(&faulty, clock_now_ns, fault_deadline_changed, NULL);
    for (unsigned i = 0; i < config->host.n_faults; i++) {
        char text[CONFIG_VALUE * 2];
        config_print_fault(&config->host.faults[i], text, sizeof(text));
        if (faulty_add(&faulty, &config->host.faults[i]) != OK) {
            log_error("disk.fault = %s: refused", text);
        }
        log_warn("disk.fault %u: %s", i + 1, text);
    }
}

struct faulty *disks_faulty(void)
{
    return &faulty;
}

/* ---- writing back -------------------------------------------------------------------------- */

/* Being awake is enough: the work is done in each turn. */
static void write_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    (void)now_ns;
}

static void common_wake(void *ctx)
{
    (void)ctx;
    common_work = true;
    sched_poke();
}

static void charge_writer(uint16_t vm)
{
    charge_vm_number(vm);
}

static bool write_work(void *ctx)
{
    (void)ctx;
    if (machine_cache.dirty == 0 && !common_work) {
        return false;
    }
    struct deadline until = step_begin();
    charge(&charge_hypervisor);
    common_work = false;
    bool more = blkcache_work(&blkcache, clock_now_ns(), &until);
    more |= disks_memory_work(0, &until);
    common_work |= more;
    uint64_t due = blkcache_due(&blkcache);
    if (due != UINT64_MAX && (!write_timer.armed || write_timer.deadline_ns != due)) {
        sched_arm(&write_timer, due);
    }
    return common_work;
}

void disks_configure(const struct config_host *h)
{
    uint64_t bytes = config_dirty_bytes(h, (uint64_t)machine_cache.max << PAGE_SHIFT);

    blkcache_set_writing(
        &blkcache, &(struct blkcache_writing){
                       .back = h->cache_write == CONFIG_WRITE_BACK,
                       .give = h->cache_give,
                       .dirty_max = (uint32_t)MIN(bytes >> PAGE_SHIFT, (uint64_t)machine_cache.max),
                       .age_ns = h->cache_dirty_age_ns,
                   });
}

void disks_poll(void *ctx)
{
    irq_window();
    hostdisks_poll(clock_now_ns());
    fault_due(NULL, clock_now_ns());
    (void)write_work(ctx);
}

void disks_say_lost(void)
{
    blkcache_say_lost(&blkcache);
}

static struct disk *find(const char *name)
{
    struct disk *d;

    STAILQ_FOREACH(d, &disks, link)
    {
        if (strcmp(d->name, name) == 0) {
            return d;
        }
    }
    return NULL;
}

static void add_disk(struct blk_dev *dev, const char *name)
{
    struct disk *d = boot_alloc(sizeof(*d), 64);

    blkcache_dev_init(&d->cached, &blkcache, dev);
    format(d->name, sizeof(d->name), "%s", name);
    STAILQ_INSERT_TAIL(&disks, d, link);
    size_t used = strlen(list);
    format(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", name);
}

static void add_partitions(struct blk_dev *disk)
{
    static struct partition_table table;
    uint8_t *buf = boot_alloc(PAGE_SIZE, PAGE_SIZE);
    const struct partition_probe probe = {
        .disk = disk,
        .va = buf,
        .pa = HPA((uint64_t)(buf - machine_frames.window)),
        .poll = disks_poll,
    };
    enum status s = partition_probe(&probe, &table);

    if (s != OK) {
        log_warn("%s: its partition table cannot be used: %s; the whole disk still can", disk->name,
                 status_name(s));
        return;
    }
    if (table.n_refused > 0) {
        log_warn("%s: %u partitions lie outside the disk or over another and were left out",
                 disk->name, table.n_refused);
    }
    for (unsigned i = 0; i < table.n; i++) {
        struct partition_dev *p = boot_alloc(sizeof(*p), 64);
        if (partition_dev_init(p, disk, &table.parts[i]) == OK) {
            add_disk(&p->dev, p->dev.name);
        }
    }
}

/* In the order in which their disks are found. */
static const struct disk_driver *const drivers[] = {&ata_driver};

static void add_host_disks(void)
{
    for (struct hostdisk *d = NULL; (d = hostdisks_next(d)) != NULL;) {
        struct blk_dev *dev = &d->top.dev;
        log_info("%s: %s, %llu MiB", dev->name, d->model, (unsigned long long)dev->sectors >> 11);
        struct blk_dev *top = with_faults(dev, dev->name);
        add_disk(top, dev->name);
        add_partitions(top);
    }
}

/* ---- boot modules that the configuration names as disks ------------------------------------ */

struct memory_disk {
    struct ramdisk *rd;
    STAILQ_ENTRY(memory_disk) link;
};
static STAILQ_HEAD(, memory_disk) memory_disks = STAILQ_HEAD_INITIALIZER(memory_disks);

static void memory_wake(void *ctx, const struct blk_req *r)
{
    (void)ctx;
    if (r->account != NULL && r->account->queue != NULL) {
        r->account->queue->wake(r->account->queue->ctx);
    } else {
        common_wake(NULL);
    }
}

bool disks_memory_work(uint16_t vm, const struct deadline *until)
{
    struct memory_disk *m;
    bool more = false;

    STAILQ_FOREACH(m, &memory_disks, link)
    {
        more |= !STAILQ_EMPTY(&m->rd->waiting) && ramdisk_work(m->rd, vm, until);
    }
    return more;
}

static void add_module_disk(const char *name)
{
    static uint32_t next_id = MODULE_ID_BASE;
    const uint8_t *bytes;
    uint64_t n;

    if (disks_find(name) || !machine_module(name + strlen(MODULE_PREFIX), &bytes, &n)) {
        return; /* the VM that wants it will say so */
    }
    struct ramdisk *rd = boot_alloc(sizeof(*rd), 64);
    enum status s =
        ramdisk_init(rd, name, next_id++, machine_frames.window, machine_frames.count << PAGE_SHIFT,
                     HPA((uint64_t)(bytes - machine_frames.window)), n, false);
    if (s != OK) {
        log_error("%s: not usable as a disk: %s", name, status_name(s));
        return;
    }
    rd->wake = memory_wake;
    rd->charge = charge_writer;
    struct memory_disk *m = boot_alloc(sizeof(*m), 64);
    m->rd = rd;
    STAILQ_INSERT_TAIL(&memory_disks, m, link);
    if (n % BLK_SECTOR != 0) {
        log_warn("%s: its last %u bytes are no whole sector, and left out", name,
                 (unsigned)(n % BLK_SECTOR));
    }
    add_disk(with_faults(&rd->dev, name), name);
}

static void add_reader(const char *name, unsigned group)
{
    struct disk *d = find(name);

    if (d) {
        blkcache_add_reader(&d->cached, group);
    }
}

/* Says which share groups have which disks, those of VMs that are off included: what a guest gets
 * of a disk is not to depend on which others run. */
static void add_readers(const struct config *config)
{
    for (unsigned i = 0; i < config->n_vms; i++) {
        const struct config_vm *vm = &config->vms[i];
        for (unsigned d = 0; d < vm->n_disks; d++) {
            add_reader(vm->disks[d].name, group_number(vm->share));
            add_reader(vm->disks[d].overlay, group_number(vm->share));
        }
    }
    const struct disk *d;
    STAILQ_FOREACH(d, &disks, link)
    {
        if (d->cached.readers == FRAME_COMMON) {
            log_info("%s: VMs of several share groups have it: its blocks are copied, not mapped",
                     d->name);
        }
    }
}

void disks_init(const struct config *config)
{
    uint32_t jobs = JOBS_COMMON, ios = IOS_COMMON;

    for (unsigned i = 0; i < config->n_vms; i++) {
        jobs += config->vms[i].n_disks * JOBS_A_DISK;
        ios += config->vms[i].n_disks * IOS_A_DISK;
    }
    void *mem = boot_alloc(blkcache_bytes(jobs, ios), 64);
    enum status s = blkcache_init(&blkcache, &machine_cache, mem, jobs, ios);

    ASSERT(s == OK);
    blkcache.common.wake = common_wake;
    blkcache.charge = charge_writer;
    blkcache.curve = &machine_curve;
    blkcache.trace = config->host.cache_trace > 0 ? &machine_trace : NULL;
    init_faults(config);
    timer_init(&write_timer, write_due, NULL);
    sched_add_work(write_work, NULL);
    hostdisks_find(drivers, ARRAY_LEN(drivers), config->n_vms);
    hostdisks_slow(config);
    add_host_disks();
    for (unsigned i = 0; i < config->n_vms; i++) {
        for (unsigned d = 0; d < config->vms[i].n_disks; d++) {
            const char *name = config->vms[i].disks[d].name;
            if (strncmp(name, MODULE_PREFIX, strlen(MODULE_PREFIX)) == 0) {
                add_module_disk(name);
            }
        }
    }
    add_readers(config);
}

enum status disks_queue_init(struct blkcache_queue *q, void (*wake)(void *ctx), void *ctx)
{
    return blkcache_queue_init(q, &blkcache, JOBS_A_DISK, IOS_A_DISK, wake, ctx);
}

struct blk_dev *disks_find(const char *name)
{
    struct disk *d = find(name);

    return d ? &d->cached.dev : NULL;
}

void disks_set_readahead(uint64_t bytes)
{
    blkcache_set_readahead(&blkcache, bytes);
}

struct disks_counts disks_counts(void)
{
    struct disks_counts all = {0};

    hostdisks_count(&all);
    all.faults = faulty.struck;
    return all;
}

const char *disks_list(void)
{
    return list[0] ? list : "none";
}
