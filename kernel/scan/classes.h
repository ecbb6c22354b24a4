/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guests' page classes (mm/introspect/page_class.h): when their notes are searched for and
 * checked, and when all pages are classified for the statistics.
 */
#ifndef KERNEL_SCAN_CLASSES_H
#define KERNEL_SCAN_CLASSES_H

#include "base/types.h"
#include "mm/introspect/page_class.h"

/* A VM's part. */
struct classes_client {
    /* Its owner's. */
    const char *name;
    bool runs;                  /* its guest is there to be looked at; between begin and end only */
    uint64_t (*cr3)(void *ctx); /* of its vCPU 0, now */
    void *ctx;
    /* From here on, good between begin and end. */
    struct guest_pages pages;
    uint64_t search_ns;   /* not before this */
    uint64_t searched_ns; /* how long the last search that found nothing was waited for */
    uint64_t sweep_ns;    /* not before this */
};

/* All there are, at boot; the n-th is that of the p2m whose number (struct p2m, vm) is n + 1. */
void classes_set_clients(struct classes_client *const *by_number, unsigned n);
/* Its VM's memory has been made anew, or is about to go. */
void classes_begin(struct classes_client *c, struct p2m *p);
void classes_end(struct classes_client *c);
/* For mm/fold (struct fold, classify): the class of a page of any client's memory. */
enum page_class classes_of(void *ctx, struct p2m *p, gfn_t gfn, bool from_disk);
/* The moment from which classes_step has something to do; TIMER_NEVER when no guest runs. */
uint64_t classes_next_ns(void);
/* Works for about `allowance_ns`; returns the time it took, which the next calls make up for. */
uint64_t classes_step(uint64_t allowance_ns);

#endif
