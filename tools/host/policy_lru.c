/* SPDX-License-Identifier: BSD-2-Clause */
/* LRU: one queue, in order of use; the oldest goes. Also the table of all policies. */
#include "tools/host/policy.h"
#include "tools/host/policy_lists.h"

#include <err.h>
#include <stdlib.h>

#define HELD 1

struct policy {
    uint32_t size;
    struct lists l;
};

const struct policy_ops *const policies[POLICIES] = {&policy_lru, &policy_arc, &policy_sieve,
                                                     &policy_s3fifo, &policy_store};

static struct policy *lru_make(uint32_t size, uint32_t n_ids)
{
    struct policy *p = malloc(sizeof(*p));

    if (!p) {
        err(2, "memory");
    }
    p->size = size;
    lists_make(&p->l, n_ids);
    return p;
}

static bool lru_read(struct policy *p, uint32_t id)
{
    bool hit = lists_of(&p->l, id) == HELD;

    if (!hit && p->l.count[HELD] == p->size) {
        lists_move(&p->l, p->l.oldest[HELD], LIST_NONE);
    }
    lists_move(&p->l, id, HELD);
    return hit;
}

static void lru_write(struct policy *p, uint32_t id)
{
    if (lists_of(&p->l, id) == HELD) {
        lists_move(&p->l, id, HELD);
    }
}

static void lru_drop(struct policy *p, uint32_t id)
{
    lists_move(&p->l, id, LIST_NONE);
}

static void lru_free(struct policy *p)
{
    lists_free(&p->l);
    free(p);
}

const struct policy_ops policy_lru = {"lru", lru_make, lru_read, lru_write, lru_drop, lru_free};
