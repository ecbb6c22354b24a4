/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guests' page classes (mm/introspect/page_class.h): when their notes are searched for and
 * checked, and when all pages are classified for the statistics.
 */
#ifndef KERNEL_SCAN_CLASSES_H
#define KERNEL_SCAN_CLASSES_H

#include "base/types.h"
#include "mm/introspect/page_class.h"

struct vm;

/* A VM's part. Good while the VM is not off. */
struct vm_classes {
    struct guest_pages pages;
    uint64_t search_ns;   /* not before this */
    uint64_t searched_ns; /* how long the last search that found nothing was waited for */
    uint64_t sweep_ns;    /* not before this */
};

/* The VM's memory has been made anew, or is about to go. */
void classes_begin(struct vm *vm);
void classes_end(struct vm *vm);
/* For mm/fold (struct fold, classify): the class of a page of any VM. */
enum page_class classes_of(void *ctx, struct p2m *p, gfn_t gfn, bool from_disk);
/* The moment from which classes_step has something to do; TIMER_NEVER when there is no VM. */
uint64_t classes_next_ns(void);
/* Works for about `allowance_ns`; returns the time it took, which the next calls make up for. */
uint64_t classes_step(uint64_t allowance_ns);

#endif
