/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a VM's memory is folded (`fold = on | off`, `fold vm NAME on|off`), and undoing folds.
 *
 * A VM whose folding is off is not known to mm/fold, maps no frame that another one maps or the
 * disk cache holds, and gives the cache none of its own: p2m.fold_off. Only the zero page stands
 * for what it has read and never written. Turned off while it runs, its pages are given frames in
 * steps of its work, charged to it. A step that would take frames from a reserve waits instead;
 * what is folded stays so until then.
 */
#ifndef KERNEL_VM_FOLD_H
#define KERNEL_VM_FOLD_H

#include "kernel/vm/vm.h"

/* The VM's memory begins to be used, or is about to be given back. */
void vm_fold_begin(struct vm *vm);
void vm_fold_end(struct vm *vm);
/* Turns its folding on or off, for its next lives too. */
void vm_fold_set(struct vm *vm, bool on);
/*
 * Turns fold.run off and undoes what is folded in all VMs, as KSM does when its run is set to 2;
 * says on the console what that takes. Turning fold.run on ends it. Refused, with a line, when it
 * takes more memory than there is.
 */
void vms_unmerge(void);

/* Whether folds of it are to be undone now; and a step of that: true, call again soon. */
static inline bool vm_fold_wants_work(const struct vm *vm)
{
    return vm->unmerge.on && !vm->unmerge_rests && vm_is_up(vm);
}
bool vm_fold_work(struct vm *vm);
/* Has the undoing of folds go on that rests, if there is room for it now; for looks.c. */
void vm_fold_look(struct vm *vm, uint64_t now_ns);

#endif
