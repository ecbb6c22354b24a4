/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest uses a page for, as far as the hypervisor can tell (paper, section 5).
 *
 * Policy only: a class that is wrong, or a lie of the guest's, changes what is scanned and how it
 * is counted, never what a page holds.
 */
#ifndef MM_PAGECLASS_H
#define MM_PAGECLASS_H

enum page_class {
    PAGE_UNKNOWN, /* no description of the guest's memory, or none that makes sense */
    PAGE_FREE,    /* in the guest's page allocator */
    PAGE_KERNEL,  /* kernel text and data, slab, page tables, reserved */
    PAGE_ANON,    /* a process's own memory */
    PAGE_MAPPED,  /* a file's page that some process maps */
    PAGE_CACHE,   /* a file's page that nobody maps */
    PAGE_CLASSES
};

/* "free", "pagecache" and so on: the names that fold.skip takes. */
const char *page_class_name(enum page_class c);

#endif
