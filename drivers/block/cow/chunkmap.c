/* SPDX-License-Identifier: BSD-2-Clause */
/* The radix tree behind a copy-on-write disk. */
#include "drivers/block/cow/chunkmap.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/page.h"

#define BITS 10u
#define FANOUT (1u << BITS)

_Static_assert(FANOUT * sizeof(uint32_t) == PAGE_SIZE, "a node is one frame");

static uint32_t *node(const struct chunkmap *m, uint32_t frame)
{
    return frame_bytes(m->frames, MFN(frame));
}

/* The key's place in a node of this level; leaves are level 0. */
static unsigned slot_of(uint64_t key, unsigned level)
{
    return (unsigned)(key >> (level * BITS)) & (FANOUT - 1);
}

enum status chunkmap_init(struct chunkmap *m, struct frames *frames, uint64_t limit)
{
    unsigned levels = 1;

    while (levels < CHUNKMAP_LEVELS && limit > UINT64_C(1) << (levels * BITS)) {
        levels++;
    }
    if (limit > UINT64_C(1) << (levels * BITS)) {
        return E_RANGE;
    }
    *m = (struct chunkmap){.frames = frames, .limit = limit, .levels = levels};
    return OK;
}

/* The key's place in its leaf, or NULL when there is no leaf. */
static uint32_t *find(const struct chunkmap *m, uint64_t key)
{
    uint32_t at = m->root;

    if (key >= m->limit) {
        return NULL;
    }
    for (unsigned level = m->levels - 1; at != 0 && level > 0; level--) {
        at = node(m, at)[slot_of(key, level)];
    }
    return at != 0 ? &node(m, at)[slot_of(key, 0)] : NULL;
}

uint32_t chunkmap_get(const struct chunkmap *m, uint64_t key)
{
    const uint32_t *p = find(m, key);

    return p != NULL ? *p : 0;
}

static enum status add_node(struct chunkmap *m, uint32_t *link)
{
    mfn_t mfn;

    if (m->counted != NULL && *m->counted >= *m->bound) {
        return E_NOMEM;
    }
    enum status s = frames_alloc(m->frames, FRAME_HYP, &mfn);
    if (s != OK) {
        return s;
    }
    ASSERT(mfn.n != 0 && mfn.n <= UINT32_MAX);
    page_zero(frame_bytes(m->frames, mfn));
    *link = (uint32_t)mfn.n;
    m->nodes++;
    if (m->counted != NULL) {
        (*m->counted)++;
    }
    return OK;
}

enum status chunkmap_reserve(struct chunkmap *m, uint64_t key)
{
    uint32_t *link = &m->root;

    if (key >= m->limit) {
        return E_RANGE;
    }
    for (unsigned level = m->levels;; level--) {
        if (*link == 0) {
            enum status s = add_node(m, link);
            if (s != OK) {
                return s;
            }
        }
        if (level == 1) {
            return OK;
        }
        link = &node(m, *link)[slot_of(key, level - 1)];
    }
}

void chunkmap_set(struct chunkmap *m, uint64_t key, uint32_t value)
{
    uint32_t *p = find(m, key);

    ASSERT(p != NULL);
    *p = value;
}

/* Values given back between two looks at the clock. A node without any takes as long as some ten.
 */
#define DROP_BATCH 16u

struct drop {
    struct chunkmap *m;
    const struct deadline *deadline;
    unsigned n; /* given back since the last look */
    void (*release)(void *ctx, uint32_t value);
    void *ctx;
};

static bool is_over(struct drop *d, unsigned n)
{
    d->n += n;
    if (d->n < DROP_BATCH) {
        return false;
    }
    d->n = 0;
    return deadline_passed(d->deadline);
}

/*
 * Empties a node and gives it back; false when the time was over first. Four levels deep at most.
 * `path` is the node's own place: its keys without the bits of this level and of those below. Where
 * an earlier step ended (drop_at) its work goes on, without a look at what is gone.
 */
static bool drop_node(struct drop *d, uint32_t frame, unsigned level, uint64_t path)
{
    struct chunkmap *m = d->m;
    uint32_t *entries = node(m, frame);
    bool begun = m->drop_at >> ((level + 1) * BITS) == path;

    for (unsigned i = begun ? slot_of(m->drop_at, level) : 0; i < FANOUT; i++) {
        uint64_t key = (path << BITS | i) << (level * BITS);

        if (entries[i] == 0) {
            continue;
        }
        if (level == 0) {
            d->release(d->ctx, entries[i]);
        } else if (!drop_node(d, entries[i], level - 1, path << BITS | i)) {
            return false;
        }
        entries[i] = 0;
        if (is_over(d, level == 0 ? 1 : DROP_BATCH)) {
            m->drop_at = MAX(key, m->drop_at);
            return false;
        }
    }
    frames_free(m->frames, MFN(frame));
    m->nodes--;
    if (m->counted != NULL) {
        (*m->counted)--;
    }
    return true;
}

bool chunkmap_drop_some(struct chunkmap *m, const struct deadline *d,
                        void (*release)(void *ctx, uint32_t value), void *ctx)
{
    struct drop drop = {.m = m, .deadline = d, .release = release, .ctx = ctx};

    if (m->root != 0 && drop_node(&drop, m->root, m->levels - 1, 0)) {
        m->root = 0;
        m->drop_at = 0;
    }
    return m->root != 0;
}

#define VISIT_PIECE 64u /* values between two calls of the yield function */

struct visit {
    const struct chunkmap *m;
    struct yield *yield;
    void (*found)(void *ctx, uint64_t key, uint32_t value);
    void *ctx;
    uint64_t nodes;
};

static void visit_node(struct visit *v, uint32_t frame, unsigned level, uint64_t key)
{
    const uint32_t *entries = node(v->m, frame);

    v->nodes++;
    for (unsigned i = 0; i < FANOUT && (i % VISIT_PIECE != 0 || yield_go_on(v->yield)); i++) {
        if (entries[i] == 0) {
            continue;
        }
        if (level == 0) {
            v->found(v->ctx, key << BITS | i, entries[i]);
        } else if (entries[i] < v->m->frames->count) { /* else the count of nodes is wrong */
            visit_node(v, entries[i], level - 1, key << BITS | i);
        }
    }
}

uint64_t chunkmap_each(const struct chunkmap *m, struct yield *y,
                       void (*found)(void *ctx, uint64_t key, uint32_t value), void *ctx)
{
    struct visit v = {m, y, found, ctx, 0};

    if (m->root != 0) {
        visit_node(&v, m->root, m->levels - 1, 0);
    }
    return v.nodes;
}
