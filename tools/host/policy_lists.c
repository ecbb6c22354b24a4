/* SPDX-License-Identifier: BSD-2-Clause */
/* Doubly linked queues over an array of blocks. */
#include "tools/host/policy_lists.h"

#include <err.h>
#include <stdlib.h>

void lists_make(struct lists *l, uint32_t n_ids)
{
    *l = (struct lists){.nodes = calloc(n_ids ? n_ids : 1, sizeof(*l->nodes))};
    if (!l->nodes) {
        err(2, "memory");
    }
    for (unsigned i = 0; i < LISTS; i++) {
        l->newest[i] = l->oldest[i] = LIST_NIL;
    }
}

void lists_free(struct lists *l)
{
    free(l->nodes);
}

static void take(struct lists *l, uint32_t id)
{
    struct list_node *x = &l->nodes[id];

    if (x->newer != LIST_NIL) {
        l->nodes[x->newer].older = x->older;
    } else {
        l->newest[x->list] = x->older;
    }
    if (x->older != LIST_NIL) {
        l->nodes[x->older].newer = x->newer;
    } else {
        l->oldest[x->list] = x->newer;
    }
    l->count[x->list]--;
    x->list = LIST_NONE;
}

void lists_move(struct lists *l, uint32_t id, uint8_t list)
{
    struct list_node *x = &l->nodes[id];

    if (x->list != LIST_NONE) {
        take(l, id);
    }
    if (list == LIST_NONE) {
        return;
    }
    x->list = list;
    x->newer = LIST_NIL;
    x->older = l->newest[list];
    if (x->older != LIST_NIL) {
        l->nodes[x->older].newer = id;
    } else {
        l->oldest[list] = id;
    }
    l->newest[list] = id;
    l->count[list]++;
}
