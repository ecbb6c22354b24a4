/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a Linux guest uses each of its pages for, read from the guest's own struct page.
 *
 *     guest_pages_search   finds the guest's VMCOREINFO, a few pages at a time, and later sees to
 *                          it that what was found still holds; else it is forgotten, and searched
 *                          for anew
 *     guest_pages_class    the class of one page, as it is now
 *     guest_pages_sweep    all pages, a few at a time, for the counts
 *
 * The way to a page: VMCOREINFO -> mem_section[] -> linear address of the struct page -> (the
 * guest's page tables) -> guest-physical -> (p2m) -> bytes. The last translations are kept, and
 * looked up anew after a while.
 *
 * All of it is read without touching the guest: a hole in the p2m stays a hole. All of it is the
 * guest's, who may lie or change it at any time: a page of which nothing sensible is said is
 * PAGE_UNKNOWN, and each call does a bounded amount of work. Being the guest's, the answers steer
 * policy only.
 */
#ifndef MM_INTROSPECT_PAGE_CLASS_H
#define MM_INTROSPECT_PAGE_CLASS_H

#include "base/types.h"
#include "mm/introspect/vmcoreinfo.h"
#include "mm/p2m.h"
#include "mm/pageclass.h"

/* Translations of the array of struct page that are kept: 2 MiB each, which describe 128 MiB of
 * guest memory. */
#define GUEST_PAGES_CACHE 16u

struct guest_pages_entry {
    uint64_t va;  /* what is translated, 2 MiB aligned; 0: nothing */
    uint64_t gpa; /* where it is, or the table of its 512 pages */
    bool table;
    uint16_t uses; /* left, before it is looked up anew */
};

/* A private part of struct guest_pages: where one section's array of struct page begins. */
struct guest_pages_section {
    uint64_t number; /* UINT64_MAX: nothing */
    uint64_t map;    /* linear address that the struct page of gfn 0 would have */
    uint16_t uses;
};

struct guest_pages {
    struct p2m *p2m;
    bool known; /* info holds */
    struct vmcoreinfo info;
    gfn_t note; /* the page that it was found in; or, while `reading`, that may have it */
    bool reading;
    struct vmcoreinfo_lines lines;
    uint64_t note_digest;
    gfn_t next;         /* where the search goes on */
    unsigned doubts;    /* checks in a row that found another kernel running */
    uint64_t free_head; /* the block of free pages seen last: a hint */
    uint64_t free_pages;
    struct guest_pages_section section;
    struct guest_pages_entry cache[GUEST_PAGES_CACHE];
    gfn_t sweep_next;                /* where the sweep goes on */
    uint64_t sweeping[PAGE_CLASSES]; /* counts of the sweep under way */
    uint64_t counts[PAGE_CLASSES];   /* pages by class in the last complete sweep */
    uint64_t sweeps;                 /* complete ones */
    uint64_t found, lost;            /* notes taken up, and forgotten */
};

/* For the guest behind p, which must outlive g. All pages are PAGE_UNKNOWN until a note is found.
 */
void guest_pages_init(struct guest_pages *g, struct p2m *p);
/* Forgets everything but the event counts: the guest begins anew. */
void guest_pages_forget(struct guest_pages *g);

/*
 * One bounded step: looks at up to `budget` pages for a note, or at a piece of one for the price of
 * 16; when one is known, checks it instead.
 * `cr3` is what a vCPU of the guest has in CR3, or 0: a note whose kernel is not the one that runs
 * (left over from an earlier boot) is not taken up, and forgotten after a few such checks. True
 * when there is nothing more to do for now: a note is known, or all memory has been looked at.
 */
bool guest_pages_search(struct guest_pages *g, uint64_t cr3, unsigned budget);

/*
 * The class of gfn now. `from_disk`: the guest's disk was read into this page, which makes a page
 * of which nothing else is known PAGE_CACHE. A page of shared memory or tmpfs, which no disk backs,
 * is PAGE_MAPPED whether it is mapped or not. Costs some hundred ticks, changes nothing outside g.
 */
enum page_class guest_pages_class(struct guest_pages *g, gfn_t gfn, bool from_disk);

/*
 * Classifies up to about `budget` pages more (blocks of free pages cost little and count as one).
 * True when that completes a sweep: g->counts is new. Without a note the counts are all unknown.
 */
bool guest_pages_sweep(struct guest_pages *g, unsigned budget);

#endif
