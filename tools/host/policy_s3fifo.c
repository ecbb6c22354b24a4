/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * S3-FIFO (Yang et al., SOSP 2023): a small queue for new blocks, a main one for those that were
 * used there or that a queue of ghosts remembers. Uses are counted up to 3. Not of the paper: a
 * search that has spared SPARED_MAX blocks takes the next, as the hypervisor's does.
 */
#include "base/bits.h"
#include "tools/host/policy.h"
#include "tools/host/policy_lists.h"

#include <err.h>
#include <stdlib.h>

#define SMALL_SHARE 10u /* a tenth of the size */
#define SPARED_MAX 256u
#define USES_MAX 3u

enum { SMALL = 1, MAIN, GHOST };

struct policy {
    uint32_t size, small, main;
    uint32_t spared; /* blocks that got another round in the search under way */
    struct lists l;
};

static struct policy *s3_make(uint32_t size, uint32_t n_ids)
{
    struct policy *p = malloc(sizeof(*p));

    if (!p) {
        err(2, "memory");
    }
    p->size = size;
    p->small = MAX(size / SMALL_SHARE, 1u);
    p->main = size - p->small;
    lists_make(&p->l, n_ids);
    return p;
}

static void evict_main(struct policy *p)
{
    while (p->l.count[MAIN] > 0) {
        uint32_t id = p->l.oldest[MAIN];
        if (p->l.nodes[id].uses == 0 || p->spared++ >= SPARED_MAX) {
            lists_move(&p->l, id, LIST_NONE);
            return;
        }
        p->l.nodes[id].uses--;
        lists_move(&p->l, id, MAIN);
    }
}

/* As many ghosts as the main queue has room for. */
static void remember(struct policy *p, uint32_t id)
{
    lists_move(&p->l, id, GHOST);
    if (p->l.count[GHOST] > p->main) {
        lists_move(&p->l, p->l.oldest[GHOST], LIST_NONE);
    }
}

static void evict_small(struct policy *p)
{
    while (p->l.count[SMALL] > 0) {
        uint32_t id = p->l.oldest[SMALL];
        if (p->l.nodes[id].uses <= 1 || p->main == 0 || p->spared++ >= SPARED_MAX) {
            remember(p, id);
            return;
        }
        p->l.nodes[id].uses = 0;
        lists_move(&p->l, id, MAIN);
        if (p->l.count[MAIN] > p->main) {
            evict_main(p);
            return;
        }
    }
}

static bool is_held(const struct policy *p, uint32_t id)
{
    return lists_of(&p->l, id) == SMALL || lists_of(&p->l, id) == MAIN;
}

static void use(struct policy *p, uint32_t id)
{
    struct list_node *x = &p->l.nodes[id];

    x->uses = (uint8_t)MIN(x->uses + 1u, USES_MAX);
}

static bool s3_read(struct policy *p, uint32_t id)
{
    if (is_held(p, id)) {
        use(p, id);
        return true;
    }
    while (p->l.count[SMALL] + p->l.count[MAIN] >= p->size) {
        p->spared = 0;
        if (p->l.count[SMALL] >= p->small) {
            evict_small(p);
        } else {
            evict_main(p);
        }
    }
    p->l.nodes[id].uses = 0;
    lists_move(&p->l, id, lists_of(&p->l, id) == GHOST ? MAIN : SMALL);
    return false;
}

static void s3_write(struct policy *p, uint32_t id)
{
    if (is_held(p, id)) {
        use(p, id);
    }
}

static void s3_drop(struct policy *p, uint32_t id)
{
    lists_move(&p->l, id, LIST_NONE);
}

static void s3_free(struct policy *p)
{
    lists_free(&p->l);
    free(p);
}

const struct policy_ops policy_s3fifo = {"s3fifo", s3_make, s3_read, s3_write, s3_drop, s3_free};
