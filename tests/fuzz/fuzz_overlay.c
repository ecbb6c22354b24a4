/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copy-on-write disks. Either a sequence of operations and power cuts, through a cache whose frames
 * are given away or without, checked by the oracle of the property test; or a hostile store, whose
 * header and tables are the input: it is refused and left alone, or what it shows is what an
 * independent reading of its tables says, and it can be used.
 */
#include "world_cow.h"

#include "arena.h"
#include "base/bits.h"
#include "drivers/block/cache/cache.h"
#include "drivers/block/cow/overlay.h"
#include "input.h"
#include "work.h"

#include <string.h>

/* ---- operations ---- */

static bool stream_next(void *ctx, uint32_t n, uint32_t *out)
{
    struct input *in = ctx;

    if (in->n == 0) {
        return false;
    }
    *out = take(in, n > 256 ? 2 : 1) % n;
    return true;
}

static void operations(struct input *in, bool overlay, uint32_t start)
{
    uint32_t how = take(in, 1), sizes = take(in, 1), cut = take(in, 1);
    struct cww_options o = {.overlay = overlay,
                            .base_sectors = 1 + (sizes & 15) * 160,
                            .store_chunks = 3 + (sizes >> 4) * 37,
                            .frames = 40 + (how & 7) * 32,
                            .pool_max = (how & 8) != 0 ? 20 : 0,
                            .fail_percent = (how & 16) != 0 ? 10 : 0,
                            .cut_in = overlay && cut != 0 ? cut + 2 : 0,
                            .starve = (how & 32) != 0,
                            .sync = (how & 64) != 0,
                            .fold = (how & 128) != 0,
                            .back = (how & 64) == 0,
                            .start = start};

    (void)cww_run(&o, (struct picks){.next = stream_next, .ctx = in}, 1500);
}

/* ---- a hostile store ---- */

#define FREE 61u
#define FRAMES (2 + 2 * FREE + 2) /* with guards, and the buffer */
#define CHUNKS 300u
#define BUFFER (FRAMES - 1)

struct hostile {
    struct frames frames;
    struct frame table[FRAMES];
    uint8_t *window;
    struct picks picks;
    struct lossy base, store;
    struct overlay o;
    struct cache cache; /* mode FOLD, or OFF: then nothing is given as a frame */
    void *cache_mem, *pool_mem;
    struct blkcache bc;
    struct blkcache_dev cached_base, cached_store;
};

#define CACHE_BLOCKS 24u
#define POOL 4u

static bool no_next(void *ctx, uint32_t n, uint32_t *out)
{
    (void)ctx;
    (void)n;
    *out = 1 % n;
    return true;
}

static void poll(void *ctx)
{
    (void)ctx;
}

static enum status open_store(struct hostile *h)
{
    char why[160] = "";
    const struct overlay_cfg cfg = {.frames = &h->frames,
                                    .base = &h->cached_base.dev,
                                    .store = &h->cached_store.dev,
                                    .poll = poll};
    enum status s = overlay_open(&h->o, &cfg, why, sizeof(why));

    require(s == OK || (why[0] != '\0' && h->frames.by_state[FRAME_HYP] == 0));
    return s;
}

static void done(struct blk_req *r, enum status s)
{
    *(enum status *)r->ctx = s;
}

static enum status go(struct hostile *h, enum blk_op op, uint64_t chunk)
{
    enum status s = E_BUSY;
    struct blk_seg seg = {HPA(BUFFER * PAGE_SIZE), PAGE_SIZE};
    bool flush = op == BLK_FLUSH;
    struct blk_req r = {.op = op,
                        .sector = flush ? 0 : chunk * 8,
                        .sectors = flush ? 0 : 8,
                        .segs = &seg,
                        .n_segs = op == BLK_READ || op == BLK_WRITE,
                        .done = done,
                        .ctx = &s};

    blk_submit(&h->o.cow.dev, &r);
    return s;
}

/* Where the store's tables say that a chunk is; NULL: in the base. */
static const uint8_t *expected(const struct hostile *h, uint64_t chunk)
{
    for (uint64_t table = 1; table < CHUNKS; table += 257) {
        for (unsigned i = 0; i < 256; i++) {
            const uint8_t *e = h->store.now + table * PAGE_SIZE + i * 16;
            if (load_le64(e + 8) == 0) {
                return NULL;
            }
            if (load_le64(e) == chunk) {
                return h->store.now + load_le64(e + 8) * PAGE_SIZE;
            }
        }
    }
    return NULL;
}

/* The chunk as a frame, when it can be had as one. */
static void compare_frame(struct hostile *h, uint64_t chunk, const uint8_t *bytes)
{
    mfn_t mfn;
    enum status s = blk_hold(&h->o.cow.dev, chunk * 8, 0, &mfn);

    require((s == E_UNSUPPORTED) == (h->cache.mode != CACHE_FOLD));
    if (s == E_NOTFOUND) {
        require(go(h, BLK_FETCH, chunk) == OK);
        s = blk_hold(&h->o.cow.dev, chunk * 8, 0, &mfn);
    }
    if (s == OK && mfn.n == BLK_ZERO_FRAME.n) {
        static const uint8_t zeroes[PAGE_SIZE];
        require(memcmp(zeroes, bytes, PAGE_SIZE) == 0);
    } else if (s == OK) {
        require(memcmp(frame_bytes(&h->frames, mfn), bytes, PAGE_SIZE) == 0);
        frames_unpin(&h->frames, mfn);
    }
}

static void compare(struct hostile *h)
{
    for (uint64_t c = 0; c < CHUNKS; c++) {
        const uint8_t *there = expected(h, c);
        if (there == NULL) {
            there = h->base.now + c * PAGE_SIZE;
        }
        if (c % 2 != 0) {
            compare_frame(h, c, there);
        }
        require(go(h, BLK_READ, c) == OK);
        require(memcmp(h->window + BUFFER * PAGE_SIZE, there, PAGE_SIZE) == 0);
        compare_frame(h, c, there);
    }
}

static void put_entry(struct hostile *h, uint64_t table, unsigned i, uint64_t from, uint64_t to)
{
    uint8_t *e = h->store.now + table * PAGE_SIZE + i * 16;

    store_le64(e, from);
    store_le64(e + 8, to);
}

/* The input's changes to a store that was whole: bytes, entries, and rows of good entries. */
static void damage(struct hostile *h, struct input *in)
{
    while (in->n > 0) {
        uint64_t table = take(in, 1) % 2 != 0 ? 258 : 1;
        unsigned i = take(in, 1);
        switch (take(in, 1) % 4) {
        case 0:
            put_entry(h, table, i, take(in, 2) % 400, take(in, 2) % 400);
            break;
        case 1:
            for (unsigned k = 0; k <= i; k++) {
                put_entry(h, table, k, (k + table / 258 * 256) % CHUNKS, table + 1 + k);
            }
            break;
        case 2:
            h->store.now[i + take(in, 1) * 16u] = (uint8_t)take(in, 1); /* the header */
            break;
        default:
            h->store.now[table * PAGE_SIZE + i * 16 + take(in, 1) % 16] = (uint8_t)take(in, 1);
            break;
        }
    }
}

static void stack_cache(struct hostile *h, bool fold)
{
    h->cache_mem = malloc(cache_bytes(CACHE_BLOCKS));
    h->pool_mem = aligned_alloc(16, ALIGN_UP(blkcache_bytes(POOL, POOL), 16));
    require(cache_init(&h->cache, &h->frames, h->cache_mem, CACHE_BLOCKS, 3) == OK);
    frames_add_reclaimer(&h->frames, cache_reclaim, &h->cache);
    cache_set_mode(&h->cache, fold ? CACHE_FOLD : CACHE_OFF);
    require(blkcache_init(&h->bc, &h->cache, h->pool_mem, POOL, POOL) == OK);
    h->base.dev.id = 1;
    h->store.dev.id = 2;
    blkcache_dev_init(&h->cached_base, &h->bc, &h->base.dev);
    blkcache_dev_init(&h->cached_store, &h->bc, &h->store.dev);
}

static void hostile(struct input *in, bool fold)
{
    struct hostile *h = calloc(1, sizeof(*h));

    h->window = aligned_alloc(PAGE_SIZE, FRAMES * PAGE_SIZE);
    h->picks.next = no_next;
    frames_init(&h->frames, h->table, FRAMES, h->window);
    arena_add(&h->frames, 2, FREE, 1);
    lossy_init(&h->base, "base", CHUNKS * 8, h->window, &h->picks);
    lossy_init(&h->store, "store", CHUNKS * 8, h->window, &h->picks);
    h->base.sync = h->store.sync = true;
    stack_cache(h, fold);
    for (size_t i = 0; i < CHUNKS; i++) {
        memset(h->base.now + i * PAGE_SIZE, (int)(i % 255), PAGE_SIZE);
    }
    require(open_store(h) == OK);
    overlay_close(&h->o);
    for (size_t i = 2; i < CHUNKS; i++) {
        memset(h->store.now + i * PAGE_SIZE, i == 258 ? 0 : (int)(i % 253) + 1, PAGE_SIZE);
    }
    damage(h, in);
    cache_drop_all(&h->cache); /* what it has seen before the damage */
    uint64_t writes = h->store.n_writes;
    if (open_store(h) != OK) {
        require(h->store.n_writes == writes);
    } else {
        compare(h);
        /* And it works: what is written now is there when it is opened again. */
        for (uint64_t c = 0; c < CHUNKS; c += 7) {
            memset(h->window + BUFFER * PAGE_SIZE, 0xe7, PAGE_SIZE);
            enum status s = go(h, BLK_WRITE, c);
            require(s == OK || (s == E_IO && h->o.said_full));
        }
        require(go(h, BLK_FLUSH, 0) == OK);
        compare(h);
        overlay_close(&h->o);
        require(open_store(h) == OK);
        compare(h);
        overlay_close(&h->o);
    }
    require(h->base.n_writes == 0 && h->frames.by_state[FRAME_HYP] == 0);
    lossy_free(&h->base);
    lossy_free(&h->store);
    free(h->cache_mem);
    free(h->pool_mem);
    arena_end(&h->frames);
    free(h->window);
    free(h);
}

static int one_input(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint32_t kind = take(&in, 1);

    if (kind % 2 == 0) {
        hostile(&in, kind % 4 == 0);
    } else {
        operations(&in, kind % 4 == 1, kind / 4 % 4 == 3 ? 63 : kind / 4 % 4 * 8);
    }
    return 0;
}

FUZZ_ENTRY(one_input, 8000000, 30000)
