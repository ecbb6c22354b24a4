/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests' disks as they are stacked: virtio-blk over a snapshot over a cache in mode `fold` over a
 * slow disk, with the scanner at work on the same frames.
 *
 * Two guests write to snapshots of a disk, a third one reads it, which may be of another share
 * group. Pages are adopted from the cache and frozen into it, guests write into what they have just
 * sent or asked for, frames run out, the cache changes its mode. An oracle that never shares says
 * what each guest must find in its memory and on its disk; where it raced with itself, whatever is
 * there must stay.
 */
#define RECORD_HEAD 2u
#define RECORD_BYTES 8u
#include "records.h"

#include "drivers/block/cache/cache.h"
#include "drivers/block/cow/snapshot.h"
#include "drivers/guest/virtio/blk.h"
#include "drivers/guest/virtio/blk_slot.h"
#include "fake_lossy.h"
#include "fake_p2m.h"
#include "mm/audit/audit.h"
#include "steps.h"
#include "work.h"

#include <stdlib.h>

#define VMS 3u
#define READER 2u /* the VM that has the disk itself, read-only */
#define PAGES 20u
#define DATA 6u /* the first page that requests move; before it rings, and the request's header */
#define HEADER (5u * PAGE_SIZE)
#define QUEUE 16u
#define BLOCKS 16u
#define SECTORS (BLOCKS * CACHE_BLOCK_SECTORS)
#define FRAMES 160u
#define CACHE_ENTRIES 12u
#define POOL 4u
#define SLOTS 2u
#define PCI_SLOT 3u
/* Rounds in which everything that was asked for must have come to its end. */
#define ROUNDS_MAX 2000u

struct asked {
    bool busy, spoiled; /* spoiled: the guest wrote into its buffers meanwhile */
    uint32_t type;
    uint64_t sector;
    uint32_t sectors;
    uint64_t gpa;
};

struct vm {
    struct fake_map map;
    struct p2m p2m;
    struct iobus ports, mmio;
    struct vpci_bus bus;
    struct virtio_blk d;
    void *slots[SLOTS];
    mfn_t bounce;
    struct snapshot snap;
    struct blk_dev *disk;
    uint16_t idx, seen;
    struct asked asked;
    uint8_t memory[PAGES][PAGE_SIZE];
    uint8_t sectors[SECTORS][BLK_SECTOR];
    bool unsure[SECTORS]; /* either what was there or what was sent */
};

static struct rig {
    struct frames f;
    struct share_group groups[2];
    struct fold fold;
    uint32_t roots[64];
    struct picks picks;
    struct lossy base;
    struct cache cache;
    void *cache_mem, *pool_mem;
    struct blkcache bc;
    struct blkcache_dev cached;
    struct snapshot_pool pool;
    struct vm vms[VMS];
    mfn_t stolen[FRAMES];
    unsigned n_stolen;
    uint64_t clock;
    struct input *in; /* what the disk does next */
    bool common;      /* the reader is of another group */
    unsigned looks;   /* at which a step of work ends; 0: none does */
} r;

static bool next_number(void *ctx, uint32_t n, uint32_t *out)
{
    (void)ctx;
    if (!r.in || r.in->n == 0) {
        return false;
    }
    *out = take(r.in, 1) % n;
    return true;
}

/* ---- the device's side ------------------------------------------------------------------------
 */

static void bar_write(struct vm *v, unsigned off, unsigned size, uint64_t value)
{
    const struct vpci_bar *b = &v->d.pci.pci.bars[VIRTIO_PCI_BAR];

    b->write(b->ctx, off, size, value);
}

static uint64_t bar_read(struct vm *v, unsigned off, unsigned size)
{
    const struct vpci_bar *b = &v->d.pci.pci.bars[VIRTIO_PCI_BAR];

    return b->read(b->ctx, off, size);
}

static uint64_t status_of(struct vm *v)
{
    return bar_read(v, 0x14, 1);
}

static void work(void)
{
    struct looks looks;

    for (unsigned i = 0; i < VMS; i++) {
        (void)virtio_blk_work(&r.vms[i].d, r.looks ? looks_begin(&looks, r.looks) : NULL);
    }
    (void)blkcache_work(&r.bc, r.clock += 3, r.looks ? looks_begin(&looks, r.looks) : NULL);
}

/* Whatever can go on does. */
static void round_of_work(void)
{
    lossy_step(&r.base);
    for (unsigned i = 0; i < READER; i++) {
        cow_retry(&r.vms[i].snap.cow);
    }
    work();
}

static void give_back(void)
{
    while (r.n_stolen > 0) {
        frames_free(&r.f, r.stolen[--r.n_stolen]);
    }
}

/* ---- the driver's side ------------------------------------------------------------------------
 */

static uint64_t desc_at(unsigned i)
{
    return 16u * i;
}

#define AVAIL (16u * QUEUE)
#define USED PAGE_SIZE

/* The guest's write by its kernel; false when there is no frame, and it would wait. */
static bool put(struct vm *v, uint64_t gpa, const void *from, size_t n)
{
    return p2m_write(&v->p2m, GPA(gpa), from, n) == OK;
}

static bool put_desc(struct vm *v, unsigned i, uint64_t addr, uint32_t len, uint16_t flags)
{
    uint8_t d[16];

    store_le64(d, addr);
    store_le32(d + 8, len);
    store_le16(d + 12, flags | (i < 2 ? 1 : 0));
    store_le16(d + 14, (uint16_t)(i + 1));
    return put(v, desc_at(i), d, sizeof(d));
}

static void start(struct vm *v)
{
    static const uint8_t zero[2 * PAGE_SIZE];
    uint64_t features = BIT(32) | BIT(9) | BIT(13) | BIT(14);

    bar_write(v, 0x14, 1, 0);
    require(status_of(v) == 0 && put(v, 0, zero, sizeof(zero)));
    bar_write(v, 0x14, 1, 1);
    bar_write(v, 0x14, 1, 3);
    for (unsigned i = 0; i < 2; i++) {
        bar_write(v, 0x00, 4, i);
        bar_write(v, 0x08, 4, i);
        bar_write(v, 0x0c, 4, (uint32_t)(features >> (32 * i)) & bar_read(v, 0x04, 4));
    }
    bar_write(v, 0x14, 1, 0x0b);
    bar_write(v, 0x16, 2, 0);
    bar_write(v, 0x18, 2, QUEUE);
    bar_write(v, 0x20, 4, 0);
    bar_write(v, 0x28, 4, AVAIL);
    bar_write(v, 0x30, 4, USED);
    bar_write(v, 0x1c, 2, 1);
    bar_write(v, 0x14, 1, 0x0f);
    require(status_of(v) == 0x0f);
    v->idx = v->seen = 0;
}

static void sectors_asked(struct vm *v, bool sure)
{
    const struct asked *a = &v->asked;

    for (uint32_t i = 0; i < a->sectors; i++) {
        uint64_t s = a->sector + i, at = a->gpa + i * BLK_SECTOR;
        v->unsure[s] = !sure;
        if (a->type == VIRTIO_BLK_T_OUT) {
            memcpy(v->sectors[s], &v->memory[0][0] + at, BLK_SECTOR);
        } else {
            memset(v->sectors[s], 0, BLK_SECTOR);
        }
    }
}

/* What is there now is what must stay: the oracle lost track. */
static void learn(struct vm *v, uint64_t gpa, size_t n)
{
    require(p2m_read(&v->p2m, GPA(gpa), &v->memory[0][0] + gpa, n) == OK);
}

static void read_landed(struct vm *v)
{
    const struct asked *a = &v->asked;

    for (uint32_t i = 0; i < a->sectors; i++) {
        uint64_t s = a->sector + i, at = a->gpa + i * BLK_SECTOR;
        uint8_t got[BLK_SECTOR];
        require(p2m_read(&v->p2m, GPA(at), got, sizeof(got)) == OK);
        if (v->unsure[s] && !a->spoiled) {
            memcpy(v->sectors[s], got, sizeof(got));
            v->unsure[s] = false;
        }
        require(a->spoiled || memcmp(got, v->sectors[s], sizeof(got)) == 0);
        memcpy(&v->memory[0][0] + at, got, sizeof(got));
    }
}

/* Takes what the device has finished. */
static void reap(struct vm *v)
{
    uint16_t used;
    uint8_t status;

    if (!v->asked.busy || p2m_read(&v->p2m, GPA(USED + 2), &used, 2) != OK || used == v->seen) {
        return;
    }
    require(used == (uint16_t)(v->seen + 1));
    v->seen = used;
    v->asked.busy = false;
    require(p2m_read(&v->p2m, GPA(HEADER + 16), &status, 1) == OK);
    require(status == 0);
    if (v->asked.type == VIRTIO_BLK_T_IN) {
        read_landed(v);
    } else if (v->asked.type != VIRTIO_BLK_T_FLUSH) {
        /* What is discarded may stay as it was. */
        sectors_asked(v, v->asked.type == VIRTIO_BLK_T_WRITE_ZEROES ||
                             (v->asked.type == VIRTIO_BLK_T_OUT && !v->asked.spoiled));
    }
}

/* One request at a time: what two that overlap leave is nobody's to say. */
static void ask(struct vm *v, struct input *in, uint32_t type)
{
    bool in_or_out = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT;
    uint32_t where = take(in, 1), how = take(in, 1), page = DATA + take(in, 1) % (PAGES - DATA);
    struct asked a = {.type = type, .busy = true};
    uint8_t header[17] = {(uint8_t)type, [16] = 0xee};
    uint16_t head = 0, idx = (uint16_t)(v->idx + 1);

    if (v->asked.busy || (v == &r.vms[READER] && type != VIRTIO_BLK_T_IN)) {
        return;
    }
    if (how & 128) { /* anywhere */
        a.sector = where % SECTORS;
        a.sectors = 1 + how % 24;
        a.gpa = page * PAGE_SIZE + (how >> 4 & 7) * BLK_SECTOR;
    } else { /* whole blocks in whole pages */
        a.sector = where % BLOCKS * CACHE_BLOCK_SECTORS;
        a.sectors = CACHE_BLOCK_SECTORS * (1 + how % 4);
        a.gpa = page * PAGE_SIZE;
    }
    a.sectors = (uint32_t)MIN((uint64_t)a.sectors, SECTORS - a.sector);
    a.sectors = (uint32_t)MIN((uint64_t)a.sectors, (PAGES * PAGE_SIZE - a.gpa) / BLK_SECTOR);
    store_le64(header + 8, in_or_out ? a.sector : 0);
    if (!in_or_out && type != VIRTIO_BLK_T_FLUSH) {
        uint8_t zone[16] = {0};
        store_le64(zone, a.sector);
        store_le32(zone + 8, a.sectors);
        if (!put(v, HEADER + 32, zone, sizeof(zone))) {
            return;
        }
    }
    uint16_t flags = type == VIRTIO_BLK_T_IN ? 2 : 0;
    uint32_t bytes = in_or_out ? a.sectors * BLK_SECTOR : type == VIRTIO_BLK_T_FLUSH ? 0 : 16;
    if (put(v, HEADER, header, sizeof(header)) && put_desc(v, 0, HEADER, 16, 0) &&
        put_desc(v, 1, in_or_out ? a.gpa : HEADER + 32, bytes, flags) &&
        put_desc(v, 2, HEADER + 16, 1, 2) && put(v, AVAIL + 4 + 2u * (v->idx % QUEUE), &head, 2) &&
        put(v, AVAIL + 2, &idx, 2)) {
        v->idx = idx;
        v->asked = a;
        bar_write(v, VIRTIO_PCI_NOTIFY_AT, 2, 0);
    }
}

static void reset(struct vm *v)
{
    bar_write(v, 0x14, 1, 0);
    for (unsigned i = 0; status_of(v) != 0; i++) {
        require(i < ROUNDS_MAX);
        round_of_work();
    }
    if (v->asked.busy && v->asked.type == VIRTIO_BLK_T_IN) {
        learn(v, v->asked.gpa, v->asked.sectors * BLK_SECTOR);
    } else if (v->asked.busy && v->asked.type != VIRTIO_BLK_T_FLUSH) {
        sectors_asked(v, false);
    }
    v->asked.busy = false;
    give_back();
    start(v);
}

static void guest_write(struct vm *v, struct input *in)
{
    uint32_t how = take(in, 1), page = DATA + take(in, 1) % (PAGES - DATA);
    unsigned off = take(in, 2) % PAGE_SIZE;
    uint8_t value = (uint8_t)(how >> 2 & 3);
    uint64_t at = page * PAGE_SIZE + off, end = v->asked.gpa + v->asked.sectors * BLK_SECTOR;

    if (fake_guest_write(&v->p2m, how & 1, how >> 1 & 1, GFN(page), off, value) == OK) {
        v->memory[page][off] = value;
        v->asked.spoiled |= v->asked.busy && at >= v->asked.gpa && at < end;
    }
}

static void guest_read(struct vm *v, struct input *in)
{
    uint32_t how = take(in, 1), page = DATA + take(in, 1) % (PAGES - DATA);
    unsigned off = take(in, 2) % PAGE_SIZE;
    uint64_t at = page * PAGE_SIZE + off, end = v->asked.gpa + v->asked.sectors * BLK_SECTOR;
    bool moving =
        v->asked.busy && v->asked.type == VIRTIO_BLK_T_IN && at >= v->asked.gpa && at < end;
    uint8_t got;

    if (fake_guest_read(&v->p2m, how & 1, how >> 1 & 1, GFN(page), off, &got) == OK) {
        require(moving || got == v->memory[page][off]);
    }
}

/* ---- what must be so ---------------------------------------------------------------------------
 */

static void print_violation(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "check: %s\n", line);
}

static void check(void)
{
    static uint32_t scratch[2 * FRAMES + 1];
    struct p2m *maps[VMS];
    struct share_group *groups[] = {&r.groups[0], &r.groups[1]};
    char why[160] = "";

    for (unsigned i = 0; i < VMS; i++) {
        maps[i] = &r.vms[i].p2m;
    }
    struct audit a = {.frames = &r.f,
                      .maps = maps,
                      .n_maps = VMS,
                      .groups = groups,
                      .n_groups = ARRAY_LEN(groups),
                      .fold = &r.fold,
                      .scratch = scratch,
                      .others = cache_references,
                      .others_ctx = &r.cache,
                      .report = print_violation};
    work_oracle_begin();
    require(audit_run(&a) == 0);
    require(cache_check(&r.cache, why, sizeof(why)) == OK);
    work_oracle_end();
    /* No frame is mapped by guests of two groups. */
    for (unsigned k = 0; r.common && k < PAGES; k++) {
        const struct fake_slot *s = &r.vms[READER].map.entries[k];
        for (unsigned i = 0; s->present && i < READER * PAGES; i++) {
            const struct fake_slot *o = &r.vms[i / PAGES].map.entries[i % PAGES];
            require(!o->present || o->mfn.n != s->mfn.n);
        }
    }
}

static void finish(void)
{
    struct input nothing = {NULL, 0};
    bool busy = true;

    r.in = NULL;
    give_back();
    r.pool.max = UINT64_MAX;
    for (unsigned i = 0; busy; i++) {
        require(i < ROUNDS_MAX);
        busy = false;
        round_of_work();
        for (unsigned k = 0; k < VMS; k++) {
            reap(&r.vms[k]);
            busy |= r.vms[k].asked.busy;
        }
    }
    check();
    /* Each disk is read as a whole, and each page of memory looked at. */
    for (unsigned i = 0; i < VMS * BLOCKS; i++) {
        struct vm *v = &r.vms[i / BLOCKS];
        struct input in = {(const uint8_t[]){(uint8_t)(i % BLOCKS), 0, (uint8_t)i}, 3};
        ask(v, &in, VIRTIO_BLK_T_IN);
        require(v->asked.busy);
        for (unsigned k = 0; v->asked.busy; k++) {
            require(k < ROUNDS_MAX);
            round_of_work();
            reap(v);
        }
    }
    for (unsigned i = 0; i < VMS * (PAGES - DATA); i++) {
        static uint8_t page[PAGE_SIZE];
        struct vm *v = &r.vms[i / (PAGES - DATA)];
        uint64_t gfn = DATA + i % (PAGES - DATA);
        require(p2m_read(&v->p2m, GPA(gfn * PAGE_SIZE), page, PAGE_SIZE) == OK);
        require(memcmp(page, v->memory[gfn], PAGE_SIZE) == 0);
        guest_read(v, &nothing);
    }
    check();
}

/* ---- the rig ------------------------------------------------------------------------------------
 */

static void nothing(void *ctx)
{
    (void)ctx;
}

static void no_line(void *ctx, unsigned line, bool level)
{
    (void)ctx;
    (void)line;
    (void)level;
}

static void no_message(void *ctx, uint64_t addr, uint32_t data)
{
    (void)ctx;
    (void)addr;
    (void)data;
}

static void arrived(void *ctx, gfn_t gfn)
{
    fold_hint(&r.fold, &((struct vm *)ctx)->p2m, gfn);
}

static void vm_up(unsigned i)
{
    struct vm *v = &r.vms[i];
    const struct p2m_slot run = {GFN(0), PAGES};
    const struct irq_sink sink = {.set_line = no_line, .message = no_message};

    fake_map_init(&v->map, &r.f, PAGES);
    require(p2m_init(&v->p2m, &fake_map_ops, &v->map, &r.f, &r.groups[r.common && i == READER],
                     (uint16_t)i, &run, 1, v->map.regions) == OK);
    fold_attach(&r.fold, &v->p2m);
    v->disk = &r.cached.dev;
    if (i != READER) {
        require(snapshot_init(&v->snap, &r.pool, &r.cached.dev) == OK);
        v->disk = &v->snap.cow.dev;
    }
    memcpy(v->sectors, r.base.now, sizeof(v->sectors));
    require(frames_alloc(&r.f, FRAME_HYP, &v->bounce) == OK);
    iobus_init(&v->ports);
    iobus_init(&v->mmio);
    vpci_bus_init(&v->bus, &v->ports, &v->mmio, &sink);
    virtio_blk_init(&v->d, &(struct virtio_blk_cfg){.p2m = &v->p2m,
                                                    .disk = v->disk,
                                                    .serial = "fuzz",
                                                    .bounce = v->bounce,
                                                    .wake = nothing,
                                                    .arrived = arrived,
                                                    .arrived_ctx = v});
    for (unsigned k = 0; k < SLOTS; k++) {
        v->slots[k] = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
        require(virtio_blk_add_slot(&v->d, v->slots[k]) == OK);
    }
    require(vpci_add(&v->bus, &v->d.pci.pci, PCI_SLOT) == OK);
    start(v);
}

static void rig_up(uint32_t mode, uint32_t pool)
{
    memset(&r, 0, sizeof(r));
    fake_frames_init(&r.f, FRAMES);
    require(fold_roots(r.f.count) <= ARRAY_LEN(r.roots));
    fold_init(&r.fold, &r.f, NULL, &(struct random){.key = {7}}, r.roots);
    r.cache_mem = malloc(cache_bytes(CACHE_ENTRIES));
    require(cache_init(&r.cache, &r.f, r.cache_mem, CACHE_ENTRIES, 3) == OK);
    r.fold.cache = &r.cache;
    frames_add_reclaimer(&r.f, cache_reclaim, &r.cache);
    cache_set_mode(&r.cache, CACHE_FOLD);
    r.pool_mem = aligned_alloc(16, ALIGN_UP(blkcache_bytes(POOL, POOL), 16));
    require(blkcache_init(&r.bc, &r.cache, r.pool_mem, POOL, POOL) == OK);
    r.picks.next = next_number;
    lossy_init(&r.base, "base", SECTORS, r.f.window, &r.picks);
    r.base.sync = mode & 1;
    r.common = mode & 2;
    r.looks = mode >> 2 & 7;
    r.base.dev.id = 1;
    /* Some blocks are equal, and some of them zeroes, as guests' pages are. */
    for (unsigned b = 0; b < BLOCKS; b++) {
        memset(r.base.now + b * PAGE_SIZE, (int)(b % 5), PAGE_SIZE);
    }
    blkcache_dev_init(&r.cached, &r.bc, &r.base.dev);
    blkcache_add_reader(&r.cached, 0);
    blkcache_add_reader(&r.cached, r.common ? 1 : 0);
    r.pool = (struct snapshot_pool){&r.f, pool == 0 ? UINT64_MAX : pool, 0};
    for (unsigned i = 0; i < 2; i++) {
        require(share_group_init(&r.groups[i], &r.f, i ? "b" : "a", i) == OK);
    }
    for (unsigned i = 0; i < VMS; i++) {
        vm_up(i);
    }
}

static void rig_down(void)
{
    for (unsigned i = 0; i < VMS; i++) {
        struct vm *v = &r.vms[i];
        for (unsigned k = 0; !virtio_blk_quiesce(&v->d); k++) {
            require(k < ROUNDS_MAX);
            round_of_work();
        }
        for (unsigned k = 0; k < SLOTS; k++) {
            free(v->slots[k]);
        }
        frames_free(&r.f, v->bounce);
        fold_detach(&r.fold, &v->p2m);
        p2m_drop_all(&v->p2m);
        fake_map_fini(&v->map);
    }
    for (unsigned i = 0; i < READER; i++) {
        struct looks looks;
        while (snapshot_drop_some(&r.vms[i].snap, looks_begin(&looks, 1))) {
        }
        snapshot_fini(&r.vms[i].snap);
    }
    require(r.pool.used == 0);
    cache_set_mode(&r.cache, CACHE_OFF);
    for (unsigned i = 0; i < 2; i++) {
        require(fold_forget(&r.fold, &r.groups[i]) == OK);
        require(share_group_fini(&r.groups[i], &r.f) == OK);
    }
    require(r.f.by_state[FRAME_FREE] + r.bc.has_zeroes == FRAMES && r.f.pinned == 0);
    lossy_free(&r.base);
    free(r.cache_mem);
    free(r.pool_mem);
    fake_frames_fini(&r.f);
}

static void turn(struct input *in)
{
    uint32_t how = take(in, 1), n = take(in, 1);

    switch (how % 6) {
    case 0:
        cache_set_mode(&r.cache, (enum cache_mode)(n % CACHE_MODES));
        break;
    case 1:
        cache_set_max(&r.cache, n % (CACHE_ENTRIES + 2));
        break;
    case 2:
        (void)cache_reclaim(&r.cache, n % 8);
        break;
    case 3:
        for (n %= FRAMES; n > 0 && frames_alloc(&r.f, FRAME_HYP, &r.stolen[r.n_stolen]) == OK;
             n--) {
            r.n_stolen++;
        }
        break;
    case 4:
        give_back();
        break;
    default:
        cache_set_mode(&r.cache, CACHE_FOLD);
        break;
    }
}

static void step(struct input *in)
{
    uint32_t op = take(in, 1) % 16;
    struct vm *v = &r.vms[take(in, 1) % VMS];

    r.in = in;
    switch (op) {
    case 0 ... 3:
        ask(v, in, VIRTIO_BLK_T_IN);
        break;
    case 4 ... 5:
        ask(v, in, VIRTIO_BLK_T_OUT);
        break;
    case 6: {
        static const uint8_t types[] = {VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_DISCARD,
                                        VIRTIO_BLK_T_WRITE_ZEROES};
        ask(v, in, types[take(in, 1) % ARRAY_LEN(types)]);
        break;
    }
    case 7 ... 8:
        guest_write(v, in);
        break;
    case 9:
        guest_read(v, in);
        break;
    case 10:
        fold_step(&r.fold, 1 + take(in, 1) % 80, NULL);
        break;
    case 11:
        turn(in);
        break;
    case 12:
        if (take(in, 1) % 8 == 0) {
            reset(v);
        }
        break;
    case 13:
        lossy_step(&r.base);
        break;
    default:
        round_of_work();
        break;
    }
    work();
    reap(v);
    r.in = NULL;
}

static int one_input(const uint8_t *data, size_t size)
{
    struct input in = {data, size}, record;
    uint32_t mode = take(&in, 1), pool = take(&in, 1) % 64;

    rig_up(mode, pool == 0 ? 0 : 8 + pool);
    while (next_record(&in, &record)) {
        step(&record);
    }
    finish();
    rig_down();
    return 0;
}

FUZZ_ENTRY(one_input, 400000, 8000)
