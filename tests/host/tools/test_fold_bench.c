/* SPDX-License-Identifier: BSD-2-Clause */
/* build/host/fold-bench on images whose duplicates are known by construction. */
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

#define PAGE 4096
#define PAGES 600

/* Page i of image v: a fifth zero, two fifths equal in both images, a fifth pairs inside one image,
 * the rest unlike any other. */
static void make_page(uint8_t *page, unsigned v, unsigned i)
{
    unsigned kind = i % 5;
    char text[64];

    memset(page, kind == 0 ? 0 : (int)(i % 251), PAGE);
    if (kind == 1 || kind == 2) {
        snprintf(text, sizeof(text), "both %u", i);
    } else if (kind == 3) {
        memset(page, 7, PAGE);
        snprintf(text, sizeof(text), "pair %u of %u", i / 10, v);
    } else {
        snprintf(text, sizeof(text), "page %u of %u", i, v);
    }
    if (kind != 0) {
        memcpy(page + PAGE - sizeof(text), text, strlen(text) + 1);
    }
}

static void make_image(const char *file, unsigned v)
{
    static uint8_t page[PAGE];
    FILE *f = fopen(file, "wb");

    assert_non_null(f);
    for (unsigned i = 0; i < PAGES; i++) {
        make_page(page, v, i);
        assert_int_equal(fwrite(page, PAGE, 1, f), 1);
    }
    assert_int_equal(fclose(f), 0);
}

static char out[65536];

static int run(const char *arguments)
{
    return program_run(out, sizeof(out), "build/host/fold-bench %s", arguments);
}

static void test_exact(void **state)
{
    char a[] = "/tmp/fold-bench-a-XXXXXX", b[] = "/tmp/fold-bench-b-XXXXXX", arguments[256];
    /* 120 zero pages, 240 in both, 120 as 60 pairs, 120 alone, in each of two images. */
    const long distinct = 1 + 240 + 2 * 60 + 2 * 120;

    (void)state;
    close(mkstemp(a));
    close(mkstemp(b));
    make_image(a, 0);
    make_image(b, 1);
    snprintf(arguments, sizeof(arguments), "--passes=3 %s %s", a, b);
    assert_int_equal(run(arguments), 0);
    assert_int_equal(program_number(out, "pages"), 2 * PAGES);
    assert_int_equal(program_number(out, "distinct_pages"), distinct);
    assert_int_equal(program_number(out, "frames_used"), distinct);
    assert_int_equal(program_number(out, "pages_zero"), 240);
    assert_int_equal(program_number(out, "pages_shared"), 240 + 120);
    assert_non_null(strstr(out, "\"check\": \"OK\""));

    /* Without the zero page the zeroes are one more shared page; its frame is there all the same.
     */
    snprintf(arguments, sizeof(arguments), "--fold.zero=off %s %s", a, b);
    assert_int_equal(run(arguments), 0);
    assert_int_equal(program_number(out, "frames_used"), distinct + 1);
    unlink(a);
    unlink(b);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_int_equal(run(""), 2);
    assert_int_equal(run("/nonexistent"), 2);
    assert_int_equal(run("--passes=0 Makefile"), 2);
    assert_int_equal(run("--fold.index=list README.md Makefile"), 2);
    assert_int_equal(run("--nonsense=1 README.md"), 2);
    assert_int_equal(run("/dev/null"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
