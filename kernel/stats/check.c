/* SPDX-License-Identifier: BSD-2-Clause */
/* `check`: see check.h. What is audited, and how, is in mm/audit and mm/audit/cache. */
#include "kernel/stats/check.h"

#include "base/bits.h"
#include "kernel/console/console.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/machine.h"
#include "kernel/storage/overlays.h"
#include "kernel/vm/images.h"
#include "kernel/vm/vm.h"
#include "mm/audit/audit.h"
#include "mm/audit/duplicates.h"

static uint32_t *scratch;
static struct p2m **maps, **unmapped;
static struct share_group **group_list;
/* Hypervisor frames when all VMs were off: the same number each time, or something leaks. */
static uint64_t hyp_all_off;
static uint64_t duplicates, unknown; /* as last counted */

void check_init(void)
{
    scratch = boot_alloc(machine_frames.count * sizeof(*scratch), 64);
    maps = boot_alloc(sizeof(struct p2m *) * MAX(n_vms, 1u), 64);
    unmapped = boot_alloc(sizeof(struct p2m *) * MAX(n_vms, 1u), 64);
    group_list = boot_alloc(sizeof(struct share_group *) * MAX(n_groups, 1u), 64);
}

uint64_t check_bytes(void)
{
    return machine_frames.count * sizeof(*scratch);
}

uint64_t check_duplicates(void)
{
    return duplicates;
}

uint64_t check_unknown(void)
{
    return unknown;
}

static void report(void *ctx, const char *line)
{
    (void)ctx;
    console_printf("check: %s\n", line);
}

/* What holds frames besides the VMs. */
static void references(void *ctx, struct yield *y, void (*found)(void *arg, mfn_t mfn), void *arg)
{
    (void)ctx;
    cache_references(&machine_cache, y, found, arg);
    images_references(y, found, arg);
}

/* Each VM's memory is given back whole when it goes off, tables included. Boot modules' frames are
 * the hypervisor's until VMs may map them. */
static unsigned check_leaks(void)
{
    uint64_t hyp = machine_frames.by_state[FRAME_HYP] + images_counts().owned - aside_frames();

    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i]->state != VM_OFF) {
            return 0; /* one without memory, which is to restart, may hold a snapshot's frames */
        }
    }
    if (hyp_all_off != 0 && hyp != hyp_all_off) {
        console_printf("check: all VMs are off, and the hypervisor has %llu frames; it was %llu\n",
                       (unsigned long long)hyp, (unsigned long long)hyp_all_off);
        return 1;
    }
    hyp_all_off = hyp;
    return 0;
}

/* The tables that an address space counts must be enough for its entries: one of the lowest level
 * for each 512, and at most one more of each level for each of those. */
static unsigned check_tables(const struct vm *vm)
{
    uint64_t tables = hvm_space_tables(vm->space), least = (vm->p2m.present + 511) / 512;

    if (tables < least || tables > machine_frames.by_state[FRAME_HYP]) {
        console_printf("check: %s: %llu EPT tables for %llu entries\n", vm->config->name,
                       (unsigned long long)tables, (unsigned long long)vm->p2m.present);
        return 1;
    }
    return 0;
}

/* A VM whose folding is off shares nothing, once its folds have been undone. */
static unsigned check_unfolded(const struct vm *vm)
{
    if (vm->folds || vm->unmerge.on || !vm_is_up(vm) || vm->p2m.shared_maps == 0) {
        return 0;
    }
    console_printf("check: %s: its folding is off, and it maps %llu shared frames\n",
                   vm->config->name, (unsigned long long)vm->p2m.shared_maps);
    return 1;
}

/* The frames of a whole machine beside its memory are as many as its promise reckons with. */
static unsigned check_overhead(const struct vm *vm)
{
    uint64_t has = vm->p2m.promise.overhead, wants = vm_overhead_frames(vm);

    if (vm->built != VM_WHOLE || has == wants) {
        return 0;
    }
    console_printf("check: %s: its vCPUs and disks have %llu frames, reckoned with %llu\n",
                   vm->config->name, (unsigned long long)has, (unsigned long long)wants);
    return 1;
}

/* What VMs keep aside in memory: the pool counts exactly what the snapshots hold. */
static unsigned check_snapshots(struct yield *y)
{
    uint64_t held = 0;
    unsigned bad = 0;
    bool moving = false;
    char why[160];

    for (unsigned i = 0; i < n_vms; i++) {
        for (unsigned k = 0; k < vms[i]->config->n_disks; k++) {
            const struct vm_disk *d = &vms[i]->disks[k];
            if (!d->has_snapshot) {
                continue;
            }
            enum status found = snapshot_check(&d->snapshot, y, why, sizeof(why));
            if (yield_ended(y)) {
                return 0;
            }
            if (found != OK) {
                console_printf("check: %s: disk %u: %s\n", vms[i]->config->name, k, why);
                bad++;
            }
            held += d->snapshot.cow.map.nodes + d->snapshot.cow.stats.chunks;
            moving |= d->snapshot.cow.in_flight > 0;
        }
    }
    /* A write on its way may have a place that the map does not have yet. */
    if (held > aside_pool.used || (held < aside_pool.used && !moving)) {
        console_printf("check: snapshots hold %llu frames, counted %llu\n",
                       (unsigned long long)held, (unsigned long long)aside_pool.used);
        bad++;
    }
    return bad;
}

/* The frames that the cache alone holds; of these, `duplicates` have a guest's page's content. */
static uint64_t count_kept(unsigned n_maps, struct yield *y)
{
    struct duplicates d = {.frames = &machine_frames,
                           .maps = maps,
                           .n_maps = n_maps,
                           .groups = group_list,
                           .n_groups = n_groups,
                           .unit = machine_fold.unit,
                           .key = &machine_fold.key,
                           .scratch = scratch,
                           .yield = y};

    duplicates_count(&d);
    if (!yield_ended(y)) {
        duplicates = d.duplicates;
        unknown = d.unknown;
    }
    return d.kept;
}

static void say_sound(uint64_t entries, uint64_t kept)
{
    console_printf("check: OK (%llu frames, %llu p2m entries, %llu kept by the cache, "
                   "%llu duplicate",
                   (unsigned long long)machine_frames.count, (unsigned long long)entries,
                   (unsigned long long)kept, (unsigned long long)duplicates);
    if (unknown > 0) {
        console_printf(", %llu unknown", (unsigned long long)unknown);
    }
    console_printf(")\n");
}

void check_run(struct yield *y)
{
    struct audit a = {.frames = &machine_frames,
                      .maps = maps,
                      .unmapped = unmapped,
                      .groups = group_list,
                      .n_groups = n_groups,
                      .fold = &machine_fold,
                      .scratch = scratch,
                      .others = references,
                      .yield = y,
                      .report = report};
    uint64_t entries = 0;
    unsigned bad = 0;
    char why[160];

    for (unsigned i = 0; i < n_groups; i++) {
        group_list[i] = &groups[i];
    }
    for (unsigned i = 0; i < n_vms; i++) {
        if (vm_has_memory(vms[i])) {
            maps[a.n_maps++] = &vms[i]->p2m;
            entries += vms[i]->p2m.present;
            bad += check_tables(vms[i]);
            bad += check_unfolded(vms[i]);
            bad += check_overhead(vms[i]);
        } else if (vms[i]->p2m.promise.pages > 0) {
            unmapped[a.n_unmapped++] = &vms[i]->p2m;
        }
    }
    bad += audit_run(&a);
    if (cache_check_yield(&machine_cache, y, why, sizeof(why)) != OK && !yield_ended(y)) {
        console_printf("check: cache: %s\n", why);
        bad++;
    }
    bad += check_snapshots(y);
    bad += check_leaks();
    uint64_t kept = count_kept(a.n_maps, y);
    if (yield_ended(y)) {
        return;
    }
    if (bad == 0) {
        say_sound(entries, kept);
    } else {
        console_printf("check: FAILED %u\nPAGEFOLD-CHECK-FAILED\n", bad);
    }
}
