/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Linux kernel's account of its pages, in a guest's memory: note, page tables, table of sections,
 * array of struct page. What mm/introspect/page_class reads, and no more.
 *
 * The p2m under it has only the two operations that look: whoever tried to touch, give or take a
 * page would call a NULL pointer. They are counted.
 */
#ifndef TESTS_HOST_SUPPORT_FAKE_LINUX_H
#define TESTS_HOST_SUPPORT_FAKE_LINUX_H

#include "mm/introspect/page_class.h"

#define LINUX_PAGES 2048u /* of guest memory, in two runs with a hole between */
#define LINUX_HOLE 1000u  /* the first page that is no RAM ... */
#define LINUX_HIGH 1024u  /* ... and the first that is RAM again */
#define LINUX_STRUCT 64u
#define LINUX_PRESENT 3u /* a page table entry's bits */
#define LINUX_LARGE 0x80u

/* Where things are, as frames; a large page of struct page begins at LINUX_ARRAY. */
enum {
    LINUX_ROOT = 16,
    LINUX_TABLES = 20, /* page tables, as many as are needed */
    LINUX_ROOTS = 50,  /* mem_section[], or the word mem_map */
    LINUX_SECTIONS = 52,
    LINUX_NOTE = 60,
    LINUX_PROCESS = 62,    /* a process's top table, as with page table isolation: two pages */
    LINUX_OTHER = 64,      /* some other kernel's top table */
    LINUX_SCATTERED = 100, /* the array in single pages, every second one */
    LINUX_ARRAY = 1024 + 512,
};

enum linux_memory { LINUX_EXTREME, LINUX_FLAT, LINUX_MEM_MAP };

struct linux_variant {
    bool five_level;
    bool newer; /* 6.12: slab is a type, types are bytes; else 6.1 */
    bool elf;   /* the note as ELF note, else the text alone */
    bool small; /* the array is mapped by 4 KiB pages */
    enum linux_memory memory;
};

struct linux_page {
    uint64_t flags, mapping, private, head;
    int32_t mapcount, refcount;
    uint8_t dtor;
};

struct linux_guest {
    struct linux_variant v;
    struct frames frames;
    struct p2m p2m;
    bool present[LINUX_PAGES];
    uint64_t looks; /* calls of the p2m's operations */
    struct guest_pages pages;
    /* The kernel's own constants, for linux_page. */
    uint64_t lru, swapbacked, slab_flag, head;
    int32_t buddy, slab, hugetlb;
    unsigned tables; /* used */
};

/* All pages are reserved by the kernel, and g->pages initialised. */
void linux_init(struct linux_guest *g, const struct linux_variant *v);
void linux_fini(struct linux_guest *g);
void *linux_bytes(struct linux_guest *g, uint64_t gfn);
/* The linear address of a struct page. */
uint64_t linux_va(uint64_t gfn);
/* Where a struct page is, in guest-physical memory; and its bytes. */
uint64_t linux_at(const struct linux_guest *g, uint64_t gfn);
void linux_set(struct linux_guest *g, uint64_t gfn, const struct linux_page *p);
/* A block of the page allocator. */
void linux_free(struct linux_guest *g, uint64_t gfn, unsigned order);
/* Writes the note again, with `release` in it; returns its text's length. */
size_t linux_note(struct linux_guest *g, uint64_t gfn, const char *release);

#endif
