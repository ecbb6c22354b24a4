/* SPDX-License-Identifier: BSD-2-Clause */
/* The block store: a hash table by (disk, block), linked by 32-bit indexes. */
#include "mm/cache/store.h"

#include "base/bits.h"
#include "base/log.h"
#include "mm/cache/dirty.h"
#include "mm/cache/queue.h"
#include "mm/cache/share.h"
#include "mm/content/content.h"

static uint64_t bucket_count(uint64_t n_max)
{
    uint64_t n = 1;

    while (n < n_max) {
        n *= 2;
    }
    return n;
}

uint64_t cache_bytes(uint64_t n_max)
{
    if (n_max == 0 || n_max >= BIT(31)) {
        return 0;
    }
    return ALIGN_UP(n_max * sizeof(struct cache_entry) +
                        2 * bucket_count(n_max) * sizeof(uint32_t) + cache_ghost_bytes(n_max),
                    8);
}

enum status cache_init(struct cache *c, struct frames *frames, void *mem, uint64_t n_max,
                       uint64_t seed)
{
    if (cache_bytes(n_max) == 0 || mem == NULL) {
        return E_INVAL;
    }
    uint64_t n_buckets = bucket_count(n_max);
    *c = (struct cache){
        .frames = frames,
        .entries = mem,
        .bucket_mask = (uint32_t)(n_buckets - 1),
        .n_max = (uint32_t)n_max,
        .max = (uint32_t)n_max,
        .seed = seed,
        .mode = CACHE_OFF,
    };
    c->buckets = (uint32_t *)(c->entries + n_max);
    c->frame_buckets = c->buckets + n_buckets;
    for (uint64_t i = 0; i < n_buckets; i++) {
        c->buckets[i] = c->frame_buckets[i] = CACHE_NIL;
    }
    cache_queue_init(c);
    cache_ghost_init(c, (uint64_t *)(c->frame_buckets + n_buckets));
    cache_share_init(c);
    cache_dirty_init(c);
    for (uint32_t i = 0; i < c->n_max; i++) {
        c->entries[i] = (struct cache_entry){.next = i + 1 < c->n_max ? i + 1 : CACHE_NIL};
    }
    return OK;
}

const char *cache_mode_name(enum cache_mode mode)
{
    static const char *const names[CACHE_MODES] = {
        [CACHE_OFF] = "off",
        [CACHE_INCLUSIVE] = "inclusive",
        [CACHE_SCRUB] = "scrub",
        [CACHE_FOLD] = "fold",
    };
    return (unsigned)mode < CACHE_MODES ? names[mode] : "?";
}

void cache_touch(struct cache *c, uint32_t e)
{
    if (c->entries[e].uses == CACHE_USES_AHEAD) {
        cache_take_ahead(c, e);
    } else if (cache_is_queued(&c->entries[e])) {
        cache_queue_use(c, e);
    }
}

/* The entry is free then; it is in no queue by now. Guests that map its frame keep that. */
static void release(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];
    uint32_t *link = cache_bucket(c, x->disk, x->block);

    while (*link != e) {
        ASSERT(*link != CACHE_NIL);
        link = &c->entries[*link].hash_next;
    }
    *link = x->hash_next;
    cache_share_leave(c, e);
    if ((x->flags & CACHE_E_BUSY) != 0) {
        c->busy--;
    }
    if (x->uses == CACHE_USES_AHEAD) {
        c->ahead--;
        c->stats.readahead_wasted++;
    }
    c->used--;
    *x = (struct cache_entry){.next = c->free_head};
    c->free_head = e;
}

void cache_drop(struct cache *c, uint32_t e)
{
    ASSERT((c->entries[e].flags & CACHE_E_USED) != 0);
    if (cache_is_dirty(c, e)) {
        cache_dirty_leave(c, e);
    } else if (cache_is_queued(&c->entries[e])) {
        cache_queue_leave(c, e);
    }
    release(c, e);
}

void cache_remove(struct cache *c, uint32_t e)
{
    cache_drop(c, e);
    c->stats.invalidations++;
}

void cache_scrub(struct cache *c, uint32_t e)
{
    cache_drop(c, e);
    c->stats.scrubbed++;
}

static bool evict(struct cache *c, uint32_t e)
{
    if (e == CACHE_NIL) {
        return false;
    }
    release(c, e);
    c->stats.evictions++;
    return true;
}

bool cache_evict(struct cache *c)
{
    return evict(c, cache_queue_victim(c));
}

bool cache_evict_small(struct cache *c)
{
    return evict(c, cache_queue_victim_small(c));
}

/* Entries that one search looks at; the next goes on behind them. */
#define COSTLESS_LOOKS 1024u

/* Drops an entry that is in no queue and not BUSY: it costs no frame, but there are no others.
 * False: none of the next is such a one. */
static bool evict_costless(struct cache *c)
{
    for (uint32_t i = 0; i < MIN(c->n_max, COSTLESS_LOOKS); i++) {
        uint32_t e = c->hand;

        c->hand = e + 1 < c->n_max ? e + 1 : 0;
        if ((c->entries[e].flags & (CACHE_E_MAPPED | CACHE_E_ZERO)) != 0 && !cache_is_dirty(c, e)) {
            release(c, e);
            c->stats.evictions++;
            return true;
        }
    }
    return false;
}

/* Evicts a block, and with it all others in its frame. */
static bool evict_whole(struct cache *c)
{
    uint32_t e = cache_queue_victim(c);

    if (e == CACHE_NIL) {
        return false;
    }
    mfn_t mfn = cache_frame(c, e);
    (void)evict(c, e);
    (void)cache_evict_frame(c, mfn); /* not if one of them is dirty */
    return true;
}

/* A frame has up to CACHE_FRAME_BLOCKS blocks, whose ages may lie as far apart as the cache is
 * large. After so many evictions that brought no frame, one call evicts whole frames, */
#define FRUITLESS_WHOLE 16u
/* and after so many it ends. */
#define FRUITLESS_MAX 64u

/* Evicts until the cache holds so many frames fewer, or no block can be evicted, or FRUITLESS_MAX
 * says so. Returns how many frames are gone. */
static uint32_t shed(struct cache *c, uint64_t frames)
{
    const uint32_t held = cache_held(c);
    const uint64_t evictions = c->stats.evictions;
    uint32_t gone = 0;

    for (uint64_t fruitless = 0; gone < frames && fruitless < FRUITLESS_MAX;) {
        if (!(fruitless < FRUITLESS_WHOLE ? cache_evict(c) : evict_whole(c))) {
            break;
        }
        gone = held - cache_held(c);
        fruitless = c->stats.evictions - evictions - gone;
    }
    return gone;
}

uint64_t cache_reclaim(void *ctx, uint64_t want)
{
    struct cache *c = ctx;
    uint64_t gone = shed(c, want);

    if (gone < want) {
        c->starved = c->dirty > 0;
    }
    return gone;
}

/* Frames that go at a time while the cache holds more than its bound. */
#define SHED_FRAMES 2u

void cache_trim(struct cache *c)
{
    uint32_t held = cache_held(c);

    if (held > c->max) {
        (void)shed(c, MIN(held - c->max, SHED_FRAMES));
    }
}

/* So that one more frame may be used: the cache holds no more with it than before, at least. */
static bool make_frame_room(struct cache *c)
{
    uint32_t held = cache_held(c);

    return held < c->max || (c->max > 0 && shed(c, MIN(held - c->max + 1, SHED_FRAMES)) > 0);
}

/* Until one more entry may be used. */
static bool make_entry_room(struct cache *c)
{
    return c->used < c->n_max || cache_evict(c) || evict_costless(c);
}

static enum status take_frame(struct cache *c, mfn_t *out)
{
    enum status s = frames_alloc(c->frames, FRAME_CACHE_ONLY, out);
    if (s == OK) {
        frame_of(c->frames, *out)->group = FRAME_NO_GROUP;
        frame_of(c->frames, *out)->flags |= FRAME_F_IN_CACHE; /* the reference is the cache's */
    }
    return s;
}

enum status cache_new_frame(struct cache *c, mfn_t *out)
{
    return make_frame_room(c) ? take_frame(c, out) : E_NOMEM;
}

/* A BUSY entry in no frame. One is free. */
static uint32_t new_entry(struct cache *c, uint32_t disk, uint64_t block)
{
    uint32_t e = c->free_head;
    struct cache_entry *x = &c->entries[e];
    uint32_t *bucket = cache_bucket(c, disk, block);

    c->free_head = x->next;
    *x = (struct cache_entry){
        .block = block & (BIT(CACHE_BLOCK_BITS) - 1),
        .disk = disk & (BIT(CACHE_DISK_BITS) - 1),
        .frame = CACHE_NIL,
        .hash_next = *bucket,
        .prev = CACHE_NIL,
        .next = CACHE_NIL,
        .flags = CACHE_E_USED | CACHE_E_BUSY,
    };
    *bucket = e;
    c->used++;
    c->busy++;
    return e;
}

static bool may_hold(const struct cache *c, uint32_t disk, uint64_t block)
{
    return c->mode != CACHE_OFF && c->max != 0 && disk < BIT(CACHE_DISK_BITS) &&
           block < BIT(CACHE_BLOCK_BITS);
}

enum status cache_insert_frame(struct cache *c, uint32_t disk, uint64_t block, mfn_t mfn,
                               uint32_t *out)
{
    if (!may_hold(c, disk, block) || !make_entry_room(c)) {
        return E_NOMEM;
    }
    *out = new_entry(c, disk, block);
    cache_share_join_mapped(c, *out, mfn);
    return OK;
}

enum status cache_insert(struct cache *c, uint32_t disk, uint64_t block, uint32_t *out)
{
    mfn_t mfn;

    if (cache_find(c, disk, block) != CACHE_NIL) {
        return E_EXISTS;
    }
    if (!may_hold(c, disk, block) || !make_frame_room(c) || !make_entry_room(c)) {
        return E_NOMEM;
    }
    /* May call cache_reclaim: no entry is half-made here. */
    enum status s = take_frame(c, &mfn);
    if (s != OK) {
        return s;
    }
    uint32_t e = new_entry(c, disk, block);
    cache_share_join(c, e, mfn);
    *out = e;
    return OK;
}

void cache_set_group(struct cache *c, uint32_t e, uint32_t group)
{
    ASSERT(cache_is_busy(c, e) && group < FRAME_NO_GROUP);
    frame_of(c->frames, cache_frame(c, e))->group = (uint16_t)group;
}

void cache_publish(struct cache *c, uint32_t e, uint8_t mask)
{
    struct cache_entry *x = &c->entries[e];

    ASSERT((x->flags & CACHE_E_BUSY) != 0);
    if ((x->flags & CACHE_E_DOOMED) != 0 || mask == 0) {
        cache_remove(c, e);
        return;
    }
    bool is_new = x->mask == 0; /* not one that was only held for a write */
    c->stats.insertions += is_new;
    x->flags &= (uint8_t)~CACHE_E_BUSY;
    x->mask = mask;
    c->busy--;
    cache_queue_enter(c, e, is_new ? CACHE_NEW : CACHE_BACK);
    mfn_t mfn = cache_frame(c, e);
    /* What a cut block lacks is zeroes. */
    if (c->mode == CACHE_FOLD && content_is_zero(frame_bytes(c->frames, mfn))) {
        cache_make_zero(c, mfn);
    } else {
        cache_renew(c, mfn);
    }
}

void cache_lock(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];

    ASSERT((x->flags & CACHE_E_USED) != 0 && cache_is_queued(x));
    cache_share_hide(c, cache_frame(c, e));
    cache_queue_leave(c, e);
    x->flags |= CACHE_E_BUSY;
    x->prev = x->next = CACHE_NIL;
    c->busy++;
}

static void drop(struct cache *c, uint32_t e)
{
    if (cache_is_busy(c, e) || cache_is_dirty(c, e)) {
        c->entries[e].flags |= CACHE_E_DOOMED;
    } else {
        cache_remove(c, e);
    }
}

void cache_invalidate(struct cache *c, uint32_t disk, uint64_t first, uint64_t n)
{
    if (n <= c->n_max) {
        for (uint64_t i = 0; i < n; i++) {
            uint32_t e = cache_find(c, disk, first + i);
            if (e != CACHE_NIL && !cache_is_dirty(c, e)) {
                drop(c, e);
            }
        }
        return;
    }
    for (uint32_t e = 0; e < c->n_max && c->used != 0; e++) {
        const struct cache_entry *x = &c->entries[e];
        if ((x->flags & CACHE_E_USED) != 0 && x->disk == disk && x->block >= first &&
            x->block - first < n && !cache_is_dirty(c, e)) {
            drop(c, e);
        }
    }
}

static void drop_all(struct cache *c, struct yield *y)
{
    for (uint32_t e = 0; e < c->n_max && c->used != 0; e++) {
        (void)yield_go_on(y);
        if ((c->entries[e].flags & CACHE_E_USED) != 0) {
            drop(c, e);
        }
    }
}

void cache_drop_all(struct cache *c)
{
    drop_all(c, NULL);
}

void cache_set_mode(struct cache *c, enum cache_mode mode)
{
    cache_set_mode_yield(c, mode, NULL);
}

void cache_set_mode_yield(struct cache *c, enum cache_mode mode, struct yield *y)
{
    if ((unsigned)mode >= CACHE_MODES) {
        return;
    }
    c->mode = mode;
    if (mode == CACHE_OFF) {
        drop_all(c, y);
    }
    cache_share_mode(c, y);
}

void cache_set_max(struct cache *c, uint64_t max)
{
    cache_set_max_yield(c, max, NULL);
}

void cache_set_max_yield(struct cache *c, uint64_t max, struct yield *y)
{
    c->max = (uint32_t)MIN(max, (uint64_t)c->n_max);
    while (cache_held(c) > c->max && cache_evict(c)) {
        (void)yield_go_on(y);
    }
}
