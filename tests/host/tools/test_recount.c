/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two witnesses against each other: build/host/recount, which sorts all pages, and
 * build/host/fold-bench, which folds them; on images whose equal pages are known by construction.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "program.h"
#include "rnd.h"

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096
#define IMAGES 3
#define PAGES_MAX 1600
#define TAIL_BYTES 100

/* A page is a number: equal numbers are equal pages. Zero is zeroes; numbers from ONE_BIT on are
 * one common page with one bit, whose place is the rest, turned over. */
#define ONE_BIT 1000000000u
#define ONE_BIT_BASE 77u

struct set {
    uint32_t page[IMAGES][PAGES_MAX];
    unsigned pages[IMAGES];
    unsigned images;
    char file[IMAGES][32];
};

static struct set set;
static char out[1 << 16];

/* Each way of folding must come to the same; what differs is the cost. */
static const char *const settings[] = {
    "",
    "--unit=scalar",
    "--fold.lookahead=off",
    "--fold.index=tree --fold.volatility=checksum --fold.lookahead=off",
    "--fold.index=tree --fold.volatility=checksum",
    "--fold.index=tree --fold.volatility=dirty",
    "--fold.index=hash --fold.volatility=checksum",
    "--fold.zero=off",
    "--fold.zero=off --fold.index=tree --fold.volatility=checksum",
};

static void fill(uint8_t *bytes, uint32_t page)
{
    struct rnd r = {(page >= ONE_BIT ? ONE_BIT_BASE : page) * UINT64_C(0x9e3779b97f4a7c15)};

    for (unsigned i = 0; i < PAGE; i += 8) {
        uint64_t x = rnd_next(&r);
        memcpy(bytes + i, &x, sizeof(x));
    }
    if (page >= ONE_BIT) {
        unsigned bit = (page - ONE_BIT) % (PAGE * 8);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* Images do not end with a page: some bytes follow that are none. */
static void write_images(void)
{
    static uint8_t bytes[PAGE];

    for (unsigned i = 0; i < set.images; i++) {
        strcpy(set.file[i], "/tmp/recount-XXXXXX");
        int fd = mkstemp(set.file[i]);
        assert_true(fd >= 0);
        for (unsigned n = 0; n < set.pages[i]; n++) {
            fill(bytes, set.page[i][n]);
            assert_int_equal(write(fd, bytes, PAGE), PAGE);
        }
        memset(bytes, 0x5a, TAIL_BYTES);
        assert_int_equal(write(fd, bytes, TAIL_BYTES), TAIL_BYTES);
        assert_int_equal(close(fd), 0);
    }
}

static void remove_images(void)
{
    for (unsigned i = 0; i < set.images; i++) {
        unlink(set.file[i]);
    }
}

static int run(const char *program, const char *options, unsigned images)
{
    char files[256] = "";
    int length = 0;

    for (unsigned i = 0; i < images; i++) {
        length += snprintf(files + length, sizeof(files) - (size_t)length, " %s", set.file[i]);
    }
    return program_run(out, sizeof(out), "build/host/%s %s%s", program, options, files);
}

static long number(const char *key)
{
    return program_number(out, key);
}

/* What is under the key in all passes together. */
static long sum(const char *key)
{
    char name[64];
    long total = 0;

    snprintf(name, sizeof(name), "\"%s\": ", key);
    for (const char *p = out; (p = strstr(p, name)) != NULL;) {
        p += strlen(name);
        total += strtol(p, NULL, 10);
    }
    return total;
}

/* Copies what is between the braces under the key. */
static void object(const char *key, char *to, size_t size)
{
    char name[64];

    snprintf(name, sizeof(name), "\"%s\": {", key);
    const char *from = strstr(out, name), *end = from ? strchr(from, '}') : NULL;
    if (!from || !end) {
        fail_msg("no %s in %s", key, out);
    }
    from += strlen(name);
    assert_true((size_t)(end - from) < size);
    memcpy(to, from, (size_t)(end - from));
    to[end - from] = '\0';
}

struct expected {
    long pages, zero, distinct, unique, shared, sharing, inside, between;
};

static unsigned copies(unsigned image, uint32_t page)
{
    unsigned n = 0;

    for (unsigned i = 0; i < set.pages[image]; i++) {
        n += set.page[image][i] == page;
    }
    return n;
}

/* Whether an earlier place has the page too. */
static int seen(unsigned image, unsigned at)
{
    for (unsigned i = 0; i <= image; i++) {
        for (unsigned n = 0; n < (i == image ? at : set.pages[i]); n++) {
            if (set.page[i][n] == set.page[image][at]) {
                return 1;
            }
        }
    }
    return 0;
}

/* By the numbers alone, in the most simple-minded way. */
static struct expected expect(void)
{
    struct expected e = {0};

    for (unsigned i = 0; i < set.images; i++) {
        for (unsigned n = 0; n < set.pages[i]; n++) {
            uint32_t page = set.page[i][n];
            unsigned own = copies(i, page), all = 0;
            for (unsigned j = 0; j < set.images; j++) {
                all += copies(j, page);
            }
            int first = !seen(i, n);
            e.pages++;
            e.distinct += first;
            if (page == 0) {
                e.zero++;
                continue;
            }
            e.unique += all == 1;
            e.shared += first && all > 1;
            e.sharing += !first;
            e.inside += own > 1;
            e.between += all > own;
        }
    }
    return e;
}

static void check_recount(const struct expected *e)
{
    assert_int_equal(run("recount", "", set.images), 0);
    assert_int_equal(number("pages"), e->pages);
    assert_int_equal(number("zero_pages"), e->zero);
    assert_int_equal(number("distinct_pages"), e->distinct);
    assert_int_equal(number("exact_saving"), e->pages - e->distinct);
    assert_int_equal(number("unique_pages"), e->unique);
    assert_int_equal(number("shared_contents"), e->shared);
    assert_int_equal(number("sharing_pages"), e->sharing);
    assert_int_equal(number("equal_inside"), e->inside);
    assert_int_equal(number("equal_between"), e->between);
}

/* What folding must come to; the group's zero page has its frame even if nobody maps it. */
static void check_fold(const struct expected *e)
{
    static char runs[1024], found[1024];

    assert_int_equal(run("recount", "", set.images), 0);
    object("runs_first", runs, sizeof(runs));
    for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        int no_zero = strstr(settings[i], "fold.zero=off") != NULL;
        assert_int_equal(run("fold-bench", settings[i], set.images), 0);
        assert_int_equal(number("pages"), e->pages);
        assert_int_equal(number("pages_zero"), no_zero ? 0 : e->zero);
        assert_int_equal(number("pages_shared"), e->shared + (no_zero && e->zero > 1));
        assert_int_equal(number("pages_sharing"),
                         e->sharing + (no_zero && e->zero ? e->zero - 1 : 0));
        long frames = e->distinct + (no_zero || e->zero == 0);
        assert_int_equal(number("frames_used"), frames);
        assert_int_equal(number("frames_saved"), e->pages - frames);
        assert_int_equal(number("distinct_pages"), e->distinct);
        object("runs", found, sizeof(found));
        if (!no_zero) {
            assert_string_equal(found, runs);
        }
        if (strstr(settings[i], "lookahead=off")) {
            assert_int_equal(sum("lookahead_hits") + sum("lookahead_misses"), 0);
        }
        assert_non_null(strstr(out, "\"check\": \"OK\""));
    }
}

static struct expected check(void)
{
    struct expected e = expect();

    write_images();
    check_recount(&e);
    check_fold(&e);
    return e;
}

static void begin(unsigned images, unsigned a, unsigned b, unsigned c)
{
    set.images = images;
    set.pages[0] = a;
    set.pages[1] = b;
    set.pages[2] = c;
}

/* ---- the sets -------------------------------------------------------------------------------- */

/* Of every 20 pages: 5 zeroes, 7 equal in all VMs, 2 a pair in one VM, 6 unlike any other. Sizes
 * that are no multiple of 2 MiB. */
static void test_recipe(void **state)
{
    (void)state;
    begin(3, 700, 1301, 513);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned n = 0; n < set.pages[i]; n++) {
            unsigned kind = n * 7 % 20;
            set.page[i][n] = kind < 5    ? 0
                             : kind < 12 ? 1 + n
                             : kind < 14 ? 100000 * (i + 1) + n / 20
                                         : 1000000 * (i + 1) + n;
        }
    }
    struct expected e = check();
    assert_in_range(e.zero * 100 / e.pages, 24, 26);
    remove_images();
}

static void test_all_alike(void **state)
{
    (void)state;
    for (uint32_t page = 0; page < 2; page++) {
        begin(2, 600, 37, 0);
        for (unsigned n = 0; n < 600; n++) {
            set.page[0][n] = set.page[1][n] = page;
        }
        struct expected e = check();
        assert_int_equal(e.distinct, 1);
        remove_images();
    }
}

static void test_all_different(void **state)
{
    (void)state;
    begin(2, 520, 520, 0);
    for (unsigned n = 0; n < 520; n++) {
        set.page[0][n] = 1 + n;
        set.page[1][n] = 1001 + n;
    }
    check();
    assert_int_equal(run("recount", "", 2), 0);
    assert_non_null(strstr(out, "\"runs_duplicate\": {}"));
    assert_non_null(strstr(out, "\"runs_between\": {}"));
    remove_images();
}

/* Pages that differ from all others in a single bit or two, spread from the first to the last. */
static void test_one_bit(void **state)
{
    (void)state;
    begin(2, 800, 800, 0);
    for (unsigned n = 0; n < 800; n++) {
        set.page[0][n] = ONE_BIT + n * 40;
        set.page[1][n] = ONE_BIT + n * 40 + (n % 4 != 0); /* every fourth is in both */
    }
    set.page[0][799] = ONE_BIT + PAGE * 8 - 1;
    set.page[1][400] = ONE_BIT + PAGE * 8 - 1;
    check();
    remove_images();
}

/* The same pages at other places: all of them one long run, whichever way one looks. */
static void test_shifted(void **state)
{
    (void)state;
    begin(2, 1000, 1000, 0);
    for (unsigned n = 0; n < 1000; n++) {
        set.page[0][n] = 1 + n;
        set.page[1][n] = 4 + n;
    }
    check();
    assert_int_equal(run("recount", "", 2), 0);
    assert_non_null(strstr(out, "\"runs_duplicate\": {\"512\": 2}"));
    assert_non_null(strstr(out, "\"runs_between\": {\"512\": 2}"));
    assert_int_equal(number("lookahead_pages"), 2 * 996);
    remove_images();
}

/* Runs of 1, 2, 3 and 64 pages in image 0, backwards in image 1 but for the 64; zeroes part them.
 */
static void test_runs(void **state)
{
    unsigned at = 0;
    static const unsigned lengths[] = {1, 2, 3, 64};

    (void)state;
    begin(2, 76, 76, 0);
    memset(set.page, 0, sizeof(set.page));
    for (unsigned run_number = 0; run_number < 4; run_number++) {
        unsigned length = lengths[run_number];
        for (unsigned n = 0; n < length; n++) {
            set.page[0][at + n] = 1 + at + n;
            set.page[1][at + (length == 64 ? n : length - 1 - n)] = 1 + at + n;
        }
        at += length + 1;
    }
    check();
    assert_int_equal(run("recount", "", 2), 0);
    assert_non_null(strstr(out, "\"runs_duplicate\": {\"1\": 2, \"2\": 4, \"64\": 2}"));
    assert_non_null(strstr(out, "\"runs_between\": {\"1\": 12, \"64\": 2}"));
    remove_images();
}

static void test_given_twice(void **state)
{
    (void)state;
    begin(2, 555, 555, 0);
    for (unsigned n = 0; n < 555; n++) {
        set.page[0][n] = set.page[1][n] = n % 5 == 0 ? 0 : 1 + n % 300;
    }
    struct expected e = check();
    unlink(set.file[1]);
    strcpy(set.file[1], set.file[0]); /* the very same file, not a copy of it */
    check_recount(&e);
    check_fold(&e);
    unlink(set.file[0]);
}

/* Lookahead finds all but the first page of a run, with one compare and no search each. */
static void test_lookahead_saves_searches(void **state)
{
    (void)state;
    begin(2, 512, 512, 0);
    for (unsigned n = 0; n < 512; n++) {
        set.page[0][n] = set.page[1][n] = 1 + n * 7;
    }
    write_images();
    assert_int_equal(run("fold-bench", "--fold.index=tree", 2), 0);
    long with = sum("compares");
    assert_int_equal(sum("lookahead_hits"), 511);
    assert_int_equal(sum("lookahead_misses"), 0);
    assert_int_equal(run("fold-bench", "--fold.index=tree --fold.lookahead=off", 2), 0);
    assert_true(sum("compares") - with > 511 * 4); /* a search in 512 pages is nine or so */
    remove_images();
}

/* Pages written between the passes: sharing breaks and comes back, and every byte stays right. */
static void test_writes(void **state)
{
    static const char *const ways[] = {
        "--fold.index=hash --fold.volatility=dirty",
        "--fold.index=tree --fold.volatility=checksum",
    };

    (void)state;
    begin(3, 700, 700, 300);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned n = 0; n < set.pages[i]; n++) {
            set.page[i][n] = n % 3 == 0 ? 0 : n % 3 == 1 ? 1 + n : 10000 * (i + 1) + n / 6;
        }
    }
    write_images();
    assert_int_equal(run("recount", "", 3), 0);
    long before = number("exact_saving");
    for (unsigned i = 0; i < 2; i++) {
        char options[128];
        snprintf(options, sizeof(options), "--passes=8 --write=4 --seed=11 %s", ways[i]);
        assert_int_equal(run("fold-bench", options, 3), 0);
        assert_non_null(strstr(out, "\"check\": \"OK\""));
        long exact = number("exact_saving"), saved = number("frames_saved");
        assert_true(exact < before);
        assert_true(sum("cow_breaks") > 100);
        assert_true(saved <= exact);
        assert_true(saved >= exact - number("pages_volatile"));
        /* The same seed writes the same, another something else. */
        assert_int_equal(run("fold-bench", options, 3), 0);
        assert_int_equal(number("exact_saving"), exact);
        snprintf(options, sizeof(options), "--passes=8 --write=4 --seed=12 %s", ways[i]);
        assert_int_equal(run("fold-bench", options, 3), 0);
        assert_int_not_equal(number("exact_saving"), exact);
    }
    remove_images();
}

static void test_refusals(void **state)
{
    (void)state;
    assert_int_equal(run("recount", "", 0), 2);
    assert_int_equal(run("recount", "/nonexistent", 0), 2);
    assert_int_equal(run("recount", "/dev/null", 0), 2);
    assert_int_equal(run("recount", "/", 0), 2);
    assert_int_equal(run("fold-bench", "--write=101 Makefile", 0), 2);
    assert_int_equal(run("fold-bench", "--unit=mmx Makefile", 0), 2);
    assert_int_equal(run("fold-bench", "--fold.index=list Makefile", 0), 2);
    assert_int_equal(run("fold-bench", "--scan.pages=5 Makefile", 0), 2);
    /* None of these gets as far as KSM. */
    assert_int_equal(run("ksm-bench", "", 0), 2);
    assert_int_equal(run("ksm-bench", "--smart-scan=maybe Makefile", 0), 2);
    assert_int_equal(run("ksm-bench", "--passes=0 Makefile", 0), 2);
    assert_int_equal(run("ksm-bench", "--write=-1 Makefile", 0), 2);
    assert_int_equal(run("ksm-bench", "--run=2 Makefile", 0), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipe),        cmocka_unit_test(test_all_alike),
        cmocka_unit_test(test_all_different), cmocka_unit_test(test_one_bit),
        cmocka_unit_test(test_shifted),       cmocka_unit_test(test_runs),
        cmocka_unit_test(test_given_twice),   cmocka_unit_test(test_lookahead_saves_searches),
        cmocka_unit_test(test_writes),        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
