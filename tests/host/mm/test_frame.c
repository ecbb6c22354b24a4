/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame table and the frame trees. */
#include "base/bits.h"
#include "fake_p2m.h"
#include "mm/content/content.h"
#include "mm/index/rbtree.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(struct frames *f)
{
    fake_check(f, NULL, 0, NULL, 0, NULL);
}

static void test_states_add_up(void **state)
{
    (void)state;
    struct frame table[16];
    static uint8_t window[16 * PAGE_SIZE];
    struct frames f;
    mfn_t m;

    frames_init(&f, table, 16, window);
    assert_int_equal(f.by_state[FRAME_RESERVED], 16);
    assert_int_equal(frames_alloc(&f, FRAME_PRIVATE, &m), E_NOMEM);
    frames_mark_hyp(&f, MFN(2), 3);
    frames_add_free(&f, MFN(0), 8);           /* overlaps: what is taken stays taken */
    frames_add_free(&f, MFN(14), UINT64_MAX); /* beyond the end */
    frames_add_free(&f, MFN(UINT64_MAX), 1);
    frames_mark_hyp(&f, MFN(99), 1);
    assert_int_equal(f.by_state[FRAME_HYP], 3);
    assert_int_equal(f.by_state[FRAME_FREE], 7);
    assert_int_equal(f.by_state[FRAME_RESERVED], 6);
    check(&f);

    assert_int_equal(frames_alloc(&f, FRAME_HYP, &m), OK);
    assert_int_equal(m.n, 14); /* the run that was added last, from its low end */
    frames_free(&f, m);
    check(&f);
}

static void test_last_put_and_last_unpin_free(void **state)
{
    (void)state;
    struct frames f;
    mfn_t m;

    fake_frames_init(&f, 2);
    assert_int_equal(frames_alloc(&f, FRAME_CACHE_ONLY, &m), OK);
    frames_get(&f, m);
    frames_put(&f, m);
    assert_int_equal(f.by_state[FRAME_FREE], 1);
    frames_pin(&f, m);
    frames_pin(&f, m);
    assert_int_equal(f.pinned, 1);
    frames_put(&f, m);
    assert_int_equal(f.by_state[FRAME_FREE], 1); /* a device is still at it */
    check(&f);
    frames_unpin(&f, m);
    assert_int_equal(f.by_state[FRAME_FREE], 1);
    assert_int_equal(f.n_unpinned, 0);
    frames_unpin(&f, m);
    assert_int_equal(f.by_state[FRAME_FREE], 2);
    assert_int_equal(f.pinned, 0);
    assert_int_equal(f.n_unpinned, 1);
    check(&f);
    fake_frames_fini(&f);
}

struct reclaimer {
    struct frames *f;
    mfn_t held[4];
    unsigned n, calls;
};

static uint64_t give_back(void *ctx, uint64_t want)
{
    struct reclaimer *r = ctx;

    r->calls++;
    assert_int_equal(want, 1);
    if (r->n == 0) {
        return 0;
    }
    frames_put(r->f, r->held[--r->n]);
    return 1;
}

static void test_reclaim_when_none_is_free(void **state)
{
    (void)state;
    struct frames f;
    struct reclaimer r = {.f = &f};
    mfn_t m = MFN(77);

    fake_frames_init(&f, 4);
    frames_add_reclaimer(&f, give_back, &r);
    for (; r.n < 4; r.n++) {
        assert_int_equal(frames_alloc(&f, FRAME_CACHE_ONLY, &r.held[r.n]), OK);
    }
    assert_int_equal(r.calls, 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(frames_alloc(&f, FRAME_HYP, &m), OK);
    }
    m = MFN(77);
    assert_int_equal(frames_alloc(&f, FRAME_HYP, &m), E_NOMEM);
    assert_int_equal(m.n, 77);
    assert_int_equal(r.calls, 5);
    fake_frames_fini(&f);
}

struct giver {
    struct frames *f;
    mfn_t held[8];
    unsigned n, calls;
    uint64_t wanted; /* by the last call */
};

static uint64_t give_all_wanted(void *ctx, uint64_t want)
{
    struct giver *g = ctx;
    uint64_t got = 0;

    g->calls++;
    g->wanted = want;
    for (; got < want && g->n > 0; got++) {
        frames_put(g->f, g->held[--g->n]);
    }
    return got;
}

/* The first gives all that it has before the next is asked, for the rest; one that gives nothing
 * does not end the round. */
static void test_reclaimers_in_their_order(void **state)
{
    (void)state;
    struct frames f;
    struct giver givers[3] = {{.n = 0}};
    static const unsigned has[3] = {2, 0, 3};
    mfn_t m = MFN(77);

    fake_frames_init(&f, 5);
    assert_int_equal(frames_reclaim(&f, 1), 0); /* there is none yet */
    for (unsigned i = 0; i < 3; i++) {
        givers[i].f = &f;
        for (; givers[i].n < has[i]; givers[i].n++) {
            assert_int_equal(frames_alloc(&f, FRAME_CACHE_ONLY, &givers[i].held[givers[i].n]), OK);
        }
        frames_add_reclaimer(&f, give_all_wanted, &givers[i]);
    }

    assert_int_equal(frames_alloc(&f, FRAME_HYP, &m), OK);
    assert_int_equal(givers[0].n, 1);
    assert_int_equal(givers[1].calls, 0); /* the first gave enough */
    assert_int_equal(givers[2].calls, 0);

    assert_int_equal(frames_reclaim(&f, 3), 3);
    assert_int_equal(givers[0].wanted, 3);
    assert_int_equal(givers[1].wanted, 2);
    assert_int_equal(givers[2].wanted, 2);
    assert_int_equal(givers[0].n, 0);
    assert_int_equal(givers[2].n, 1);
    assert_int_equal(f.by_state[FRAME_FREE], 3);

    assert_int_equal(frames_reclaim(&f, 9), 1); /* all there is */
    assert_int_equal(givers[2].n, 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(frames_alloc(&f, FRAME_HYP, &m), OK);
    }
    m = MFN(77);
    assert_int_equal(frames_alloc(&f, FRAME_HYP, &m), E_NOMEM); /* each was asked in vain */
    assert_int_equal(m.n, 77);
    assert_int_equal(givers[0].calls, 4);
    assert_int_equal(givers[1].calls, 3);
    assert_int_equal(givers[2].calls, 3);
    check(&f);
    fake_frames_fini(&f);
}

static void test_content_order_is_memcmp(void **state)
{
    (void)state;
    struct rnd r = {42};
    static _Alignas(8) uint8_t a[PAGE_SIZE], b[PAGE_SIZE];

    assert_true(content_is_zero(a));
    for (unsigned i = 0; i < 5000; i++) {
        memset(a, (int)rnd_below(&r, 2), PAGE_SIZE);
        memcpy(b, a, PAGE_SIZE);
        for (unsigned k = rnd_below(&r, 4); k > 0; k--) {
            b[rnd_below(&r, PAGE_SIZE)] = (uint8_t)rnd_below(&r, 256);
        }
        int want = memcmp(a, b, PAGE_SIZE), got = content_compare(a, b);
        assert_int_equal((want > 0) - (want < 0), (got > 0) - (got < 0));
        bool zero = true;
        for (unsigned k = 0; k < PAGE_SIZE; k++) {
            zero &= b[k] == 0;
        }
        assert_int_equal(content_is_zero(b), zero);
    }
}

/* Frames in one stable tree, ordered by content, entered and erased at random. */
static void test_tree_stays_valid(void **state)
{
    (void)state;
    enum { N = 300 };
    struct frames f;
    struct rnd r = {7};
    struct share_group g = {.name = "g", .unstable_root = FRAME_NIL, .id = 3};
    uint32_t root = FRAME_NIL, frames[N];
    unsigned in = 0;

    fake_frames_init(&f, N);
    struct audit a = {.frames = &f};
    for (unsigned i = 0; i < N; i++) {
        mfn_t m;
        assert_int_equal(frames_alloc(&f, FRAME_CACHE_ONLY, &m), OK);
        frames[i] = (uint32_t)m.n;
        frames_set_state(&f, m, FRAME_SHARED);
        frame_of(&f, m)->group = 3;
        memset(frame_bytes(&f, m), 0, PAGE_SIZE);
        store_le32(frame_bytes(&f, m), (uint32_t)m.n * 2654435761u);
    }
    for (unsigned i = 0; i < 6000; i++) {
        uint32_t n = frames[rnd_below(&r, N)];
        struct frame *fr = frame_of(&f, MFN(n));

        /* Grow and shrink in waves, so that small and large trees are both met. */
        bool grow = i / 1000 % 2 == 0 ? rnd_below(&r, 4) != 0 : rnd_below(&r, 4) == 0;
        if (!grow && (fr->flags & FRAME_F_STABLE)) {
            frame_tree_erase(&f, &root, n);
            fr->flags &= (uint8_t)~FRAME_F_STABLE;
            in--;
        } else if (grow && !(fr->flags & FRAME_F_STABLE)) {
            uint32_t parent = FRAME_NIL, at = root;
            bool left = false;
            while (at != FRAME_NIL) {
                parent = at;
                left = content_compare(frame_bytes(&f, MFN(n)), frame_bytes(&f, MFN(at))) < 0;
                at = left ? f.table[at].left : f.table[at].right;
            }
            frame_tree_link(&f, &root, n, parent, left);
            fr->flags |= FRAME_F_STABLE;
            in++;
        }
        assert_int_equal(audit_tree(&a, &g, root, FRAME_F_STABLE, true, true), in);
        assert_int_equal(a.violations, 0);
    }
    /* Torn down in any order, the links stay valid though the balance goes. */
    while (in > 0) {
        uint32_t n = frames[rnd_below(&r, N)];
        n = rnd_below(&r, 2) ? frame_tree_leaf(&f, root) : n;
        if (f.table[n].flags & FRAME_F_STABLE) {
            frame_tree_cut(&f, &root, n);
            f.table[n].flags &= (uint8_t)~FRAME_F_STABLE;
            in--;
            assert_int_equal(audit_tree(&a, &g, root, FRAME_F_STABLE, false, true), in);
        }
    }
    assert_int_equal(root, FRAME_NIL);
    assert_int_equal(a.violations, 0);
    fake_frames_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_add_up),
        cmocka_unit_test(test_last_put_and_last_unpin_free),
        cmocka_unit_test(test_reclaim_when_none_is_free),
        cmocka_unit_test(test_reclaimers_in_their_order),
        cmocka_unit_test(test_content_order_is_memcmp),
        cmocka_unit_test(test_tree_stays_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
