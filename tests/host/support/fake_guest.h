/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest for tests of device models: frames in an arena, a p2m that is an array, the driver's side
 * of a virtqueue, and a disk that completes when the test says so.
 */
#ifndef TESTS_HOST_SUPPORT_FAKE_GUEST_H
#define TESTS_HOST_SUPPORT_FAKE_GUEST_H

#include "drivers/block/blk.h"
#include "mm/frame.h"
#include "mm/p2m.h"

struct tguest {
    struct frames frames;
    struct frame *table;
    uint8_t *arena; /* machine memory: frame n at n * PAGE_SIZE; see arena.h */
    struct share_group group;
    struct p2m p2m;
    struct p2m_entry *map;
    bool *present;
    struct p2m_region *regions;
    uint64_t ram_pages;
    mfn_t hoard[256]; /* frames that the test has taken away */
    unsigned n_hoard;
};

/* A guest of `ram_pages` pages from gfn 0 on a machine of `n_frames` frames (one is the zero page).
 */
void tguest_init(struct tguest *g, uint64_t n_frames, uint64_t ram_pages);
/* Drops the guest's memory and checks that no frame is pinned or lost. */
void tguest_fini(struct tguest *g);
/* Takes all free frames but `leave`; and gives them back. At most 256. */
void tguest_starve(struct tguest *g, uint64_t leave);
void tguest_feed(struct tguest *g);
/* The guest's own accesses; they cannot fail unless out of frames, which aborts the test. */
void tguest_put(struct tguest *g, uint64_t gpa, const void *from, size_t n);
void tguest_get(struct tguest *g, uint64_t gpa, void *to, size_t n);
void tguest_put16(struct tguest *g, uint64_t gpa, uint16_t v);
void tguest_put32(struct tguest *g, uint64_t gpa, uint32_t v);
void tguest_put64(struct tguest *g, uint64_t gpa, uint64_t v);
uint16_t tguest_get16(struct tguest *g, uint64_t gpa);
uint32_t tguest_get32(struct tguest *g, uint64_t gpa);

#define TD_NEXT 1
#define TD_WRITE 2
#define TD_INDIRECT 4

struct tdesc {
    uint64_t addr;
    uint32_t len;
    bool write;
};

/* The driver's side of a queue. */
struct tdriver {
    struct tguest *g;
    uint16_t size;
    uint64_t desc, avail, used;
    uint16_t avail_idx, used_seen;
    bool busy[256]; /* descriptors in use */
    uint16_t chain_next[256];
};

/* Lays an empty queue out at `base` (page aligned, four pages). */
void tdriver_init(struct tdriver *t, struct tguest *g, uint16_t size, uint64_t base);
void tdriver_desc(struct tdriver *t, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags,
                  uint16_t next);
/*
 * Makes a chain available: in the ring's own descriptors, or, if `table` is not 0, in an indirect
 * table there. The head, or -1 when there are no descriptors left.
 */
int tdriver_add(struct tdriver *t, const struct tdesc *d, unsigned n, uint64_t table);
/* Makes a head that the test has built itself available. */
void tdriver_offer(struct tdriver *t, uint16_t head);
/* Takes the next used element and frees its descriptors; -1 when there is none. */
int tdriver_take(struct tdriver *t, uint32_t *len);
void tdriver_set_used_event(struct tdriver *t, uint16_t v);

#define TDISK_MAX 256

/* A disk in memory. Requests wait until the test completes them, in any order. */
struct tdisk {
    struct blk_dev dev;
    uint8_t *machine; /* where segments' addresses count from */
    uint8_t *data;
    struct blk_req *waiting[TDISK_MAX];
    unsigned n;
    bool immediate;   /* complete inside submit */
    unsigned flushed; /* FLUSH requests seen */
    unsigned seen;    /* requests seen */
};

void tdisk_init(struct tdisk *d, struct tguest *g, uint64_t sectors);
void tdisk_fini(struct tdisk *d);
/* Carries out and completes the i-th waiting request; with an error if s is not OK. */
void tdisk_complete(struct tdisk *d, unsigned i, enum status s);

#endif
