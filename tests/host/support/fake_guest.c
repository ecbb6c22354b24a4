/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake guest, its driver and its disk. */
#include "fake_guest.h"

#include "arena.h"
#include "base/bits.h"
#include "work_disk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Frames in a row before a guard: a device joins neighbours to one piece for the disk. */
#define RUN 4u

static enum status map_lookup(void *ctx, gfn_t gfn, struct p2m_entry *out)
{
    struct tguest *g = ctx;

    if (gfn.n >= g->ram_pages || !g->present[gfn.n]) {
        return E_NOTFOUND;
    }
    *out = g->map[gfn.n];
    return OK;
}

static enum status map_next(void *ctx, gfn_t from, gfn_t end, gfn_t *at, struct p2m_entry *out)
{
    struct tguest *g = ctx;

    for (uint64_t i = from.n; i < end.n && i < g->ram_pages; i++) {
        if (g->present[i]) {
            *at = GFN(i);
            *out = g->map[i];
            return OK;
        }
    }
    return E_NOTFOUND;
}

static enum status map_map(void *ctx, gfn_t gfn, mfn_t mfn, bool writable)
{
    struct tguest *g = ctx;

    assert(gfn.n < g->ram_pages);
    g->present[gfn.n] = true;
    g->map[gfn.n] = (struct p2m_entry){.mfn = mfn, .writable = writable};
    return OK;
}

static void map_protect(void *ctx, gfn_t gfn)
{
    struct tguest *g = ctx;

    g->map[gfn.n].writable = false;
}

static void map_unmap(void *ctx, gfn_t gfn)
{
    struct tguest *g = ctx;

    g->present[gfn.n] = false;
}

static bool map_dirty(void *ctx, gfn_t gfn)
{
    (void)ctx;
    (void)gfn;
    return true;
}

static void map_flush(void *ctx)
{
    (void)ctx;
}

static const struct p2m_ops map_ops = {
    .lookup = map_lookup,
    .next = map_next,
    .map = map_map,
    .protect = map_protect,
    .unmap = map_unmap,
    .test_clear_dirty = map_dirty,
    .flush = map_flush,
};

void tguest_init(struct tguest *g, uint64_t n_frames, uint64_t ram_pages)
{
    struct p2m_slot run = {.first = GFN(0), .pages = ram_pages};
    enum status s;

    memset(g, 0, sizeof(*g));
    uint64_t places = arena_places(n_frames, RUN);
    g->table = calloc(places, sizeof(*g->table));
    g->arena = aligned_alloc(PAGE_SIZE, places * PAGE_SIZE);
    g->map = calloc(ram_pages, sizeof(*g->map));
    g->present = calloc(ram_pages, sizeof(*g->present));
    g->regions = calloc(p2m_regions(&run, 1), sizeof(*g->regions));
    g->ram_pages = ram_pages;
    assert(g->table && g->arena && g->map && g->present && g->regions);
    memset(g->arena, 0xa5, places * PAGE_SIZE);
    frames_init(&g->frames, g->table, places, g->arena);
    arena_add(&g->frames, 0, n_frames, RUN);
    s = share_group_init(&g->group, &g->frames, "test", 1);
    assert(s == OK);
    s = p2m_init(&g->p2m, &map_ops, g, &g->frames, &g->group, 1, &run, 1, g->regions);
    assert(s == OK);
    (void)s;
}

void tguest_fini(struct tguest *g)
{
    enum status s;

    assert(g->frames.pinned == 0);
    tguest_feed(g);
    p2m_drop_all(&g->p2m);
    s = share_group_fini(&g->group, &g->frames);
    assert(s == OK);
    (void)s;
    assert(g->frames.by_state[FRAME_PRIVATE] == 0);
    arena_end(&g->frames);
    free(g->table);
    free(g->arena);
    free(g->map);
    free(g->present);
    free(g->regions);
}

void tguest_starve(struct tguest *g, uint64_t leave)
{
    while (g->frames.by_state[FRAME_FREE] > leave) {
        assert(g->n_hoard < ARRAY_LEN(g->hoard));
        if (frames_alloc(&g->frames, FRAME_HYP, &g->hoard[g->n_hoard]) != OK) {
            break;
        }
        g->n_hoard++;
    }
}

void tguest_feed(struct tguest *g)
{
    while (g->n_hoard > 0) {
        frames_free(&g->frames, g->hoard[--g->n_hoard]);
    }
}

void tguest_put(struct tguest *g, uint64_t gpa, const void *from, size_t n)
{
    enum status s = p2m_write(&g->p2m, GPA(gpa), from, n);

    assert(s == OK);
    (void)s;
}

void tguest_get(struct tguest *g, uint64_t gpa, void *to, size_t n)
{
    enum status s = p2m_read(&g->p2m, GPA(gpa), to, n);

    assert(s == OK);
    (void)s;
}

void tguest_put16(struct tguest *g, uint64_t gpa, uint16_t v)
{
    tguest_put(g, gpa, &v, sizeof(v));
}

void tguest_put32(struct tguest *g, uint64_t gpa, uint32_t v)
{
    tguest_put(g, gpa, &v, sizeof(v));
}

void tguest_put64(struct tguest *g, uint64_t gpa, uint64_t v)
{
    tguest_put(g, gpa, &v, sizeof(v));
}

uint16_t tguest_get16(struct tguest *g, uint64_t gpa)
{
    uint16_t v;

    tguest_get(g, gpa, &v, sizeof(v));
    return v;
}

uint32_t tguest_get32(struct tguest *g, uint64_t gpa)
{
    uint32_t v;

    tguest_get(g, gpa, &v, sizeof(v));
    return v;
}

void tdriver_init(struct tdriver *t, struct tguest *g, uint16_t size, uint64_t base)
{
    static const uint8_t zero[4 * PAGE_SIZE];

    memset(t, 0, sizeof(*t));
    t->g = g;
    t->size = size;
    t->desc = base;
    /* Where drivers that go by the legacy layout put them: right behind, and the next page. */
    t->avail = base + 16u * size;
    t->used = ALIGN_UP(t->avail + 6 + 2u * size, PAGE_SIZE);
    tguest_put(g, base, zero, sizeof(zero));
}

static void put_desc(struct tguest *g, uint64_t at, uint64_t addr, uint32_t len, uint16_t flags,
                     uint16_t next)
{
    tguest_put64(g, at, addr);
    tguest_put32(g, at + 8, len);
    tguest_put16(g, at + 12, flags);
    tguest_put16(g, at + 14, next);
}

void tdriver_desc(struct tdriver *t, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags,
                  uint16_t next)
{
    put_desc(t->g, t->desc + 16u * i, addr, len, flags, next);
}

static int free_desc(struct tdriver *t)
{
    for (int i = 0; i < t->size; i++) {
        if (!t->busy[i]) {
            t->busy[i] = true;
            return i;
        }
    }
    return -1;
}

int tdriver_add(struct tdriver *t, const struct tdesc *d, unsigned n, uint64_t table)
{
    int ids[256];
    unsigned want = table != 0 ? 1 : n;

    for (unsigned i = 0; i < want; i++) {
        ids[i] = free_desc(t);
        if (ids[i] < 0) {
            while (i > 0) {
                t->busy[ids[--i]] = false;
            }
            return -1;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        bool last = i + 1 == n;
        uint16_t flags = (uint16_t)((d[i].write ? TD_WRITE : 0) | (last ? 0 : TD_NEXT));

        if (table != 0) {
            put_desc(t->g, table + 16u * i, d[i].addr, d[i].len, flags, (uint16_t)(i + 1));
        } else {
            t->chain_next[ids[i]] = last ? UINT16_MAX : (uint16_t)ids[i + 1];
            tdriver_desc(t, (uint16_t)ids[i], d[i].addr, d[i].len, flags,
                         last ? 0 : (uint16_t)ids[i + 1]);
        }
    }
    if (table != 0) {
        t->chain_next[ids[0]] = UINT16_MAX;
        tdriver_desc(t, (uint16_t)ids[0], table, 16 * n, TD_INDIRECT, 0);
    }
    tdriver_offer(t, (uint16_t)ids[0]);
    return ids[0];
}

void tdriver_offer(struct tdriver *t, uint16_t head)
{
    tguest_put16(t->g, t->avail + 4 + 2u * (t->avail_idx % t->size), head);
    t->avail_idx++;
    tguest_put16(t->g, t->avail + 2, t->avail_idx);
}

int tdriver_take(struct tdriver *t, uint32_t *len)
{
    uint64_t at = t->used + 4 + 8u * (t->used_seen % t->size);
    uint32_t head;

    if (tguest_get16(t->g, t->used + 2) == t->used_seen) {
        return -1;
    }
    head = tguest_get32(t->g, at);
    *len = tguest_get32(t->g, at + 4);
    t->used_seen++;
    assert(head < t->size && t->busy[head]);
    for (uint16_t i = (uint16_t)head; i != UINT16_MAX; i = t->chain_next[i]) {
        t->busy[i] = false;
    }
    return (int)head;
}

void tdriver_set_used_event(struct tdriver *t, uint16_t v)
{
    tguest_put16(t->g, t->avail + 4 + 2u * t->size, v);
}

static void carry_out(struct tdisk *d, const struct blk_req *r)
{
    uint8_t *at = d->data + r->sector * BLK_SECTOR;

    if (r->op == BLK_ZEROES) {
        memset(at, 0, r->sectors * BLK_SECTOR);
    }
    for (unsigned i = 0; i < r->n_segs; i++) {
        uint8_t *mem = d->machine + r->segs[i].addr.a;

        if (r->op == BLK_READ) {
            memcpy(mem, at, r->segs[i].bytes);
        } else {
            memcpy(at, mem, r->segs[i].bytes);
        }
        at += r->segs[i].bytes;
    }
}

static void disk_submit(struct blk_dev *dev, struct blk_req *r)
{
    struct tdisk *d = container_of(dev, struct tdisk, dev);

    assert(d->n < TDISK_MAX);
    d->seen++;
    work_disk_sectors += 1 + r->sectors;
    d->flushed += r->op == BLK_FLUSH;
    d->waiting[d->n++] = r;
    if (d->immediate) {
        tdisk_complete(d, d->n - 1, OK);
    }
}

static const struct blk_ops disk_ops = {.submit = disk_submit};

void tdisk_init(struct tdisk *d, struct tguest *g, uint64_t sectors)
{
    uint8_t pattern[BLK_SECTOR];

    memset(d, 0, sizeof(*d));
    d->dev = (struct blk_dev){.ops = &disk_ops,
                              .name = "tdisk",
                              .sectors = sectors,
                              .can_discard = true,
                              .can_zero = true};
    d->machine = g->arena;
    d->data = malloc(sectors * BLK_SECTOR);
    assert(d->data);
    /* Every sector differs from every other, and every part of one from its other parts. */
    for (unsigned i = 0; i < BLK_SECTOR; i++) {
        pattern[i] = (uint8_t)(i * 31 + i / 256);
    }
    for (uint64_t i = 0; i < sectors; i++) {
        memcpy(d->data + i * BLK_SECTOR, pattern, BLK_SECTOR);
        store_le64(d->data + i * BLK_SECTOR, i);
    }
}

void tdisk_fini(struct tdisk *d)
{
    assert(d->n == 0);
    free(d->data);
}

void tdisk_complete(struct tdisk *d, unsigned i, enum status s)
{
    struct blk_req *r = d->waiting[i];

    d->waiting[i] = d->waiting[--d->n];
    if (s == OK) {
        carry_out(d, r);
    }
    r->done(r, s);
}
