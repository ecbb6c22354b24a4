/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A map from a disk's 4 KiB chunk to the place where its newer content is kept: a radix tree whose
 * nodes are frames of the hypervisor's (FRAME_HYP), each with 1024 values or children.
 *
 * It has no chains that a guest could make long, and no size to be chosen: memory follows what was
 * written, 4 KiB for each 4 MiB of the disk that holds any. A value is 32 bits, 0 is none.
 */
#ifndef DRIVERS_BLOCK_COW_CHUNKMAP_H
#define DRIVERS_BLOCK_COW_CHUNKMAP_H

#include "base/deadline.h"
#include "base/status.h"
#include "base/yield.h"
#include "mm/frame.h"

#define CHUNKMAP_LEVELS 4 /* enough for 2^40 chunks: 4 PiB */

struct chunkmap {
    struct frames *frames;
    uint64_t limit;  /* keys are below */
    unsigned levels; /* of nodes, 1 to CHUNKMAP_LEVELS */
    uint32_t root;   /* frame number; 0: none */
    uint64_t nodes;  /* frames held */
    /* NULL, or where they are counted with others', and how many all may be. */
    uint64_t *counted;
    const uint64_t *bound;
    uint64_t drop_at; /* chunkmap_drop_some has come to this key */
};

/* An empty map for keys below `limit`. E_RANGE: more than the levels reach. */
enum status chunkmap_init(struct chunkmap *m, struct frames *frames, uint64_t limit) MUST_CHECK;
/* The key's value, or 0. */
uint32_t chunkmap_get(const struct chunkmap *m, uint64_t key);
/* Makes room for a key's value, so that setting it cannot fail. E_NOMEM: no frame, or the bound is
 * reached; what was made on the way stays. */
enum status chunkmap_reserve(struct chunkmap *m, uint64_t key) MUST_CHECK;
/* Sets a value; the key has been reserved, or has one. */
void chunkmap_set(struct chunkmap *m, uint64_t key, uint32_t value);
/*
 * Gives values back (each is handed to `release`), and the nodes that held them, until the time is
 * over; NULL: all. True while there is more; the map is empty, and usable, when it is false.
 * Nothing else is done with it in between.
 */
bool chunkmap_drop_some(struct chunkmap *m, const struct deadline *d,
                        void (*release)(void *ctx, uint32_t value), void *ctx);
/* Hands every value to `found`, in order of keys; for audits. `y` comes between some of them, and
 * changes nothing. Returns the nodes met. */
uint64_t chunkmap_each(const struct chunkmap *m, struct yield *y,
                       void (*found)(void *ctx, uint64_t key, uint32_t value), void *ctx);

#endif
