/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When nobody writes any more, exactly the duplicates are gone: for each combination of switches,
 * after any past, without a switch being touched. VMs here span several 2 MiB regions, and have a
 * disk in common, whose cache is in mode FOLD or SCRUB.
 */
#include "fake_p2m.h"

#include "base/bits.h"
#include "mm/audit/duplicates.h"
#include "mm/cache/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VMS 4
#define SPOTS 24 /* pages of a VM that are used, in three regions */
#define MAP_PAGES 1152
#define PINS 3
#define FRAMES 160
#define PLACES (2 * FRAMES + 1) /* with guards */
#define OPS 1200
#define BLOCKS 16
#define ROOM 12 /* fewer than blocks */
#define DISK 1
#ifndef SEEDS
#define SEEDS 4
#endif

struct pin {
    bool used, write;
    unsigned vm, spot;
    mfn_t mfn;
};

struct guest {
    struct fake_map map;
    struct p2m p2m;
    uint8_t oracle[SPOTS][PAGE_SIZE];
    bool adopted[SPOTS]; /* it may map a block's frame */
};

struct scene {
    struct frames f;
    uint32_t *roots;
    struct share_group groups[2];
    struct fold fold;
    struct guest guests[VMS]; /* 2 has no dirty bits, 3 is of another group */
    struct pin pins[PINS];
    struct cache cache;
    void *cache_mem;
    uint8_t disk[BLOCKS][PAGE_SIZE];
    struct rnd rnd, racing;
    bool skips;
    bool all_dirty; /* 2 has dirty bits too */
};

static gfn_t gfn_of(unsigned spot)
{
    static const uint64_t first[] = {0, 508, 1100}; /* the second eight span two regions */

    return GFN(first[spot / 8] + spot % 8);
}

static enum page_class by_gfn(void *ctx, struct p2m *p, gfn_t gfn, bool from_disk)
{
    (void)ctx;
    (void)p;
    (void)from_disk;
    return gfn.n % 8 == 3 ? PAGE_FREE : PAGE_ANON;
}

static bool is_skipped(const struct scene *s, unsigned spot)
{
    return s->skips && gfn_of(spot).n % 8 == 3;
}

/* Another CPU of that guest writes through what it has cached, up to the moment of the flush. */
static void race(void *ctx, struct fake_map *m)
{
    struct scene *s = ctx;
    struct guest *g = container_of(m, struct guest, map);

    for (unsigned k = 0; k < 4; k++) {
        unsigned spot = rnd_below(&s->racing, SPOTS), cpu = rnd_below(&s->racing, FAKE_CPUS);
        uint64_t gfn = gfn_of(spot).n;
        struct fake_slot *c = &m->cached[cpu][0][gfn];

        fake_map_load(m, cpu, 0, GFN(gfn));
        if (c->present && c->writable) {
            m->entries[gfn].dirty |= !c->dirty; /* a cached dirty bit is not set again */
            c->dirty = true;
            uint8_t value = (uint8_t)rnd_below(&s->racing, 3);
            ((uint8_t *)frame_bytes(&s->f, c->mfn))[8] = value;
            g->oracle[spot][8] = value;
        }
    }
}

static void guest_up(struct scene *s, unsigned i)
{
    static const struct p2m_slot runs[] = {{GFN(0), 640}, {GFN(1024), MAP_PAGES - 1024}};
    struct guest *g = &s->guests[i];
    const struct p2m_ops *ops = i == 2 && !s->all_dirty ? &fake_map_ops_checksum : &fake_map_ops;

    memset(g, 0, sizeof(*g));
    fake_map_init(&g->map, &s->f, MAP_PAGES);
    assert_int_equal(p2m_init(&g->p2m, ops, &g->map, &s->f, &s->groups[i == 3], (uint16_t)i, runs,
                              2, g->map.regions),
                     OK);
    g->map.race = race;
    g->map.race_ctx = s;
    fold_attach(&s->fold, &g->p2m);
}

static void guest_down(struct scene *s, unsigned i)
{
    struct guest *g = &s->guests[i];

    for (unsigned k = 0; k < PINS; k++) {
        if (s->pins[k].used && s->pins[k].vm == i) {
            p2m_put(&g->p2m, s->pins[k].mfn);
            s->pins[k].used = false;
        }
    }
    fold_detach(&s->fold, &g->p2m);
    g->map.race = NULL;
    while (p2m_drop_some(&g->p2m, 5, NULL)) {
    }
    fake_map_fini(&g->map);
}

static void print_violation(void *ctx, const char *line)
{
    (void)ctx;
    print_error("check: %s\n", line);
}

/* The whole audit; returns how many frames the cache alone keeps, though a guest has the content.
 */
static uint64_t check(struct scene *s)
{
    struct p2m *maps[VMS];
    struct share_group *groups[] = {&s->groups[0], &s->groups[1]};
    uint32_t scratch[PLACES];
    char why[160];
    struct audit a = {.frames = &s->f,
                      .maps = maps,
                      .n_maps = VMS,
                      .groups = groups,
                      .n_groups = 2,
                      .fold = &s->fold,
                      .scratch = scratch,
                      .others = cache_references,
                      .others_ctx = &s->cache,
                      .report = print_violation};
    struct duplicates d = {.frames = &s->f,
                           .maps = maps,
                           .n_maps = VMS,
                           .groups = groups,
                           .n_groups = 2,
                           .unit = s->fold.unit,
                           .key = &s->fold.key,
                           .scratch = scratch};

    for (unsigned i = 0; i < VMS; i++) {
        maps[i] = &s->guests[i].p2m;
    }
    assert_int_equal(audit_run(&a), 0);
    if (cache_check(&s->cache, why, sizeof(why)) != OK) {
        fail_msg("cache: %s", why);
    }
    for (uint32_t e = 0; e < s->cache.n_max; e++) {
        if (s->cache.entries[e].flags & CACHE_E_USED) {
            assert_memory_equal(cache_bytes_of(&s->cache, e), s->disk[s->cache.entries[e].block],
                                PAGE_SIZE);
        }
    }
    duplicates_count(&d);
    return d.duplicates;
}

/* ---- the past ------------------------------------------------------------------------------ */

/* The few places that are ever written to, with few values: contents meet often. */
static unsigned pick_offset(struct scene *s)
{
    return 8 * rnd_below(&s->rnd, 3); /* 8 is among what a first look compares, 16 is not */
}

static void device(struct scene *s, unsigned i)
{
    struct guest *g = &s->guests[i];
    struct pin *pin = &s->pins[rnd_below(&s->rnd, PINS)];

    if (!pin->used) {
        pin->spot = rnd_below(&s->rnd, SPOTS);
        pin->vm = i;
        pin->write = rnd_below(&s->rnd, 4);
        enum status st = pin->write ? p2m_get_write(&g->p2m, gfn_of(pin->spot), &pin->mfn)
                                    : p2m_get_read(&g->p2m, gfn_of(pin->spot), &pin->mfn);
        assert_int_equal(st, OK);
        pin->used = true;
        return;
    }
    g = &s->guests[pin->vm];
    if (pin->write) {
        unsigned at = pick_offset(s);
        g->oracle[pin->spot][at] = (uint8_t)rnd_below(&s->rnd, 3);
        ((uint8_t *)frame_bytes(&s->f, pin->mfn))[at] = g->oracle[pin->spot][at];
        fold_hint(&s->fold, &g->p2m, gfn_of(pin->spot));
    }
    p2m_put(&g->p2m, pin->mfn);
    pin->used = false;
}

/* The block's entry, read from the disk if need be; CACHE_NIL without a frame. */
static uint32_t fetch(struct scene *s, unsigned block, uint32_t group)
{
    uint32_t e = cache_find(&s->cache, DISK, block);

    if (e == CACHE_NIL && cache_insert(&s->cache, DISK, block, &e) == OK) {
        memcpy(frame_bytes(&s->f, cache_frame(&s->cache, e)), s->disk[block], PAGE_SIZE);
        cache_set_group(&s->cache, e, group);
        cache_publish(&s->cache, e, CACHE_MASK_ALL);
    }
    return e;
}

static void read_block(struct scene *s, unsigned i, unsigned spot)
{
    struct guest *g = &s->guests[i];
    unsigned block = rnd_below(&s->rnd, BLOCKS);
    uint32_t e = fetch(s, block, g->p2m.group->id);
    mfn_t mfn = g->p2m.group->zero;
    enum status st = E_BUSY;

    if (e != CACHE_NIL && s->cache.mode == CACHE_FOLD && rnd_below(&s->rnd, 4)) {
        mfn = cache_is_zero(&s->cache, e) ? mfn : cache_frame(&s->cache, e);
        frames_pin(&s->f, mfn);
        if (frame_of(&s->f, mfn)->state == FRAME_ZERO ||
            p2m_may_map_shared(frame_of(&s->f, mfn), g->p2m.group->id)) {
            st = p2m_map_shared(&g->p2m, gfn_of(spot), mfn);
        }
        frames_unpin(&s->f, mfn);
    }
    g->adopted[spot] = st == OK;
    if (st != OK) {
        assert_int_equal(p2m_get_write(&g->p2m, gfn_of(spot), &mfn), OK);
        memcpy(frame_bytes(&s->f, mfn), s->disk[block], PAGE_SIZE);
        p2m_put(&g->p2m, mfn);
    }
    memcpy(g->oracle[spot], s->disk[block], PAGE_SIZE);
    if (rnd_below(&s->rnd, 2)) {
        fold_hint(&s->fold, &g->p2m, gfn_of(spot));
    }
}

static void write_block(struct scene *s, unsigned i, unsigned spot)
{
    unsigned block = rnd_below(&s->rnd, BLOCKS);
    uint32_t e = cache_find(&s->cache, DISK, block);

    memcpy(s->disk[block], s->guests[i].oracle[spot], PAGE_SIZE);
    if (e == CACHE_NIL) {
        return;
    }
    if (!cache_is_alone(&s->cache, e)) {
        cache_remove(&s->cache, e);
        return;
    }
    memcpy(frame_bytes(&s->f, cache_frame(&s->cache, e)), s->disk[block], PAGE_SIZE);
    cache_lock(&s->cache, e);
    cache_publish(&s->cache, e, CACHE_MASK_ALL);
}

static void act(struct scene *s)
{
    unsigned i = rnd_below(&s->rnd, VMS), spot = rnd_below(&s->rnd, SPOTS), at = pick_offset(s);
    struct guest *g = &s->guests[i];
    uint8_t value = (uint8_t)rnd_below(&s->rnd, 3);

    switch (rnd_below(&s->rnd, 50)) {
    case 40 ... 44:
        read_block(s, i, spot);
        break;
    case 45 ... 46:
        write_block(s, i, spot);
        break;
    case 47:
        (void)cache_reclaim(&s->cache, 1 + rnd_below(&s->rnd, 3));
        break;
    case 48 ... 49:
        (void)fetch(s, rnd_below(&s->rnd, BLOCKS), i == 3);
        break;
    case 0 ... 11:
        assert_int_equal(
            fake_guest_write(&g->p2m, rnd_below(&s->rnd, 2), 0, gfn_of(spot), at, value), OK);
        g->oracle[spot][at] = value; /* after what the other CPU wrote meanwhile */
        break;
    case 12 ... 15:
        assert_int_equal(
            fake_guest_read(&g->p2m, rnd_below(&s->rnd, 2), 0, gfn_of(spot), at, &value), OK);
        assert_int_equal(value, g->oracle[spot][at]);
        break;
    case 16 ... 24:
        device(s, i);
        break;
    case 25:
        if (g->p2m.fold_attached) {
            fold_detach(&s->fold, &g->p2m);
        } else {
            fold_attach(&s->fold, &g->p2m);
        }
        break;
    case 26:
        if (rnd_below(&s->rnd, 8) == 0) {
            guest_down(s, i);
            guest_up(s, i);
        }
        break;
    default:
        fold_step(&s->fold, 1 + rnd_below(&s->rnd, 30), NULL);
        break;
    }
}

/* ---- the end ------------------------------------------------------------------------------- */

static const uint8_t *page_of(const struct scene *s, unsigned i, unsigned spot, mfn_t *mfn)
{
    struct p2m_entry e;

    if (fake_map_ops.lookup((void *)&s->guests[i].map, gfn_of(spot), &e) != OK) {
        return NULL;
    }
    *mfn = e.mfn;
    return frame_bytes(&s->f, e.mfn);
}

/* Two pages of one group that are equal map one frame; those of classes left alone are private. */
static void check_duplicates(const struct scene *s)
{
    mfn_t a, b;

    for (unsigned m = 0; m < VMS * SPOTS; m++) {
        const uint8_t *page = page_of(s, m / SPOTS, m % SPOTS, &a);

        if (!page) {
            continue;
        }
        assert_memory_equal(page, s->guests[m / SPOTS].oracle[m % SPOTS], PAGE_SIZE);
        for (unsigned n = 0; n < m; n++) {
            const uint8_t *other = page_of(s, n / SPOTS, n % SPOTS, &b);
            bool groups = (m / SPOTS == 3) != (n / SPOTS == 3);

            if (!other || groups || is_skipped(s, m % SPOTS) || is_skipped(s, n % SPOTS)) {
                continue;
            }
            assert_int_equal(a.n == b.n, memcmp(page, other, PAGE_SIZE) == 0);
        }
        if (is_skipped(s, m % SPOTS) && !s->guests[m / SPOTS].adopted[m % SPOTS]) {
            /* A free page may be what a block is, and no more. */
            assert_true(s->cache.mode == CACHE_FOLD || frame_of(&s->f, a)->state != FRAME_SHARED);
            assert_int_equal(frame_of(&s->f, a)->flags & FRAME_F_UNSTABLE, 0);
        }
    }
}

/* No two blocks of a group are equal that only the cache holds, and none is zero in mode FOLD. */
static void check_blocks(const struct scene *s)
{
    static const uint8_t zeroes[PAGE_SIZE];

    for (uint64_t a = 0; a < s->f.count && s->cache.mode == CACHE_FOLD; a++) {
        const struct frame *fr = &s->f.table[a];
        const void *block = frame_bytes(&s->f, MFN(a));

        for (uint64_t b = 0; b < a && fr->state == FRAME_CACHE_ONLY; b++) {
            const struct frame *other = &s->f.table[b];
            assert_false(other->state == FRAME_CACHE_ONLY && other->group == fr->group &&
                         memcmp(block, frame_bytes(&s->f, MFN(b)), PAGE_SIZE) == 0);
        }
        assert_false(fr->state == FRAME_CACHE_ONLY && memcmp(block, zeroes, PAGE_SIZE) == 0);
    }
}

static void pass(struct scene *s, unsigned n)
{
    uint64_t until = s->fold.full_scans + n;

    while (s->fold.full_scans < until) {
        fold_step(&s->fold, 11, NULL);
    }
}

static void quiet(struct scene *s)
{
    for (unsigned k = 0; k < PINS; k++) {
        if (s->pins[k].used) {
            p2m_put(&s->guests[s->pins[k].vm].p2m, s->pins[k].mfn);
            s->pins[k].used = false;
        }
    }
    for (unsigned i = 0; i < VMS; i++) {
        s->guests[i].map.race = NULL;
        if (!s->guests[i].p2m.fold_attached) {
            fold_attach(&s->fold, &s->guests[i].p2m);
        }
    }
    pass(s, 5);
    if (s->cache.mode == CACHE_FOLD) {
        assert_int_equal(check(s), 0); /* whatever rests */
    }
    if (s->fold.on.backoff) {
        pass(s, 33 * 8); /* the longest rest is 32 rounds of 8 passes */
    }
    uint64_t duplicates = check(s);
    check_duplicates(s);
    check_blocks(s);
    if (s->cache.mode == CACHE_FOLD || !s->skips) { /* a page that is left alone is in no index */
        assert_int_equal(duplicates, 0);
    }
}

static void disk_up(struct scene *s, enum cache_mode mode)
{
    s->cache_mem = malloc(cache_bytes(ROOM));
    assert_non_null(s->cache_mem);
    assert_int_equal(cache_init(&s->cache, &s->f, s->cache_mem, ROOM, 1), OK);
    cache_set_mode(&s->cache, mode);
    s->fold.cache = &s->cache;
    frames_add_reclaimer(&s->f, cache_reclaim, &s->cache);
    for (unsigned b = 0; b < BLOCKS; b++) {
        s->disk[b][0] = (uint8_t)(b % 3);
        s->disk[b][8] = (uint8_t)(b / 3 % 3);
    }
}

struct totals {
    uint64_t merges, moved, scrubbed;
};

static void run(const struct fold_switches *to, uint64_t seed, struct totals *sum)
{
    struct scene *s = calloc(1, sizeof(*s));
    struct fold_counters c;

    assert_non_null(s);
    fake_frames_init(&s->f, FRAMES);
    s->roots = malloc(fold_roots(s->f.count) * sizeof(*s->roots));
    assert_non_null(s->roots);
    fold_init(&s->fold, &s->f, NULL, &(struct random){.key = {(uint32_t)seed}}, s->roots);
    s->fold.classify = by_gfn;
    fold_switch(&s->fold, to);
    disk_up(s, seed / 32 % 4 == 1 ? CACHE_SCRUB : CACHE_FOLD);
    s->skips = to->skip;
    s->all_dirty = seed & 32;
    s->rnd.state = seed * 0x9E3779B97F4A7C15u + 1;
    s->racing.state = 88172645463325252u;
    for (unsigned g = 0; g < 2; g++) {
        assert_int_equal(share_group_init(&s->groups[g], &s->f, g ? "one" : "zero", g), OK);
    }
    for (unsigned i = 0; i < VMS; i++) {
        guest_up(s, i);
    }
    for (unsigned k = 0; k < OPS; k++) {
        act(s);
        if (k % 64 == 0) {
            check(s);
        }
    }
    quiet(s);
    fold_read(&s->fold, &c);
    for (unsigned i = 0; i < VMS; i++) {
        guest_down(s, i);
    }
    sum->merges += c.merges;
    sum->moved += s->cache.stats.moved;
    sum->scrubbed += s->cache.stats.scrubbed;
    cache_set_mode(&s->cache, CACHE_OFF);
    for (unsigned g = 0; g < 2; g++) {
        assert_int_equal(fold_forget(&s->fold, &s->groups[g]), OK);
        assert_int_equal(share_group_fini(&s->groups[g], &s->f), OK);
    }
    assert_int_equal(s->f.by_state[FRAME_FREE], FRAMES);
    fake_frames_fini(&s->f);
    free(s->cache_mem);
    free(s->roots);
    free(s);
}

static void test_duplicates_are_gone(void **state)
{
    (void)state;
    struct totals sum = {0};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        for (unsigned k = 0; k < 32; k++) {
            struct fold_switches to = {
                .run = true,
                .zero = true,
                .lookahead = k & 1,
                .backoff = k & 2,
                .index = k & 4 ? FOLD_HASH : FOLD_TREE,
                .volatility = k & 8 ? FOLD_DIRTY : FOLD_CHECKSUM,
                .skip = k & 16 ? (uint8_t)BIT(PAGE_FREE) : 0,
            };
            run(&to, seed * 32 + k, &sum);
        }
    }
    /* The runs have to have done something. */
    assert_true(sum.merges > 1000 && sum.moved > 1000 && sum.scrubbed > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duplicates_are_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
