/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ARC (Megiddo and Modha, FAST 2003): T1 holds blocks used once, T2 those used again; B1 and B2
 * remember what was evicted from either, and a read of those moves the target size of T1.
 */
#include "base/bits.h"
#include "tools/host/policy.h"
#include "tools/host/policy_lists.h"

#include <err.h>
#include <stdlib.h>

enum { T1 = 1, T2, B1, B2 };

struct policy {
    uint32_t size;
    uint32_t target; /* of T1 */
    struct lists l;
};

static struct policy *arc_make(uint32_t size, uint32_t n_ids)
{
    struct policy *p = malloc(sizeof(*p));

    if (!p) {
        err(2, "memory");
    }
    p->size = size;
    p->target = 0;
    lists_make(&p->l, n_ids);
    return p;
}

/* Room for one block, whose read made it necessary; none is made where a discard left some. */
static void replace(struct policy *p, bool in_b2)
{
    const uint32_t *n = p->l.count;

    if (n[T1] + n[T2] < p->size) {
        return;
    }
    if (n[T1] > 0 && (n[T1] > p->target || (in_b2 && n[T1] == p->target) || n[T2] == 0)) {
        lists_move(&p->l, p->l.oldest[T1], B1);
    } else {
        lists_move(&p->l, p->l.oldest[T2], B2);
    }
}

static void read_ghost(struct policy *p, uint32_t id, bool in_b2)
{
    uint32_t b1 = p->l.count[B1], b2 = p->l.count[B2];

    if (in_b2) {
        p->target -= MIN(p->target, MAX(1u, b1 / b2));
    } else {
        p->target = MIN(p->size, p->target + MAX(1u, b2 / b1));
    }
    replace(p, in_b2);
    lists_move(&p->l, id, T2);
}

static void read_new(struct policy *p, uint32_t id)
{
    const uint32_t *n = p->l.count;

    if (n[T1] + n[B1] == p->size) {
        if (n[T1] < p->size) {
            lists_move(&p->l, p->l.oldest[B1], LIST_NONE);
            replace(p, false);
        } else {
            lists_move(&p->l, p->l.oldest[T1], LIST_NONE);
        }
    } else {
        if (n[T1] + n[T2] + n[B1] + n[B2] == 2 * p->size) {
            lists_move(&p->l, p->l.oldest[B2], LIST_NONE);
        }
        replace(p, false);
    }
    lists_move(&p->l, id, T1);
}

static bool arc_read(struct policy *p, uint32_t id)
{
    switch (lists_of(&p->l, id)) {
    case T1:
    case T2:
        lists_move(&p->l, id, T2);
        return true;
    case B1:
        read_ghost(p, id, false);
        return false;
    case B2:
        read_ghost(p, id, true);
        return false;
    default:
        read_new(p, id);
        return false;
    }
}

static void arc_write(struct policy *p, uint32_t id)
{
    if (lists_of(&p->l, id) == T1 || lists_of(&p->l, id) == T2) {
        lists_move(&p->l, id, T2);
    }
}

static void arc_drop(struct policy *p, uint32_t id)
{
    lists_move(&p->l, id, LIST_NONE);
}

static void arc_free(struct policy *p)
{
    lists_free(&p->l);
    free(p);
}

const struct policy_ops policy_arc = {"arc", arc_make, arc_read, arc_write, arc_drop, arc_free};
