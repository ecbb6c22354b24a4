/* SPDX-License-Identifier: BSD-2-Clause */
/* The block store's frames: several blocks in one, none for zeroes, guests that map them, and what
 * mm/fold is shown; at random against a model. */
#include "arena.h"
#include "base/bits.h"
#include "mm/cache/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FRAMES 39u
#define PLACES ARENA_SINGLES(FRAMES)
#define ROOM 32u
#define BLOCKS 24u

/* What is to be so: for each block its content's number, 0 for zeroes. Equal numbers may share. */
struct rig {
    struct frames f;
    struct frame table[PLACES];
    uint8_t *window;
    struct cache c;
    void *mem;
    unsigned content[BLOCKS];
    unsigned maps[PLACES]; /* guests that map the frame */
};

static uint32_t rig_put(struct rig *r, unsigned block, unsigned content)
{
    uint32_t e;

    assert_int_equal(cache_insert(&r->c, 1, block, &e), OK);
    memset(frame_bytes(&r->f, cache_frame(&r->c, e)), (int)content, PAGE_SIZE);
    cache_set_group(&r->c, e, 7);
    cache_publish(&r->c, e, CACHE_MASK_ALL);
    r->content[block] = content;
    return e;
}

static void rig_init(struct rig *r, uint64_t max)
{
    memset(r, 0, sizeof(*r));
    assert_int_equal(posix_memalign((void **)&r->window, PAGE_SIZE, PLACES * PAGE_SIZE), 0);
    frames_init(&r->f, r->table, PLACES, r->window);
    arena_add(&r->f, 0, FRAMES, 1);
    r->mem = malloc(cache_bytes(ROOM));
    assert_int_equal(cache_init(&r->c, &r->f, r->mem, ROOM, 3), OK);
    frames_add_reclaimer(&r->f, cache_reclaim, &r->c);
    cache_set_max(&r->c, max);
    cache_set_mode(&r->c, CACHE_FOLD);
}

static void rig_fini(struct rig *r)
{
    free(r->mem);
    arena_end(&r->f);
    free(r->window);
}

static void audit(struct rig *r)
{
    char why[160];

    if (cache_check(&r->c, why, sizeof(why)) != OK) {
        fail_msg("%s", why);
    }
    for (unsigned b = 0; b < BLOCKS; b++) {
        uint32_t e = cache_find(&r->c, 1, b);
        if (e != CACHE_NIL) {
            const uint8_t *bytes = cache_bytes_of(&r->c, e);
            assert_int_equal(bytes[0], r->content[b]);
            assert_int_equal(bytes[PAGE_SIZE - 1], r->content[b]);
        }
    }
    for (unsigned n = 0; n < PLACES; n++) {
        const struct frame *fr = &r->table[n];
        if (fr->state != FRAME_FREE && fr->state != FRAME_RESERVED) {
            assert_int_equal(fr->refs, r->maps[n] + ((fr->flags & FRAME_F_IN_CACHE) != 0));
            assert_int_equal(fr->state == FRAME_SHARED, r->maps[n] > 0);
        }
    }
}

static void map(struct rig *r, mfn_t mfn)
{
    frames_get(&r->f, mfn);
    r->maps[mfn.n]++;
}

static void unmap(struct rig *r, mfn_t mfn)
{
    r->maps[mfn.n]--;
    frames_put(&r->f, mfn);
}

/* Two blocks of one content in one frame: one frame held, none while a guest has it, and an
 * eviction of one leaves the other. */
static void test_two_blocks_in_one_frame(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 8);
    uint32_t a = rig_put(&r, 1, 5), b = rig_put(&r, 2, 5);
    mfn_t fa = cache_frame(&r.c, a), fb = cache_frame(&r.c, b);
    assert_int_equal(cache_held(&r.c), 2);
    assert_true(cache_is_alone(&r.c, a));
    cache_move(&r.c, fa, fb);
    audit(&r);
    assert_int_equal(r.table[fa.n].state, FRAME_FREE);
    assert_int_equal(cache_frame(&r.c, a).n, fb.n);
    assert_int_equal(cache_held(&r.c), 1);
    assert_false(cache_is_alone(&r.c, a) || cache_is_alone(&r.c, b));

    map(&r, fb);
    audit(&r);
    assert_int_equal(cache_held(&r.c), 0);
    assert_int_equal(r.c.mapped, 2);
    assert_int_equal(cache_reclaim(&r.c, 1), 0);
    unmap(&r, fb);
    audit(&r);
    assert_int_equal(cache_held(&r.c), 1);

    cache_remove(&r.c, a);
    audit(&r);
    assert_true(cache_is_alone(&r.c, b));
    assert_int_equal(cache_reclaim(&r.c, 1), 1);
    audit(&r);
    assert_int_equal(r.c.used, 0);
    rig_fini(&r);
}

/* Reclaim returns frames, not blocks: two blocks must go before the one frame does. */
static void test_reclaim_counts_frames(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 8);
    mfn_t to = cache_frame(&r.c, rig_put(&r, 1, 5));
    cache_move(&r.c, cache_frame(&r.c, rig_put(&r, 2, 5)), to);
    assert_int_equal(cache_reclaim(&r.c, 1), 1);
    assert_int_equal(r.c.used, 0);
    audit(&r);
    rig_fini(&r);
}

/* Blocks of zeroes cost nothing, are read as zeroes, and make room for entries when there is none
 * other. */
static void test_zeroes(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 4);
    cache_set_mode(&r.c, CACHE_INCLUSIVE);
    cache_make_zero(&r.c, cache_frame(&r.c, rig_put(&r, 0, 0)));
    cache_set_mode(&r.c, CACHE_FOLD);
    for (unsigned b = 1; b < 4; b++) {
        (void)rig_put(&r, b, 0); /* nobody has to tell */
    }
    audit(&r);
    assert_int_equal(r.c.zeroes, 4);
    assert_int_equal(cache_held(&r.c), 0);
    assert_int_equal(cache_reclaim(&r.c, 1), 0);
    assert_int_equal(r.c.used, 4);

    cache_set_mode(&r.c, CACHE_INCLUSIVE);
    uint32_t e = rig_put(&r, 5, 0);
    mfn_t mfn = cache_frame(&r.c, e);
    cache_set_mode(&r.c, CACHE_FOLD);
    map(&r, mfn);
    cache_make_zero(&r.c, mfn);
    audit(&r);
    assert_int_equal(r.table[mfn.n].flags & FRAME_F_IN_CACHE, 0);
    unmap(&r, mfn);
    cache_remove(&r.c, e);
    audit(&r);
    for (unsigned b = 100; b < 100 + ROOM; b++) {
        assert_int_equal(cache_insert(&r.c, 1, b, &e), OK);
        cache_set_group(&r.c, e, 7);
        memset(frame_bytes(&r.f, cache_frame(&r.c, e)), 0, PAGE_SIZE);
        cache_publish(&r.c, e, CACHE_MASK_ALL);
        audit(&r);
    }
    assert_int_equal(r.c.used, ROOM);
    rig_fini(&r);
}

/* Each block is shown once, in order, until it changes; but those of zeroes never. */
static void test_new_frames(void **state)
{
    struct rig r;
    mfn_t mfn;
    uint32_t e;

    (void)state;
    rig_init(&r, 8);
    uint32_t a = rig_put(&r, 1, 1), b = rig_put(&r, 2, 2);
    assert_int_equal(cache_insert(&r.c, 1, 3, &e), OK);
    memset(frame_bytes(&r.f, cache_frame(&r.c, e)), 0, PAGE_SIZE);
    cache_publish(&r.c, e, 1); /* a part of a block, for nobody: zeroes */
    assert_true(cache_is_zero(&r.c, e));
    assert_int_equal(cache_insert(&r.c, 1, 4, &e), OK);
    memset(frame_bytes(&r.f, cache_frame(&r.c, e)), 4, PAGE_SIZE);
    cache_publish(&r.c, e, CACHE_MASK_ALL); /* for nobody */
    r.content[3] = 0;
    r.content[4] = 4;
    audit(&r);
    assert_int_equal(cache_next_new(&r.c, &mfn), OK);
    assert_int_equal(mfn.n, cache_frame(&r.c, a).n);
    cache_lock(&r.c, a); /* a write */
    cache_publish(&r.c, a, CACHE_MASK_ALL);
    assert_int_equal(cache_next_new(&r.c, &mfn), OK);
    assert_int_equal(mfn.n, cache_frame(&r.c, b).n);
    assert_int_equal(cache_next_new(&r.c, &mfn), OK);
    assert_int_equal(mfn.n, cache_frame(&r.c, e).n);
    assert_int_equal(cache_next_new(&r.c, &mfn), OK);
    assert_int_equal(mfn.n, cache_frame(&r.c, a).n);
    assert_int_equal(cache_next_new(&r.c, &mfn), E_NOTFOUND);

    /* The guest keeps what the cache lets go; mm/fold has still to look at it. */
    uint32_t d = rig_put(&r, 5, 9);
    mfn = cache_frame(&r.c, d);
    map(&r, mfn);
    cache_remove(&r.c, d);
    audit(&r);
    assert_int_equal(r.table[mfn.n].flags, FRAME_F_UNSCANNED);
    cache_seen(&r.c, mfn);
    assert_int_equal(r.table[mfn.n].flags, 0);
    unmap(&r, mfn);

    cache_set_mode(&r.c, CACHE_INCLUSIVE);
    (void)rig_put(&r, 6, 6);
    assert_int_equal(cache_next_new(&r.c, &mfn), E_NOTFOUND);
    cache_set_mode(&r.c, CACHE_FOLD);
    unsigned n = 0;
    while (cache_next_new(&r.c, &mfn) == OK) {
        n++;
    }
    assert_int_equal(n, 4); /* blocks 1, 2, 4 and 6; 3 is nobody's */
    audit(&r);
    rig_fini(&r);
}

/* A frame whose block is equal to another's, or CACHE_NIL. */
static uint32_t twin(struct rig *r, unsigned block)
{
    uint32_t e = cache_find(&r->c, 1, block);

    for (unsigned b = 0; b < BLOCKS; b++) {
        uint32_t t = cache_find(&r->c, 1, b);
        if (t != CACHE_NIL && r->content[b] == r->content[block] && !cache_is_zero(&r->c, t) &&
            cache_frame(&r->c, t).n != cache_frame(&r->c, e).n) {
            return t;
        }
    }
    return CACHE_NIL;
}

#define MANY 300u

/* A clean block, or a DIRTY one, in a frame of its own. */
static uint32_t crowd_one(struct rig *r, unsigned block, bool dirty)
{
    uint32_t e;

    if (dirty) {
        assert_int_equal(cache_write(&r->c, 1, block, false, 7, &e), OK);
    } else {
        assert_int_equal(cache_insert(&r->c, 1, block, &e), OK);
        cache_set_group(&r->c, e, 7);
    }
    memset(frame_bytes(&r->f, cache_frame(&r->c, e)), 9, PAGE_SIZE);
    if (!dirty) {
        cache_publish(&r->c, e, CACHE_MASK_ALL);
    }
    return e;
}

/* Blocks of one content, `n` of them: each into a frame of its own, then into `to`. */
static void crowd(struct rig *r, mfn_t to, unsigned n, bool dirty)
{
    for (unsigned b = 1; b < n; b++) {
        mfn_t mfn = cache_frame(&r->c, crowd_one(r, b, dirty));
        cache_seen(&r->c, mfn); /* as mm/fold does */
        cache_move(&r->c, mfn, to);
    }
}

static unsigned count_in(const struct rig *r, mfn_t mfn)
{
    unsigned n = 0;

    for (uint32_t e = 0; e < r->c.n_max; e++) {
        n += (r->c.entries[e].flags & CACHE_E_USED) != 0 && r->c.entries[e].frame == mfn.n;
    }
    return n;
}

static mfn_t crowd_begin(struct rig *r, uint64_t max)
{
    rig_init(r, max);
    free(r->mem);
    r->mem = malloc(cache_bytes(MANY));
    assert_int_equal(cache_init(&r->c, &r->f, r->mem, MANY, 3), OK);
    cache_set_mode(&r->c, CACHE_FOLD);
    for (unsigned b = 0; b < BLOCKS; b++) {
        r->content[b] = 9;
    }
    mfn_t to = cache_frame(&r->c, rig_put(r, 0, 9));
    cache_seen(&r->c, to);
    return to;
}

/* Each block that leaves a frame, and each guest that comes or goes, costs a walk over its blocks:
 * a disk full of one content must not make that long. */
static void test_bound_of_a_frame(void **state)
{
    struct rig r;

    (void)state;
    mfn_t to = crowd_begin(&r, 32);
    crowd(&r, to, MANY, false);
    assert_int_equal(count_in(&r, to), CACHE_FRAME_BLOCKS);
    assert_int_equal(r.f.by_state[FRAME_CACHE_ONLY], 1);
    audit(&r);
    rig_fini(&r);
}

/* Nor must a guest that writes one content all over its disk: what the disk has not got yet stays
 * where it is until it has, and is shown to mm/fold then. */
static void test_bound_of_dirty_blocks(void **state)
{
    struct rig r;
    unsigned n = CACHE_FRAME_BLOCKS + 20;
    mfn_t mfn;
    uint32_t e;

    (void)state;
    mfn_t to = crowd_begin(&r, 32);
    crowd(&r, to, n, true);
    assert_int_equal(count_in(&r, to), CACHE_FRAME_BLOCKS);
    assert_int_equal(r.f.by_state[FRAME_CACHE_ONLY], 21);
    assert_int_equal(r.c.dirty, n - 1);
    assert_int_equal(r.c.n_new, 0);
    assert_true(r.c.starved);
    audit(&r);
    /* Nor may guests put one page of theirs into more. */
    map(&r, to);
    assert_int_equal(cache_write_frame(&r.c, 1, MANY, to, &e), E_NOMEM);
    /* One that has no room, and that a guest comes to map, is new until that has gone elsewhere. */
    mfn = cache_frame(&r.c, cache_find(&r.c, 1, n - 1));
    map(&r, mfn);
    assert_int_equal(cache_next_new(&r.c, &mfn), OK); /* the one that was mapped first */
    assert_int_equal(cache_next_new(&r.c, &mfn), OK);
    assert_int_equal(mfn.n, cache_frame(&r.c, cache_find(&r.c, 1, n - 1)).n);
    cache_move(&r.c, mfn, to);
    assert_int_equal(r.c.n_new, 1);
    audit(&r);
    cache_seen(&r.c, mfn);
    unmap(&r, mfn);
    for (unsigned b = 1; b < n; b++) {
        e = cache_find(&r.c, 1, b);
        cache_write_out(&r.c, e);
        assert_true(cache_written(&r.c, e, true));
    }
    cache_seen(&r.c, to);
    unsigned shown = 0;
    while (cache_next_new(&r.c, &mfn) == OK) {
        cache_move(&r.c, mfn, to);
        shown++;
    }
    assert_int_equal(shown, 20);
    assert_int_equal(count_in(&r, to), CACHE_FRAME_BLOCKS);
    assert_int_equal(r.c.used, CACHE_FRAME_BLOCKS);
    unmap(&r, to);
    audit(&r);
    rig_fini(&r);
}

/* A block that nobody else has is written in the frame that it is in, whenever it came. */
static void test_written_in_place(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 16);
    for (unsigned b = 0; b < 12; b++) {
        (void)rig_put(&r, b, b + 1);
    }
    for (unsigned b = 0; b < 12; b++) {
        uint32_t e = cache_find(&r.c, 1, b), written;
        mfn_t before = cache_frame(&r.c, e);
        assert_int_equal(cache_write(&r.c, 1, b, false, 7, &written), OK);
        assert_int_equal(written, e);
        assert_int_equal(cache_frame(&r.c, e).n, before.n);
    }
    audit(&r);
    rig_fini(&r);
}

static void test_at_random(void **state)
{
    struct rig r;
    mfn_t mfn;

    (void)state;
    rig_init(&r, 12);
    srand(4);
    for (unsigned i = 0; i < 60000; i++) {
        unsigned b = (unsigned)rand() % BLOCKS;
        uint32_t e = cache_find(&r.c, 1, b);
        bool framed = e != CACHE_NIL && !cache_is_zero(&r.c, e);
        unsigned frame = 1 + 2 * ((unsigned)rand() % FRAMES);

        switch (rand() % 12) {
        case 0:
        case 1:
        case 2:
            if (e == CACHE_NIL && (r.f.by_state[FRAME_FREE] > 0 || cache_held(&r.c) > 0)) {
                (void)rig_put(&r, b, (unsigned)rand() % 5);
            }
            break;
        case 3:
        case 4:
            if (framed) {
                map(&r, cache_frame(&r.c, e));
            }
            break;
        case 5:
        case 6:
            if (r.maps[frame] > 0) {
                unmap(&r, MFN(frame));
            }
            break;
        case 7:
            if (framed && twin(&r, b) != CACHE_NIL) {
                cache_seen(&r.c, cache_frame(&r.c, e));
                cache_move(&r.c, cache_frame(&r.c, e), cache_frame(&r.c, twin(&r, b)));
            }
            break;
        case 8:
            if (framed && r.content[b] == 0) {
                cache_make_zero(&r.c, cache_frame(&r.c, e));
            }
            break;
        case 9:
            if (e != CACHE_NIL && cache_is_alone(&r.c, e)) {
                r.content[b] = (unsigned)rand() % 5;
                cache_lock(&r.c, e);
                memset(frame_bytes(&r.f, cache_frame(&r.c, e)), (int)r.content[b], PAGE_SIZE);
                cache_publish(&r.c, e, CACHE_MASK_ALL);
            } else if (e != CACHE_NIL) {
                cache_remove(&r.c, e);
            }
            break;
        case 10:
            if (rand() % 8 == 0) {
                cache_set_mode(&r.c, (enum cache_mode)(rand() % CACHE_MODES));
            } else if (rand() % 8 == 0) {
                cache_set_max(&r.c, 1 + (uint64_t)rand() % ROOM);
            } else if (cache_next_new(&r.c, &mfn) == OK) {
                assert_int_equal(r.table[mfn.n].flags & FRAME_F_UNSCANNED, 0);
            }
            break;
        default:
            if (framed && r.f.cache.drop(r.f.cache.ctx, cache_frame(&r.c, e))) {
                assert_int_equal(cache_find(&r.c, 1, b), CACHE_NIL);
            }
            (void)cache_reclaim(&r.c, (uint64_t)rand() % 2);
            break;
        }
        if (r.c.mode == CACHE_OFF) {
            cache_set_mode(&r.c, CACHE_FOLD);
        }
        audit(&r);
    }
    assert_true(r.c.stats.moved > 1000);
    rig_fini(&r);
}

/* The audit sees what is wrong about frames and their entries. */
static void test_audit_detects(void **state)
{
    char why[160];

    (void)state;
    for (unsigned kind = 0; kind < 11; kind++) {
        struct rig r;
        rig_init(&r, 8);
        uint32_t a = rig_put(&r, 1, 5), b = rig_put(&r, 2, 6), z = rig_put(&r, 3, 0);
        audit(&r);
        switch (kind) {
        case 0:
            r.c.entries[a].frame_next = a;
            break;
        case 1:
            r.c.entries[z].frame = 4;
            break;
        case 2:
            r.c.zeroes++;
            break;
        case 3:
            r.table[cache_frame(&r.c, b).n].flags &= (uint8_t)~FRAME_F_UNSCANNED;
            break;
        case 4:
            r.table[cache_frame(&r.c, a).n].left = (uint32_t)cache_frame(&r.c, a).n;
            break;
        case 5:
            r.c.n_new--;
            break;
        case 6:
            r.table[cache_frame(&r.c, a).n].state = FRAME_SHARED;
            break;
        case 7:
            cache_lock(&r.c, a);
            r.table[cache_frame(&r.c, a).n].flags |= FRAME_F_STABLE;
            break;
        case 8:
            r.c.mode = CACHE_SCRUB;
            break;
        case 9: /* a chain that goes round in a circle, past the others */
            r.c.entries[a].frame = 0;
            r.c.entries[a].frame_next = a;
            break;
        default:
            r.c.entries[a].flags |= CACHE_E_MAPPED;
            break;
        }
        assert_int_equal(cache_check(&r.c, why, sizeof(why)), E_INVAL);
        rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_blocks_in_one_frame),
        cmocka_unit_test(test_reclaim_counts_frames),
        cmocka_unit_test(test_zeroes),
        cmocka_unit_test(test_new_frames),
        cmocka_unit_test(test_bound_of_a_frame),
        cmocka_unit_test(test_bound_of_dirty_blocks),
        cmocka_unit_test(test_written_in_place),
        cmocka_unit_test(test_at_random),
        cmocka_unit_test(test_audit_detects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
