/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/console/detachkey: Ctrl-] in each form, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "kernel/console/detachkey.h"

/* At which byte (from 1) of `text` the key is found; 0: not at all. */
static size_t found(const char *text, size_t n)
{
    struct detachkey d = {0};
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        if (detachkey_byte(&d, (uint8_t)text[i])) {
            assert_int_equal(at, 0);
            at = i + 1;
        }
    }
    return at;
}

static void test_forms(void **state)
{
    static const char *const yes[] = {
        "\035",
        "\033[93;5u",
        "\033[27;5;93~",
        "\033[93;5:1u",
        "\033[93;5:2u",
        "\033[93;133u",
        "\033[93;69;29u",
        "\033[93:125:93;5u",
        "ls\033[A\033\033[93;5u",
        "\033[0093;05u",
        "\033[221;27;29;1;8;1_",
        "\033[;;29;1_",
        "\033[1\035", /* a key's byte inside what is no sequence is the key */
    };
    static const char *const no[] = {
        "]",
        "\033]",
        "\033[93u",
        "\033[93;1u",
        "\033[93;2u",
        "\033[93;0u",
        "\033[93;5:3u",
        "\033[92;5u",
        "\033[27;1;93~",
        "\033[27;5;92~",
        "\033[93;5~",
        "\033[27;5;93u",
        "[93;5u",
        "\033O93;5u",
        "\033[93;5",
        "\033[;93;5u",
        "\033[1;2;93;5u",
        "\033[10093;5u",
        "\033[65629;5u",
        "\033[93x;5u",
        "\033[1:93;5u",
        "\033[221;27;29;0;8;1_",
        "\033[221;27;93;1;0;1_",
        "\033[221;29;27;1;8;1_",
        "\033[;29;1_",
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(yes); i++) {
        assert_int_equal(found(yes[i], strlen(yes[i])), strlen(yes[i]));
    }
    for (unsigned i = 0; i < ARRAY_LEN(no); i++) {
        assert_int_equal(found(no[i], strlen(no[i])), 0);
    }
}

/* Whatever came before, the next Ctrl-] is found. */
static void test_after_anything(void **state)
{
    static const char form[] = "\033[93;5u";
    static const char bytes[] = "\033[]0123456789:;u~x?";

    (void)state;
    srand(1);
    for (unsigned run = 0; run < 20000; run++) {
        struct detachkey d = {0};
        for (unsigned n = (unsigned)rand() % 40; n > 0; n--) {
            (void)detachkey_byte(&d, (uint8_t)bytes[(unsigned)rand() % (sizeof(bytes) - 1)]);
        }
        bool last = false;
        for (const char *c = form; *c; c++) {
            last = detachkey_byte(&d, (uint8_t)*c);
            assert_true(!last || c[1] == '\0');
        }
        assert_true(last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_after_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
