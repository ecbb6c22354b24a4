/* SPDX-License-Identifier: BSD-2-Clause */
/* Small scenes in the world of world.h: see world_scene.h. */
#include "world_scene.h"

#include "base/log.h"

#include <string.h>

void scene_init(struct world *w)
{
    static const uint8_t create[] = {10,       0, 0, 0, 10 | 64,  0, 0, 0,
                                     10 | 128, 0, 0, 0, 10 | 192, 0, 0, 0};

    world_init(w, 200);
    world_run(w, create, sizeof(create), 1);
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        w->vms[i].map.race = NULL; /* one thing at a time */
    }
}

void scene_init_with(struct world *w, enum fold_index index, enum fold_volatility volatility)
{
    scene_init(w);
    struct fold_switches to = w->fold.on;
    to.index = index;
    to.volatility = volatility;
    fold_switch(&w->fold, &to);
}

void scene_fill(struct world *w, unsigned vm, uint64_t gfn, uint8_t value)
{
    uint8_t *page = w->vms[vm].oracle[gfn];

    memset(page, value, PAGE_SIZE);
    ASSERT(p2m_write(&w->vms[vm].p2m, GPA(gfn * PAGE_SIZE), page, PAGE_SIZE) == OK);
}

void scene_poke(struct world *w, unsigned vm, uint64_t gfn, unsigned offset, uint8_t value)
{
    w->vms[vm].oracle[gfn][offset] = value;
    ASSERT(fake_guest_write(&w->vms[vm].p2m, 0, 0, GFN(gfn), offset, value) == OK);
}

mfn_t scene_put(struct world *w, unsigned block, uint8_t value, unsigned group)
{
    uint32_t e;

    memset(w->disk[block], value, PAGE_SIZE);
    ASSERT(cache_insert(&w->cache, SCENE_DISK, block, &e) == OK);
    mfn_t mfn = cache_frame(&w->cache, e);
    memcpy(frame_bytes(&w->f, mfn), w->disk[block], PAGE_SIZE);
    if (group != FRAME_NO_GROUP) {
        cache_set_group(&w->cache, e, group);
    }
    cache_publish(&w->cache, e, CACHE_MASK_ALL);
    return mfn;
}

mfn_t scene_frame_of(const struct world *w, unsigned block)
{
    uint32_t e = cache_find(&w->cache, SCENE_DISK, block);

    ASSERT(e != CACHE_NIL);
    return cache_is_zero(&w->cache, e) ? MFN(UINT64_MAX) : cache_frame(&w->cache, e);
}

void scene_adopt(struct world *w, unsigned vm, uint64_t gfn, unsigned block)
{
    mfn_t mfn = scene_frame_of(w, block);

    frames_pin(&w->f, mfn);
    ASSERT(p2m_map_shared(&w->vms[vm].p2m, GFN(gfn), mfn) == OK);
    frames_unpin(&w->f, mfn);
    memcpy(w->vms[vm].oracle[gfn], w->disk[block], PAGE_SIZE);
}

mfn_t scene_frame_at(const struct world *w, unsigned vm, uint64_t gfn)
{
    return w->vms[vm].map.entries[gfn].mfn;
}

struct frame *scene_frame(struct world *w, mfn_t mfn)
{
    return frame_of(&w->f, mfn);
}

void scene_end(struct world *w)
{
    world_audit(w);
    world_compare(w);
    world_settle(w);
    world_compare(w);
    world_fini(w);
}

void scene_passes(struct world *w, unsigned n)
{
    uint64_t until = w->fold.full_scans + n;

    while (w->fold.full_scans < until) {
        fold_step(&w->fold, 1000, NULL);
    }
}

struct fold_counters scene_counters(const struct world *w)
{
    struct fold_counters c;

    fold_read(&w->fold, &c);
    return c;
}

void scene_each(void (*test)(enum fold_index index, enum fold_volatility volatility))
{
    test(FOLD_TREE, FOLD_CHECKSUM);
    test(FOLD_TREE, FOLD_DIRTY);
    test(FOLD_HASH, FOLD_CHECKSUM);
    test(FOLD_HASH, FOLD_DIRTY);
}
