/* SPDX-License-Identifier: BSD-2-Clause */
/* Overlays and the snapshots' memory: see overlays.h. */
#include "kernel/storage/overlays.h"

#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/power.h"
#include "kernel/core/sched.h"
#include "kernel/core/step.h"
#include "kernel/storage/disks.h"

/* A write that nobody flushes counts this much later at most. */
#define COMMIT_NS UINT64_C(1000000000)

struct kept {
    struct overlay o;
    const struct config_disk *disk;
    struct timer timer; /* the next commit */
    bool open;
    bool work; /* while no VM has it: it has something to do */
    STAILQ_ENTRY(kept) link;
};

struct snapshot_pool aside_pool;
static const struct config *all;
static struct blk_req *flushes; /* at the machine's end; one for each disk of each VM */
static unsigned n_flushing;
static STAILQ_HEAD(, kept) overlays = STAILQ_HEAD_INITIALIZER(overlays);

/* ---- overlays ---- */

static void commit_due(void *ctx, uint64_t now_ns)
{
    struct kept *k = ctx;

    overlay_commit(&k->o);
    /* Also while one is under way: more may have been written since it began. */
    if (overlay_is_dirty(&k->o)) {
        sched_arm(&k->timer, now_ns + COMMIT_NS);
    }
}

static void dirty(void *ctx)
{
    struct kept *k = ctx;

    if (!k->timer.armed) {
        sched_arm(&k->timer, clock_now_ns() + COMMIT_NS);
    }
}

/* ---- without a VM ---- */

static void cow_wake(void *ctx)
{
    struct kept *k = ctx;

    k->work = true;
    sched_poke();
}

void aside_adopt(struct cow *cow)
{
    struct kept *k = container_of(container_of(cow, struct overlay, cow), struct kept, o);

    cow->wake = cow_wake;
    cow->wake_ctx = k;
    k->work = true;
}

/* Flushes at the machine's end, and commits that were begun. */
static bool work(void *ctx)
{
    struct deadline until = step_begin();
    struct kept *k;
    bool more = false;

    (void)ctx;
    STAILQ_FOREACH(k, &overlays, link)
    {
        if (k->work) {
            charge(&charge_hypervisor);
            k->work = false;
            k->work |= k->o.cow.wake_ctx == k && cow_work(&k->o.cow, &until);
            more |= k->work;
        }
    }
    return more;
}

static void open_one(struct kept *k)
{
    const struct config_disk *d = k->disk;
    struct overlay_cfg cfg = {.frames = &machine_frames,
                              .base = disks_find(d->name),
                              .store = disks_find(d->overlay),
                              .poll = disks_poll};
    char why[160];

    if (!cfg.base || !cfg.store) {
        log_error("overlay: there is no disk '%s'; this machine has: %s",
                  cfg.base ? d->overlay : d->name, disks_list());
        return;
    }
    if (aside_check(d, why, sizeof(why)) != OK) {
        return; /* the VM will say so */
    }
    if (overlay_open(&k->o, &cfg, why, sizeof(why)) != OK) {
        log_error("%s cannot be the overlay of %s: %s", d->overlay, d->name, why);
        return;
    }
    k->open = true;
    aside_adopt(&k->o.cow);
    k->o.dirty = dirty;
    k->o.dirty_ctx = k;
    log_info("%s: overlay of %s: %llu KiB of %llu KiB used", d->overlay, d->name,
             (unsigned long long)k->o.cow.stats.chunks << 2,
             (unsigned long long)(k->o.cow.stats.chunks + overlay_free_chunks(&k->o)) << 2);
}

void aside_open(void)
{
    struct kept *k;

    aside_pool.frames = &machine_frames;
    STAILQ_FOREACH(k, &overlays, link)
    {
        open_one(k);
    }
}

struct overlay *aside_overlay(const struct config_disk *d)
{
    struct kept *k;

    STAILQ_FOREACH(k, &overlays, link)
    {
        if (k->disk == d) {
            return k->open ? &k->o : NULL;
        }
    }
    return NULL;
}

void aside_configure(const struct config_host *host)
{
    aside_pool.max = config_snapshot_bytes(host, machine_memory_bytes()) >> PAGE_SHIFT;
}

uint64_t aside_frames(void)
{
    struct kept *k;
    uint64_t n = 0;

    STAILQ_FOREACH(k, &overlays, link)
    {
        n += k->open ? overlay_frames(&k->o) : 0;
    }
    return n;
}

/* ---- which disks go together ---- */

enum use { USE_READ, USE_WRITE, USE_BASE, USE_STORE };

struct extent {
    const struct blk_dev *dev; /* NULL: none, or not there */
    enum use use;
};

static void extents_of(const struct config_disk *d, struct extent out[2])
{
    bool aside = d->snapshot || d->overlay[0] != '\0';

    out[0] = (struct extent){disks_find(d->name), aside          ? USE_BASE
                                                  : d->read_only ? USE_READ
                                                                 : USE_WRITE};
    out[1] = (struct extent){d->overlay[0] != '\0' ? disks_find(d->overlay) : NULL, USE_STORE};
}

/* They share sectors, and one's writes would ruin the other. The configuration already knows of
 * disks with one name; here it is a partition and its whole disk. */
static bool clash(const struct extent *a, const struct extent *b)
{
    if (!a->dev || !b->dev || a->dev->id != b->dev->id ||
        a->dev->start >= b->dev->start + b->dev->sectors ||
        b->dev->start >= a->dev->start + a->dev->sectors) {
        return false;
    }
    return a->use == USE_STORE || b->use == USE_STORE ||
           (a->use == USE_WRITE && b->use == USE_BASE) ||
           (a->use == USE_BASE && b->use == USE_WRITE);
}

enum status aside_check(const struct config_disk *d, char *why, size_t why_size)
{
    struct extent mine[2], theirs[2];

    extents_of(d, mine);
    for (unsigned i = 0; i < all->n_vms * CONFIG_DISKS; i++) {
        const struct config_vm *vm = &all->vms[i / CONFIG_DISKS];
        if (i % CONFIG_DISKS >= vm->n_disks) {
            continue;
        }
        extents_of(&vm->disks[i % CONFIG_DISKS], theirs);
        for (unsigned k = 0; k < 4; k++) {
            const struct extent *a = &mine[k / 2], *b = &theirs[k % 2];
            if ((&vm->disks[i % CONFIG_DISKS] != d || k / 2 != k % 2) && clash(a, b)) {
                (void)format(why, why_size,
                             "disk '%s' and VM '%s' disk '%s' share sectors, and one is an "
                             "overlay or its base that the other could ruin",
                             a->dev->name, vm->name, b->dev->name);
                return E_EXISTS;
            }
        }
    }
    return OK;
}

/* ---- the machine's end ---- */

/* What has to be flushed to keep what was written to this disk; NULL: nothing. */
static struct blk_dev *flushed_for(const struct config_disk *d)
{
    struct blk_dev *dev = disks_find(d->name);

    if (d->read_only || d->snapshot) {
        return NULL;
    }
    if (d->overlay[0] != '\0') {
        struct overlay *o = aside_overlay(d);
        return o ? &o->cow.dev : NULL;
    }
    return dev && !dev->read_only ? dev : NULL;
}

static void flushed(struct blk_req *r, enum status s)
{
    const struct blk_dev *d = r->ctx;

    n_flushing--;
    if (s != OK && s != E_UNSUPPORTED) {
        log_error("%s: flushing it: %s", d->name, status_name(s));
    }
}

static void flush_all(void)
{
    struct blk_req *r = flushes;

    for (unsigned i = 0; i < all->n_vms; i++) {
        const struct config_vm *c = &all->vms[i];
        for (unsigned k = 0; k < c->n_disks; k++, r++) {
            struct blk_dev *d = flushed_for(&c->disks[k]);
            if (d) {
                *r = (struct blk_req){.op = BLK_FLUSH, .done = flushed, .ctx = d};
                n_flushing++;
                blk_submit(d, r);
            }
        }
    }
}

static unsigned flushing(void)
{
    return n_flushing;
}

static const struct power_disks power = {
    .flush = flush_all, .flushing = flushing, .say_lost = disks_say_lost};

/* ---- at boot ---- */

void aside_init(const struct config *config)
{
    unsigned n = 1;

    all = config;
    sched_add_work(work, NULL);
    for (unsigned v = 0; v < config->n_vms; v++) {
        const struct config_vm *vm = &config->vms[v];
        n += vm->n_disks;
        for (unsigned i = 0; i < vm->n_disks; i++) {
            if (vm->disks[i].overlay[0] == '\0') {
                continue;
            }
            struct kept *k = boot_alloc(sizeof(*k), 64);
            k->disk = &vm->disks[i];
            timer_init(&k->timer, commit_due, k);
            STAILQ_INSERT_TAIL(&overlays, k, link);
        }
    }
    flushes = boot_alloc(n * sizeof(*flushes), 64);
    power_set_disks(&power);
}
