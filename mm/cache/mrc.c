/* SPDX-License-Identifier: BSD-2-Clause */
/* The sample's last reads in order of time, with a Fenwick tree that counts the live ones. */
#include "mm/cache/mrc.h"

#include "base/bits.h"
#include "base/log.h"

#define MRC_DEAD (UINT32_MAX - 1)
/* The limit stays above this; no machine has so many blocks that they would not fit then. */
#define LIMIT_MIN 1024u
/* With so many slots used a sweep begins. It looks at MRC_SWEEP for each one that is used
 * meanwhile, so it ends with some to spare. */
#define SWEEP_AT (MRC_SLOTS - 2 * MRC_SLOTS / MRC_SWEEP)

static uint64_t hash_of(const struct mrc *m, uint32_t disk, uint64_t block)
{
    uint64_t h = block ^ m->seed;

    h = (h ^ (h >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= (uint64_t)disk << 32 | disk;
    h = (h ^ (h >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 32)) * UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 29);
}

static bool is_sampled(const struct mrc *m, uint64_t hash)
{
    return hash >> 32 <= m->limit;
}

/* By the half that the limit does not look at, so that chains stay short at any rate. */
static uint32_t *bucket_of(const struct mrc *m, uint64_t hash)
{
    return &m->buckets[(uint32_t)hash % MRC_TRACKED];
}

/* ---- the tree: node i sums the i & -i slots that end at i, counted from 1 ---- */

static void tree_add(struct mrc *m, uint32_t slot, uint32_t delta)
{
    for (uint32_t i = slot + 1; i <= MRC_SLOTS; i += i & -i) {
        m->slots[i - 1].sum += delta;
    }
}

/* Live slots up to `slot`, itself included. */
static uint32_t tree_sum(const struct mrc *m, uint32_t slot)
{
    uint32_t sum = 0;

    for (uint32_t i = slot + 1; i > 0; i -= i & -i) {
        sum += m->slots[i - 1].sum;
    }
    return sum;
}

/* ---- the slots ---- */

static void set_limit(struct mrc *m, uint32_t limit)
{
    m->limit = limit;
    m->weight = ((uint64_t)MRC_ONE << 32) / ((uint64_t)limit + 1);
}

void mrc_init(struct mrc *m, void *mem, uint64_t blocks, uint64_t seed)
{
    *m = (struct mrc){.slots = mem, .seed = seed};
    set_limit(m, UINT32_MAX);
    m->buckets = (uint32_t *)(m->slots + MRC_SLOTS);
    for (unsigned i = 0; i < MRC_SLOTS; i++) {
        m->slots[i] = (struct mrc_slot){.next = MRC_DEAD};
    }
    for (unsigned i = 0; i < MRC_TRACKED; i++) {
        m->buckets[i] = MRC_NIL;
    }
    for (unsigned i = 0; i < MRC_POINTS; i++) {
        /* 1, 3/2, 2, 3, 4, 6, ... of a 32nd; no more than one divisor and small factors */
        uint64_t size = i % 2 == 0 ? (blocks << i / 2) / 32 : ((3 * blocks) << i / 2) / 64;
        m->sizes[i] = MAX(size, i > 0 ? m->sizes[i - 1] : 1);
    }
}

/* The tree is not told. */
static void append(struct mrc *m, uint64_t hash)
{
    uint32_t *bucket = bucket_of(m, hash);
    struct mrc_slot *x = &m->slots[m->used];

    ASSERT(m->used < MRC_SLOTS);
    x->hash = hash;
    x->next = *bucket;
    *bucket = m->used;
    m->used++;
    m->tracked++;
}

/* ---- the sweep: to the front with what is live, some slots with each read ---- */

static uint32_t *link_of(struct mrc *m, uint32_t slot)
{
    uint32_t *link = bucket_of(m, m->slots[slot].hash);

    while (*link != slot) {
        link = &m->slots[*link].next;
    }
    return link;
}

static void sweep_slot(struct mrc *m, uint32_t from)
{
    struct mrc_slot *x = &m->slots[from];

    if (x->next == MRC_DEAD) {
        return;
    }
    uint32_t *link = link_of(m, from);
    if (!is_sampled(m, x->hash)) {
        *link = x->next;
        m->tracked--;
    } else if (m->front == from) {
        m->front++;
        return;
    } else {
        /* All between the two are dead, so the order stays what it is. */
        uint32_t to = m->front++;
        m->slots[to].hash = x->hash;
        m->slots[to].next = x->next;
        *link = to;
        tree_add(m, to, 1);
    }
    x->next = MRC_DEAD;
    tree_add(m, from, UINT32_MAX); /* one less */
}

static void sweep_begin(struct mrc *m)
{
    m->sweeps = true;
    m->swept = m->front = 0;
}

static void sweep_some(struct mrc *m)
{
    for (unsigned i = 0; i < MRC_SWEEP && m->swept < m->used; i++) {
        sweep_slot(m, m->swept++);
    }
    if (m->swept == m->used) {
        m->used = m->front;
        m->sweeps = false;
    }
}

/* Takes the hash's slot out; false when it has none. `*after` is how many live ones are later. */
static bool take(struct mrc *m, uint64_t hash, uint32_t *after)
{
    uint32_t *link = bucket_of(m, hash);

    while (*link != MRC_NIL && m->slots[*link].hash != hash) {
        link = &m->slots[*link].next;
    }
    uint32_t slot = *link;
    if (slot == MRC_NIL) {
        return false;
    }
    *after = m->tracked - tree_sum(m, slot);
    *link = m->slots[slot].next;
    m->slots[slot].next = MRC_DEAD;
    tree_add(m, slot, UINT32_MAX); /* one less */
    m->tracked--;
    return true;
}

static void count(struct mrc *m, uint64_t distance)
{
    unsigned i = 0;

    while (i < MRC_POINTS && distance >= m->sizes[i]) {
        i++;
    }
    m->bins[i] += m->weight;
}

void mrc_read_block(struct mrc *m, uint32_t disk, uint64_t block)
{
    uint64_t hash = hash_of(m, disk, block);
    uint32_t after;

    m->reads++;
    if (!is_sampled(m, hash)) {
        return;
    }
    if (m->sweeps) {
        sweep_some(m);
    }
    if (take(m, hash, &after)) {
        count(m, after * m->weight / MRC_ONE);
    } else {
        count(m, UINT64_MAX);
        if (m->tracked == MRC_TRACKED && m->limit > LIMIT_MIN && !m->sweeps) {
            /* Until the sweep is over, distances count some blocks that are of the sample no more.
             */
            set_limit(m, m->limit - m->limit / 8);
            sweep_begin(m);
        }
        if (!is_sampled(m, hash) || m->tracked == MRC_TRACKED) {
            return;
        }
    }
    if (m->used >= SWEEP_AT && !m->sweeps) {
        sweep_begin(m);
    }
    tree_add(m, m->used, 1);
    append(m, hash);
}

void mrc_curve(const struct mrc *m, struct mrc_point out[MRC_POINTS])
{
    uint64_t misses = 0;

    for (unsigned i = MRC_POINTS; i-- > 0;) {
        misses += m->bins[i + 1];
        /* As the reads are counted, and not the sample's, the difference is one of hits. */
        uint64_t n = MIN(misses / MRC_ONE, m->reads);
        out[i].blocks = m->sizes[i];
        out[i].miss_ppm = m->reads == 0 ? 0 : (uint32_t)(n * MRC_PPM / m->reads);
    }
}
