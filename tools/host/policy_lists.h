/* SPDX-License-Identifier: BSD-2-Clause */
/* Queues of numbered blocks for policies: each block is in one of a few queues, or in none. */
#ifndef TOOLS_HOST_POLICY_LISTS_H
#define TOOLS_HOST_POLICY_LISTS_H

#include "base/types.h"

#define LISTS 5u
#define LIST_NONE 0u
#define LIST_NIL UINT32_MAX

struct list_node {
    uint32_t newer, older;
    uint8_t list; /* LIST_NONE, or which one it is in */
    uint8_t uses; /* the policy's own */
};

struct lists {
    struct list_node *nodes;
    uint32_t newest[LISTS], oldest[LISTS], count[LISTS];
};

/* Memory for n_ids blocks, all in no queue; ends the program when there is none. */
void lists_make(struct lists *l, uint32_t n_ids);
void lists_free(struct lists *l);
/* Takes the block from wherever it is, and makes it the newest of `list`, or puts it nowhere. */
void lists_move(struct lists *l, uint32_t id, uint8_t list);

static inline uint8_t lists_of(const struct lists *l, uint32_t id)
{
    return l->nodes[id].list;
}

#endif
