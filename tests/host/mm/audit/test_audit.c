/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit finds each kind of corruption, says so in words, and survives all of them. */
#include "base/bits.h"
#include "mm/index/treap.h"
#include "world.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINES 64

struct scene {
    struct world w;
    char lines[LINES][160];
    unsigned n_lines;
    mfn_t shared, private, zero, spare, unstable;
    mfn_t ghost; /* a frame that the cache claims to hold */
    bool has_ghost;
};

static void keep_line(void *ctx, const char *line)
{
    struct scene *s = ctx;

    assert_true(s->n_lines < LINES);
    strncpy(s->lines[s->n_lines++], line, sizeof(s->lines[0]) - 1);
}

static void ghost_refs(void *ctx, struct yield *y, void (*found)(void *arg, mfn_t mfn), void *arg)
{
    (void)y;
    struct scene *s = ctx;

    if (s->has_ghost) {
        found(arg, s->ghost);
    }
}

static unsigned audit_yielding(struct scene *s, struct yield *yield)
{
    struct world *w = &s->w;
    struct p2m *const maps[] = {&w->vms[0].p2m, &w->vms[1].p2m, &w->vms[2].p2m, &w->vms[3].p2m};
    struct share_group *const groups[] = {&w->groups[0], &w->groups[1]};
    struct audit a = {
        .frames = &w->f,
        .maps = maps,
        .n_maps = 4,
        .groups = groups,
        .n_groups = 2,
        .fold = &w->fold,
        .scratch = malloc(w->f.count * sizeof(uint32_t)),
        .others = ghost_refs,
        .others_ctx = s,
        .yield = yield,
        .report = keep_line,
        .report_ctx = s,
    };

    s->n_lines = 0;
    memset(s->lines, 0, sizeof(s->lines));
    unsigned n = audit_run(&a);
    free(a.scratch);
    assert_int_equal(s->n_lines, MIN(n, (unsigned)AUDIT_LINES_MAX));
    return n;
}

static unsigned audit(struct scene *s)
{
    return audit_yielding(s, NULL);
}

static struct fake_slot *slot(struct scene *s, unsigned vm, unsigned gfn)
{
    return &s->w.vms[vm].map.entries[gfn];
}

/* VMs with zero pages (gfn 0), private pages (2..5), and two shared frames (gfns 1 and 6); in the
 * middle of a pass, with an unstable index that is not empty. */
static void scene_init(struct scene *s, bool by_hash)
{
    static const uint8_t create[] = {10,       0, 0, 0, 10 | 64,  0, 0, 0,
                                     10 | 128, 0, 0, 0, 10 | 192, 0, 0, 0};
    struct world *w = &s->w;
    uint8_t page[PAGE_SIZE];

    memset(s, 0, sizeof(*s));
    world_init(w, 64);
    struct fold_switches to = w->fold.on;
    to.index = by_hash ? FOLD_HASH : FOLD_TREE;
    to.volatility = FOLD_CHECKSUM;
    fold_switch(&w->fold, &to);
    world_run(w, create, sizeof(create), 1);
    for (unsigned vm = 0; vm < 4; vm++) {
        w->vms[vm].map.race = NULL;
        for (unsigned g = 1; g < 7; g++) {
            memset(page, g == 1 ? 0xEE : g == 6 ? 0xDD : (int)(vm * 8 + g), PAGE_SIZE);
            assert_int_equal(p2m_write(&w->vms[vm].p2m, GPA(g * PAGE_SIZE), page, PAGE_SIZE), OK);
        }
    }
    while (w->fold.full_scans < 2 || w->fold.unstable < 12 || w->fold.phase != FOLD_SCAN) {
        fold_step(&w->fold, 1, NULL);
    }
    s->shared = slot(s, 0, 1)->mfn;
    s->private = slot(s, 0, 2)->mfn;
    s->unstable = slot(s, 0, 3)->mfn;
    s->zero = slot(s, 0, 0)->mfn;
    s->spare = MFN(w->f.free_head);
    assert_int_equal(frame_of(&w->f, s->shared)->state, FRAME_SHARED);
    assert_true(frame_of(&w->f, s->unstable)->flags & FRAME_F_UNSTABLE);
    assert_int_equal(audit(s), 0);
}

#define FRAME(s, which) frame_of(&(s)->w.f, (s)->which)

/* ---- the corruptions ----------------------------------------------------------------------- */

static void writable_shared(struct scene *s)
{
    slot(s, 1, 1)->writable = true;
}
static void writable_zero(struct scene *s)
{
    slot(s, 1, 0)->writable = true;
}
static void too_many_refs(struct scene *s)
{
    FRAME(s, shared)->refs++;
}
static void too_few_refs(struct scene *s)
{
    FRAME(s, shared)->refs--;
}
static void private_twice(struct scene *s)
{
    *slot(s, 1, 2) = *slot(s, 0, 2);
}
static void wrong_owner(struct scene *s)
{
    FRAME(s, private)->gfn++;
}
static void wrong_vm(struct scene *s)
{
    FRAME(s, private)->vm++;
}
static void maps_free_frame(struct scene *s)
{
    slot(s, 0, 2)->mfn = s->spare;
}
static void maps_no_frame(struct scene *s)
{
    slot(s, 0, 2)->mfn = MFN(1 << 30);
}
static void maps_hypervisor(struct scene *s)
{
    s->w.f.by_state[FRAME_PRIVATE]--;
    s->w.f.by_state[FRAME_HYP]++;
    FRAME(s, private)->state = FRAME_HYP;
}
static void state_out_of_range(struct scene *s)
{
    FRAME(s, spare)->state = 77;
}
static void miscounted_states(struct scene *s)
{
    s->w.f.by_state[FRAME_FREE]--;
    s->w.f.by_state[FRAME_HYP]++;
}
static void lost_frame(struct scene *s)
{
    s->w.f.by_state[FRAME_RESERVED]++;
}
static void free_list_cycle(struct scene *s)
{
    FRAME(s, spare)->left = (uint32_t)s->spare.n;
}
static void free_list_wild(struct scene *s)
{
    FRAME(s, spare)->left = 0x12345678;
}
static void free_list_short(struct scene *s)
{
    FRAME(s, spare)->left = FRAME_NIL;
}
static void free_list_used_frame(struct scene *s)
{
    FRAME(s, spare)->left = (uint32_t)s->private.n;
}
static void pins_miscounted(struct scene *s)
{
    s->w.f.pinned++;
}
static void other_group(struct scene *s)
{
    *slot(s, 3, 1) = *slot(s, 0, 1);
}
static void other_zero(struct scene *s)
{
    slot(s, 3, 0)->mfn = s->zero;
}
static void zero_in_common(struct scene *s)
{
    s->w.groups[1].zero = s->w.groups[0].zero;
}
static void zero_not_the_lenders(struct scene *s)
{
    s->w.groups[1].zero_lender = &s->w.groups[0];
    s->w.groups[0].zero_borrowers = 1;
}
static void borrowers_miscounted(struct scene *s)
{
    s->w.groups[0].zero_borrowers++;
}
static void dirty_zero(struct scene *s)
{
    ((uint8_t *)frame_bytes(&s->w.f, s->zero))[4095] = 1;
}
static void outside_ram(struct scene *s)
{
    *slot(s, 0, WORLD_PAGES / 2) = *slot(s, 0, 0);
}
static void vm_counter(struct scene *s)
{
    s->w.vms[2].p2m.shared_maps--;
}
static void group_counter(struct scene *s)
{
    s->w.groups[0].zero_maps++;
}
static void gone_miscounted(struct scene *s)
{
    s->w.f.shared_gone++;
}
static void new_in_index(struct scene *s)
{
    FRAME(s, shared)->flags |= FRAME_F_UNSCANNED;
}
static void new_private(struct scene *s)
{
    FRAME(s, private)->flags |= FRAME_F_UNSCANNED;
}
static void same_number(struct scene *s)
{
    s->w.vms[2].p2m.vm = 1;
}
static void stable_order(struct scene *s)
{
    uint8_t *bytes = frame_bytes(&s->w.f, s->shared);
    bytes[0] = bytes[0] == 0xEE ? 0x01 : 0xFF;
}
static void stable_duplicate(struct scene *s)
{
    memcpy(frame_bytes(&s->w.f, s->shared), frame_bytes(&s->w.f, slot(s, 0, 6)->mfn), PAGE_SIZE);
}
static void root_lost(struct scene *s)
{
    s->w.groups[0].stable_root = FRAME_NIL;
}
static void root_wild(struct scene *s)
{
    s->w.groups[0].unstable_root = 0xABCDEF01;
}
static void root_red(struct scene *s)
{
    frame_of(&s->w.f, MFN(s->w.groups[0].stable_root))->flags |= FRAME_F_RED;
}
static void all_black(struct scene *s)
{
    for (uint64_t i = 0; i < s->w.f.count; i++) {
        s->w.f.table[i].flags &= (uint8_t)~FRAME_F_RED;
    }
}
static void link_wild(struct scene *s)
{
    struct frame *root = frame_of(&s->w.f, MFN(s->w.groups[0].unstable_root));
    root->left = 0x7FFFFFFF;
}
static void link_cycle(struct scene *s)
{
    struct frame *root = frame_of(&s->w.f, MFN(s->w.groups[0].unstable_root));
    frame_of(&s->w.f, MFN(root->left))->left = s->w.groups[0].unstable_root;
}
static void link_twice(struct scene *s)
{
    struct frame *root = frame_of(&s->w.f, MFN(s->w.groups[0].unstable_root));
    root->right = root->left;
}
static void flag_lost(struct scene *s)
{
    FRAME(s, unstable)->flags &= (uint8_t)~FRAME_F_UNSTABLE;
}
static void flag_false(struct scene *s)
{
    FRAME(s, spare)->flags |= FRAME_F_STABLE;
}
static void wrong_group_in_tree(struct scene *s)
{
    FRAME(s, unstable)->group = 1;
}
static struct frame *hash_root(struct scene *s)
{
    for (unsigned i = 0; i < s->w.fold.n_roots; i++) {
        struct frame *root = frame_of(&s->w.f, MFN(s->w.fold.roots[i]));
        if (s->w.fold.roots[i] != FRAME_NIL && root->left != FRAME_NIL &&
            root->right != FRAME_NIL) {
            return root;
        }
    }
    fail_msg("no tree of three nodes");
    return NULL;
}
static void hash_content(struct scene *s)
{
    ((uint8_t *)frame_bytes(&s->w.f, s->shared))[77] ^= 1;
}
static void hash_order(struct scene *s)
{
    struct frame *root = hash_root(s);
    uint32_t left = root->left;
    root->left = root->right;
    root->right = left;
}
static void hash_priority(struct scene *s)
{
    struct frame *root = hash_root(s);
    uint32_t n = (uint32_t)(root - s->w.f.table);
    while (hash_tree_is_above(&s->w.f, n, root->left)) {
        frame_set_hash(root, frame_hash(root) + 1);
    }
}
static void hash_root_lost(struct scene *s)
{
    for (unsigned i = 0; i < s->w.fold.n_roots; i++) {
        s->w.fold.roots[i] = FRAME_NIL;
    }
}
static void hash_link_wild(struct scene *s)
{
    hash_root(s)->left = 0x7FFFFFFF;
}
static void hash_link_cycle(struct scene *s)
{
    frame_of(&s->w.f, MFN(hash_root(s)->left))->left = (uint32_t)(hash_root(s) - s->w.f.table);
}
static void hash_flag_lost(struct scene *s)
{
    FRAME(s, unstable)->flags &= (uint8_t)~FRAME_F_HASHED;
}
static void hash_group(struct scene *s)
{
    FRAME(s, unstable)->group = 1;
}
static void hash_wrong_tree(struct scene *s)
{
    uint32_t *roots = s->w.fold.roots, first = roots[0];

    roots[0] = roots[1];
    roots[1] = first;
}
static void indexed_miscounted(struct scene *s)
{
    s->w.groups[0].indexed++;
}
static void left_out_miscounted(struct scene *s)
{
    s->w.fold.left_out++;
}
static void cache_ghost(struct scene *s)
{
    s->has_ghost = true;
    s->ghost = s->private;
}
static void cache_wild(struct scene *s)
{
    s->has_ghost = true;
    s->ghost = MFN(UINT64_MAX);
}
static void cache_lost(struct scene *s)
{
    /* The cache forgets a frame that it has: a reference that nobody holds. */
    mfn_t m;
    assert_int_equal(frames_alloc(&s->w.f, FRAME_CACHE_ONLY, &m), OK);
}

static const struct corruption {
    const char *words; /* in the first line that is told */
    void (*damage)(struct scene *s);
} corruptions[] = {
    {"writes to frame", writable_shared},
    {"writes to frame", writable_zero},
    {"references, found", too_many_refs},
    {"references, found", too_few_refs},
    {"owns at gfn", private_twice},
    {"owns at gfn", wrong_owner},
    {"owns at gfn", wrong_vm},
    {"which is free", maps_free_frame},
    {"does not exist", maps_no_frame},
    {"which is hypervisor", maps_hypervisor},
    {"has the state 77", state_out_of_range},
    {"frames are free, counted", miscounted_states},
    {"frames are reserved, counted", lost_frame},
    {"free list", free_list_cycle},
    {"free list", free_list_wild},
    {"free list", free_list_short},
    {"free list", free_list_used_frame},
    {"are pinned, counted", pins_miscounted},
    {"have only pins left, counted", gone_miscounted},
    {"index flags", new_in_index},
    {"index flags", new_private},
    {"of share group 0", other_group},
    {"another group's zero page", other_zero},
    {"have the same zero page", zero_in_common},
    {"is not the one that it uses in common", zero_not_the_lenders},
    {"groups that use its zero page", borrowers_miscounted},
    {"its zero page is none", dirty_zero},
    {"is no memory of it", outside_ram},
    {"present/zero/shared", vm_counter},
    {"zero/shared entries", group_counter},
    {"which vm 2 owns", same_number},
    {"order of content", stable_order},
    {"order of content", stable_duplicate},
    {"say that they are indexed", root_lost},
    {"does not exist", root_wild},
    {"red", root_red},
    {"black tree nodes", all_black},
    {"does not exist", link_wild},
    {"tree parent is", link_cycle},
    {"both its tree children", link_twice},
    {"not flagged", flag_lost},
    {"index flags", flag_false},
    {"says group 1", wrong_group_in_tree},
    {"references, found", cache_ghost},
    {"does not exist", cache_wild},
    {"references, found 0", cache_lost},
};

/* With the indexes in the order of hashes. */
static const struct corruption hash_corruptions[] = {
    {"another hash than it says", hash_content},
    {"not in the order of hashes", hash_order},
    {"lower priority", hash_priority},
    {"say that they are indexed", hash_root_lost},
    {"does not exist", hash_link_wild},
    {"lower priority", hash_link_cycle},
    {"by hash but not flagged", hash_flag_lost},
    {"not in the order of hashes", hash_wrong_tree},
    {"indexed frames, there are", indexed_miscounted},
    {"says group 1", hash_group},
    {"and not 0, counted", left_out_miscounted},
};

static void each_is_found(const struct corruption *what, size_t n_what, bool by_hash)
{
    for (size_t i = 0; i < n_what; i++) {
        struct scene *s = malloc(sizeof(*s));

        assert_non_null(s);
        scene_init(s, by_hash);
        what[i].damage(s);
        unsigned n = audit(s);
        if (n == 0) {
            fail_msg("corruption %zu (%s) was not found", i, what[i].words);
        }
        bool told = false;
        for (unsigned k = 0; k < s->n_lines; k++) {
            told |= strstr(s->lines[k], what[i].words) != NULL;
        }
        if (!told) {
            fail_msg("corruption %zu: \"%s\" instead of \"%s\"", i, s->lines[0], what[i].words);
        }
        /* Not taken down in order: the state is broken. Only its memory is given back. */
        for (unsigned v = 0; v < WORLD_VMS; v++) {
            fake_map_fini(&s->w.vms[v].map);
            free(s->w.vms[v].oracle);
        }
        fake_frames_fini(&s->w.f);
        free(s->w.cache_mem);
        free(s);
    }
}

static void test_each_corruption_is_found(void **state)
{
    (void)state;
    each_is_found(corruptions, ARRAY_LEN(corruptions), false);
    each_is_found(hash_corruptions, ARRAY_LEN(hash_corruptions), true);
}

/* Random damage to the frame table: found or harmless, but never a fault or an endless loop. */
static void test_random_damage_is_survived(void **state)
{
    (void)state;
    struct rnd r = {99};

    for (unsigned i = 0; i < 400; i++) {
        struct scene *s = malloc(sizeof(*s));

        assert_non_null(s);
        scene_init(s, true);
        for (unsigned k = 0; k < 1 + i % 8; k++) {
            uint8_t *table = (uint8_t *)s->w.f.table;
            uint64_t at = rnd_below(&r, (uint32_t)(s->w.f.count * sizeof(struct frame)));
            table[at] = (uint8_t)rnd_below(&r, 256);
        }
        audit(s);
        for (unsigned v = 0; v < WORLD_VMS; v++) {
            fake_map_fini(&s->w.vms[v].map);
            free(s->w.vms[v].oracle);
        }
        fake_frames_fini(&s->w.f);
        free(s->w.cache_mem);
        free(s);
    }
}

struct yields {
    uint64_t n, most; /* so far; the work is ended at the `most`-th, 0: never */
};

static bool count_yield(void *ctx)
{
    struct yields *y = ctx;

    return ++y->n != y->most;
}

/* Between any two pieces the work may be ended: nothing is reported then, as nothing was wrong in
 * what was looked at. With the work done to its end the result is the same as without yielding. */
static void test_ended_between_any_two_pieces(void **state)
{
    struct scene s;

    (void)state;
    for (unsigned by_hash = 0; by_hash < 2; by_hash++) {
        scene_init(&s, by_hash);
        struct yields all = {0};
        struct yield y = {.fn = count_yield, .ctx = &all};
        assert_int_equal(audit_yielding(&s, &y), 0);
        assert_false(yield_ended(&y));
        /* The table is walked twice, the entries twice. */
        assert_true(all.n > 2 * s.w.f.count + 2 * s.w.vms[0].p2m.present);
        for (uint64_t most = 1; most <= all.n; most++) {
            struct yields some = {.most = most};
            y = (struct yield){.fn = count_yield, .ctx = &some};
            assert_int_equal(audit_yielding(&s, &y), 0);
            assert_true(yield_ended(&y));
            assert_int_equal(some.n, most); /* and not called again */
        }
        too_many_refs(&s);
        all.n = 0;
        y = (struct yield){.fn = count_yield, .ctx = &all};
        assert_int_equal(audit_yielding(&s, &y), audit(&s));
        too_few_refs(&s);
        world_fini(&s.w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_corruption_is_found),
        cmocka_unit_test(test_random_damage_is_survived),
        cmocka_unit_test(test_ended_between_any_two_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
