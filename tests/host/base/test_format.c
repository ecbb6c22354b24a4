/* SPDX-License-Identifier: BSD-2-Clause */
/* The bounded printf against the C library's, over every flag, width, precision and length. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "base/format.h"
#include "base/status.h"

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static const char *const flags[] = {"", "-", "0", "-0"};
static const char *const widths[] = {"", "1", "7", "20"};
static const char *const precisions[] = {"", ".", ".0", ".1", ".5", ".25"};

#define AGREE(fmt, ...)                                                                            \
    do {                                                                                           \
        char a_[96], b_[96];                                                                       \
        for (size_t size_ = 0; size_ < sizeof(a_); size_ += size_ < 12 ? 1 : 83) {                 \
            memset(a_, 'z', sizeof(a_));                                                           \
            memset(b_, 'z', sizeof(b_));                                                           \
            int want_ = snprintf(a_, size_, fmt, __VA_ARGS__);                                     \
            assert_int_equal(format(b_, size_, fmt, __VA_ARGS__), want_);                          \
            assert_memory_equal(a_, b_, sizeof(a_));                                               \
        }                                                                                          \
    } while (0)

static const uint64_t values[] = {
    0,         1,     9,     10,        127,        128,       255,
    256,       32768, 65535, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_C(1) << 63,
    UINT64_MAX};

static void numbers(const char *spec)
{
    char fmt[32];

    for (const char *c = "diuxX"; *c != '\0'; c++) {
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
            snprintf(fmt, sizeof(fmt), "<%%%shh%c>", spec, *c);
            AGREE(fmt, (int)values[i]);
            snprintf(fmt, sizeof(fmt), "<%%%sh%c>", spec, *c);
            AGREE(fmt, (int)values[i]);
            snprintf(fmt, sizeof(fmt), "<%%%s%c>", spec, *c);
            AGREE(fmt, (int)values[i]);
            snprintf(fmt, sizeof(fmt), "<%%%sl%c>", spec, *c);
            AGREE(fmt, (long)values[i]);
            snprintf(fmt, sizeof(fmt), "<%%%sll%c>", spec, *c);
            AGREE(fmt, (long long)values[i]);
            snprintf(fmt, sizeof(fmt), "<%%%sz%c>", spec, *c);
            AGREE(fmt, (size_t)values[i]);
            snprintf(fmt, sizeof(fmt), "<%%%sj%c>", spec, *c);
            AGREE(fmt, (intmax_t)values[i]);
        }
    }
}

static void test_numbers(void **state)
{
    (void)state;
    for (size_t f = 0; f < ARRAY_LEN(flags); f++) {
        for (size_t w = 0; w < ARRAY_LEN(widths); w++) {
            for (size_t p = 0; p < ARRAY_LEN(precisions); p++) {
                char spec[16];

                snprintf(spec, sizeof(spec), "%s%s%s", flags[f], widths[w], precisions[p]);
                numbers(spec);
            }
        }
    }
}

static void test_text(void **state)
{
    char unended[4] = {'a', 'b', 'c', 'd'};
    (void)state;

    for (size_t w = 0; w < ARRAY_LEN(widths); w++) {
        for (size_t p = 0; p < ARRAY_LEN(precisions); p++) {
            for (int left = 0; left < 2; left++) {
                char fmt[32];

                snprintf(fmt, sizeof(fmt), "<%%%s%s%ss>", left ? "-" : "", widths[w],
                         precisions[p]);
                AGREE(fmt, "");
                AGREE(fmt, "guest");
            }
        }
    }
    AGREE("%c|%-3c|%3c", 'x', 'y', 'z');
    AGREE("%*d|%-*d|%*d", 5, 1, 5, 2, -5, 3);
    AGREE("%.*s|%.*s", 2, "abc", -1, "abc");
    AGREE("%.4s", unended); /* never reads past the precision */
    AGREE("100%%%s", "!");
    AGREE("%p", (void *)(uintptr_t)0x1234);
}

static void test_odd(void **state)
{
    const char *volatile fmt = "%q %"; /* or the compiler sees what is wrong with them */
    char buf[64];
    (void)state;

    assert_int_equal(format(buf, sizeof(buf), fmt, 1), 4);
    assert_string_equal(buf, "%q %");
    fmt = "%s";
    (void)format(buf, sizeof(buf), fmt, (char *)NULL);
    assert_string_equal(buf, "(null)");
    /* An absurd width is bounded, and the buffer holds. */
    fmt = "%999999999999999999999d";
    assert_int_equal(format(buf, sizeof(buf), fmt, 1), 4096);
    assert_int_equal(strlen(buf), sizeof(buf) - 1);
}

static void test_status(void **state)
{
    (void)state;
    for (int s = OK; s <= E_READONLY; s++) {
        assert_true(strlen(status_name((enum status)s)) > 1);
        for (int t = OK; t < s; t++) {
            assert_string_not_equal(status_name((enum status)s), status_name((enum status)t));
        }
    }
    assert_string_equal(status_name((enum status)99), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_odd),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
