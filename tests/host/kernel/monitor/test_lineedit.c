/* SPDX-License-Identifier: BSD-2-Clause */
/* The line editor on a small terminal: what is shown must always be the line, cursor included. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "kernel/monitor/lineedit.h"

static struct lineedit e;
static char row[128]; /* the terminal's line */
static unsigned column;

/* Understands just what the editor may send; anything else fails. */
static void terminal(void *ctx, const char *bytes, size_t n)
{
    (void)ctx;
    assert_true(n <= LINEEDIT_RENDER);
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\r') {
            column = 0;
        } else if (bytes[i] == 0x1b) {
            unsigned number = 0;

            assert_int_equal(bytes[++i], '[');
            for (i++; bytes[i] >= '0' && bytes[i] <= '9'; i++) {
                number = number * 10 + (unsigned)(bytes[i] - '0');
            }
            if (bytes[i] == 'K') {
                memset(row + column, ' ', sizeof(row) - column);
            } else {
                assert_int_equal(bytes[i], 'D');
                assert_true(number > 0 && number <= column);
                column -= number;
            }
        } else if (bytes[i] != '\a') {
            assert_true(bytes[i] >= 0x20 && bytes[i] <= 0x7e && column < LINEEDIT_COLUMNS);
            row[column++] = bytes[i];
        }
    }
}

/* On a new terminal line. */
static void draw(void)
{
    char buf[LINEEDIT_RENDER];

    memset(row, '#', sizeof(row));
    terminal(NULL, buf, lineedit_render(&e, buf, sizeof(buf)));
}

static void start(void)
{
    lineedit_init(&e, "> ", terminal, NULL);
    draw();
}

/* Types everything; returns the last event. */
static enum lineedit_event type(const char *keys)
{
    enum lineedit_event event = LINEEDIT_MORE;

    for (; *keys != '\0'; keys++) {
        event = lineedit_key(&e, (uint8_t)*keys);
        if (event == LINEEDIT_LINE) {
            draw();
            assert_int_equal(column, 2);
        }
    }
    return event;
}

#define LINE(keys, want)                                                                           \
    do {                                                                                           \
        assert_int_equal(type(keys "\r"), LINEEDIT_LINE);                                          \
        assert_string_equal(lineedit_line(&e), want);                                              \
    } while (0)

static void test_editing(void **state)
{
    (void)state;
    start();
    LINE("vms", "vms");
    LINE("\nvms", "vms"); /* the LF of a CR LF is no line */
    LINE("ac\x1b[Db", "abc");
    LINE("bc\x1b[Ha\x1b[Fd", "abcd");
    LINE("bc\x1bOHa\x1bOFd", "abcd");
    LINE("bc\x1b[1~a\x1b[4~d", "abcd");
    LINE("bc\x01"
         "a\x05"
         "d",
         "abcd");
    LINE("abx\x7f"
         "c",
         "abc");
    LINE("axb\x02\x02\x1b[3~", "ab");
    LINE("axb\x02\x02\x04", "ab");
    LINE("one two\x17three", "one three");
    LINE("one two  \x17\x17three", "three");
    LINE("one two\x02\x02\x15", "wo");
    LINE("one two\x02\x02\x0b!", "one t!");
    LINE("\x7f\x7f\x1b[D\x1b[C\x1b[3~x", "x"); /* nothing to take away */
    assert_int_equal(type("some\x03"), LINEEDIT_LINE);
    assert_string_equal(lineedit_line(&e), "");
    assert_int_equal(type("\x04"), LINEEDIT_END);
    LINE("", "");
}

static void test_hostile(void **state)
{
    (void)state;
    start();
    LINE("a\x1b[200;300;Hb\x1b[?25hc\x1b[5n", "bca"); /* H is Home, whatever comes with it */
    LINE("a\x1b]0;title\ab", "ab");
    LINE("a\x1bPjunk\x1b\\b", "ab");
    LINE("a\x1b\x1b[Db", "ba");
    LINE("a\x80\xff\x1f\x0e"
         "b",
         "ab");
    LINE("a\x1b[99999999999999~b", "ab");
}

static void test_history(void **state)
{
    char line[32];
    (void)state;

    start();
    LINE("one", "one");
    LINE("two", "two");
    LINE("two", "two"); /* kept once */
    LINE("", "");       /* not kept */
    LINE("\x1b[A", "two");
    LINE("\x1b[A\x1b[A", "one");
    LINE("draft\x1b[A\x1b[A\x1b[B\x1b[B!", "draft!");
    LINE("\x1b[A\x1b[Ax\x7f\x7f", "on");
    for (int i = 0; i < 40; i++) {
        snprintf(line, sizeof(line), "line %d\r", i);
        type(line);
    }
    for (int i = 0; i < 40; i++) {
        type("\x1b[A");
    }
    type("\r");
    assert_string_equal(lineedit_line(&e), "line 24"); /* the oldest of 16 */
}

/* Random keys: the terminal shows the line around the cursor, and a fresh drawing is the same. */
static void test_random(void **state)
{
    static const char *const keys[] = {"a",      "b",       " ",    "\x7f", "\x1b[A",   "\x1b[B",
                                       "\x1b[C", "\x1b[D",  "\x01", "\x05", "\x17",     "\x0b",
                                       "\x15",   "\x1b[3~", "x",    "y",    "long-word"};
    (void)state;

    srand(5);
    start();
    for (int i = 0; i < 60000; i++) {
        unsigned from, shown;

        type(keys[rand() % (rand() % 3 ? 6 : (int)ARRAY_LEN(keys))]);
        if (rand() % 200 == 0) {
            type("\r");
            lineedit_key(&e, 0); /* any key begins the next line */
        }
        if (rand() % 50 == 0) {
            draw(); /* others have printed */
        }
        assert_true(e.at <= e.n && e.n < LINEEDIT_MAX && strlen(e.text) == e.n);
        assert_memory_equal(row, "> ", 2);
        from = e.at + 2 - column; /* the text's first column */
        shown = MIN(e.n - from, (unsigned)LINEEDIT_COLUMNS - 2);
        assert_memory_equal(row + 2, e.text + from, shown);
        for (unsigned j = 2 + shown; j < LINEEDIT_COLUMNS; j++) {
            assert_int_equal(row[j], ' ');
        }
    }
    for (int i = 0; i < 2 * LINEEDIT_MAX; i++) {
        type("z");
    }
    assert_int_equal(e.n, LINEEDIT_MAX - 1);
    for (size_t size = 0; size < LINEEDIT_RENDER; size++) { /* a short buffer is never overrun */
        char *buf = malloc(size + 1);

        assert_true(lineedit_render(&e, buf, size) <= size);
        free(buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_editing),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
