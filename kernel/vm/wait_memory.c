/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMs that wait for a frame.
 *
 * By the time a VM gets here the cache has given its clean frames (frames_reclaim). All that wait
 * are in one order, that of their starts, and only the first is woken for the frames that come
 * free, by folding or at another VM's end; a later one, when there are more than the ones before it
 * may want (mm/ration.h). It goes on with the access that failed: nothing of the guest is lost. A
 * VM that starts waits in the same order, before its first frame.
 *
 * A VM also tries again when blocks have been written to their disks or a device has let go of a
 * frame: where the cache alone kept a page from being written to, the guest has it to itself then,
 * and no frame need come free.
 *
 * The console hears of a VM's wait, and of its end, once a minute at most.
 */
#include "kernel/vm/wait_memory.h"

#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"
#include "kernel/scan/scan.h"
#include "kernel/storage/overlays.h"
#include "kernel/vm/internal.h"
#include "mm/promise.h"
#include "mm/ration.h"

/* Enough for the page, its tables, and a little progress. */
#define WAKE_FRAMES 8u
/* Given to the first that wakes, before the next is looked at. */
#define GRANT_FRAMES 32u
/* A VM tries again this often at most, and is looked at as often. */
#define TRY_EVERY_NS UINT64_C(1000000)
/* The order's figures are renewed this often while no VM waits. */
#define SETTLE_EVERY_NS UINT64_C(20000000)
/* A VM that keeps running dry says so this often at most. */
#define SAY_EVERY_NS UINT64_C(60000000000)

/* The VMs that are not off, in the order of their starts, and their figures. */
static struct vm **order;
static struct ration *rations;
static unsigned n_order, waiting, short_of_frames;
static uint64_t settled_ns;
static struct timer timer; /* wakes the loop while VMs wait */
static bool said_standstill;

static void timer_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    (void)now_ns; /* being awake is enough */
}

void vm_memory_init(void)
{
    order = boot_alloc(MAX(n_vms, 1u) * sizeof(*order), 64);
    rations = boot_alloc(MAX(n_vms, 1u) * sizeof(*rations), 64);
    timer_init(&timer, timer_due, NULL);
}

/* ---- the order ----------------------------------------------------------------------------- */

static struct ration ration_of(struct vm *vm, uint64_t now_ns)
{
    struct ration r = {0};

    if (vm->built == VM_NOTHING) {
        return r;
    }
    const struct p2m *p = &vm->p2m;
    uint64_t age_ns;

    r.claim = MIN(p->ram_pages + promise_tables_max(p), p->max_frames);
    r.held = promise_held(p) + p->aside;
    ration_growth_note(&vm->growth, p->demand_zero + p->zero_breaks + p->cow_breaks,
                       vm->waits || vm->state == VM_STARTING, now_ns);
    age_ns = now_ns - vm->growth.since_ns;
    if (vm->state != VM_PAUSED && vm->state != VM_STOPPING) {
        r.grows = age_ns < RATION_SETTLED_NS;
        r.busy = age_ns < RATION_BUSY_NS;
    }
    return r;
}

static void settle(uint64_t now_ns)
{
    settled_ns = now_ns;
    for (unsigned i = 0; i < n_order; i++) {
        order[i]->p2m.aside = vm_disks_aside(order[i]);
        rations[i] = ration_of(order[i], now_ns);
    }
    ration_settle(rations, n_order);
    for (unsigned i = 0; i < n_order; i++) {
        order[i]->p2m.keep_free = machine_config.host.memory_order ? rations[i].keep : 0;
    }
}

void vm_memory_join(struct vm *vm)
{
    order[n_order++] = vm;
    ration_growth_begin(&vm->growth, clock_now_ns());
    settle(clock_now_ns());
}

void vm_memory_part(struct vm *vm)
{
    unsigned i = 0;

    while (order[i] != vm) {
        i++;
    }
    for (n_order--; i < n_order; i++) {
        order[i] = order[i + 1];
    }
    settle(clock_now_ns());
}

static unsigned place_of(const struct vm *vm)
{
    unsigned i = 0;

    while (i < n_order && order[i] != vm) {
        i++;
    }
    return i;
}

/* Whether what the busy VMs before this one may still want is there, and a little more; or what it
 * was promised is kept for it, as it restarts. */
static bool is_admitted(const struct vm *vm)
{
    unsigned i = place_of(vm);

    return i == 0 || promise_is_kept(&vm->p2m) || !machine_config.host.memory_order ||
           ration_wanted(rations, i) + GRANT_FRAMES <= promise_spare(&machine_frames);
}

/* ---- promises and bounds ------------------------------------------------------------------- */

static unsigned long long mib(uint64_t frames)
{
    return (frames + 255) >> 8;
}

enum status vm_memory_promise(struct vm *vm, uint64_t overhead, const struct deadline *d)
{
    const struct config_vm *c = vm->config;
    uint64_t wanted, promised = 0;

    promise_bound(&vm->p2m, c->memory_max > 0 ? c->memory_max >> PAGE_SHIFT : PROMISE_NO_BOUND);
    vm->p2m.promise.overhead_max = overhead;
    enum status s = promise_make(&vm->p2m, c->memory_min >> PAGE_SHIFT, d, &wanted);
    if (s != E_NOMEM) {
        return s;
    }
    for (unsigned i = 0; i < n_order; i++) {
        promised += order[i]->p2m.promise.pages;
    }
    log_error("%s: its memory.min of %llu MiB takes %llu MiB with its tables and disks; other VMs "
              "are promised %llu MiB, %llu MiB are free, and %llu MiB of these are kept for them: "
              "stop one, or lower a memory.min",
              c->name, mib(c->memory_min >> PAGE_SHIFT), mib(wanted), mib(promised),
              mib(machine_frames.by_state[FRAME_FREE]), mib(machine_frames.kept));
    return E_RANGE;
}

void vm_memory_release(struct vm *vm)
{
    uint64_t wanted;

    if (vm->p2m.promise.pages > 0) {
        enum status s = promise_make(&vm->p2m, 0, NULL, &wanted);
        ASSERT(s == OK);
    }
    if (vm->built == VM_NOTHING) {
        vm->p2m.promise = (struct promise){0}; /* the next life's overhead begins anew */
    }
}

/* ---- waiting ------------------------------------------------------------------------------- */

const char *vm_memory_reason(const struct vm *vm)
{
    static const char *const reasons[] = {
        [VM_WAITS_NOT] = "",
        [VM_WAITS_FRAMES] = "waits for memory",
        [VM_WAITS_TURN] = "waits for memory: VMs that started before go first",
        [VM_WAITS_START] = "waits to start: VMs that started before may want the memory",
        [VM_WAITS_BOUND] = "waits: it holds what memory.max allows",
        [VM_WAITS_POOL] = "waits: `,snapshot` disks hold what snapshot.max allows",
    };

    return reasons[vm->waits];
}

static enum vm_waits why(const struct vm *vm)
{
    if (vm->state == VM_STARTING && vm->built == VM_NOTHING) {
        return is_admitted(vm) ? VM_WAITS_FRAMES : VM_WAITS_START;
    }
    if (vm_disks_wait_for_pool(vm)) {
        return VM_WAITS_POOL;
    }
    switch (vm->p2m.refused) {
    case PROMISE_BOUND:
        return VM_WAITS_BOUND;
    case PROMISE_TURN:
        return VM_WAITS_TURN;
    default:
        return VM_WAITS_FRAMES;
    }
}

static void say(const struct vm *vm)
{
    const char *name = vm->config->name;
    unsigned long long free = machine_frames.by_state[FRAME_FREE], all = machine_frames.count;
    char kept[64];

    switch (vm->waits) {
    case VM_WAITS_POOL:
        log_warn("%s: paused: the `,snapshot` disks hold %llu MiB, which is all that snapshot.max "
                 "allows; it goes on when that is raised, or a VM with a snapshot is stopped",
                 name, mib(aside_pool.used));
        break;
    case VM_WAITS_BOUND:
        log_warn(
            "%s: paused: it holds %llu MiB to itself, which is its memory.max; it goes on when "
            "some of that is folded or discarded",
            name, mib(promise_held(&vm->p2m) + vm->p2m.aside));
        break;
    case VM_WAITS_TURN:
        log_warn("%s: paused: %llu of %llu frames are free, and VMs that started before may want "
                 "them; it goes on when those have what they want, or memory is free",
                 name, free, all);
        break;
    case VM_WAITS_START:
        log_info(
            "%s: waits to start: %llu of %llu frames are free, and VMs that started before may "
            "want them",
            name, free, all);
        break;
    default:
        format(kept, sizeof(kept), ", %llu of these for VMs with memory.min",
               (unsigned long long)machine_frames.kept);
        log_warn("%s: paused: the machine is out of memory (%llu of %llu frames free%s); it goes "
                 "on when frames are free again: stop a VM, or wait for folding",
                 name, free, all, machine_frames.kept > 0 ? kept : "");
    }
}

static bool wants_frames(enum vm_waits w)
{
    return w == VM_WAITS_FRAMES || w == VM_WAITS_TURN || w == VM_WAITS_START;
}

void vm_wait_for_memory(struct vm *vm)
{
    uint64_t now = clock_now_ns();

    if (vm->waits || (vm->state != VM_RUN && vm->state != VM_STARTING)) {
        return;
    }
    vm->waits = why(vm);
    short_of_frames += wants_frames(vm->waits);
    scan_set_short(short_of_frames > 0);
    waiting++;
    if (vm->state == VM_RUN) {
        vm_set_state(vm, VM_NO_MEMORY);
        vm_clock_stop(vm);
    }
    vm->waits_cleaned = machine_cache.n_cleaned;
    vm->waits_pinned = machine_frames.pinned;
    vm->waits_unpinned = machine_frames.n_unpinned;
    vm->waits_since_ns = now;
    for (unsigned i = 0; vm->built >= VM_CPUS && i < vm->n_vcpus; i++) {
        sched_remove(&vm->vcpus[i].sched);
    }
    if (!vm->said_no_memory_ns || now - vm->said_no_memory_ns >= SAY_EVERY_NS) {
        vm->said_no_memory_ns = now;
        vm->say_memory_back = true;
        say(vm);
    }
}

void vm_memory_leave(struct vm *vm)
{
    if (vm->waits) {
        short_of_frames -= wants_frames(vm->waits);
        scan_set_short(short_of_frames > 0);
        waiting--;
        vm->waits = VM_WAITS_NOT;
    }
}

bool vm_memory_admits(struct vm *vm)
{
    settle(clock_now_ns());
    if (is_admitted(vm)) {
        return true;
    }
    vm_wait_for_memory(vm);
    return false;
}

bool vm_memory_may_come(const struct vm *vm)
{
    for (unsigned i = 0; i < n_order; i++) {
        if (order[i] != vm) {
            return true;
        }
    }
    return false;
}

/* ---- going on ------------------------------------------------------------------------------ */

/* Whether some device has done since what may be all that the VM waits for. Where others' requests
 * come and go, the number of pinned frames need not fall when the one that matters is let go of. */
static bool may_try_again(const struct vm *vm)
{
    return machine_cache.n_cleaned != vm->waits_cleaned ||
           machine_frames.pinned < vm->waits_pinned ||
           machine_frames.n_unpinned != vm->waits_unpinned;
}

/* `free`: frames that no VM before it has been given, and that are kept for none. */
static bool is_ready(const struct vm *vm, uint64_t free)
{
    const struct p2m *p = &vm->p2m;

    switch (vm->waits) {
    case VM_WAITS_POOL:
        return !vm_disks_wait_for_pool(vm);
    case VM_WAITS_BOUND:
        return promise_held(p) + p->aside + WAKE_FRAMES <= p->max_frames || may_try_again(vm);
    case VM_WAITS_START:
        return is_admitted(vm);
    default:
        return free >= p->keep_free + WAKE_FRAMES || may_try_again(vm);
    }
}

static void wake(struct vm *vm)
{
    bool by_frames = wants_frames(vm->waits);

    vm_memory_leave(vm);
    if (vm->say_memory_back) {
        vm->say_memory_back = false;
        log_info("%s: goes on: %s", vm->config->name,
                 by_frames ? "memory is free again" : "it has what it waited for");
    }
    if (vm->state != VM_NO_MEMORY) {
        sched_work(&vm->sched);
        return;
    }
    vm_set_state(vm, VM_RUN);
    vm_clock_go(vm);
    vm_devices_wake(vm); /* a disk may be what wanted the frame */
    for (unsigned c = 0; c < vm->n_vcpus; c++) {
        if (!vm->vcpus[c].sched.halted) {
            sched_wake(&vm->vcpus[c].sched);
        }
    }
}

/* Frames that the first of the waiting VMs can have; blocks that were dirty when one was wanted may
 * have been written out since. */
static uint64_t frames_to_give(void)
{
    const struct frames *f = &machine_frames;

    if (f->by_state[FRAME_FREE] < f->kept + GRANT_FRAMES) {
        (void)cache_reclaim(&machine_cache, f->kept + GRANT_FRAMES - f->by_state[FRAME_FREE]);
    }
    return f->by_state[FRAME_FREE] - MIN(f->kept, f->by_state[FRAME_FREE]);
}

/* All wait, and there is nothing left that would bring frames. */
static void note_standstill(void)
{
    bool still = short_of_frames > 0 && short_of_frames == n_order && scan_is_fruitless();

    if (still && !said_standstill) {
        log_warn("every VM waits for memory, and nothing is left to fold: stop one");
    }
    said_standstill = still;
}

bool vm_memory_settle(uint64_t now_ns)
{
    if (now_ns - settled_ns < (waiting > 0 ? TRY_EVERY_NS : SETTLE_EVERY_NS)) {
        if (waiting > 0 && !timer.armed) {
            sched_arm(&timer, settled_ns + TRY_EVERY_NS); /* too soon, but it is not forgotten */
        }
        return false;
    }
    charge(&charge_hypervisor);
    settle(now_ns);
    return true;
}

bool vm_memory_wake(uint64_t now_ns)
{
    bool woke = false;

    if (waiting == 0) {
        return false;
    }
    uint64_t free = short_of_frames > 0 ? frames_to_give() : 0;
    for (unsigned i = 0; i < n_order && waiting > 0; i++) {
        struct vm *vm = order[i];

        if (vm->waits && now_ns - vm->waits_since_ns >= TRY_EVERY_NS && is_ready(vm, free)) {
            free -= MIN(free, wants_frames(vm->waits) ? GRANT_FRAMES : 0);
            woke = true;
            wake(vm);
        }
    }
    note_standstill();
    if (waiting > 0 && !timer.armed) {
        sched_arm(&timer, now_ns + 2 * TRY_EVERY_NS);
    }
    return woke;
}
