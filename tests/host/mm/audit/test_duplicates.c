/* SPDX-License-Identifier: BSD-2-Clause */
/* The recount of blocks that are held twice, against comparing each frame with each. */
#include "mm/audit/duplicates.h"

#include "base/bits.h"

#include "fake_p2m.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAPS 4u
#define GROUPS 3u

struct scene {
    struct frames f;
    struct share_group groups[GROUPS];
    struct share_group *group_list[GROUPS];
    struct p2m p2m[MAPS];
    struct p2m *maps[MAPS];
    struct content_unit unit;
    struct content_key key;
    struct duplicates d;
};

/* A hash that almost everything shares: then only the compare tells contents apart. */
static uint64_t poor_hash(const void *page, const struct content_key *key)
{
    (void)key;
    return *(const uint8_t *)page & 1;
}

static const struct content_ops poor_ops = {
    .compare = content_compare, .is_zero = content_is_zero, .hash = poor_hash};

static void scene_init(struct scene *s, uint64_t frames)
{
    memset(s, 0, sizeof(*s));
    fake_frames_init(&s->f, frames);
    for (unsigned i = 0; i < GROUPS; i++) {
        s->groups[i].id = 7 * i;
        s->group_list[i] = &s->groups[i];
    }
    for (unsigned i = 0; i < MAPS; i++) {
        s->p2m[i].vm = (uint16_t)(10 + i);
        s->p2m[i].group = &s->groups[i % GROUPS];
        s->maps[i] = &s->p2m[i];
    }
    content_key_init(&s->key, &(struct random){.key = {(uint32_t)frames}});
    s->unit.ops = &content_scalar;
    s->d = (struct duplicates){.frames = &s->f,
                               .maps = s->maps,
                               .n_maps = MAPS,
                               .groups = s->group_list,
                               .n_groups = GROUPS,
                               .unit = &s->unit,
                               .key = &s->key,
                               .scratch = malloc(s->f.count * sizeof(uint32_t))};
    assert_non_null(s->d.scratch);
}

static void scene_fini(struct scene *s)
{
    free(s->d.scratch);
    fake_frames_fini(&s->f);
}

/* Content number `what`: 0 is zeroes, the others differ in one byte somewhere. */
static void fill(struct scene *s, mfn_t mfn, unsigned what)
{
    uint8_t *page = frame_bytes(&s->f, mfn);

    memset(page, 0, PAGE_SIZE);
    page[what * 97 % PAGE_SIZE] = (uint8_t)what;
}

static mfn_t take(struct scene *s, enum frame_state state, unsigned what)
{
    mfn_t mfn;

    assert_int_equal(frames_alloc(&s->f, state, &mfn), OK);
    fill(s, mfn, what);
    return mfn;
}

static mfn_t take_private(struct scene *s, unsigned map, unsigned what)
{
    mfn_t mfn = take(s, FRAME_PRIVATE, what);

    frame_of(&s->f, mfn)->vm = s->p2m[map].vm;
    return mfn;
}

/* ---- the witness ---- */

static bool holds(const struct scene *s, const struct frame *fr, const struct share_group *g)
{
    if (fr->state == FRAME_SHARED && fr->refs > 0) {
        return fr->group == g->id;
    }
    for (unsigned i = 0; i < MAPS && fr->state == FRAME_PRIVATE && fr->refs > 0; i++) {
        if (s->p2m[i].vm == fr->vm) {
            return s->p2m[i].group == g;
        }
    }
    return false;
}

static bool is_duplicate(const struct scene *s, uint64_t n)
{
    const struct frame *fr = &s->f.table[n];
    const uint8_t *page = frame_bytes(&s->f, MFN(n));
    static const uint8_t zeroes[PAGE_SIZE];
    bool indexed = fr->flags & (FRAME_F_STABLE | FRAME_F_LEFT_OUT);

    for (unsigned i = 0; i < GROUPS; i++) {
        if (indexed && fr->group != s->groups[i].id) {
            continue;
        }
        if (s->groups[i].zero_maps > 0 && memcmp(page, zeroes, PAGE_SIZE) == 0) {
            return true;
        }
        for (uint64_t m = 0; m < s->f.count; m++) {
            if (holds(s, &s->f.table[m], &s->groups[i]) &&
                memcmp(page, frame_bytes(&s->f, MFN(m)), PAGE_SIZE) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void expect(struct scene *s)
{
    uint64_t kept = 0, found = 0;

    for (uint64_t n = 0; n < s->f.count; n++) {
        const struct frame *fr = &s->f.table[n];
        if (fr->state == FRAME_CACHE_ONLY && fr->refs > 0) {
            kept++;
            found += fr->pins == 0 && is_duplicate(s, n);
        }
    }
    duplicates_count(&s->d);
    assert_int_equal(s->d.kept, kept);
    if (s->unit.ops == &poor_ops) { /* what it tells is right, and it says what it does not know */
        assert_in_range(found, s->d.duplicates, s->d.duplicates + s->d.unknown);
        return;
    }
    assert_int_equal(s->d.duplicates, found);
    assert_int_equal(s->d.unknown, 0);
}

/* ---- tests ---- */

static void test_one_of_each(void **state)
{
    (void)state;
    struct scene s;

    scene_init(&s, 16);
    mfn_t block = take(&s, FRAME_CACHE_ONLY, 5);
    expect(&s);
    assert_int_equal(s.d.duplicates, 0); /* nobody has it */
    mfn_t page = take_private(&s, 1, 5);
    expect(&s);
    assert_int_equal(s.d.duplicates, 1); /* the block is of no group: anybody counts */
    frame_of(&s.f, block)->flags |= FRAME_F_STABLE;
    expect(&s);
    assert_int_equal(s.d.duplicates, 0); /* of group 0, and the guest is of group 7 */
    frame_of(&s.f, block)->group = 7;
    expect(&s);
    assert_int_equal(s.d.duplicates, 1);
    frame_of(&s.f, block)->pins = 1;
    expect(&s);
    assert_int_equal(s.d.duplicates, 0); /* a device is at it */
    frame_of(&s.f, block)->pins = 0;
    frame_of(&s.f, page)->vm = 99;
    expect(&s);
    assert_int_equal(s.d.duplicates, 0); /* nobody's page */
    fill(&s, block, 0);
    expect(&s);
    assert_int_equal(s.d.duplicates, 0);
    s.groups[1].zero_maps = 1; /* a guest of the group maps the zero page */
    expect(&s);
    assert_int_equal(s.d.duplicates, 1);
    s.groups[1].zero_maps = 0;
    s.groups[2].zero_maps = 1;
    expect(&s);
    assert_int_equal(s.d.duplicates, 0);
    scene_fini(&s);
}

static void random_scene(uint64_t seed)
{
    struct rnd r = {seed * 0x9E3779B97F4A7C15u + 1};
    struct scene s;
    uint64_t frames = 2 + rnd_below(&r, 70);
    unsigned contents = 1 + rnd_below(&r, 40);

    scene_init(&s, frames);
    if (seed % 3 == 0) {
        s.unit.ops = &poor_ops;
    }
    for (unsigned i = 0; i < GROUPS; i++) {
        s.groups[i].zero_maps = rnd_below(&r, 4) == 0;
    }
    unsigned empty = rnd_below(&r, 3); /* seldom any: the table is full then, or nearly */
    while (s.f.by_state[FRAME_FREE] > empty) {
        unsigned what = rnd_below(&r, contents);
        uint16_t group = (uint16_t)(7 * rnd_below(&r, GROUPS));
        mfn_t mfn;

        switch (rnd_below(&r, 8)) {
        case 0 ... 2:
            (void)take_private(&s, rnd_below(&r, MAPS), what);
            break;
        case 3 ... 4:
            mfn = take(&s, FRAME_SHARED, what);
            frame_of(&s.f, mfn)->group = group;
            frame_of(&s.f, mfn)->refs = rnd_below(&r, 4);
            break;
        case 5:
            (void)take(&s, FRAME_HYP, what);
            break;
        default:
            mfn = take(&s, FRAME_CACHE_ONLY, what);
            frame_of(&s.f, mfn)->group = group;
            frame_of(&s.f, mfn)->pins = rnd_below(&r, 8) == 0;
            frame_of(&s.f, mfn)->flags |= (uint8_t)(rnd_below(&r, 2) * FRAME_F_STABLE);
        }
    }
    expect(&s);
    scene_fini(&s);
}

static void test_as_by_brute_force(void **state)
{
    (void)state;

    for (uint64_t seed = 1; seed <= 3000; seed++) {
        random_scene(seed);
    }
}

static uint64_t compares, compares_before, most_compares;

/* The work since the last call, or the begin, was a piece. */
static bool end_piece(void *ctx)
{
    (void)ctx;
    most_compares = MAX(most_compares, compares - compares_before);
    compares_before = compares;
    return true;
}

static int count_compare(const void *a, const void *b)
{
    compares++;
    return content_compare(a, b);
}

/* However many blocks or pages are equal, each is compared about once. */
static void test_cost(void **state)
{
    (void)state;
    const uint64_t frames = 6000;

    for (unsigned zeroes = 0; zeroes < 2; zeroes++) {
        struct scene s;
        struct content_ops ops = content_scalar;

        ops.compare = count_compare;
        scene_init(&s, frames);
        s.unit.ops = &ops;
        compares = 0;
        for (uint64_t n = 0; n < frames; n++) {
            mfn_t mfn = n % 20 < 10 ? take(&s, FRAME_CACHE_ONLY, 0) : take_private(&s, 0, 0);
            if (!zeroes) {
                memcpy(frame_bytes(&s.f, mfn), &n, sizeof(n));
            }
        }
        duplicates_count(&s.d);
        assert_int_equal(s.d.kept, frames / 2);
        assert_int_equal(s.d.duplicates, zeroes ? frames / 2 : 0);
        assert_true(compares <= frames);
        scene_fini(&s);
    }
}

/* However many pages and blocks have one hash, each frame is compared a few times, in all groups
 * together; what that leaves open is told. */
static void test_cost_of_one_hash(void **state)
{
    uint64_t last = 0;

    (void)state;
    most_compares = 0;
    for (uint64_t frames = 1500; frames <= 6000; frames *= 2) {
        struct scene s;
        struct content_ops ops = poor_ops;

        ops.compare = count_compare;
        scene_init(&s, frames);
        struct yield y = {.fn = end_piece};
        s.unit.ops = &ops;
        s.d.yield = &y;
        compares = compares_before = 0;
        for (uint64_t n = 0; n < frames; n++) {
            uint64_t what = 2 * n + 2;
            mfn_t mfn =
                n % 2 ? take(&s, FRAME_CACHE_ONLY, 0) : take_private(&s, (unsigned)(n / 2 % 3), 0);
            memcpy(frame_bytes(&s.f, mfn), &what, sizeof(what));
            ((uint8_t *)frame_bytes(&s.f, mfn))[0] = 0;
            ((uint8_t *)frame_bytes(&s.f, mfn))[9] = (uint8_t)what;
        }
        duplicates_count(&s.d);
        assert_int_equal(s.d.kept, frames / 2);
        assert_int_equal(s.d.duplicates, 0);
        assert_int_equal(s.d.unknown, frames / 2);
        assert_true(compares <= frames / 2 * (1 + GROUPS) * DUPLICATES_COMPARES);
        assert_true(last == 0 || compares <= 2 * last + 100); /* linear */
        last = compares;
        scene_fini(&s);
    }
    assert_int_equal(most_compares, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_each),
        cmocka_unit_test(test_as_by_brute_force),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_cost_of_one_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
