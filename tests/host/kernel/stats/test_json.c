/* SPDX-License-Identifier: BSD-2-Clause */
/* The JSON writer: nesting, escapes, and that a text that does not fit is never called whole. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/stats/json.h"

static void fill(struct json *j)
{
    json_open(j, NULL, '{');
    json_number(j, "t_ms", UINT64_MAX);
    json_open(j, "vms", '[');
    json_open(j, NULL, '{');
    json_string(j, "name", "a\"b\\\x01\x7f\xe9/");
    json_close(j);
    json_open(j, NULL, '{');
    json_close(j);
    json_signed(j, NULL, INT64_MIN);
    json_close(j);
    json_bool(j, "on", true);
    json_open(j, "empty", '[');
    json_close(j);
    json_close(j);
}

static const char want[] = "{\"t_ms\":18446744073709551615,\"vms\":[{\"name\":\"a\\\"b\\\\\\u0001"
                           "\\u007f\\u00e9/\"},{},-9223372036854775808],\"on\":true,\"empty\":[]}";

static void test_sizes(void **state)
{
    (void)state;
    for (size_t size = 1; size < sizeof(want) + 3; size++) {
        char *buf = malloc(size);
        struct json j;

        json_init(&j, buf, size);
        fill(&j);
        assert_int_equal(json_finish(&j), size >= sizeof(want));
        assert_memory_equal(buf, want, strlen(buf));
        assert_int_equal(strlen(buf), size >= sizeof(want) ? sizeof(want) - 1 : size - 1);
        free(buf);
    }
}

static void test_misuse(void **state)
{
    char buf[256];
    struct json j;
    (void)state;

    json_init(&j, buf, sizeof(buf));
    assert_false(json_finish(&j)); /* nothing */
    json_open(&j, NULL, '{');
    assert_false(json_finish(&j)); /* open */
    json_number(&j, NULL, 1);      /* no name in an object */
    json_close(&j);
    assert_false(json_finish(&j));

    json_init(&j, buf, sizeof(buf));
    json_close(&j);
    assert_false(json_finish(&j));

    json_init(&j, buf, sizeof(buf));
    json_number(&j, NULL, 1);
    assert_true(json_finish(&j));
    json_number(&j, NULL, 2); /* a second value */
    assert_false(json_finish(&j));

    json_init(&j, buf, sizeof(buf));
    for (int i = 0; i < JSON_DEPTH + 1; i++) {
        json_open(&j, NULL, '[');
    }
    for (int i = 0; i < JSON_DEPTH + 1; i++) {
        json_close(&j);
    }
    assert_false(json_finish(&j));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
