/* SPDX-License-Identifier: BSD-2-Clause */
/* MIN with a heap of held blocks, the one that is read again last on top. */
#include "tools/host/belady.h"

#include <err.h>
#include <stdlib.h>

#define NEVER SIZE_MAX

struct heap {
    uint32_t *ids; /* n of them, a heap by next[id] */
    uint32_t *at;  /* id -> its place in ids, plus 1; 0: not held */
    size_t *next;  /* id -> when it is read next */
    uint32_t n;
};

static void put(struct heap *h, uint32_t place, uint32_t id)
{
    h->ids[place] = id;
    h->at[id] = place + 1;
}

/* Moves the block at `place` to where it belongs. */
static void settle(struct heap *h, uint32_t place)
{
    uint32_t id = h->ids[place];

    while (place > 0 && h->next[h->ids[(place - 1) / 2]] < h->next[id]) {
        put(h, place, h->ids[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child + 1 < h->n && h->next[h->ids[child + 1]] > h->next[h->ids[child]]) {
            child++;
        }
        if (child >= h->n || h->next[h->ids[child]] <= h->next[id]) {
            break;
        }
        put(h, place, h->ids[child]);
        place = child;
    }
    put(h, place, id);
}

static void take(struct heap *h, uint32_t id)
{
    uint32_t place = h->at[id] - 1;

    h->at[id] = 0;
    h->n--;
    if (place < h->n) {
        put(h, place, h->ids[h->n]);
        settle(h, place);
    }
}

static void *must_calloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p) {
        err(2, "memory");
    }
    return p;
}

/* For each use, when its block is read next; NEVER when it is dropped before, or not at all. */
static size_t *find_next(const struct trace *t)
{
    size_t *next = must_calloc(t->n, sizeof(*next));
    size_t *later = must_calloc(t->n_ids, sizeof(*later));

    for (uint32_t id = 0; id < t->n_ids; id++) {
        later[id] = NEVER;
    }
    for (size_t i = t->n; i-- > 0;) {
        const struct trace_use *u = &t->uses[i];
        next[i] = later[u->id];
        if (u->op != 'w') {
            later[u->id] = u->op == 'r' ? i : NEVER;
        }
    }
    free(later);
    return next;
}

uint64_t belady_hits(const struct trace *t, uint32_t size)
{
    size_t *next = find_next(t);
    struct heap h = {.ids = must_calloc(size, sizeof(*h.ids)),
                     .at = must_calloc(t->n_ids, sizeof(*h.at)),
                     .next = must_calloc(t->n_ids, sizeof(*h.next))};
    uint64_t hits = 0;

    for (size_t i = 0; i < t->n; i++) {
        uint32_t id = t->uses[i].id;
        if (t->uses[i].op == 'w') {
            continue;
        }
        bool held = h.at[id] != 0;
        hits += held && t->uses[i].op == 'r';
        h.next[id] = next[i];
        if (held) {
            take(&h, id);
        }
        if (next[i] == NEVER || t->uses[i].op == 'd') {
            continue;
        }
        if (h.n == size) {
            if (h.next[h.ids[0]] <= next[i]) {
                continue;
            }
            take(&h, h.ids[0]);
        }
        h.ids[h.n] = id;
        h.n++;
        settle(&h, h.n - 1);
    }
    free(h.ids);
    free(h.at);
    free(h.next);
    free(next);
    return hits;
}
