/* SPDX-License-Identifier: BSD-2-Clause */
/* The tests' own frames: guards and free ones are poisoned, the others are not. */
#include "arena.h"

#include "base/bits.h"
#include "fake_p2m.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sanitizer/asan_interface.h>

#define FIRST 3u
#define COUNT 10u

static bool is_poisoned(const struct frames *f, uint64_t n)
{
    uint8_t *bytes = frame_bytes(f, MFN(n));

    assert_int_equal(__asan_address_is_poisoned(bytes),
                     __asan_address_is_poisoned(bytes + PAGE_SIZE - 1));
    return __asan_address_is_poisoned(bytes);
}

/* Every run of frames has a guard at either end. */
static void test_guards(void **state)
{
    (void)state;
    for (unsigned run = 0; run <= COUNT; run++) {
        uint64_t places = arena_places(COUNT, run), total = FIRST + places + 1;
        struct frame *table = calloc(total, sizeof(*table));
        uint8_t *window = aligned_alloc(PAGE_SIZE, total * PAGE_SIZE);
        struct frames f;
        unsigned n = 0, in_a_row = 0;
        mfn_t mfn;

        frames_init(&f, table, total, window);
        arena_add(&f, FIRST, COUNT, run);
        assert_int_equal(f.by_state[FRAME_FREE], COUNT);
        while (frames_alloc(&f, FRAME_HYP, &mfn) == OK) {
            assert_true(mfn.n >= FIRST && mfn.n < FIRST + places);
            n++;
        }
        assert_int_equal(n, COUNT);
        for (uint64_t i = FIRST; i < FIRST + places; i++) {
            assert_int_equal(is_poisoned(&f, i), table[i].state == FRAME_RESERVED);
            in_a_row = table[i].state == FRAME_RESERVED ? 0 : in_a_row + 1;
            assert_true(run == 0 || in_a_row <= run);
        }
        assert_true(run == 0 || (is_poisoned(&f, FIRST) && is_poisoned(&f, FIRST + places - 1)));
        assert_false(is_poisoned(&f, FIRST - 1) || is_poisoned(&f, FIRST + places));
        arena_guard(&f, MFN(0));
        assert_true(is_poisoned(&f, 0));
        arena_end(&f);
        for (uint64_t i = 0; i < total; i++) {
            assert_false(is_poisoned(&f, i));
        }
        free(window);
        free(table);
    }
}

/* A frame is poisoned from the moment that it is let go, whatever it was. */
static void test_free_frames(void **state)
{
    struct frames f;
    mfn_t hyp, page, pinned;

    (void)state;
    fake_frames_init(&f, 3);
    assert_int_equal(frames_alloc(&f, FRAME_HYP, &hyp), OK);
    assert_int_equal(frames_alloc(&f, FRAME_PRIVATE, &page), OK);
    assert_int_equal(frames_alloc(&f, FRAME_PRIVATE, &pinned), OK);
    memset(frame_bytes(&f, hyp), 1, PAGE_SIZE);
    frames_free(&f, hyp);
    assert_true(is_poisoned(&f, hyp.n));
    frames_get(&f, page);
    frames_put(&f, page);
    assert_false(is_poisoned(&f, page.n));
    frames_put(&f, page);
    assert_true(is_poisoned(&f, page.n));
    frames_pin(&f, pinned);
    frames_put(&f, pinned);
    assert_false(is_poisoned(&f, pinned.n));
    frames_unpin(&f, pinned);
    assert_true(is_poisoned(&f, pinned.n));
    assert_int_equal(frames_alloc(&f, FRAME_HYP, &hyp), OK);
    assert_false(is_poisoned(&f, hyp.n));
    frames_free(&f, hyp);
    fake_frames_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guards),
        cmocka_unit_test(test_free_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
