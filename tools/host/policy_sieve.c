/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SIEVE (Zhang et al., NSDI 2024): a queue in order of insertion, and a hand that moves from old to
 * new, clears the mark of what was used and evicts the first block that has none.
 */
#include "tools/host/policy.h"
#include "tools/host/policy_lists.h"

#include <err.h>
#include <stdlib.h>

#define HELD 1

struct policy {
    uint32_t size;
    uint32_t hand; /* LIST_NIL: the oldest */
    struct lists l;
};

static struct policy *sieve_make(uint32_t size, uint32_t n_ids)
{
    struct policy *p = malloc(sizeof(*p));

    if (!p) {
        err(2, "memory");
    }
    p->size = size;
    p->hand = LIST_NIL;
    lists_make(&p->l, n_ids);
    return p;
}

static void leave(struct policy *p, uint32_t id)
{
    if (p->hand == id) {
        p->hand = p->l.nodes[id].newer;
    }
    lists_move(&p->l, id, LIST_NONE);
}

static void evict(struct policy *p)
{
    for (;;) {
        uint32_t id = p->hand != LIST_NIL ? p->hand : p->l.oldest[HELD];
        p->hand = p->l.nodes[id].newer;
        if (p->l.nodes[id].uses == 0) {
            leave(p, id);
            return;
        }
        p->l.nodes[id].uses = 0;
    }
}

static bool sieve_read(struct policy *p, uint32_t id)
{
    if (lists_of(&p->l, id) == HELD) {
        p->l.nodes[id].uses = 1;
        return true;
    }
    if (p->l.count[HELD] == p->size) {
        evict(p);
    }
    p->l.nodes[id].uses = 0;
    lists_move(&p->l, id, HELD);
    return false;
}

static void sieve_write(struct policy *p, uint32_t id)
{
    if (lists_of(&p->l, id) == HELD) {
        p->l.nodes[id].uses = 1;
    }
}

static void sieve_drop(struct policy *p, uint32_t id)
{
    if (lists_of(&p->l, id) == HELD) {
        leave(p, id);
    }
}

static void sieve_free(struct policy *p)
{
    lists_free(&p->l);
    free(p);
}

const struct policy_ops policy_sieve = {"sieve",     sieve_make, sieve_read,
                                        sieve_write, sieve_drop, sieve_free};
