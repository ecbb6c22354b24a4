/* SPDX-License-Identifier: BSD-2-Clause */
/* The cache's self-audit: proves its counts, chains, queues and frames against one another. */
#include "base/bits.h"
#include "base/format.h"
#include "mm/cache/queue.h"
#include "mm/cache/share.h"
#include "mm/cache/store.h"

/* What the walks have in common: where to say what is wrong. */
struct audit {
    const struct cache *c;
    struct yield *yield; /* or NULL */
    char *why;
    size_t size;
};

#define WRONG(a, ...) (format((a)->why, (a)->size, __VA_ARGS__), E_INVAL)

/* A sum of these over two sets is equal when the sets are, and hardly ever otherwise. */
static uint64_t scramble(uint64_t x)
{
    x = (x + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Whether the entry's flags fit its frame's state: guests map it, or only the cache holds it. */
static bool fits_frame(const struct cache_entry *x, const struct frame *f)
{
    if ((f->flags & FRAME_F_IN_CACHE) == 0) {
        return false;
    }
    return (x->flags & CACHE_E_MAPPED) != 0 ? f->state == FRAME_SHARED && f->refs >= 2
                                            : f->state == FRAME_CACHE_ONLY && f->refs == 1;
}

/* Whether mm/fold knows no more of the frame than it may: nothing of what a device or the cache may
 * be writing to, and of what only the cache holds nothing but in mode FOLD. */
static bool fits_index(const struct cache *c, const struct cache_entry *x, const struct frame *f)
{
    bool shown = (f->flags & (FRAME_F_INDEXED | FRAME_F_UNSCANNED)) != 0;

    return !shown ||
           ((x->flags & CACHE_E_BUSY) == 0 && (f->state == FRAME_SHARED || c->mode == CACHE_FOLD));
}

/* Whether the entry comes first of those in its frame. A broken chain is followed nowhere. */
static bool is_first(const struct cache *c, uint32_t e)
{
    uint32_t at = *cache_share_bucket(c, c->entries[e].frame);

    for (uint32_t i = 0; i < c->n_max && at < c->n_max; i++) {
        if (c->entries[at].frame == c->entries[e].frame) {
            break;
        }
        at = c->entries[at].frame_next;
    }
    return at == e;
}

/* The frames that entries are in, each once. */
struct held {
    uint64_t n, sum;
    uint32_t queued; /* entries that must be in a queue */
};

static bool fits_dirty(const struct cache_entry *x)
{
    if ((x->flags & CACHE_E_DIRTY) == 0) {
        return (x->flags & (CACHE_E_BUSY | CACHE_E_DOOMED)) != CACHE_E_DOOMED;
    }
    return (x->flags & CACHE_E_BUSY) == 0 && x->mask == CACHE_MASK_ALL &&
           (x->wb & (CACHE_W_DIRTY | CACHE_W_WRITEBACK)) != 0;
}

/* Every used entry is in a frame of the cache, or zero, and the counts add up. */
static enum status check_entries(const struct audit *a, struct held *held)
{
    const struct cache *c = a->c;
    uint32_t used = 0, busy = 0, mapped = 0, zeroes = 0, ahead = 0, dirty = 0;

    *held = (struct held){0};
    for (uint32_t e = 0; e < c->n_max && yield_go_on(a->yield); e++) {
        const struct cache_entry *x = &c->entries[e];
        if ((x->flags & CACHE_E_USED) == 0) {
            if (x->flags != 0) {
                return WRONG(a, "free entry %u has flags %x", e, x->flags);
            }
            continue;
        }
        used++;
        ahead += x->uses == CACHE_USES_AHEAD;
        busy += (x->flags & CACHE_E_BUSY) != 0;
        mapped += (x->flags & CACHE_E_MAPPED) != 0;
        dirty += (x->flags & CACHE_E_DIRTY) != 0;
        held->queued += cache_is_queued(x);
        if (!fits_dirty(x)) {
            return WRONG(a, "entry %u has mask %x, flags %x, and says %x of its writing", e,
                         x->mask, x->flags, x->wb);
        }
        if ((x->flags & CACHE_E_BUSY) == 0 && x->mask == 0) {
            return WRONG(a, "valid entry %u has mask %x, flags %x", e, x->mask, x->flags);
        }
        if ((x->flags & CACHE_E_ZERO) != 0) {
            zeroes++;
            if ((x->flags & (CACHE_E_BUSY | CACHE_E_MAPPED)) != 0 || x->mask == 0 ||
                x->frame != CACHE_NIL) {
                return WRONG(a, "entry %u is of zeroes with mask %x, flags %x, frame %x", e,
                             x->mask, x->flags, x->frame);
            }
            continue;
        }
        if (x->frame >= c->frames->count) {
            return WRONG(a, "entry %u holds frame %x, beyond the table", e, x->frame);
        }
        const struct frame *f = frame_of(c->frames, MFN(x->frame));
        if (!fits_frame(x, f)) {
            return WRONG(a, "entry %u (flags %x): frame %x is %s, flags %x, with %u references", e,
                         x->flags, x->frame, frame_state_name((enum frame_state)f->state), f->flags,
                         f->refs);
        }
        if ((x->flags & CACHE_E_MAPPED) != 0 && (x->flags & CACHE_E_BUSY) != 0) {
            return WRONG(a, "entry %u is mapped, but its flags are %x", e, x->flags);
        }
        if (!fits_index(c, x, f)) {
            return WRONG(a, "entry %u (flags %x): frame %x has flags %x, in mode %s", e, x->flags,
                         x->frame, f->flags, cache_mode_name(c->mode));
        }
        if (is_first(c, e)) {
            held->n++;
            held->sum += scramble(x->frame);
        }
    }
    if (dirty != c->dirty) {
        return WRONG(a, "%u entries dirty, counted %u", dirty, c->dirty);
    }
    if (used != c->used || busy != c->busy || mapped != c->mapped || zeroes != c->zeroes) {
        return WRONG(a, "%u entries used, %u busy, %u mapped, %u zero, counted %u, %u, %u and %u",
                     used, busy, mapped, zeroes, c->used, c->busy, c->mapped, c->zeroes);
    }
    if (ahead != c->ahead) {
        return WRONG(a, "%u entries read ahead and not used, counted %u", ahead, c->ahead);
    }
    return OK;
}

/*
 * The chains hold each used entry once: they hold as many as are used, and each is found. The count
 * comes first and ends at a loop; after it, lookups are certain to end.
 */
static enum status check_chains(const struct audit *a)
{
    const struct cache *c = a->c;
    uint64_t linked = 0;

    for (uint64_t b = 0; b <= c->bucket_mask && yield_go_on(a->yield); b++) {
        for (uint32_t e = c->buckets[b]; e != CACHE_NIL; e = c->entries[e].hash_next) {
            if (e >= c->n_max || (c->entries[e].flags & CACHE_E_USED) == 0) {
                return WRONG(a, "bucket %llx leads to entry %u, which is not used",
                             (unsigned long long)b, e);
            }
            if (++linked > c->used) {
                return WRONG(a, "the hash chains hold more than the %u entries used", c->used);
            }
        }
    }
    if (linked != c->used) {
        return WRONG(a, "%llu entries in hash chains, %u used", (unsigned long long)linked,
                     c->used);
    }
    for (uint32_t e = 0; e < c->n_max && yield_go_on(a->yield); e++) {
        const struct cache_entry *x = &c->entries[e];
        if ((x->flags & CACHE_E_USED) != 0 && cache_find(c, x->disk, x->block) != e) {
            return WRONG(a, "entry %u (disk %u, block %llx) is not found by its key", e, x->disk,
                         (unsigned long long)x->block);
        }
    }
    return OK;
}

/* The same for the chains by frame. */
static enum status check_frame_chains(const struct audit *a)
{
    const struct cache *c = a->c;
    uint64_t linked = 0;

    for (uint64_t b = 0; b <= c->bucket_mask && yield_go_on(a->yield); b++) {
        for (uint32_t e = c->frame_buckets[b]; e != CACHE_NIL; e = c->entries[e].frame_next) {
            if (e >= c->n_max ||
                (c->entries[e].flags & (CACHE_E_USED | CACHE_E_ZERO)) != CACHE_E_USED ||
                cache_share_bucket(c, c->entries[e].frame) != &c->frame_buckets[b]) {
                return WRONG(a, "entry %u is in the wrong chain of frames, %llx", e,
                             (unsigned long long)b);
            }
            if (++linked > c->used) {
                return WRONG(a, "the chains by frame hold more than the %u entries used", c->used);
            }
        }
    }
    return linked == c->used - c->zeroes
               ? OK
               : WRONG(a, "%llu entries in chains by frame, %u used, %u zero",
                       (unsigned long long)linked, c->used, c->zeroes);
}

/* No frame is for too many blocks. */
static enum status check_crowds(const struct audit *a)
{
    const struct cache *c = a->c;

    for (uint32_t e = 0; e < c->n_max && yield_go_on(a->yield); e++) {
        const struct cache_entry *x = &c->entries[e];
        bool in_frame = (x->flags & (CACHE_E_USED | CACHE_E_ZERO)) == CACHE_E_USED;

        if (in_frame && cache_share_exceeds(c, MFN(x->frame), CACHE_FRAME_BLOCKS)) {
            return WRONG(a, "frame %x is for more than %u blocks", x->frame, CACHE_FRAME_BLOCKS);
        }
    }
    return OK;
}

static enum status check_queue(const struct audit *a, const struct cache_queue *q, uint8_t kind)
{
    const struct cache *c = a->c;
    uint32_t n = 0, newer = CACHE_NIL;

    for (uint32_t e = q->newest; e != CACHE_NIL && yield_go_on(a->yield); e = c->entries[e].next) {
        if (e >= c->n_max || (c->entries[e].flags & (CACHE_E_USED | CACHE_E_NO_QUEUE |
                                                     CACHE_E_MAIN)) != (CACHE_E_USED | kind)) {
            return WRONG(a, "a queue leads to entry %u, which is not valid or not in it", e);
        }
        if (c->entries[e].prev != newer) {
            return WRONG(a, "entry %u has a wrong link to the newer one", e);
        }
        if (++n > q->n) {
            return WRONG(a, "a queue is longer than its %u entries", q->n);
        }
        newer = e;
    }
    if (n != q->n || q->oldest != newer) {
        return WRONG(a, "a queue has %u entries, counted %u; the oldest is %x, the last %x", n,
                     q->n, q->oldest, newer);
    }
    return OK;
}

/* Every entry that should be is in one of the two queues. */
static enum status check_queues(const struct audit *a, const struct held *held)
{
    const struct cache *c = a->c;
    enum status s = check_queue(a, &c->small, 0);

    if (s == OK) {
        s = check_queue(a, &c->main, CACHE_E_MAIN);
    }
    if (s == OK && (uint64_t)c->small.n + c->main.n != held->queued) {
        s = WRONG(a, "%u and %u entries in queues, %u should be", c->small.n, c->main.n,
                  held->queued);
    }
    return s;
}

/* Whether entry a stands before b in the order of addresses. */
static bool is_before(const struct cache_entry *a, const struct cache_entry *b)
{
    return a->disk != b->disk ? a->disk < b->disk : a->block < b->block;
}

/* The tree's first entry after `last` (CACHE_NIL: its very first), CACHE_NIL at the end; false when
 * the tree is broken. */
static bool next_in_tree(const struct cache *c, uint32_t last, uint32_t *out)
{
    uint32_t n = c->dirty_root, steps = 0;

    *out = CACHE_NIL;
    while (n != CACHE_NIL) {
        if (n >= c->n_max || ++steps > c->dirty || (c->entries[n].flags & CACHE_E_DIRTY) == 0) {
            return false;
        }
        if (last == CACHE_NIL || is_before(&c->entries[last], &c->entries[n])) {
            *out = n;
            n = c->entries[n].prev;
        } else {
            n = c->entries[n].next;
        }
    }
    return true;
}

/* The dirty entries are all in the tree, in order. */
static enum status check_dirty(const struct audit *a)
{
    uint32_t n = 0, last = CACHE_NIL, e;
    bool sound;

    while ((sound = next_in_tree(a->c, last, &e)) && e != CACHE_NIL && yield_go_on(a->yield)) {
        last = e;
        n++;
    }
    return sound && n == a->c->dirty
               ? OK
               : WRONG(a, "the tree of dirty blocks is broken after %u of %u", n, a->c->dirty);
}

static enum status check_free(const struct audit *a)
{
    const struct cache *c = a->c;
    uint32_t n = 0;

    for (uint32_t e = c->free_head; e != CACHE_NIL && yield_go_on(a->yield);
         e = c->entries[e].next) {
        if (e >= c->n_max || (c->entries[e].flags & CACHE_E_USED) != 0 || ++n > c->n_max) {
            return WRONG(a, "the free list is broken at entry %u", e);
        }
    }
    return n == c->n_max - c->used
               ? OK
               : WRONG(a, "%u entries free, %u used, of %u", n, c->used, c->n_max);
}

/* The frames that say that the cache holds them are exactly the entries' frames: as many, each
 * once. Those of them that are new are in the queue for mm/fold. */
static enum status check_frames(const struct audit *a, const struct held *held)
{
    const struct frames *f = a->c->frames;
    uint64_t n = 0, sum = 0, n_new = 0;
    uint32_t newer = FRAME_NIL, length = 0;

    for (uint64_t i = 0; i < f->count && yield_go_on(a->yield); i++) {
        if ((f->table[i].flags & FRAME_F_IN_CACHE) != 0) {
            n++;
            sum += scramble(i);
            n_new += (f->table[i].flags & FRAME_F_UNSCANNED) != 0;
        }
    }
    if (n != held->n || sum != held->sum) {
        return WRONG(a, "%llu frames are the cache's, blocks are held in %llu%s",
                     (unsigned long long)n, (unsigned long long)held->n,
                     n == held->n ? ", but not in the same" : "");
    }
    for (uint32_t i = a->c->new_first; i != FRAME_NIL; newer = i, i = f->table[i].left) {
        const unsigned both = FRAME_F_IN_CACHE | FRAME_F_UNSCANNED;
        if (i >= f->count || (f->table[i].flags & both) != both || f->table[i].right != newer ||
            ++length > a->c->n_new || !yield_go_on(a->yield)) {
            return WRONG(a, "the queue of new frames is broken at frame %x", i);
        }
    }
    if (newer != a->c->new_last || length != a->c->n_new || n_new != length) {
        return WRONG(a, "%u frames in the queue of new ones, counted %u, %llu say they are", length,
                     a->c->n_new, (unsigned long long)n_new);
    }
    return OK;
}

enum status cache_check(const struct cache *c, char *why, size_t size)
{
    return cache_check_yield(c, NULL, why, size);
}

enum status cache_check_yield(const struct cache *c, struct yield *y, char *why, size_t size)
{
    struct audit a = {.c = c, .yield = y, .why = why, .size = size};
    struct held held;

    /* Above the bound only what could not be evicted when the bound was lowered. */
    if (c->max > c->n_max || c->used > c->n_max || c->busy > c->used) {
        return WRONG(&a, "counts: %u busy, %u used, bound %u, room %u", c->busy, c->used, c->max,
                     c->n_max);
    }
    enum status s = check_entries(&a, &held);
    if (s == OK) {
        s = check_chains(&a);
    }
    if (s == OK) {
        s = check_frame_chains(&a);
    }
    if (s == OK) {
        s = check_crowds(&a);
    }
    if (s == OK) {
        s = check_queues(&a, &held);
    }
    if (s == OK) {
        s = check_dirty(&a);
    }
    if (s == OK) {
        s = check_free(&a);
    }
    return s == OK ? check_frames(&a, &held) : s;
}

void cache_references(void *ctx, struct yield *y, void (*found)(void *arg, mfn_t mfn), void *arg)
{
    const struct cache *c = ctx;

    for (uint32_t e = 0; e < c->n_max && yield_go_on(y); e++) {
        const struct cache_entry *x = &c->entries[e];
        bool in_frame = (x->flags & (CACHE_E_USED | CACHE_E_ZERO)) == CACHE_E_USED;

        if (in_frame && is_first(c, e)) {
            found(arg, MFN(x->frame));
        }
    }
}
