/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking into a guest's memory from outside, without the guest's noticing: nothing is touched,
 * pinned or given; what is not there stays not there. What is read is hostile.
 */
#ifndef MM_INTROSPECT_WALK_H
#define MM_INTROSPECT_WALK_H

#include "base/types.h"
#include "mm/p2m.h"

/* The bytes of a guest page, good until the guest runs or p changes; NULL for a hole, and for what
 * is not RAM. */
const uint8_t *guestwalk_page(struct p2m *p, gfn_t gfn);
/* The 8-byte word at an address; false for a hole, or when it is not aligned. */
bool guestwalk_word(struct p2m *p, uint64_t gpa, uint64_t *out);

/* A guest's page tables (SDM vol. 3, chapter 5), of 4 levels or 5. */
struct guestwalk_root {
    uint64_t table; /* guest-physical address of the top one */
    uint64_t mask;  /* bits of an entry that are no address: memory encryption's */
    bool five_level;
};

/* Where a linear address is. */
struct guestwalk_result {
    uint64_t gpa;   /* of the address itself */
    uint64_t table; /* when it is mapped by a 4 KiB page: guest-physical address of that table */
    bool small;
};

/* Translates a linear address as a kernel's read would be, rights aside. At most five reads. False:
 * nothing is mapped there, or the tables make no sense. */
bool guestwalk(struct p2m *p, const struct guestwalk_root *root, uint64_t va,
               struct guestwalk_result *out);

/* Where the entry (the word at an index) of a table of 4 KiB pages leads; false: nowhere. */
bool guestwalk_entry(struct p2m *p, const struct guestwalk_root *root, uint64_t table,
                     unsigned index, uint64_t *gpa);

#endif
