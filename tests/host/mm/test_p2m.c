/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's memory: first touch, copy-on-write with stale translations, pins, exhaustion, the door. */
#include "fake_p2m.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 16

/* Two VMs of one group, as small as can be. */
struct world {
    struct frames f;
    struct share_group g;
    struct fold fold;
    uint32_t roots[4096];
    struct fake_map map[2];
    struct p2m vm[2];
};

static void world_init(struct world *w, uint64_t frames)
{
    const struct p2m_slot run = {GFN(0), PAGES};

    memset(w, 0, sizeof(*w));
    fake_frames_init(&w->f, frames);
    assert_int_equal(share_group_init(&w->g, &w->f, "default", 1), OK);
    assert_true(fold_roots(w->f.count) <= sizeof(w->roots) / sizeof(w->roots[0]));
    fold_init(&w->fold, &w->f, NULL, &(struct random){.key = {1}}, w->roots);
    for (uint16_t i = 0; i < 2; i++) {
        fake_map_init(&w->map[i], &w->f, PAGES);
        assert_int_equal(p2m_init(&w->vm[i], &fake_map_ops, &w->map[i], &w->f, &w->g, i, &run, 1,
                                  w->map[i].regions),
                         OK);
        fold_attach(&w->fold, &w->vm[i]);
    }
}

static void world_check(struct world *w)
{
    struct p2m *const maps[] = {&w->vm[0], &w->vm[1]};
    struct share_group *const groups[] = {&w->g};

    fake_check(&w->f, maps, 2, groups, 1, &w->fold);
}

/* All of the machine's frames; the guards between them are nobody's. */
static uint64_t frames_in_all(const struct world *w)
{
    return w->f.count - w->f.by_state[FRAME_RESERVED];
}

static void world_fini(struct world *w)
{
    world_check(w);
    for (unsigned i = 0; i < 2; i++) {
        fold_detach(&w->fold, &w->vm[i]);
        p2m_drop_all(&w->vm[i]);
    }
    world_check(w);
    assert_int_equal(w->f.by_state[FRAME_FREE], frames_in_all(w) - 1);
    assert_int_equal(fold_forget(&w->fold, &w->g), OK);
    assert_int_equal(share_group_fini(&w->g, &w->f), OK);
    assert_int_equal(w->f.by_state[FRAME_FREE], frames_in_all(w));
    for (unsigned i = 0; i < 2; i++) {
        fake_map_fini(&w->map[i]);
    }
    fake_frames_fini(&w->f);
}

static uint8_t peek(struct world *w, unsigned vm, unsigned alias, uint64_t gfn)
{
    uint8_t b = 0;

    assert_int_equal(fake_guest_read(&w->vm[vm], 0, alias, GFN(gfn), 5, &b), OK);
    return b;
}

static void poke(struct world *w, unsigned vm, unsigned alias, uint64_t gfn, uint8_t b)
{
    assert_int_equal(fake_guest_write(&w->vm[vm], 0, alias, GFN(gfn), 5, b), OK);
}

static mfn_t frame_at(struct world *w, unsigned vm, uint64_t gfn)
{
    struct p2m_entry e;

    assert_int_equal(fake_map_ops.lookup(&w->map[vm], GFN(gfn), &e), OK);
    return e.mfn;
}

/* Folds until everything that can fold has. */
static void settle(struct world *w)
{
    uint64_t until = w->fold.full_scans + 3;

    while (w->fold.full_scans < until) {
        fold_step(&w->fold, 8, NULL);
    }
}

static void test_init_refuses_bad_runs(void **state)
{
    (void)state;
    struct p2m p;
    static struct p2m_region regions[(1 << 20) / P2M_REGION_PAGES + 1];
    const struct p2m_slot good[] = {{GFN(0), 160}, {GFN(256), 4096}, {GFN(1 << 20), 1}};
    const struct p2m_slot bad[][2] = {
        {{GFN(0), 0}, {GFN(5), 1}},          {{GFN(0), 5}, {GFN(5), 1}}, /* touching */
        {{GFN(9), 5}, {GFN(1), 1}},          {{GFN(0), 5}, {GFN(UINT64_MAX), 2}},
        {{GFN(0), 5}, {GFN(UINT32_MAX), 2}}, {{GFN(0), UINT64_MAX}, {GFN(5), 1}},
    };

    assert_int_equal(p2m_init(&p, &fake_map_ops, NULL, NULL, NULL, 1, good, 3, regions), OK);
    assert_int_equal(p.ram_pages, 160 + 4096 + 1);
    assert_true(p2m_is_ram(&p, GFN(159)));
    assert_false(p2m_is_ram(&p, GFN(160)));
    assert_false(p2m_is_ram(&p, GFN(255)));
    assert_true(p2m_is_ram(&p, GFN(256)));
    assert_false(p2m_is_ram(&p, GFN(UINT64_MAX)));
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(p2m_init(&p, &fake_map_ops, NULL, NULL, NULL, 1, bad[i], 2, regions),
                         E_INVAL);
    }
    assert_int_equal(p2m_init(&p, &fake_map_ops, NULL, NULL, NULL, 1, good, 0, regions), E_INVAL);
    assert_int_equal(p2m_init(&p, &fake_map_ops, NULL, NULL, NULL, 1, good, P2M_RUNS + 1, regions),
                     E_INVAL);
}

static void test_first_touch(void **state)
{
    (void)state;
    struct world w;

    world_init(&w, 8);
    assert_int_equal(peek(&w, 0, 0, 3), 0);
    assert_int_equal(w.vm[0].zero_maps, 1);
    assert_int_equal(w.f.by_state[FRAME_PRIVATE], 0);
    poke(&w, 0, 0, 3, 9);
    assert_int_equal(w.vm[0].zero_breaks, 1);
    poke(&w, 0, 0, 4, 8);
    assert_int_equal(w.vm[0].demand_zero, 1);
    assert_int_equal(w.vm[0].present, 2);
    assert_int_equal(w.f.by_state[FRAME_PRIVATE], 2);
    assert_int_equal(p2m_fault(&w.vm[0], GFN(4), true), OK); /* nothing to do */
    assert_int_equal(p2m_fault(&w.vm[0], GFN(PAGES), true), E_FAULT);
    assert_int_equal(p2m_fault(&w.vm[0], GFN(UINT64_MAX), false), E_FAULT);
    world_fini(&w);
}

/* The fault drops one linear address's translation; another one must not keep the old frame. */
static void test_alias_sees_the_write(void **state)
{
    (void)state;
    struct world w;

    world_init(&w, 8);
    assert_int_equal(peek(&w, 0, 1, 2), 0); /* alias 1 has the zero page cached */
    poke(&w, 0, 0, 2, 7);
    assert_int_equal(peek(&w, 0, 1, 2), 7);

    poke(&w, 1, 0, 9, 7);
    settle(&w);
    assert_int_equal(w.vm[0].shared_maps + w.vm[1].shared_maps, 2);
    assert_int_equal(peek(&w, 0, 0, 2), 7);
    assert_int_equal(peek(&w, 0, 1, 2), 7);
    poke(&w, 0, 0, 2, 1);
    assert_int_equal(w.vm[0].cow_breaks, 1);
    assert_int_equal(peek(&w, 0, 1, 2), 1);
    assert_int_equal(peek(&w, 1, 0, 9), 7);
    world_fini(&w);
}

/* Filling a hole or regaining a right needs no flush: the guest gets on without one. */
static void test_no_needless_flush(void **state)
{
    (void)state;
    struct world w;

    world_init(&w, 8);
    poke(&w, 0, 0, 1, 3);
    assert_int_equal(peek(&w, 0, 0, 2), 0);
    fake_map_ops.protect(&w.map[0], GFN(1));
    fake_map_ops.flush(&w.map[0]);
    assert_int_equal(peek(&w, 0, 0, 1), 3);
    poke(&w, 0, 0, 1, 4);
    assert_int_equal(w.map[0].flushes, 1);
    assert_int_equal(peek(&w, 0, 0, 1), 4);
    world_fini(&w);
}

static void test_last_holder_takes_over(void **state)
{
    (void)state;
    struct world w;

    world_init(&w, 8);
    poke(&w, 0, 0, 0, 7);
    poke(&w, 1, 0, 0, 7);
    settle(&w);
    mfn_t shared = frame_at(&w, 0, 0);
    assert_int_equal(shared.n, frame_at(&w, 1, 0).n);
    assert_int_equal(frame_of(&w.f, shared)->refs, 2);

    poke(&w, 1, 0, 0, 8);
    world_check(&w);
    assert_int_equal(frame_of(&w.f, shared)->state, FRAME_SHARED); /* stays stable */
    assert_int_equal(w.fold.stable, 1);
    uint64_t flushes = w.map[0].flushes;
    poke(&w, 0, 0, 0, 9);
    assert_int_equal(w.vm[0].takeovers, 1);
    assert_int_equal(w.map[0].flushes, flushes);
    assert_int_equal(frame_at(&w, 0, 0).n, shared.n);
    assert_int_equal(frame_of(&w.f, shared)->state, FRAME_PRIVATE);
    assert_int_equal(w.fold.stable, 0);
    world_fini(&w);
}

/* VM 0's disk write reads the shared frame; VM 1, now its last holder, must not change it. */
static void test_pinned_shared_frame_is_not_taken_over(void **state)
{
    (void)state;
    struct world w;
    mfn_t pinned;

    world_init(&w, 8);
    poke(&w, 0, 0, 0, 7);
    poke(&w, 1, 0, 0, 7);
    settle(&w);
    assert_int_equal(p2m_get_read(&w.vm[0], GFN(0), &pinned), OK);
    poke(&w, 0, 0, 0, 1);
    poke(&w, 1, 0, 0, 2);
    assert_int_equal(((uint8_t *)frame_bytes(&w.f, pinned))[5], 7);
    assert_int_equal(frame_of(&w.f, pinned)->refs, 0);
    assert_int_equal(w.fold.stable, 0);
    world_check(&w);
    p2m_put(&w.vm[0], pinned);
    assert_int_equal(frame_of(&w.f, pinned)->state, FRAME_FREE);
    assert_int_equal(peek(&w, 0, 0, 0), 1);
    assert_int_equal(peek(&w, 1, 0, 0), 2);
    world_fini(&w);
}

static void test_pins_of_others_cannot_be_used_up(void **state)
{
    (void)state;
    struct world w;
    mfn_t m, shared;
    unsigned pins = 0;

    world_init(&w, 8);
    poke(&w, 0, 0, 0, 7);
    poke(&w, 1, 0, 0, 7);
    settle(&w);
    shared = frame_at(&w, 0, 0);
    while (p2m_get_read(&w.vm[0], GFN(0), &m) == OK) {
        pins++;
        assert_true(pins < 3 * FRAME_PINS_MAX);
    }
    assert_int_equal(pins, FRAME_PINS_MAX / 2 + FRAME_PINS_MAX);
    assert_int_equal(p2m_get_read(&w.vm[0], GFN(0), &m), E_BUSY);
    assert_int_equal(p2m_get_read(&w.vm[1], GFN(0), &m), OK); /* takes over or copies, but works */
    p2m_put(&w.vm[1], m);
    world_check(&w);
    mfn_t own = frame_at(&w, 0, 0);
    while (frame_of(&w.f, own)->pins > 0) {
        p2m_put(&w.vm[0], own);
    }
    while (frame_of(&w.f, shared)->pins > 0) {
        p2m_put(&w.vm[0], shared);
    }
    /* The zero page is everybody's, and counts no pins at all. */
    for (unsigned i = 0; i < 2 * FRAME_PINS_MAX; i++) {
        assert_int_equal(p2m_get_read(&w.vm[0], GFN(8), &m), OK);
    }
    world_fini(&w);
}

static void test_out_of_frames_changes_nothing(void **state)
{
    (void)state;
    struct world w;
    mfn_t m;

    world_init(&w, 4); /* a zero page, and for each VM its notes; one is left */
    assert_int_equal(p2m_fault(&w.vm[1], GFN(3), false), OK);
    poke(&w, 0, 0, 0, 1);
    assert_int_equal(peek(&w, 0, 0, 1), 0);
    assert_int_equal(p2m_fault(&w.vm[0], GFN(1), true), E_NOMEM);
    assert_int_equal(p2m_fault(&w.vm[0], GFN(2), true), E_NOMEM);
    assert_int_equal(p2m_get_write(&w.vm[1], GFN(2), &m), E_NOMEM);
    assert_int_equal(p2m_fault(&w.vm[0], GFN(2), false), OK); /* the zero page costs nothing */
    world_check(&w);
    w.map[1].fail_after = 0; /* no table page either */
    assert_int_equal(p2m_fault(&w.vm[1], GFN(2), false), E_NOMEM);
    fold_detach(&w.fold, &w.vm[0]);
    p2m_drop_all(&w.vm[0]);
    assert_int_equal(p2m_fault(&w.vm[1], GFN(2), true), E_NOMEM);
    assert_int_equal(w.f.by_state[FRAME_FREE], 2);
    w.map[1].fail_after = UINT64_MAX;
    assert_int_equal(p2m_fault(&w.vm[1], GFN(2), true), OK);
    world_fini(&w);
}

static void test_drop_is_bounded_and_respects_pins(void **state)
{
    (void)state;
    struct world w;
    mfn_t m;

    world_init(&w, 24);
    for (uint64_t g = 0; g < PAGES; g++) {
        poke(&w, 0, 0, g, (uint8_t)(g + 1));
    }
    assert_int_equal(p2m_get_write(&w.vm[0], GFN(3), &m), OK);
    fold_detach(&w.fold, &w.vm[0]);
    unsigned rounds = 1;
    while (p2m_drop_some(&w.vm[0], 5, NULL)) {
        rounds++;
        world_check(&w);
    }
    assert_int_equal(rounds, 4);
    assert_int_equal(w.f.by_state[FRAME_PRIVATE], 1); /* a device still writes to it */
    ((uint8_t *)frame_bytes(&w.f, m))[0] = 1;
    p2m_put(&w.vm[0], m);
    world_fini(&w);
}

static uint64_t walked;

static enum status counting_next(void *ctx, gfn_t from, gfn_t end, gfn_t *at, struct p2m_entry *out)
{
    enum status s = fake_map_ops.next(ctx, from, end, at, out);

    walked += (s == OK ? at->n + 1 : end.n) - from.n;
    return s;
}

/* What has been dropped is not walked over again in each step. */
static void test_drop_walks_the_map_once(void **state)
{
    (void)state;
    struct p2m_ops ops = fake_map_ops;
    struct p2m_slot run = {GFN(0), 1024};
    struct fake_map map;
    struct world w;
    struct p2m vm;

    world_init(&w, 2048);
    ops.next = counting_next;
    fake_map_init(&map, &w.f, run.pages);
    assert_int_equal(p2m_init(&vm, &ops, &map, &w.f, &w.g, 7, &run, 1, map.regions), OK);
    for (uint64_t g = 0; g < run.pages; g++) {
        assert_int_equal(p2m_fault(&vm, GFN(g), g % 2), OK);
    }
    walked = 0;
    assert_true(p2m_drop_some(&vm, 1000, NULL));
    assert_int_equal(p2m_fault(&vm, GFN(3), true), OK); /* touched again behind it */
    while (p2m_drop_some(&vm, 1, NULL)) {
    }
    assert_int_equal(vm.present, 0);
    assert_in_range(walked, run.pages, 3 * run.pages);
    assert_int_equal(p2m_fault(&vm, GFN(9), true), OK);
    p2m_drop_all(&vm);
    fake_map_fini(&map);
    world_fini(&w);
}

static uint64_t lookups;

static enum status counting_lookup(void *ctx, gfn_t gfn, struct p2m_entry *out)
{
    lookups++;
    return fake_map_ops.lookup(ctx, gfn, out);
}

/* A walk of the tables is what an access costs: each takes one, whatever it finds. */
static void test_one_lookup_an_access(void **state)
{
    (void)state;
    struct p2m_ops ops = fake_map_ops;
    struct world w;
    mfn_t m;

    world_init(&w, 1024);
    ops.lookup = counting_lookup;
    w.vm[0].ops = &ops;
    for (unsigned i = 0; i < 5; i++) {
        /* a hole that is read, its zero page written to, a hole that is written, the same again */
        static const struct {
            uint64_t gfn;
            bool write;
        } access[] = {{1, false}, {1, true}, {2, true}, {2, true}, {2, false}};

        lookups = 0;
        assert_int_equal(access[i].write ? p2m_get_write(&w.vm[0], GFN(access[i].gfn), &m)
                                         : p2m_get_read(&w.vm[0], GFN(access[i].gfn), &m),
                         OK);
        assert_int_equal(lookups, 1);
        p2m_put(&w.vm[0], m);
        lookups = 0;
        assert_int_equal(p2m_fault(&w.vm[0], GFN(access[i].gfn + 4), access[i].write), OK);
        assert_int_equal(lookups, 1);
    }
    w.vm[0].ops = &fake_map_ops;
    world_fini(&w);
}

static void test_log_of_many_regions(void **state)
{
    (void)state;
    struct p2m_slot run = {GFN(0), 1600};
    uint64_t bits[4 * P2M_REGION_WORDS], sum = 0;
    struct p2m_log log = {.bits = bits};
    struct fake_map map;
    struct world w;
    struct p2m vm;

    world_init(&w, 64);
    fake_map_init(&map, &w.f, run.pages);
    assert_int_equal(p2m_init(&vm, &fake_map_ops, &map, &w.f, &w.g, 7, &run, 1, map.regions), OK);
    assert_int_equal(fake_guest_write(&vm, 0, 0, GFN(700), 0, 1), OK);
    assert_int_equal(fake_guest_write(&vm, 0, 0, GFN(1599), 0, 1), OK);
    assert_int_equal(p2m_log_join(&vm, &log), OK);
    assert_true(bits[24] == UINT64_MAX && bits[25] == 0); /* all that is RAM */
    p2m_log_collect(&vm);
    memset(bits, 0, sizeof(bits));
    assert_int_equal(fake_guest_write(&vm, 0, 0, GFN(700), 0, 2), OK);  /* by its dirty bit */
    assert_int_equal(fake_guest_write(&vm, 0, 0, GFN(1030), 0, 2), OK); /* by its fault */
    p2m_log_collect(&vm);
    for (unsigned i = 0; i < 4 * P2M_REGION_WORDS; i++) {
        sum += (unsigned)__builtin_popcountll(bits[i]);
    }
    assert_int_equal(sum, 2);
    assert_true(bits[700 / 64] >> 700 % 64 & 1 && bits[1030 / 64] >> 1030 % 64 & 1);
    p2m_log_leave(&vm, &log);
    p2m_drop_all(&vm);
    fake_map_fini(&map);
    world_fini(&w);
}

static void test_door_copies_across_pages(void **state)
{
    (void)state;
    struct world w;
    uint8_t out[3 * PAGE_SIZE], in[3 * PAGE_SIZE];

    world_init(&w, 24);
    for (unsigned i = 0; i < sizeof(out); i++) {
        out[i] = (uint8_t)(i * 31 + i / 256);
    }
    poke(&w, 0, 0, 1, 7);
    poke(&w, 1, 0, 1, 7);
    settle(&w);
    assert_int_equal(p2m_write(&w.vm[0], GPA(PAGE_SIZE - 3), out, sizeof(out)), OK);
    assert_int_equal(p2m_read(&w.vm[0], GPA(PAGE_SIZE - 3), in, sizeof(in)), OK);
    assert_memory_equal(in, out, sizeof(out));
    assert_int_equal(peek(&w, 1, 0, 1), 7); /* the other VM's page did not change */
    uint64_t present = w.vm[1].present;
    assert_int_equal(p2m_read(&w.vm[1], GPA(9 * PAGE_SIZE), in, sizeof(in)), OK);
    assert_int_equal(in[17], 0);
    assert_int_equal(w.vm[1].present, present); /* holes read as zeroes and stay holes */

    const uint64_t end = (uint64_t)PAGES * PAGE_SIZE;
    assert_int_equal(p2m_write(&w.vm[0], GPA(end - 1), out, 1), OK);
    assert_int_equal(p2m_write(&w.vm[0], GPA(end - 1), out, 2), E_FAULT);
    assert_int_equal(p2m_read(&w.vm[0], GPA(end), in, 1), E_FAULT);
    assert_int_equal(p2m_read(&w.vm[0], GPA(UINT64_MAX), in, 2), E_FAULT); /* no wrap to 0 */
    assert_int_equal(p2m_write(&w.vm[0], GPA(UINT64_MAX - 5), out, 20), E_FAULT);
    assert_int_equal(p2m_read(&w.vm[0], GPA(UINT64_MAX), in, 0), OK);
    world_fini(&w);
}

/* A zero page in common: the same frame for both groups, counted for each, freed by its owner. */
static void test_zero_page_across_groups(void **state)
{
    (void)state;
    struct world w;
    struct share_group other;
    struct fake_map map;
    struct p2m p;
    const struct p2m_slot run = {GFN(0), 4};
    uint8_t byte;

    world_init(&w, 24);
    uint64_t free_frames = w.f.by_state[FRAME_FREE];
    assert_int_equal(share_group_init(&other, &w.f, "other", 2), OK);
    share_group_join_zero(&other, &w.f, &w.g);
    assert_int_equal(w.f.by_state[FRAME_FREE], free_frames);
    assert_int_equal(w.f.by_state[FRAME_ZERO], 1);
    fake_map_init(&map, &w.f, 4);
    assert_int_equal(p2m_init(&p, &fake_map_ops, &map, &w.f, &other, 7, &run, 1, map.regions), OK);
    assert_int_equal(fake_guest_read(&p, 0, 0, GFN(1), 0, &byte), OK);
    assert_int_equal(byte, 0);
    assert_int_equal(map.entries[1].mfn.n, w.g.zero.n);
    assert_int_equal(other.zero_maps, 1);
    assert_int_equal(w.g.zero_maps, 0);
    assert_int_equal(share_group_fini(&other, &w.f), E_BUSY);
    assert_int_equal(share_group_fini(&w.g, &w.f), E_BUSY); /* it is lent */
    /* A write gives a frame of its own, and what others read stays zero. */
    assert_int_equal(fake_guest_write(&p, 0, 0, GFN(1), 9, 5), OK);
    assert_int_not_equal(map.entries[1].mfn.n, w.g.zero.n);
    assert_int_equal(other.zero_breaks, 1);
    assert_int_equal(((uint8_t *)frame_bytes(&w.f, w.g.zero))[9], 0);
    p2m_drop_all(&p);
    fake_map_fini(&map);
    assert_int_equal(share_group_fini(&other, &w.f), OK);
    assert_int_equal(w.f.by_state[FRAME_ZERO], 1);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_page_across_groups),
        cmocka_unit_test(test_init_refuses_bad_runs),
        cmocka_unit_test(test_first_touch),
        cmocka_unit_test(test_alias_sees_the_write),
        cmocka_unit_test(test_no_needless_flush),
        cmocka_unit_test(test_last_holder_takes_over),
        cmocka_unit_test(test_pinned_shared_frame_is_not_taken_over),
        cmocka_unit_test(test_pins_of_others_cannot_be_used_up),
        cmocka_unit_test(test_out_of_frames_changes_nothing),
        cmocka_unit_test(test_drop_is_bounded_and_respects_pins),
        cmocka_unit_test(test_drop_walks_the_map_once),
        cmocka_unit_test(test_one_lookup_an_access),
        cmocka_unit_test(test_log_of_many_regions),
        cmocka_unit_test(test_door_copies_across_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
