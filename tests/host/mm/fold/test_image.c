/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernels and initrds as frames that guests share: contents, counts, layouts, and the way back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arena.h"
#include "base/bits.h"
#include "base/string.h"
#include "fake_p2m.h"
#include "kernel/vm/loader.h"
#include "mm/fold/image.h"
#include "mm/fold/share.h"

#define MIB UINT64_C(0x100000)
#define MODULE_PAGES 12u
#define FRAMES 220u
#define GROUPS 2u
#define GUESTS 3u
#define RAM_PAGES 2048u /* 8 MiB */
#define ROOTS 8u
#define SETUP 0x1600u /* a bzImage's code begins inside a page, */
#define SHIFT 0x600u  /* by so much */

static struct frames f;
static struct fold fold;
static uint32_t roots[ROOTS];
static struct share_group groups[GROUPS];
static struct image image;
static struct image_set sets[GROUPS];
static uint8_t *module, original[MODULE_PAGES * PAGE_SIZE];
static struct {
    struct fake_map map;
    struct p2m p2m;
} guests[GUESTS]; /* the last one is of the other group */
static unsigned n_guests;

static void references(void *ctx, struct yield *y, void (*found)(void *arg, mfn_t mfn), void *arg)
{
    (void)ctx;
    image_references(&image, y, found, arg);
}

static void print_violation(void *ctx, const char *line)
{
    (void)ctx;
    print_error("check: %s\n", line);
}

static void check(void)
{
    struct p2m *maps[GUESTS];
    struct share_group *list[GROUPS] = {&groups[0], &groups[1]};
    struct audit a = {.frames = &f,
                      .maps = maps,
                      .n_maps = n_guests,
                      .groups = list,
                      .n_groups = GROUPS,
                      .fold = &fold,
                      .scratch = malloc(f.count * sizeof(uint32_t)),
                      .others = references,
                      .report = print_violation};

    for (unsigned i = 0; i < n_guests; i++) {
        maps[i] = &guests[i].p2m;
    }
    unsigned bad = audit_run(&a);
    free(a.scratch);
    assert_int_equal(bad, 0);
}

/* A machine whose first frames hold a boot module. */
static int begin(void **state)
{
    uint64_t places = MODULE_PAGES + 1 + arena_places(FRAMES, 1);
    struct rnd r = {.state = 77};

    (void)state;
    module = aligned_alloc(PAGE_SIZE, places * PAGE_SIZE);
    assert_non_null(module);
    frames_init(&f, calloc(places, sizeof(struct frame)), places, module);
    frames_mark_hyp(&f, MFN(0), MODULE_PAGES);
    arena_add(&f, MODULE_PAGES + 1, FRAMES, 1);
    for (size_t i = 0; i < sizeof(original); i++) {
        original[i] = (uint8_t)rnd_below(&r, 256);
    }
    memcpy(module, original, sizeof(original));
    assert_true(fold_roots(places) <= ROOTS);
    fold_init(&fold, &f, NULL, &(struct random){.key = {5}}, roots);
    for (unsigned i = 0; i < GROUPS; i++) {
        assert_int_equal(share_group_init(&groups[i], &f, i ? "b" : "a", i), OK);
    }
    n_guests = 0;
    return 0;
}

static void make_image(uint64_t bytes, bool may_move)
{
    image_init(&image, &f, &fold, module, bytes, may_move);
    for (unsigned i = 0; i < GROUPS; i++) {
        image_add_set(&image, &sets[i], &groups[i],
                      calloc(image_pages_max(bytes), sizeof(struct image_frame)));
    }
}

static int end(void **state)
{
    (void)state;
    while (n_guests > 0) {
        n_guests--;
        p2m_drop_all(&guests[n_guests].p2m);
        fake_map_fini(&guests[n_guests].map);
    }
    check();
    for (unsigned i = 0; i < GROUPS; i++) {
        free(sets[i].frames);
    }
    arena_end(&f);
    free(f.table);
    free(f.window);
    return 0;
}

static struct p2m *add_guest(void)
{
    const struct p2m_slot run = {GFN(0), RAM_PAGES};
    unsigned i = n_guests++;

    fake_map_init(&guests[i].map, &f, RAM_PAGES);
    assert_int_equal(p2m_init(&guests[i].p2m, &fake_map_ops, &guests[i].map, &f,
                              &groups[i == GUESTS - 1], (uint16_t)(i + 1), &run, 1,
                              guests[i].map.regions),
                     OK);
    return &guests[i].p2m;
}

/* The image's i-th page for a set is what the module had there, zeroes behind its end. */
static void expect_page(struct image_set *set, uint64_t i, uint64_t from, uint64_t n)
{
    uint8_t want[PAGE_SIZE] = {0};
    mfn_t mfn;

    memcpy(want, original + from, n);
    assert_int_equal(image_page(&image, set, i, &mfn), OK);
    assert_memory_equal(frame_bytes(&f, mfn), want, PAGE_SIZE);
    assert_int_equal(frame_of(&f, mfn)->state, FRAME_SHARED);
    assert_int_equal(frame_of(&f, mfn)->group, set->group->id);
}

/* A bzImage: one group's frames are the module's own, moved down; the other's are copies, whether
 * they are made before the page is moved or after. */
static void test_moved_and_copied(void **state)
{
    const uint64_t bytes = MODULE_PAGES * PAGE_SIZE - 1000, body = bytes - SETUP;
    const struct image_part part = {.at = MIB, .from = SETUP, .bytes = body};
    const uint64_t pages = (body + PAGE_MASK) / PAGE_SIZE;

    (void)state;
    make_image(bytes, true);
    assert_int_equal(image_set_parts(&image, &part, 1), OK);
    assert_int_equal(image.n_pages, pages);
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < pages; i++) {
            uint64_t from = SETUP + i * PAGE_SIZE, n = MIN(body - i * PAGE_SIZE, PAGE_SIZE);
            expect_page(&sets[i % 3 == 0], i, from, n);
            expect_page(&sets[i % 3 != 0], i, from, n);
            assert_int_equal(image_gfn(&image, i).n, MIB / PAGE_SIZE + i);
        }
        image_end(&image);
        check();
        assert_int_equal(image.n_copied, 2 * pages); /* and none in the second round */
        assert_int_equal(image.n_owned, pages - 1);  /* the last is not full */
        assert_int_equal(f.shared_given, 2 * pages);
    }
    assert_memory_equal(module, original, SETUP - SHIFT); /* the header stays where it is */
}

/* Where anything else uses the module, it stays as it is. */
static void test_module_in_other_use(void **state)
{
    const struct image_part part = {.bytes = sizeof(original)};

    (void)state;
    make_image(sizeof(original), false);
    assert_int_equal(image_set_parts(&image, &part, 1), OK);
    for (uint64_t i = 0; i < MODULE_PAGES; i++) {
        expect_page(&sets[0], i, i * PAGE_SIZE, PAGE_SIZE);
    }
    image_end(&image);
    assert_int_equal(image.n_owned, 0);
    assert_int_equal(f.by_state[FRAME_HYP], MODULE_PAGES);
    assert_memory_equal(module, original, sizeof(original));
}

/* Zeroes need no frame; equal pages have one between them; what the index has already serves. */
static void test_equal_pages(void **state)
{
    const struct image_part part = {.bytes = 6 * PAGE_SIZE};
    mfn_t a, b;

    (void)state;
    memset(module + PAGE_SIZE, 0, PAGE_SIZE);
    memcpy(module + 3 * PAGE_SIZE, module, PAGE_SIZE);
    memcpy(module + 4 * PAGE_SIZE, module, PAGE_SIZE);
    make_image(6 * PAGE_SIZE, true);
    assert_int_equal(image_set_parts(&image, &part, 1), OK);
    for (unsigned s = 0; s < GROUPS; s++) {
        assert_int_equal(image_page(&image, &sets[s], 0, &a), OK);
        assert_int_equal(image_page(&image, &sets[s], 1, &b), E_NOTFOUND);
        for (uint64_t i = 3; i < 5; i++) {
            assert_int_equal(image_page(&image, &sets[s], i, &b), OK);
            assert_int_equal(a.n, b.n);
        }
        assert_int_equal(frame_of(&f, a)->refs, 3);
        assert_int_equal(image_page(&image, &sets[s], 2, &b), OK);
        assert_int_not_equal(a.n, b.n);
    }
    image_end(&image);
    check();
}

/* Two segments that meet inside a page, and one that lies alike in file and memory. */
static void test_segments(void **state)
{
    const struct image_part parts[] = {
        {.at = MIB + 0x100, .from = 0x300, .bytes = 0x1000},
        {.at = MIB + 0x1100, .from = 0x2000, .bytes = 0x300},
        {.at = 2 * MIB, .from = 0x3000, .bytes = 0x2000},
    };
    uint8_t want[PAGE_SIZE] = {0};
    mfn_t mfn, same;

    (void)state;
    make_image(sizeof(original), true);
    assert_int_equal(image_set_parts(&image, parts, 3), OK);
    assert_int_equal(image_set_parts(&image, parts, 3), OK);
    assert_int_equal(image_set_parts(&image, parts, 2), E_INVAL);
    assert_int_equal(image.n_pages, 2 + 1 + 2);
    for (unsigned s = 0; s < GROUPS; s++) {
        memcpy(want, original + 0x300 + 0xf00, 0x100);
        memcpy(want + 0x100, original + 0x2000, 0x300);
        assert_int_equal(image_page(&image, &sets[s], 1, &mfn), OK);
        assert_memory_equal(frame_bytes(&f, mfn), want, PAGE_SIZE);
        assert_int_equal(image_page(&image, &sets[s], 2, &same), OK);
        assert_int_equal(same.n, mfn.n);
        assert_int_equal(image_gfn(&image, 2).n, MIB / PAGE_SIZE + 1);
        expect_page(&sets[s], 3, 0x3000, PAGE_SIZE);
        expect_page(&sets[s], 4, 0x4000, PAGE_SIZE);
    }
    assert_int_equal(image.n_owned, 2);
    image_end(&image);
    check();
}

static void test_hostile_parts(void **state)
{
    static const struct image_part bad[] = {
        {.from = 0, .bytes = 0},          {.from = 1, .bytes = MODULE_PAGES * PAGE_SIZE},
        {.from = UINT64_MAX, .bytes = 2}, {.at = UINT64_MAX - 100, .bytes = 200},
        {.at = 0, .bytes = UINT64_MAX},
    };
    struct image_part many[IMAGE_PARTS + 1];

    (void)state;
    make_image(sizeof(original), true);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(image_set_parts(&image, &bad[i], 1), E_INVAL);
    }
    assert_int_equal(image_set_parts(&image, bad, 0), E_INVAL);
    for (unsigned i = 0; i < ARRAY_LEN(many); i++) {
        many[i] = (struct image_part){.at = i * MIB, .bytes = sizeof(original)};
    }
    assert_int_equal(image_set_parts(&image, many, IMAGE_PARTS), E_INVAL); /* more than room for */
    assert_int_equal(image_set_parts(&image, many, ARRAY_LEN(many)), E_INVAL);
    assert_int_equal(image.n_parts, 0);
}

/* Without a frame for a copy nothing changes; later it goes on. Copies that no VM uses come back,
 * the module's own frames do not. */
static void test_short_of_frames(void **state)
{
    const struct image_part part = {.bytes = sizeof(original)};
    static mfn_t hoard[FRAMES];
    unsigned n = 0;
    mfn_t mfn;

    (void)state;
    make_image(sizeof(original), true);
    assert_int_equal(image_set_parts(&image, &part, 1), OK);
    image_use(&sets[0], true);
    image_use(&sets[1], true);
    uint64_t before = f.by_state[FRAME_FREE];
    for (uint64_t i = 0; i < MODULE_PAGES; i++) {
        expect_page(&sets[0], i, i * PAGE_SIZE, PAGE_SIZE);
        if (i < 4) {
            expect_page(&sets[1], i, i * PAGE_SIZE, PAGE_SIZE);
        }
    }
    assert_int_equal(f.by_state[FRAME_FREE], before - 4);
    while (frames_alloc(&f, FRAME_HYP, &hoard[n]) == OK) {
        n++;
    }
    assert_int_equal(image_page(&image, &sets[1], 4, &mfn), E_NOMEM);
    image_end(&image);
    check();
    assert_int_equal(image_reclaim(&image, 100), 0);
    image_use(&sets[0], false);
    image_use(&sets[1], false);
    assert_int_equal(image_reclaim(&image, 1), 1);
    assert_int_equal(image_reclaim(&image, 100), 3);
    check();
    while (n > 0) {
        frames_free(&f, hoard[--n]);
    }
    expect_page(&sets[1], 0, 0, PAGE_SIZE);
    expect_page(&sets[1], 4, 4 * PAGE_SIZE, PAGE_SIZE);
    image_end(&image);
    assert_int_equal(f.by_state[FRAME_FREE], before - 2);
}

/* An ELF file of one segment, aligned alike, with a page of it that is half full; then zeroes. */
static void make_elf(void)
{
    static const uint8_t ident[8] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    uint8_t *ph = module + 64;

    memcpy(module, ident, sizeof(ident));
    store_le16(module + 18, 62);
    store_le64(module + 24, MIB + 0x10);
    store_le64(module + 32, 64);
    store_le16(module + 54, 56);
    store_le16(module + 56, 1);
    store_le32(ph, 1);
    store_le64(ph + 8, PAGE_SIZE);
    store_le64(ph + 24, MIB);
    store_le64(ph + 32, 6 * PAGE_SIZE + 100);
    store_le64(ph + 40, MIB);
    memcpy(original, module, PAGE_SIZE);
}

static void expect_guest(struct p2m *p, uint64_t at, const uint8_t *want, uint64_t n)
{
    static uint8_t got[MODULE_PAGES * PAGE_SIZE];

    assert_int_equal(p2m_read(p, GPA(at), got, n), OK);
    assert_memory_equal(got, want, n);
}

/* Steps of no time at all: one page each. */
static uint64_t late(void *ctx)
{
    (void)ctx;
    return 1;
}

/* Three guests boot from it: the second copies nothing of the kernel, and neither does the first
 * when it comes again; one of another group has frames of its own. A write stays the writer's. */
static void test_guests(void **state)
{
    const struct deadline at_once = {.now_ns = late};
    const uint64_t kernel = 6 * PAGE_SIZE + 100;
    struct loader_input in = {.kernel = module,
                              .kernel_bytes = sizeof(original),
                              .cmdline = "one two",
                              .rsdp = GPA(LOADER_ACPI)};
    char why[160];

    (void)state;
    make_elf();
    make_image(sizeof(original), true);
    for (unsigned i = 0; i < GUESTS; i++) {
        struct loader_job j;
        struct p2m *p = add_guest();
        struct loader_frames frames = {&image, image_set_of(&image, p->group)};
        unsigned steps = 0;

        if (i == 1) { /* one that shares nothing */
            const struct loader_frames copied = {&image, NULL};

            assert_int_equal(
                loader_begin(&j, p, &in, copied, (struct loader_frames){0}, why, sizeof(why)), OK);
            assert_int_equal(loader_step(&j, NULL), OK);
            expect_guest(p, MIB, original + PAGE_SIZE, kernel);
            assert_int_equal(j.copied, 7);
            assert_int_equal(p->shared_maps, 0);
            p2m_drop_all(p);
        }

        assert_int_equal(
            loader_begin(&j, p, &in, frames, (struct loader_frames){0}, why, sizeof(why)), OK);
        for (; j.stage != LOADER_DONE; steps++) {
            assert_int_equal(loader_step(&j, &at_once), OK);
        }
        assert_in_range(steps, 7 + 9, 7 + 12);
        expect_guest(p, MIB, original + PAGE_SIZE, kernel);
        assert_int_equal(j.mapped, 7);
        assert_int_equal(j.copied, 0);
        assert_int_equal(image.n_copied, i < GUESTS - 1 ? 1 : 1 + 7);
        assert_int_equal(p->shared_maps, 7);
        check();
    }
    const uint8_t byte = 0x5a;
    assert_int_equal(p2m_write(&guests[0].p2m, GPA(MIB + 5000), &byte, 1), OK);
    for (unsigned i = 1; i < GUESTS; i++) {
        expect_guest(&guests[i].p2m, MIB, original + PAGE_SIZE, kernel);
    }
    original[PAGE_SIZE + 5000] = byte;
    expect_guest(&guests[0].p2m, MIB, original + PAGE_SIZE, kernel);
    check();
}

/* A count of references that is used up: no entry more, whoever asks, and no harm. */
static void test_references_used_up(void **state)
{
    struct frame *zero = frame_of(&f, groups[0].zero);
    struct p2m *p = add_guest();
    struct p2m_entry e;
    mfn_t mfn;

    (void)state;
    make_image(sizeof(original), true);
    zero->refs = FRAME_REFS_MAX;
    assert_int_equal(p2m_fault(p, GFN(3), false),
                     OK); /* a frame of its own, which reads the same */
    assert_int_equal(p->ops->lookup(p->ctx, GFN(3), &e), OK);
    assert_int_equal(frame_of(&f, e.mfn)->state, FRAME_PRIVATE);
    assert_int_equal(p2m_map_shared(p, GFN(4), groups[0].zero), E_BUSY);
    fold_attach(&fold, p);
    for (unsigned i = 0; i < 64; i++) {
        (void)fold_step(&fold, 8, NULL); /* the page of zeroes is not merged */
    }
    fold_detach(&fold, p);
    assert_int_equal(p->zero_maps, 0);
    assert_int_equal(zero->refs, FRAME_REFS_MAX);
    assert_int_equal(frames_alloc(&f, FRAME_SHARED, &mfn), OK);
    memset(frame_bytes(&f, mfn), 7, PAGE_SIZE);
    assert_int_equal(fold_share(&fold, &groups[0], mfn).n, mfn.n);
    frame_of(&f, mfn)->refs = FRAME_REFS_MAX;
    mfn_t twin;
    assert_int_equal(frames_alloc(&f, FRAME_SHARED, &twin), OK);
    memset(frame_bytes(&f, twin), 7, PAGE_SIZE);
    assert_int_equal(fold_share(&fold, &groups[0], twin).n, twin.n);
    fold_share_end(&fold);
    frame_of(&f, mfn)->refs = 1;
    frames_put(&f, mfn);
    frames_put(&f, twin);
    zero->refs = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_moved_and_copied, begin, end),
        cmocka_unit_test_setup_teardown(test_module_in_other_use, begin, end),
        cmocka_unit_test_setup_teardown(test_equal_pages, begin, end),
        cmocka_unit_test_setup_teardown(test_segments, begin, end),
        cmocka_unit_test_setup_teardown(test_hostile_parts, begin, end),
        cmocka_unit_test_setup_teardown(test_short_of_frames, begin, end),
        cmocka_unit_test_setup_teardown(test_guests, begin, end),
        cmocka_unit_test_setup_teardown(test_references_used_up, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
