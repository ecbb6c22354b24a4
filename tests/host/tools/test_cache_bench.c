/* SPDX-License-Identifier: BSD-2-Clause */
/* build/host/cache-bench on traces whose hits can be counted by hand, and on ones that are wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "program.h"

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/cache-bench-XXXXXX";
static char file[64], out[65536];

static void write_trace(const char *text)
{
    FILE *f = fopen(file, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int run(const char *arguments)
{
    return program_run(out, sizeof(out), "build/host/cache-bench %s", arguments);
}

static int run_file(const char *options)
{
    return program_run(out, sizeof(out), "build/host/cache-bench %s %s", options, file);
}

static void test_by_hand(void **state)
{
    (void)state;
    /* Blocks a = (0, 10), b = (0, 11), c = (1, 10). In a cache of two, LRU: a b miss, a hits, c
     * misses and pushes b out, b misses and pushes a out, c hits. The write of d = (0, 99) brings
     * nothing in, and the discard takes c, which misses then. */
    write_trace("# a comment\n"
                "1 1 0 10 2 r\n"
                "2 1 0 10 1 r\n"
                "3 2 1 10 1 r\n"
                "4 1 0 11 1 r\n"
                "5 2 1 10 1 r\n"
                "6 1 0 99 1 w\n"
                "7 1 1 10 1 d\n"
                "8 1 1 10 1 r");
    assert_int_equal(run_file("--sizes=67,100"), 0);
    assert_non_null(strstr(out, "\"requests\": 8, \"reads\": 7, \"blocks_read\": 3"));
    assert_non_null(
        strstr(out, "\"percent\": 67, \"blocks\": 2, \"hit_ratio\": {\"lru\": 0.285714"));
    /* With room for all, the three first reads and the one after the discard miss, for everybody.
     */
    assert_non_null(strstr(
        out,
        "\"percent\": 100, \"blocks\": 3, \"hit_ratio\": {\"lru\": 0.428571, "
        "\"arc\": 0.428571, \"sieve\": 0.428571, \"s3fifo\": 0.428571, \"pagefold\": 0.428571, "
        "\"min\": 0.428571}"));
    assert_non_null(strstr(out, "\"sampled_one_in\": 1, \"mean_absolute_error\": 0.000000"));
}

/* Belady's by hand: of 1 2 3 1 2 3 in a cache of two, 1 and 2 stay: two hits; LRU has none. */
static void test_min(void **state)
{
    (void)state;
    write_trace("1 1 0 1 3 r\n2 1 0 1 3 r\n");
    assert_int_equal(run_file("--sizes=67"), 0);
    assert_non_null(strstr(out, "\"lru\": 0.000000"));
    assert_non_null(strstr(out, "\"min\": 0.333333"));
}

static double value(const char *at, const char *name)
{
    char key[32];

    snprintf(key, sizeof(key), "\"%s\": ", name);
    at = strstr(at, key);
    assert_non_null(at);
    return strtod(at + strlen(key), NULL);
}

/* Nobody beats the one who knows the future, and the sampled curve is near the exact one. */
static void test_synthetic(void **state)
{
    const char *at;
    unsigned lines = 0, curves = 0;

    (void)state;
    assert_int_equal(run("--json --blocks=15000 --reads=60000 zipf:0.8 zipf:1.0 scan loop"), 0);
    assert_int_equal(out[0], '{');
    for (at = out; (at = strstr(at, "\"percent\"")) != NULL; at++, lines++) {
        double min = value(at, "min");
        assert_true(value(at, "lru") <= min && value(at, "arc") <= min);
        assert_true(value(at, "s3fifo") <= min && value(at, "sieve") <= min &&
                    value(at, "pagefold") <= min && min < 1);
    }
    assert_int_equal(lines, 20);
    for (at = out; (at = strstr(at, "\"mean_absolute_error\"")) != NULL; at++, curves++) {
        assert_true(value(at, "mean_absolute_error") < 0.02);
    }
    assert_int_equal(curves, 4);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",                                 /* nothing to read */
        "1 1 0 10 1 w\n",                   /* likewise */
        "1 1 0 10 0 r\n",                   /* no block */
        "1 1 0 10 1 x\n",                   /* no such operation */
        "1 1 0 10 1 rr\n",                  /* more than one */
        "1 1 0 10 r\n",                     /* a number too few */
        "1 1 0 10 1 1 r\n",                 /* too many */
        "1 1 0 -1 1 r\n",                   /* below 0 */
        "1 1 0 18446744073709551616 1 r\n", /* too large for any type */
        "1 1 0 1 18446744073709551615 r\n", /* too many blocks */
        "1 65536 0 1 1 r\n",                /* no VM has that number */
        "1 1 0 10 1 r\nhello\n",
    };
    char where[80];

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_trace(bad[i]);
        assert_int_equal(run_file(""), 2);
        snprintf(where, sizeof(where), "%s:%d: ", file,
                 i == 0                                  ? 0
                 : i + 1 == sizeof(bad) / sizeof(bad[0]) ? 2
                                                         : 1);
        assert_non_null(strstr(out, where));
    }
    assert_int_equal(run(""), 2);
    assert_int_equal(run("/nowhere/at-all"), 2);
    assert_int_equal(run("--sizes=0 loop"), 2);
    assert_int_equal(run("--sizes=5, loop"), 2);
    assert_int_equal(run("--blocks=1 loop"), 2);
    assert_int_equal(run("--nothing=1 loop"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_min),
        cmocka_unit_test(test_synthetic),
        cmocka_unit_test(test_refused),
    };

    if (!mkdtemp(folder)) {
        return 1;
    }
    snprintf(file, sizeof(file), "%s/trace", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(file);
    rmdir(folder);
    return failed;
}
