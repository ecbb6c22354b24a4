/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual machine: its memory, its vCPUs, its devices, and its life.
 *
 *     OFF --start--> STARTING --built, loaded--> RUN <--pause/resume--> PAUSED
 *                    RUN <--no frame / frames free again--> NO_MEMORY
 *     any but OFF --stop, power-off, broken, cannot be started--> STOPPING --quiesced, freed--> OFF
 *     (reset: STOPPING with `restart`, then STARTING again, a second after the last start at the
 *     soonest: each reset is some lines of log)
 *
 * Starting and stopping take time: memory is filled and given back some pages at a time, and disk
 * requests in flight end first. The VM's work does a step of it, of at most STEP_MAX_NS, in the
 * VM's turn; `built` says what there is of the machine meanwhile. Everything runs in the
 * scheduler's loop (kernel/core/sched.h), so nothing here needs a lock.
 */
#ifndef KERNEL_VM_VM_H
#define KERNEL_VM_VM_H

#include "arch/x86_64/hvm/hvm.h"
#include "base/status.h"
#include "base/timer.h"
#include "base/types.h"
#include "drivers/block/cache/cache.h"
#include "drivers/block/cow/snapshot.h"
#include "drivers/block/view.h"
#include "drivers/guest/iobus.h"
#include "drivers/guest/irq.h"
#include "drivers/guest/pvpanic.h"
#include "drivers/guest/vacpi_pm.h"
#include "drivers/guest/vioapic.h"
#include "drivers/guest/virtio/blk.h"
#include "drivers/guest/vlapic.h"
#include "drivers/guest/vpci.h"
#include "drivers/guest/vpic.h"
#include "drivers/guest/vpit.h"
#include "drivers/guest/vrtc.h"
#include "drivers/guest/vuart.h"
#include "kernel/config/config.h"
#include "kernel/core/log.h"
#include "kernel/core/sched.h"
#include "kernel/scan/classes.h"
#include "kernel/vm/clock.h"
#include "kernel/vm/dead.h"
#include "kernel/vm/device.h"
#include "kernel/vm/loader.h"
#include "kernel/vm/sole.h"
#include "mm/fold/unmerge.h"
#include "mm/p2m.h"
#include "mm/ration.h"

#define VM_VCPUS 1 /* vCPUs a VM can have today; the structures take more */
#define VM_DISKS 8
#define VM_DEVICES_MAX VM_DISKS /* that have work outside the exits */

enum vm_state { VM_OFF, VM_STARTING, VM_RUN, VM_PAUSED, VM_NO_MEMORY, VM_STOPPING };

/* What there is of it, in the order in which it is made; each needs what stands before it. */
enum vm_built {
    VM_NOTHING,
    VM_MEMORY,   /* its p2m */
    VM_PROMISED, /* what memory.min takes is kept */
    VM_CPUS,
    VM_DEVICES, /* disks are made one by one from here on: n_disks */
    VM_LOADING,
    VM_WHOLE,
};

/* What keeps a VM waiting (kernel/vm/wait_memory.h). */
enum vm_waits {
    VM_WAITS_NOT,
    VM_WAITS_FRAMES, /* the machine has no frame for it */
    VM_WAITS_TURN,   /* the ones that are free are for VMs that started before */
    VM_WAITS_START,  /* likewise, and it has not been built yet */
    VM_WAITS_BOUND,  /* memory.max */
    VM_WAITS_POOL,   /* snapshot.max */
};

struct vm;

struct vcpu {
    struct sched_vcpu sched;
    struct vm *vm;
    struct hvm_vcpu *hvm; /* also sched's */
    struct vlapic lapic;
};

struct vm_disk {
    struct vm_device device;
    struct virtio_blk blk;
    struct blkcache_queue queue; /* its requests in the cache */
    bool made;                   /* vm_disk_init has begun with it */
    bool blk_is_next;            /* what is below virtio-blk is at work: that comes next */
    struct blk_dev *dev; /* the cache over a host disk, or what keeps the writes aside over it */
    struct cow *cow;     /* the latter, or NULL */
    struct snapshot snapshot;
    bool has_snapshot;    /* it lives; over a restart too */
    struct blk_view view; /* the same as this VM may use it, with its account */
    mfn_t bounce;
    mfn_t slots[VIRTIO_BLK_SLOTS];
    unsigned n_slots;
    enum { FLUSH_NONE, FLUSH_BUSY, FLUSH_DONE } flush; /* when the VM stops */
    struct blk_req flush_req;
};

struct vm {
    struct sched_vm sched; /* its account is of all its lives */
    const struct config_vm *config;
    uint16_t number;     /* index in `vms`, from 1: 0 is nobody's */
    enum vm_state state; /* vm_set_state */
    enum vm_built built;
    bool pause_first; /* STARTING: it is to be PAUSED then, and not RUN */
    struct loader_job load;
    bool uses_images;      /* kernel/vm/load.c: it holds its kernel's and initrd's frames */
    bool restart;          /* start again once it is off */
    bool drops;            /* STOPPING: what it wrote aside goes; begun, so it all does */
    char stop_reason[192]; /* why it went off, for `vms` */
    uint64_t started_ns;
    struct timer restart_timer; /* a guest that resets at once waits its turn */
    enum vm_waits waits;        /* for a frame, as NO_MEMORY or STARTING */
    struct ration_growth growth;
    uint64_t said_no_memory_ns; /* wait_memory.c: when the console last heard */
    bool say_memory_back;
    /* When it began to: blocks cleaned, frames pinned and unpinned; and when that was. */
    uint64_t waits_cleaned, waits_pinned, waits_unpinned, waits_since_ns;
    uint64_t boots;

    struct hvm_space *space;
    struct p2m_region *regions; /* of p2m */
    struct p2m p2m;
    struct share_group *group;
    struct classes_client classes;
    bool folds; /* kernel/vm/fold.c: whether its memory is folded, over restarts too */
    struct unmerge unmerge;
    bool unmerge_rests; /* it found no frame; vm_fold_look has it go on */
    bool said_unmerge_waits;
    uint64_t unmerged; /* pages that were given frames because folding was turned off */
    struct vm_sole sole;
    struct vm_clock clock;
    struct vm_end end;

    unsigned n_vcpus;
    struct vcpu vcpus[VM_VCPUS];

    struct tick_floor floor;
    struct iobus pio, mmio;
    struct irq_sink irq;
    struct vpic pic;
    struct vioapic ioapic;
    struct vpit pit;
    struct vrtc rtc;
    struct vuart uart;
    struct vpci_bus pci;
    struct vacpi_pm pm;
    struct pvpanic panic_port;
    unsigned n_disks;
    struct vm_disk disks[VM_DISKS];
    unsigned n_devices; /* kernel/vm/device.h */
    struct vm_device *devices[VM_DEVICES_MAX];
    bool device_work;     /* some device has work to do, */
    unsigned next_device; /* and this one is the first whose turn it is */

    struct console_port *console; /* kernel/console/console.h: where the UART's bytes go */
    struct log_subject log;       /* lines about it */
};

/* All VMs of the configuration, made once at boot. */
extern struct vm **vms;
extern unsigned n_vms;

/* Makes the structures of every configured VM, all off. Panics when memory is too small for them:
 * that happens at boot only. */
void vms_init(const struct config *config);
struct vm *vm_find(const char *name);
const char *vm_state_name(const struct vm *vm);
/* Off, or at an end as good as that: see dead.h. */
bool vm_has_ended(const struct vm *vm);

/* Begins to build the machine, which runs once its memory is filled. E_BUSY when it is not off.
 * What goes wrong later is logged with what to do about it, and the VM is off again. */
enum status vm_start(struct vm *vm) MUST_CHECK;
/* E_INVAL when the state does not allow it. One that is starting is paused before its first
 * instruction. */
enum status vm_pause(struct vm *vm) MUST_CHECK;
enum status vm_resume(struct vm *vm) MUST_CHECK;
/* Begins to stop it; `why` is kept for `vms`. No effect when it is off or stopping already, but
 * for restart, which wins. */
void vm_stop(struct vm *vm, bool restart, const char *why);
/* Whether its p2m is there. */
static inline bool vm_has_memory(const struct vm *vm)
{
    return vm->built >= VM_MEMORY;
}
/* Whether all of it is there and not about to go: it runs, or could. */
static inline bool vm_is_up(const struct vm *vm)
{
    return vm->state == VM_RUN || vm->state == VM_PAUSED || vm->state == VM_NO_MEMORY;
}

/* Frames of the whole machine beside its memory: what its vCPUs and its disks take. */
uint64_t vm_overhead_frames(const struct vm *vm);
/* Frames that it holds in `,snapshot` disks. */
uint64_t vm_disks_aside(const struct vm *vm);
/* For the loop, now and then: what is looked after for all VMs. */
bool vms_look(void *ctx);

#endif
