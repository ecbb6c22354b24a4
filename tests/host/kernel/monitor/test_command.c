/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines: words, quotes, prefixes, and the message for each mistake. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "kernel/monitor/command.h"

static char ran[64], why[200];

static void run(void *ctx, unsigned argc, char *const *argv)
{
    snprintf(ran, sizeof(ran), "%s:%u:%s", (const char *)ctx, argc, argc > 1 ? argv[1] : "");
    assert_null(argv[argc]);
}

static const struct command table[] = {
    {"help", "", "this list", 0, 0, run, false},
    {"stats", "[json]", "counters", 0, 1, run, false},
    {"start", "NAME", "start a VM", 1, 1, run, false},
    {"stop", "NAME", "stop a VM", 1, 1, run, false},
    {"stopall", "", "stop all", 0, 0, run, false},
    {"poweroff", "", "end", 0, 1, run, true},
    {"pause", "NAME", "wait", 1, 1, run, false},
};

static enum status go(const char *line)
{
    ran[0] = why[0] = '\0';
    return command_run(table, ARRAY_LEN(table), line, "ctx", why, sizeof(why));
}

static void test_run(void **state)
{
    (void)state;
    assert_int_equal(go("help"), OK);
    assert_string_equal(ran, "ctx:1:");
    assert_int_equal(go("  sto\t web1 "), E_NOTFOUND);
    assert_string_equal(why, "'sto' could be stop, stopall");
    assert_int_equal(go("stop web1"), OK);
    assert_string_equal(ran, "ctx:2:web1");
    assert_int_equal(go("h"), OK);
    assert_int_equal(go("star 'a b'"), OK);
    assert_string_equal(ran, "ctx:2:a b");
    assert_int_equal(go(""), OK);
    assert_string_equal(ran, "");
    assert_int_equal(go("\"\""), E_NOTFOUND);
    assert_int_equal(go("frobnicate"), E_NOTFOUND);
    assert_string_equal(why, "unknown command 'frobnicate'; `help` lists them");
    assert_int_equal(go("stop"), E_INVAL);
    assert_string_equal(why, "usage: stop NAME");
    assert_int_equal(go("help me"), E_INVAL);
    assert_string_equal(why, "usage: help");
    assert_int_equal(go("stop \x1b[2J"), E_INVAL);
    assert_string_equal(ran, "");
}

/* What ends the machine is typed in full; it does not make other words ambiguous. */
static void test_exact(void **state)
{
    (void)state;
    for (unsigned n = 2; n < 8; n++) {
        char line[16];
        snprintf(line, sizeof(line), "%.*s", (int)n, "poweroff");
        assert_int_equal(go(line), E_NOTFOUND);
        assert_string_equal(ran, "");
        assert_non_null(strstr(why, "is too short for poweroff: type it in full"));
    }
    assert_int_equal(go("poweroff"), OK);
    assert_int_equal(go("poweroff now"), OK);
    assert_int_equal(go("p a"), OK); /* pause */
    assert_string_equal(ran, "ctx:2:a");
    assert_int_equal(go("powerof f"), E_NOTFOUND);
    assert_int_equal(go("powreoff"), E_NOTFOUND);
    assert_string_equal(why, "unknown command 'powreoff'; did you mean 'poweroff'?");
    assert_int_equal(go("puase a"), E_NOTFOUND);
    assert_string_equal(why, "unknown command 'puase'; did you mean 'pause'?");
    assert_string_equal(ran, "");
}

static void test_split(void **state)
{
    struct command_words w;
    char line[400];
    (void)state;

    assert_int_equal(command_split("a \"b \\\" c\"d '' 'e\\'", &w, why, sizeof(why)), OK);
    assert_int_equal(w.argc, 4);
    assert_string_equal(w.argv[1], "b \" cd");
    assert_string_equal(w.argv[2], "");
    assert_string_equal(w.argv[3], "e\\");
    assert_int_equal(command_split("a \"b", &w, why, sizeof(why)), E_INVAL);
    assert_int_equal(w.argc, 0);
    memset(line, 'x', sizeof(line));
    line[COMMAND_LINE - 1] = '\0';
    assert_int_equal(command_split(line, &w, why, sizeof(why)), OK);
    assert_int_equal(strlen(w.argv[0]), COMMAND_LINE - 1);
    line[COMMAND_LINE - 1] = 'x';
    line[COMMAND_LINE] = '\0';
    assert_int_equal(command_split(line, &w, why, sizeof(why)), E_RANGE);
    assert_int_equal(command_split("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", &w, why, 9), OK);
    assert_int_equal(command_split("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", &w, why, 9),
                     E_RANGE);
}

static void test_help(void **state)
{
    char buf[80];
    (void)state;

    (void)command_help(&table[1], buf, sizeof(buf));
    assert_string_equal(buf, "stats [json]               counters");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
