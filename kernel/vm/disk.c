/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's disks: what is between its virtio-blk and the host's disk, and what is kept aside. */
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"
#include "kernel/storage/disks.h"
#include "kernel/storage/overlays.h"
#include "kernel/vm/internal.h"
#include "mm/promise.h"

/* Requests in flight a disk; each slot is one page. */
#define DISK_SLOTS 16
/* PCI slot of a VM's first disk; slot 0 is the host bridge. */
#define FIRST_DISK_SLOT 2

static void disk_wake(void *ctx)
{
    struct vm_disk *d = ctx;

    vm_device_wake(&d->device);
}

/* For virtio-blk, which need not be called once more when its turn is yet to come. */
static void blk_wake(void *ctx)
{
    struct vm_disk *d = ctx;

    if (!d->blk_is_next) {
        disk_wake(d);
    }
}

static void disk_arrived(void *ctx, gfn_t gfn)
{
    struct vm_disk *d = ctx;

    fold_hint(&machine_fold, &d->device.vm->p2m, gfn);
}

/* memory.max covers what snapshots hold. */
static bool may_hold(void *ctx, uint64_t n)
{
    struct vm *vm = ctx;

    if (!vm_has_memory(vm)) {
        return true; /* what is on its way when the VM stops is let through */
    }
    vm->p2m.aside = vm_disks_aside(vm);
    vm->p2m.refused = PROMISE_EMPTY; /* the reason, if it is not the bound */
    return promise_may_hold(&vm->p2m, n);
}

/* Whether no VM that has its disks by now may write what this one is about to write; says it if one
 * may. */
static bool is_free(const struct vm *vm, const struct config_disk *c)
{
    for (unsigned i = 0; i < n_vms; i++) {
        const struct config_vm *other = vms[i]->config;
        for (unsigned k = 0; vms[i] != vm && k < other->n_disks; k++) {
            if (vms[i]->disks[k].made && config_disks_clash(c, &other->disks[k])) {
                log_error("%s: disk '%s' may be written by VM '%s' too (its '%s'), which is on: "
                          "give both `,shared` if their file systems can bear it, or one of them "
                          "`,ro` or `,snapshot`",
                          vm->config->name, c->name, other->name, other->disks[k].name);
                return false;
            }
        }
    }
    return true;
}

/* Finds what the configuration names, and puts the snapshot or overlay over it. A snapshot that a
 * VM brought over a restart goes on. */
static enum status find_disk(struct vm *vm, struct vm_disk *d, const struct config_disk *c)
{
    char why[160];

    d->cow = NULL;
    if (!is_free(vm, c)) {
        return E_EXISTS;
    }
    d->dev = disks_find(c->name);
    if (!d->dev) {
        log_error("%s: there is no disk '%s'; this machine has: %s", vm->config->name, c->name,
                  disks_list());
        return E_NOTFOUND;
    }
    if (aside_check(c, why, sizeof(why)) != OK) {
        log_error("%s: %s", vm->config->name, why);
        return E_NOTFOUND;
    }
    if (c->overlay[0] != '\0') {
        struct overlay *o = aside_overlay(c);
        if (!o) {
            log_error("%s: the overlay '%s' of disk '%s' is not open; the log's beginning says why",
                      vm->config->name, c->overlay, c->name);
            return E_NOTFOUND;
        }
        d->cow = &o->cow;
    } else if (c->snapshot && !c->read_only) {
        if (!d->has_snapshot) {
            enum status s = snapshot_init(&d->snapshot, &aside_pool, d->dev);
            if (s != OK) {
                return s;
            }
            d->snapshot.may_hold = may_hold;
            d->snapshot.may_hold_ctx = vm;
            d->has_snapshot = true;
        }
        d->cow = &d->snapshot.cow;
    }
    if (d->cow) {
        d->cow->wake = disk_wake;
        d->cow->wake_ctx = d;
        d->dev = &d->cow->dev;
    }
    return OK;
}

/* What keeps the writes aside stays without the VM. */
static void let_cow_go(struct vm_disk *d)
{
    if (d->cow != NULL && d->cow != &d->snapshot.cow) {
        aside_adopt(d->cow);
    }
}

/* Goes on with what the disk's layers have to do. */
static void disk_work(struct vm_device *device, const struct deadline *until)
{
    struct vm_disk *d = container_of(device, struct vm_disk, device);

    if (d->cow != NULL && device->vm->state == VM_RUN) {
        cow_retry(d->cow);
    }
    do {
        device->work = false;
        d->blk_is_next = true;
        bool more = blkcache_queue_work(&d->queue, until) ||
                    disks_memory_work(device->vm->number, until) ||
                    (d->cow != NULL && cow_work(d->cow, until));
        d->blk_is_next = false;
        if (more || virtio_blk_work(&d->blk, until)) {
            device->work = true; /* the time was too short for one of them */
        }
    } while (device->work && !deadline_passed(until));
    device->wants_memory = d->blk.wants_memory || (d->cow != NULL && cow_is_starved(d->cow));
}

static void disk_kicked(void *ctx)
{
    struct vm_disk *d = ctx;

    vm_device_kick(&d->device);
}

/* ---- when the VM stops --------------------------------------------------------------------- */

static void flushed(struct blk_req *r, enum status s)
{
    struct vm_disk *d = r->ctx;

    d->flush = FLUSH_DONE;
    sched_work(&d->device.vm->sched);
    if (s != OK && s != E_UNSUPPORTED) {
        log_error("%s: flushing it for the VM that stops: %s", d->view.dev.name, status_name(s));
    }
}

/* True once the VM's writes are on the disk's medium, or that has failed. */
static bool flush(struct vm_disk *d)
{
    if (d->flush == FLUSH_NONE && !d->view.dev.read_only) {
        d->flush = FLUSH_BUSY;
        d->flush_req = (struct blk_req){.op = BLK_FLUSH, .done = flushed, .ctx = d};
        blk_submit(&d->view.dev, &d->flush_req);
    }
    return d->flush != FLUSH_BUSY;
}

static bool is_quiet(struct vm_disk *d)
{
    if (d->cow != NULL) {
        cow_cancel(d->cow); /* writes that wait for a frame wait no longer */
    }
    return virtio_blk_quiesce(&d->blk);
}

static bool disk_stop(struct vm_device *device)
{
    struct vm_disk *d = container_of(device, struct vm_disk, device);

    /* Windows that were read ahead are in flight without a request of the guest's. */
    return is_quiet(d) && flush(d) && blkcache_queue_is_idle(&d->queue);
}

static const struct vm_device_ops device_ops = {.work = disk_work, .stop = disk_stop};

/* ---- making and ending it ------------------------------------------------------------------ */

/* All but its slots. */
static enum status begin(struct vm *vm, unsigned n)
{
    struct vm_disk *d = &vm->disks[n];
    const struct config_disk *c = &vm->config->disks[n];
    char serial[VIRTIO_BLK_ID_BYTES + 1];
    enum status s;

    vm_device_init(&d->device, vm, &device_ops);
    s = find_disk(vm, d, c);
    if (s != OK) {
        return s;
    }
    s = disks_queue_init(&d->queue, disk_wake, d);
    if (s != OK) {
        goto fail_queue;
    }
    blk_view_init(&d->view, d->dev,
                  &(struct blk_account){
                      .queue = &d->queue, .vm = vm->number, .group = (uint16_t)vm->group->id},
                  c->read_only);
    d->n_slots = 0;
    d->flush = FLUSH_NONE;
    s = frames_alloc(&machine_frames, FRAME_HYP, &d->bounce);
    if (s != OK) {
        goto fail_bounce;
    }
    format(serial, sizeof(serial), "%s-disk%u", vm->config->name, n);
    virtio_blk_init(&d->blk, &(struct virtio_blk_cfg){.p2m = &vm->p2m,
                                                      .disk = &d->view.dev,
                                                      .serial = serial,
                                                      .bounce = d->bounce,
                                                      .wake = blk_wake,
                                                      .kick = disk_kicked,
                                                      .wake_ctx = d,
                                                      .arrived = disk_arrived,
                                                      .arrived_ctx = d});
    d->made = true;
    return OK;

fail_bounce:
    blkcache_queue_fini(&d->queue);
fail_queue:
    let_cow_go(d);
    return s;
}

static enum status add_slot(struct vm_disk *d)
{
    mfn_t page;
    enum status s = frames_alloc(&machine_frames, FRAME_HYP, &page);

    if (s == OK) {
        d->slots[d->n_slots++] = page;
        s = virtio_blk_add_slot(&d->blk, frame_bytes(&machine_frames, page));
    }
    return s;
}

enum status vm_disk_init(struct vm *vm, unsigned n, const struct deadline *until)
{
    struct vm_disk *d = &vm->disks[n];
    enum status s = d->made ? OK : begin(vm, n);

    while (s == OK && d->n_slots < DISK_SLOTS) {
        if (deadline_passed(until)) {
            return E_BUSY;
        }
        s = add_slot(d);
    }
    if (s == OK) {
        s = vpci_add(&vm->pci, &d->blk.pci.pci, FIRST_DISK_SLOT + n);
    }
    if (s == OK) {
        vm_devices_add(vm, &d->device);
    }
    return s;
}

unsigned vm_disk_frames(const struct vm *vm, unsigned n)
{
    const struct config_disk *c = &vm->config->disks[n];
    bool snapshot = c->snapshot && !c->read_only && c->overlay[0] == '\0';

    return 1 + DISK_SLOTS + (snapshot ? COW_FRAMES : 0);
}

void vm_disk_fini(struct vm_disk *d)
{
    d->made = false;
    while (d->n_slots > 0) {
        frames_free(&machine_frames, d->slots[--d->n_slots]);
    }
    frames_free(&machine_frames, d->bounce);
    blkcache_queue_fini(&d->queue);
    let_cow_go(d);
}

/* ---- snapshots ----------------------------------------------------------------------------- */

uint64_t vm_disks_aside(const struct vm *vm)
{
    uint64_t held = 0;

    for (unsigned k = 0; k < vm->config->n_disks; k++) {
        const struct vm_disk *d = &vm->disks[k];

        held += d->has_snapshot ? d->snapshot.cow.map.nodes + d->snapshot.cow.stats.chunks : 0;
    }
    return held;
}

bool vm_disks_wait_for_pool(const struct vm *vm)
{
    for (unsigned i = 0; i < vm->n_disks; i++) {
        const struct vm_disk *d = &vm->disks[i];
        if (d->has_snapshot && cow_is_starved(&d->snapshot.cow) &&
            snapshot_pool_is_full(&aside_pool)) {
            return true;
        }
    }
    return false;
}

bool vm_disks_drop_some(struct vm *vm, const struct deadline *until)
{
    for (unsigned i = 0; i < vm->config->n_disks; i++) {
        struct vm_disk *d = &vm->disks[i];
        if (!d->has_snapshot) {
            continue;
        }
        if (snapshot_drop_some(&d->snapshot, until)) {
            return true;
        }
        snapshot_fini(&d->snapshot);
        d->has_snapshot = false;
        d->cow = NULL;
    }
    return false;
}
