/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replacement policies for build/host/cache-bench, all behind one interface.
 *
 * A policy holds at most `size` blocks; blocks are numbered from 0 to n_ids - 1, so that nobody
 * needs a hash table. `pagefold` is mm/cache itself: what is measured is what runs.
 *
 * As in the cache below the guests, only reads bring a block in: a write of a block that is held
 * keeps it, and is a use of it, and any other write goes by.
 */
#ifndef TOOLS_HOST_POLICY_H
#define TOOLS_HOST_POLICY_H

#include "base/types.h"

struct policy;

struct policy_ops {
    const char *name;
    struct policy *(*make)(uint32_t size, uint32_t n_ids); /* size is at least 1 */
    bool (*read)(struct policy *p, uint32_t id);           /* whether it was held; it is now */
    void (*write)(struct policy *p, uint32_t id);
    void (*drop)(struct policy *p, uint32_t id); /* a discard: it is held no more */
    void (*free)(struct policy *p);
};

extern const struct policy_ops policy_lru, policy_arc, policy_sieve, policy_s3fifo, policy_store;

#define POLICIES 5u
extern const struct policy_ops *const policies[POLICIES];

#endif
