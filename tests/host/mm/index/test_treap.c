/* SPDX-License-Identifier: BSD-2-Clause */
/* Trees of frames by hash, where some have the same hash, against a plain array. */
#include "mm/index/treap.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "fake_p2m.h"

#define FRAMES 64u
#define DEPTH_MAX 64u

struct forest {
    struct frames f;
    uint32_t root;
    bool in[FRAMES];
};

/* Few enough that chains come about, and so far apart that orders of all kinds do. */
static uint64_t hash_at(uint32_t n, unsigned distinct)
{
    return (n * UINT64_C(0x9e3779b97f4a7c15) >> 32) % distinct * UINT64_C(0xd6e8feb86659fd93);
}

static unsigned model_chain(const struct forest *t, uint64_t hash)
{
    unsigned length = 0;

    for (uint32_t n = 0; n < FRAMES; n++) {
        length += t->in[n] && frame_hash(&t->f.table[n]) == hash;
    }
    return length;
}

/* Walks in order; returns how many nodes there are. */
static unsigned walk(const struct forest *t, uint32_t n, uint32_t *previous, unsigned depth)
{
    if (n == FRAME_NIL) {
        return 0;
    }
    const struct frame *fr = &t->f.table[n];
    assert_true(depth < DEPTH_MAX);
    assert_true(t->in[n]);
    assert_true(fr->left == FRAME_NIL || hash_tree_is_above(&t->f, n, fr->left));
    assert_true(fr->right == FRAME_NIL || hash_tree_is_above(&t->f, n, fr->right));
    unsigned nodes = walk(t, fr->left, previous, depth + 1);
    assert_true(*previous == FRAME_NIL || hash_tree_is_before(&t->f, *previous, n));
    *previous = n;
    return nodes + 1 + walk(t, fr->right, previous, depth + 1);
}

static void check(const struct forest *t)
{
    uint32_t previous = FRAME_NIL;
    unsigned nodes = walk(t, t->root, &previous, 0), want = 0;

    for (uint32_t n = 0; n < FRAMES; n++) {
        uint64_t hash = frame_hash(&t->f.table[n]);
        unsigned length = 0;
        want += t->in[n];
        for (uint32_t k = hash_tree_find(&t->f, t->root, hash), last = 0; k != FRAME_NIL;
             last = k, k = hash_tree_next(&t->f, k)) {
            assert_true(t->in[k] && frame_hash(&t->f.table[k]) == hash);
            assert_true(length == 0 || k > last);
            length++;
        }
        assert_int_equal(length, model_chain(t, hash));
        assert_true(length <= HASH_TREE_CHAIN);
    }
    assert_int_equal(nodes, want);
}

static void play(unsigned distinct, uint64_t seed)
{
    struct frame table[FRAMES];
    struct forest t = {.root = FRAME_NIL};
    struct rnd r = {seed};

    frames_init(&t.f, table, FRAMES, NULL);
    for (uint32_t n = 0; n < FRAMES; n++) {
        frame_set_hash(&table[n], hash_at(n, distinct));
    }
    for (unsigned i = 0; i < 600; i++) {
        uint32_t n = rnd_below(&r, FRAMES);
        if (t.in[n]) {
            hash_tree_erase(&t.f, &t.root, n);
            t.in[n] = false;
        } else {
            bool room = model_chain(&t, frame_hash(&table[n])) < HASH_TREE_CHAIN;
            assert_int_equal(hash_tree_insert(&t.f, &t.root, n), room);
            t.in[n] = room;
        }
        check(&t);
    }
}

static void test_against_an_array(void **state)
{
    (void)state;
    for (unsigned distinct = 1; distinct <= FRAMES; distinct *= 2) {
        for (uint64_t seed = 1; seed < 6; seed++) {
            play(distinct, seed);
        }
    }
}

/* The shape is that of what is in a tree, whatever came first. */
static void test_shape_is_of_the_content(void **state)
{
    struct frame tables[2][FRAMES];

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct forest t = {.root = FRAME_NIL};
        frames_init(&t.f, tables[k], FRAMES, NULL);
        for (uint32_t i = 0; i < FRAMES; i++) {
            uint32_t n = k == 0 ? i : FRAMES - 1 - i;
            frame_set_hash(&tables[k][n], hash_at(n, 20));
            assert_true(hash_tree_insert(&t.f, &t.root, n));
        }
    }
    assert_memory_equal(tables[0], tables[1], sizeof(tables[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_an_array),
        cmocka_unit_test(test_shape_is_of_the_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
