/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes of a disk through its cache, by adoption and by copying: see the header. */
#include "world_disk.h"

#include "base/log.h"
#include "mm/audit/duplicates.h"

#include <stdlib.h>
#include <string.h>

#define DISK 5u
#define ROOM 9u /* entries: fewer than blocks */

void world_disk_init(struct world *w)
{
    w->cache_mem = malloc(cache_bytes(ROOM));
    ASSERT(w->cache_mem);
    ASSERT(cache_init(&w->cache, &w->f, w->cache_mem, ROOM, 9) == OK);
    cache_set_mode(&w->cache, CACHE_FOLD);
    w->fold.cache = &w->cache;
    for (unsigned b = 0; b < WORLD_BLOCKS; b++) {
        w->disk[b][0] = b & 1; /* where guests write too */
        w->disk[b][7] = b >> 1 & 1;
        w->disk[b][2048] = b >> 2 & 1;
    }
}

/* The device is done with the block. */
static void fill_end(struct world *w, struct world_fill *fill, bool ok)
{
    const struct cache_entry *x = &w->cache.entries[fill->entry];
    mfn_t mfn = cache_frame(&w->cache, fill->entry);

    ASSERT(cache_is_busy(&w->cache, fill->entry));
    memcpy(frame_bytes(&w->f, mfn), w->disk[x->block], PAGE_SIZE);
    frames_unpin(&w->f, mfn);
    cache_publish(&w->cache, fill->entry, ok ? CACHE_MASK_ALL : 0);
    fill->used = false;
}

static void out_begin(struct world *w, uint32_t e)
{
    struct world_out *out = &w->outs[0];

    for (unsigned i = 0; i < WORLD_FILLS && out->used; i++) {
        out = &w->outs[i];
    }
    if (out->used || (w->cache.entries[e].wb & CACHE_W_WRITEBACK)) {
        return;
    }
    *out = (struct world_out){.used = true, .zero = cache_is_zero(&w->cache, e), .entry = e};
    if (!out->zero) {
        out->mfn = cache_frame(&w->cache, e);
        frames_pin(&w->f, out->mfn);
    }
    cache_write_out(&w->cache, e);
}

static void out_end(struct world *w, struct world_out *out, bool ok)
{
    if (!out->zero) {
        frames_unpin(&w->f, out->mfn);
    }
    out->used = false;
    (void)cache_written(&w->cache, out->entry, ok);
}

/* Everything is on the disk. */
static void write_all(struct world *w)
{
    while (w->cache.dirty > 0) {
        uint32_t e = cache_next_dirty(&w->cache, DISK, 0);

        for (unsigned i = 0; i < WORLD_FILLS; i++) {
            if (w->outs[i].used) {
                out_end(w, &w->outs[i], true);
            }
        }
        if (w->cache.dirty > 0 && e == cache_next_dirty(&w->cache, DISK, 0)) {
            out_begin(w, e);
        }
    }
}

void world_disk_arrive(struct world *w)
{
    write_all(w);
    for (unsigned i = 0; i < WORLD_FILLS; i++) {
        if (w->fills[i].used) {
            fill_end(w, &w->fills[i], true);
        }
    }
}

void world_disk_empty(struct world *w)
{
    world_disk_arrive(w);
    cache_set_mode(&w->cache, CACHE_OFF);
    ASSERT(w->cache.used == 0 && w->cache.n_new == 0);
}

/* A device is at the BUSY entry's frame from now on; with bit 0 of `how` for some time. */
static void fill_begin(struct world *w, uint32_t e, unsigned how)
{
    struct world_fill *fill = &w->fills[0];

    for (unsigned i = 0; i < WORLD_FILLS && fill->used; i++) {
        fill = &w->fills[i];
    }
    if (fill->used) {
        fill_end(w, fill, how & 2);
    }
    *fill = (struct world_fill){.used = true, .entry = e};
    frames_pin(&w->f, cache_frame(&w->cache, e));
    if (!(how & 1)) {
        fill_end(w, fill, true);
    }
}

/* The VALID entry of the block, which may have to be read first. */
static uint32_t entry_of(struct world *w, unsigned vm, unsigned block, unsigned how)
{
    uint32_t e = cache_find(&w->cache, DISK, block);

    if (e == CACHE_NIL && cache_insert(&w->cache, DISK, block, &e) == OK) {
        if (!(how & 4)) { /* else it is nobody's until somebody maps it */
            cache_set_group(&w->cache, e, w->vms[vm].p2m.group->id);
        }
        memset(frame_bytes(&w->f, cache_frame(&w->cache, e)), 0xee, PAGE_SIZE);
        fill_begin(w, e, how);
        e = cache_find(&w->cache, DISK, block);
    }
    return e == CACHE_NIL || cache_is_busy(&w->cache, e) ? CACHE_NIL : e;
}

static enum status adopt(struct world *w, struct p2m *p, gfn_t gfn, uint32_t e)
{
    mfn_t mfn = p->group->zero;

    if (p->fold_off) {
        return E_BUSY;
    }
    if (!cache_is_zero(&w->cache, e)) {
        mfn = cache_frame(&w->cache, e);
        if (!p2m_may_map_shared(frame_of(&w->f, mfn), p->group->id)) {
            return E_BUSY;
        }
    }
    frames_pin(&w->f, mfn);
    enum status s = p2m_map_shared(p, gfn, mfn);
    frames_unpin(&w->f, mfn);
    return s;
}

static enum status copy(struct world *w, struct p2m *p, gfn_t gfn, unsigned block, uint32_t e)
{
    mfn_t mfn;
    enum status s = p2m_get_write(p, gfn, &mfn);

    if (s == OK) {
        uint32_t now = cache_find(&w->cache, DISK, block); /* it may have gone to make room */
        const void *bytes = e != CACHE_NIL && now == e ? cache_bytes_of(&w->cache, e)
                                                       : (const void *)w->disk[block];
        memcpy(frame_bytes(&w->f, mfn), bytes, PAGE_SIZE);
        p2m_put(p, mfn);
    }
    return s;
}

void world_disk_read(struct world *w, unsigned vm)
{
    struct world_vm *v = &w->vms[vm];
    unsigned how = world_byte(w), block = world_byte(w) % WORLD_BLOCKS;
    gfn_t gfn = world_pick_gfn(w);
    uint32_t e = entry_of(w, vm, block, how);
    enum status s = E_BUSY;

    if (e != CACHE_NIL) {
        cache_touch(&w->cache, e);
    } else if (how & 1) {
        return; /* it waits for the device */
    }
    if (e != CACHE_NIL && w->cache.mode == CACHE_FOLD && (how & 24)) {
        s = adopt(w, &v->p2m, gfn, e);
    }
    if (s == E_BUSY || s == E_NOMEM) { /* the block's own frame may be the last that can be had */
        s = copy(w, &v->p2m, gfn, block, e);
    }
    if (s == OK) {
        memcpy(v->oracle[gfn.n], w->disk[block], PAGE_SIZE);
        if (how & 32) {
            fold_hint(&w->fold, &v->p2m, gfn);
        }
    }
    world_excuse(w, s);
}

/* The cache takes the block, and the disk has it later. */
static bool write_back(struct world *w, unsigned vm, gfn_t gfn, unsigned block, bool give)
{
    static const uint8_t zero[PAGE_SIZE];
    struct p2m *p = &w->vms[vm].p2m;
    uint8_t page[PAGE_SIZE];
    struct p2m_entry at;
    uint32_t e;

    ASSERT(p2m_read(p, GPA(gfn.n * PAGE_SIZE), page, PAGE_SIZE) == OK);
    bool mapped = p->ops->lookup(p->ctx, gfn, &at) == OK;
    enum frame_state state =
        mapped ? (enum frame_state)frame_of(&w->f, at.mfn)->state : FRAME_RESERVED;
    /* What was folded as any other page while fold.zero was off stays that: it is not given here.
     */
    bool common = state == FRAME_SHARED && memcmp(page, zero, PAGE_SIZE) != 0;
    if (give && w->cache.mode == CACHE_FOLD && (common || state == FRAME_ZERO)) {
        if (cache_write_frame(&w->cache, DISK, block, at.mfn, &e) != OK) {
            return false;
        }
    } else {
        if (cache_write(&w->cache, DISK, block, false, p->group->id, &e) != OK) {
            return false;
        }
        memcpy(frame_bytes(&w->f, cache_frame(&w->cache, e)), page, PAGE_SIZE);
    }
    memcpy(w->disk[block], page, PAGE_SIZE);
    return true;
}

void world_disk_write(struct world *w, unsigned vm)
{
    unsigned how = world_byte(w), block = world_byte(w) % WORLD_BLOCKS;
    gfn_t gfn = world_pick_gfn(w);

    if ((how & 8) && write_back(w, vm, gfn, block, how & 16)) {
        return;
    }
    uint32_t e = cache_find(&w->cache, DISK, block);
    if (e != CACHE_NIL && (cache_is_busy(&w->cache, e) || cache_is_dirty(&w->cache, e))) {
        return;
    }
    ASSERT(p2m_read(&w->vms[vm].p2m, GPA(gfn.n * PAGE_SIZE), w->disk[block], PAGE_SIZE) == OK);
    if (e == CACHE_NIL) {
        return;
    }
    if (!cache_is_alone(&w->cache, e)) {
        cache_remove(&w->cache, e);
        return;
    }
    memcpy(frame_bytes(&w->f, cache_frame(&w->cache, e)), w->disk[block], PAGE_SIZE);
    cache_lock(&w->cache, e);
    fill_begin(w, e, how);
}

void world_disk_turn(struct world *w)
{
    unsigned how = world_byte(w), n = world_byte(w);

    switch (how % 8) {
    case 0:
        cache_set_mode(&w->cache, (enum cache_mode)(n % CACHE_MODES));
        break;
    case 1:
        cache_set_max(&w->cache, n % (ROOM + 2));
        break;
    case 2:
        (void)cache_reclaim(&w->cache, 1 + n % 3);
        break;
    case 3:
        cache_invalidate(&w->cache, DISK, n % WORLD_BLOCKS, 1 + n / WORLD_BLOCKS % 4);
        break;
    case 4:
        world_disk_arrive(w);
        break;
    case 5:
        if (w->outs[n % WORLD_FILLS].used) {
            out_end(w, &w->outs[n % WORLD_FILLS], n & 8);
        } else if (cache_next_dirty(&w->cache, DISK, n % WORLD_BLOCKS) != CACHE_NIL) {
            out_begin(w, cache_next_dirty(&w->cache, DISK, n % WORLD_BLOCKS));
        }
        break;
    default:
        cache_set_mode(&w->cache, CACHE_FOLD);
        break;
    }
}

/* ---- what must be so ----------------------------------------------------------------------- */

void world_disk_audit(const struct world *w)
{
    char why[160];

    if (cache_check(&w->cache, why, sizeof(why)) != OK) {
        panic("operation %u: cache: %s", w->ops, why);
    }
    for (uint32_t e = 0; e < w->cache.n_max; e++) {
        const struct cache_entry *x = &w->cache.entries[e];

        if ((x->flags & CACHE_E_USED) && !(x->flags & CACHE_E_BUSY) &&
            memcmp(cache_bytes_of(&w->cache, e), w->disk[x->block], PAGE_SIZE) != 0) {
            panic("operation %u: block %u of the cache is not the disk's", w->ops,
                  (unsigned)x->block);
        }
    }
    for (uint64_t n = 0; n < w->f.count; n++) {
        ASSERT(w->f.table[n].state != FRAME_CACHE_ONLY || w->f.table[n].refs == 0 ||
               (w->f.table[n].flags & FRAME_F_IN_CACHE));
    }
}

static bool is_equal(const struct world *w, uint64_t a, uint64_t b)
{
    return memcmp(frame_bytes(&w->f, MFN(a)), frame_bytes(&w->f, MFN(b)), PAGE_SIZE) == 0;
}

/* The group whose guests hold the frame; FRAME_NO_GROUP: none. */
static uint32_t holders(const struct world *w, uint64_t n)
{
    const struct frame *fr = &w->f.table[n];

    if (fr->refs > 0 && fr->state == FRAME_PRIVATE) {
        return w->vms[fr->vm].p2m.group->id;
    }
    return fr->refs > 0 && fr->state == FRAME_SHARED ? fr->group : FRAME_NO_GROUP;
}

/* Pairs of frames of one group with the same content, one of which is the cache's alone. In mode
 * SCRUB, all groups count. */
static uint64_t count_pairs(const struct world *w)
{
    bool scrub = w->cache.mode == CACHE_SCRUB;
    uint64_t pairs = 0;

    for (uint64_t a = 0; a < w->f.count; a++) {
        const struct frame *fr = &w->f.table[a];

        if (fr->state != FRAME_CACHE_ONLY) {
            continue;
        }
        for (uint64_t b = 0; b < w->f.count; b++) {
            const struct frame *other = &w->f.table[b];
            uint32_t group = holders(w, b);
            bool block =
                !scrub && a < b && other->state == FRAME_CACHE_ONLY && other->group == fr->group;
            bool page = group != FRAME_NO_GROUP && (scrub || group == fr->group);

            pairs += (block || page) && is_equal(w, a, b);
        }
    }
    return pairs;
}

void world_disk_settled(struct world *w)
{
    struct p2m *maps[WORLD_VMS];
    struct share_group *groups[WORLD_GROUPS];
    struct duplicates d = {
        .frames = &w->f,
        .maps = maps,
        .groups = groups,
        .n_groups = WORLD_GROUPS,
        .unit = w->fold.unit,
        .key = &w->fold.key,
        .scratch = malloc(w->f.count * sizeof(uint32_t)),
    };
    uint64_t zero_blocks = 0;

    ASSERT(d.scratch);
    for (unsigned i = 0; i < WORLD_GROUPS; i++) {
        groups[i] = &w->groups[i];
    }
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        if (w->vms[i].live) {
            maps[d.n_maps++] = &w->vms[i].p2m;
        }
    }
    duplicates_count(&d);
    free(d.scratch);
    for (uint64_t n = 0; n < w->f.count; n++) {
        static const uint8_t zero[PAGE_SIZE];
        const struct frame *fr = &w->f.table[n];

        zero_blocks += fr->state == FRAME_CACHE_ONLY && w->cache.mode == CACHE_FOLD &&
                       memcmp(frame_bytes(&w->f, MFN(n)), zero, PAGE_SIZE) == 0;
    }
    if (w->fold.maps && (w->cache.mode == CACHE_FOLD || w->cache.mode == CACHE_SCRUB) &&
        (d.duplicates > 0 || count_pairs(w) > 0 || zero_blocks > 0 || w->cache.n_new > 0)) {
        panic("mode %s: %llu of %llu blocks are duplicates, %llu pairs, %llu zero, %u new",
              cache_mode_name(w->cache.mode), (unsigned long long)d.duplicates,
              (unsigned long long)d.kept, (unsigned long long)count_pairs(w),
              (unsigned long long)zero_blocks, w->cache.n_new);
    }
}
