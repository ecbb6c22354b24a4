/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/console/mux: a small terminal reads what is pulled and must show whole lines only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "kernel/console/mux.h"

#define PORTS 3
#define OUT 8192
#define LOG 4096
#define PROMPT "pagefold> "

static struct conmux m;
static struct conmux_port ports[PORTS];
static char port_bytes[PORTS][CONMUX_PORT_BYTES], out[OUT], logged[LOG], echo[CONMUX_ECHO_BYTES];
static char typed[64];

/* The terminal: finished lines, and the one under the cursor. */
static char lines[20000][600];
static unsigned n_lines;
static char row[2000];
static size_t row_n;
static bool cr;
static unsigned escape;

static void term(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = bytes[i];
        if (escape > 0 || c == 27) { /* "ESC [ K" is all that the multiplexer itself sends */
            assert_int_equal(c, "\033[K"[escape]);
            escape = (escape + 1) % 3;
            if (escape == 0 && cr) {
                row_n = 0;
            }
            continue;
        }
        if (c == '\r') {
            cr = true;
            continue;
        }
        if (c == '\n') {
            assert_true(cr);
            assert_true(n_lines < ARRAY_LEN(lines));
            row[row_n] = 0;
            snprintf(lines[n_lines++], sizeof(lines[0]), "%.500s", row);
            row_n = 0;
        } else {
            if (cr) {
                row_n = 0;
            }
            row[row_n++] = c;
            assert_true(row_n < sizeof(row));
        }
        cr = false;
    }
    row[row_n] = 0;
}

/* All that there is to send, up to max. */
static size_t pull_raw(char *buf, size_t max)
{
    size_t n, sum = 0;

    while (sum < max && (n = conmux_pull(&m, buf + sum, max - sum)) > 0) {
        sum += n;
    }
    return sum;
}

static size_t pull(size_t max)
{
    static char all[1 << 20], *end;
    char buf[4096];
    size_t n, sum = 0;

    end = all;
    while (sum < max && (n = conmux_pull(&m, buf, MIN(max - sum, sizeof(buf)))) > 0) {
        assert_true((size_t)(end - all) + n < sizeof(all));
        memcpy(end, buf, n);
        end += n;
        sum += n;
    }
    term(all, sum);
    return sum;
}

static size_t render(void *ctx, char *buf, size_t size)
{
    (void)ctx;
    return (size_t)snprintf(buf, size, "\r" PROMPT "%s\033[K", typed);
}

static int setup(void **state)
{
    static const char *const names[PORTS] = {"a", "bb", "ccc"};

    (void)state;
    conmux_init(&m, out, OUT, logged, LOG, echo);
    for (unsigned i = 0; i < PORTS; i++) {
        conmux_add(&m, &ports[i], names[i], port_bytes[i]);
    }
    m.render = render;
    typed[0] = 0;
    n_lines = 0;
    row_n = 0;
    cr = false;
    escape = 0;
    return 0;
}

static void guest(unsigned p, const char *text)
{
    for (; *text; text++) {
        assert_true(conmux_port_room(&m, &ports[p]));
        conmux_port_put(&m, &ports[p], *text);
    }
}

static void write(const char *text)
{
    assert_true(conmux_reply(&m, text, strlen(text)));
}

static void test_whole_lines(void **state)
{
    (void)state;
    guest(0, "one\r\ntw");
    guest(1, "x\n\nleft");
    guest(0, "o\n");
    pull(SIZE_MAX);
    assert_int_equal(n_lines, 4);
    assert_string_equal(lines[0], "[a] one");
    assert_string_equal(lines[1], "[bb] x");
    assert_string_equal(lines[2], "[a] two");
    assert_string_equal(lines[3], "[bb] ");
    assert_true(conmux_empty(&m));
}

static void test_controls_are_taken_out(void **state)
{
    (void)state;
    guest(0, "\033[2J\033[1;31mred\033[0m\a\tok\bx\r50%\r\n\033");
    guest(0, "c\033[");
    guest(0, "\n\033\n");
    pull(SIZE_MAX);
    assert_int_equal(n_lines, 3);
    assert_string_equal(lines[0], "[a] red okx 50%");
    assert_string_equal(lines[1], "[a] ");
    assert_string_equal(lines[2], "[a] ");
    /* The controls beyond ASCII, alone and in UTF-8: CSI, next line; text stays. */
    guest(0, "\x9b"
             "2J \xc2\x9b"
             "2J \xc2\x85pagefold> \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \xe2\x82\n");
    guest(0, "\xc0\x9b \xe0\x82\x9b \xed\xa0\x80\xff\xc3\n");
    pull(SIZE_MAX);
    assert_int_equal(n_lines, 5);
    assert_string_equal(lines[3],
                        "[a] ?2J ??2J ??pagefold> \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 ??");
    assert_string_equal(lines[4], "[a] ?? ??? ?????");
    /* What is not seen, or turns the line round: U+202E, U+200B, U+FEFF, a tag, a soft hyphen. */
    guest(0, "a\xe2\x80\xae"
             "b\xe2\x80\x8b"
             "c\xef\xbb\xbf"
             "d\xf3\xa0\x81\x81"
             "e\xc2\xad"
             "f\n");
    pull(SIZE_MAX);
    assert_string_equal(lines[5], "[a] a???b???c???d????e??f");
}

/* A guest that goes off in the middle of a line: it is shown, and the next start's begins anew. */
static void test_end(void **state)
{
    (void)state;
    conmux_port_end(&m, &ports[0]);
    guest(0, "half");
    conmux_port_end(&m, &ports[0]);
    conmux_port_end(&m, &ports[0]);
    guest(0, "whole\r\n");
    pull(SIZE_MAX);
    assert_int_equal(n_lines, 2);
    assert_string_equal(lines[0], "[a] half");
    assert_string_equal(lines[1], "[a] whole");
}

/* A guest that goes off when its port is full: the end of the line gives way to the line's end. */
static void test_end_of_a_full_port(void **state)
{
    (void)state;
    for (unsigned spare = 0; spare < 3; spare++) {
        setup(NULL);
        guest(0, "short\n"); /* so that what is full does not end with a piece of a long line */
        while (ports[0].written < CONMUX_PORT_BYTES - spare) {
            guest(0, "x");
        }
        conmux_port_end(&m, &ports[0]);
        pull(SIZE_MAX);
        assert_true(ports[0].sent == ports[0].written);
        unsigned before = n_lines;
        guest(0, "next\n");
        pull(SIZE_MAX);
        assert_int_equal(n_lines, before + 1);
        assert_string_equal(lines[before], "[a] next");
    }
}

static size_t one_s(void *ctx, char *buf, size_t size)
{
    bool *done = ctx, first = !*done;

    assert_true(size > 0);
    *done = true;
    buf[0] = 'S';
    return first ? 1 : 0;
}

/* A guest's line whose turn does not come, because a statistics line goes first, is not forgotten.
 */
static void test_line_waits_for_statistics(void **state)
{
    bool done = false;

    (void)state;
    guest(0, "one\n");
    assert_true(conmux_send_stats(&m, one_s, &done, false));
    pull(SIZE_MAX);
    assert_int_equal(n_lines, 2);
    assert_string_equal(lines[0], "S");
    assert_string_equal(lines[1], "[a] one");
    assert_true(conmux_empty(&m));
}

/* Puts `n` bytes 'x' and a newline. */
static void guest_long_line(unsigned p, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        conmux_port_put(&m, &ports[p], 'x');
    }
    conmux_port_put(&m, &ports[p], '\n');
}

/* What a line of `n` characters takes of rows. */
static unsigned rows_of(unsigned p, unsigned n)
{
    unsigned width = CONMUX_COLUMNS - (unsigned)strlen(ports[p].name) - 3;

    return (n + width - 1) / width;
}

static void test_long_line(void **state)
{
    (void)state;
    guest_long_line(0, 3000);
    pull(SIZE_MAX);
    assert_int_equal(n_lines, 2 * rows_of(0, 1024) + rows_of(0, 952));
    /* An escape sequence on the cut is not torn. */
    n_lines = 0;
    for (unsigned i = 0; i < CONMUX_LINE - 3; i++) {
        conmux_port_put(&m, &ports[0], 'x');
    }
    guest(0, "\033[12;34Hy\n");
    pull(SIZE_MAX);
    assert_int_equal(n_lines, rows_of(0, CONMUX_LINE - 3) + 1);
    assert_string_equal(lines[n_lines - 1], "[a] y");
    /* Nor is a character. */
    n_lines = 0;
    for (unsigned i = 0; i < CONMUX_LINE - 1; i++) {
        conmux_port_put(&m, &ports[0], 'x');
    }
    guest(0, "\xe2\x82\xac\n");
    pull(SIZE_MAX);
    assert_string_equal(lines[n_lines - 1], "[a] \xe2\x82\xac");
}

/* However much the guest has written that leaves nothing to show, a call makes one line of it. */
static void test_one_line_a_call(void **state)
{
    char raw[64];

    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        for (unsigned i = 0; i < CONMUX_LINE / 4; i++) {
            guest(0, "\033[1m");
        }
    }
    for (unsigned k = 0; k < 3; k++) {
        uint64_t sent = ports[0].sent;
        assert_true(conmux_pull(&m, raw, sizeof(raw)) < 16);
        assert_in_range(ports[0].sent - sent, 1, CONMUX_LINE);
    }
}

/* A terminal of 80 columns never wraps a guest's text to its left edge: rows of a line are made
 * here, each behind the guest's name. The longest name still leaves room for text. */
static void test_rows(void **state)
{
    static const char name[] = "a-name-of-31-characters-is-long";
    static const char text[] = "0123456789 \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\tpagefold> ";
    char joined[CONMUX_LINE], wanted[CONMUX_LINE];
    size_t n = 0;

    (void)state;
    ports[2].name = name;
    for (unsigned p = 0; p < PORTS; p++) {
        char first[48], next[48];
        snprintf(first, sizeof(first), "[%s] ", ports[p].name);
        snprintf(next, sizeof(next), "[%s]+", ports[p].name);
        wanted[0] = joined[0] = '\0';
        n_lines = 0;
        for (unsigned i = 0; i < 25; i++) {
            guest(p, text);
            strcat(wanted, text);
        }
        guest(p, "\r\n");
        pull(SIZE_MAX);
        assert_true(n_lines > 10);
        for (unsigned i = 0; i < n_lines; i++) {
            const char *head = i == 0 ? first : next;
            assert_true(strlen(lines[i]) <= CONMUX_COLUMNS);
            assert_true(strlen(lines[i]) >= CONMUX_COLUMNS - 3 || i == n_lines - 1);
            assert_memory_equal(lines[i], head, strlen(head));
            strcat(joined, lines[i] + strlen(head));
        }
        for (char *c = wanted; *c; c++) {
            *c = *c == '\t' ? ' ' : *c;
        }
        assert_string_equal(joined, wanted);
    }
    /* A line that just fits is one row, and no empty row follows it. */
    n_lines = 0;
    guest_long_line(0, CONMUX_COLUMNS - 4);
    guest_long_line(0, CONMUX_COLUMNS - 3);
    pull(SIZE_MAX);
    assert_int_equal(n_lines, 3);
    assert_string_equal(lines[2], "[a]+x");
    /* A row that goes on ends with two carriage returns, which no guest can send. */
    char raw[CONMUX_STAGE];
    guest(0, "y\r\r\n");
    guest_long_line(0, CONMUX_COLUMNS - 3);
    n = pull_raw(raw, sizeof(raw) - 1);
    raw[n] = '\0';
    assert_memory_equal(raw, "[a] y\r\n[a] x", 12);
    assert_non_null(strstr(raw, "x\r\r\n[a]+x\r\n"));
    assert_null(strstr(strstr(raw, "\r\r\n") + 3, "\r\r\n"));
}

static void test_prompt_comes_back(void **state)
{
    (void)state;
    conmux_prompt(&m);
    pull(SIZE_MAX);
    assert_string_equal(row, PROMPT);
    strcpy(typed, "he");
    conmux_edit(&m, "he", 2);
    pull(SIZE_MAX);
    assert_string_equal(row, PROMPT "he");
    guest(0, "line\n");
    pull(SIZE_MAX);
    assert_string_equal(lines[0], "[a] line");
    assert_string_equal(row, "");
    assert_true(conmux_unsettled(&m));
    conmux_settle(&m);
    pull(SIZE_MAX);
    assert_string_equal(row, PROMPT "he");
    /* A key while it is away brings it back at once, before more lines. */
    guest(0, "another\n");
    pull(SIZE_MAX);
    strcpy(typed, "hel");
    conmux_edit(&m, "l", 1);
    pull(SIZE_MAX);
    assert_string_equal(row, PROMPT "hel");
    conmux_prompt_end(&m);
    write("answer\n");
    pull(SIZE_MAX);
    assert_string_equal(lines[2], PROMPT "hel");
    assert_string_equal(lines[3], "answer");
    /* Enter while it is away shows what was entered. */
    conmux_prompt(&m);
    pull(SIZE_MAX);
    guest(1, "away\n");
    pull(SIZE_MAX);
    conmux_prompt_end(&m);
    pull(SIZE_MAX);
    assert_string_equal(lines[n_lines - 2], "[bb] away");
    assert_string_equal(lines[n_lines - 1], PROMPT "hel");
    /* What was typed ahead of an answer stands behind that answer. */
    unsigned before = n_lines;
    write("answer 1\n");
    conmux_prompt(&m);
    conmux_prompt_end(&m);
    write("answer 2\n");
    pull(SIZE_MAX);
    assert_int_equal(n_lines, before + 3);
    assert_string_equal(lines[before], "answer 1");
    assert_string_equal(lines[before + 1], PROMPT "hel");
    assert_string_equal(lines[before + 2], "answer 2");
}

/* Two guests flood; the monitor's lines and echo come out within a stage, and turns are fair. */
static void test_flood(void **state)
{
    (void)state;
    unsigned seen[PORTS] = {0};

    conmux_prompt(&m);
    for (unsigned i = 0; i < 400; i++) {
        guest(0, "a flood of words\n");
        guest(1, "another flood\n");
    }
    guest(2, "me\n");
    pull(500);
    strcpy(typed, "vms");
    conmux_edit(&m, "vms", 3);
    conmux_prompt_end(&m);
    write("table\n");
    pull(200);
    unsigned at = 0;
    while (at < n_lines && strcmp(lines[at], "table") != 0) {
        at++;
    }
    assert_true(at < n_lines);
    pull(SIZE_MAX);
    for (unsigned i = 0; i < 6; i++) {
        seen[0] += strncmp(lines[i], "[a]", 3) == 0;
        seen[1] += strncmp(lines[i], "[bb]", 4) == 0;
        seen[2] += strncmp(lines[i], "[ccc]", 5) == 0;
    }
    assert_true(seen[0] >= 2 && seen[1] >= 2 && seen[2] == 1);
    assert_int_equal(n_lines, 803);
}

static void test_room(void **state)
{
    (void)state;
    unsigned n = 0;

    while (conmux_port_room(&m, &ports[0])) {
        conmux_port_put(&m, &ports[0], n++ % 64 == 63 ? '\n' : 'y');
    }
    assert_int_equal(n, CONMUX_PORT_BYTES);
    conmux_port_put(&m, &ports[0], 'z'); /* lost, harmless */
    assert_null(conmux_unblocked(&m));
    assert_true(conmux_port_room(&m, &ports[1]));
    pull(1200);
    assert_ptr_equal(conmux_unblocked(&m), &ports[0]);
    assert_null(conmux_unblocked(&m));
    assert_true(conmux_port_room(&m, &ports[0]));
    pull(SIZE_MAX);
    assert_int_equal(n_lines, CONMUX_PORT_BYTES / 64);
}

static void test_lost_is_told(void **state)
{
    (void)state;
    char big[OUT];

    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\n';
    assert_false(conmux_reply(&m, big, sizeof(big))); /* its newline is two */
    write("fits\n");
    pull(SIZE_MAX);
    assert_int_equal(n_lines, 2);
    assert_string_equal(lines[0], "fits");
    assert_non_null(strstr(lines[1], "1 lines lost"));
}

static void test_attach(void **state)
{
    (void)state;
    char raw[CONMUX_PORT_BYTES];
    size_t n;

    guest(0, "old 1\nold 2\n");
    guest(1, "seen\n");
    pull(SIZE_MAX);
    guest(1, "pending, not shown\n");
    conmux_attach(&m, &ports[0]);
    n = pull_raw(raw, sizeof(raw));
    assert_int_equal(n, 12);
    assert_memory_equal(raw, "old 1\nold 2\n", 12);
    guest(0, "\033[2Jraw$ ");
    guest(1, "hidden\n");
    n = pull_raw(raw, sizeof(raw));
    assert_int_equal(n, 9);
    assert_memory_equal(raw, "\033[2Jraw$ ", 9);
    /* A log line stands in a line of its own. */
    write("log\n");
    n = pull_raw(raw, sizeof(raw));
    assert_int_equal(n, 7);
    assert_memory_equal(raw, "\r\nlog\r\n", 7);
    assert_true(conmux_empty(&m));
    assert_int_equal(conmux_back(&m), 2);
    /* The terminal is reset, an unfinished sequence cancelled first, and the cursor at the bottom.
     */
    n = pull_raw(raw, sizeof(raw));
    assert_true(n > 60);
    assert_memory_equal(raw, "\030\033\\", 3);
    raw[n] = '\0';
    assert_non_null(strstr(raw, "\033%G")); /* else 0x9b inside a character could be CSI */
    assert_memory_equal(raw + n - 10, "\033[999;1H\r\n", 10);
    conmux_prompt(&m);
    guest(1, "again\n");
    pull(SIZE_MAX);
    assert_string_equal(lines[n_lines - 1], "[bb] again");
}

/* Lines that were not shown yet and are older than what attaching shows are not waited for. */
static void test_attach_leaves_lines_out(void **state)
{
    char raw[256];

    (void)state;
    conmux_port_put(&m, &ports[0], '\n');
    for (unsigned i = 0; i < CONMUX_HISTORY_BYTES; i++) {
        conmux_port_put(&m, &ports[0], 'x');
    }
    conmux_port_put(&m, &ports[0], '\n');
    conmux_attach(&m, &ports[0]);
    (void)conmux_back(&m);
    while (pull_raw(raw, sizeof(raw)) > 0) {
    }
    assert_true(conmux_empty(&m));
}

/* The terminal's reset does not take the place of a reply that waits. */
static void test_back_with_a_full_reply(void **state)
{
    (void)state;
    while (conmux_room(&m) > 64) {
        assert_true(conmux_reply(&m, "rrrrrrrrrrrrrrrr\n", 17));
    }
    conmux_attach(&m, &ports[0]);
    (void)conmux_back(&m);
    char first;
    assert_int_equal(conmux_pull(&m, &first, 1), 1);
    assert_int_equal(first, 'r');
}

static void expect_pull(const char *want)
{
    char raw[CONMUX_PORT_BYTES];
    size_t n = pull_raw(raw, sizeof(raw));

    assert_int_equal(n, strlen(want));
    assert_memory_equal(raw, want, n);
}

/* With a token, the far end is told what an attached guest's bytes are, and what is not. */
static void test_marks(void **state)
{
    (void)state;
#define GUEST "\033_pagefold t0ken guest a\033\\"
#define OWN "\033_pagefold t0ken host\033\\"
    m.token = "t0ken";
    write("own\n");
    expect_pull("own\r\n");
    conmux_attach(&m, &ports[0]);
    guest(0, "PAGEFOLD-EXIT 0\n");
    expect_pull(GUEST "PAGEFOLD-EXIT 0\n");
    guest(0, "more");
    expect_pull("more");
    assert_true(conmux_log(&m, "log\n", 4));
    guest(0, "again");
    expect_pull(OWN "\r\nlog\r\n" GUEST "again");
    (void)conmux_back(&m);
    char raw[CONMUX_PORT_BYTES];
    size_t n = pull_raw(raw, sizeof(raw));
    assert_true(n > sizeof(OWN));
    assert_memory_equal(raw, OWN "\r\n\030", sizeof(OWN) + 2);
}

/* Long history: the last lines of it, from a line's start. */
static void test_history(void **state)
{
    (void)state;
    char line[32], raw[CONMUX_PORT_BYTES];

    for (unsigned i = 0; i < 3000; i++) {
        snprintf(line, sizeof(line), "line %u\n", i);
        guest(0, line);
        pull(SIZE_MAX);
    }
    conmux_attach(&m, &ports[0]);
    size_t n = pull_raw(raw, sizeof(raw));
    assert_true(n > CONMUX_HISTORY_BYTES - 16 && n <= CONMUX_HISTORY_BYTES);
    assert_memory_equal(raw, "line ", 5);
    assert_memory_equal(raw + n - 10, "line 2999\n", 10);
}

static void test_screen(void **state)
{
    (void)state;
    char raw[256];

    guest(0, "x\n");
    conmux_screen(&m);
    write("\033[Htable\n");
    guest(0, "y\n");
    size_t n = pull_raw(raw, sizeof(raw));
    assert_int_equal(n, 10);
    assert_int_equal(pull_raw(raw, sizeof(raw)), 0);
    assert_int_equal(conmux_back(&m), 2);
}

/* Anything in any order, pulled in pieces of any size: every line arrives once, whole, in order. */
static void test_property(void **state)
{
    for (unsigned seed = 1; seed <= 30; seed++) {
        unsigned sent[PORTS + 1] = {0}, got[PORTS + 1] = {0}, half[PORTS] = {0};

        setup(state);
        srand(seed);
        for (unsigned step = 0; step < 3000; step++) {
            char text[64];
            unsigned p = (unsigned)rand() % PORTS;
            switch (rand() % 8) {
            case 0:
            case 1:
                if (CONMUX_PORT_BYTES - (ports[p].written - ports[p].sent) > 64) {
                    if (!half[p]) {
                        snprintf(text, sizeof(text), "line %u", sent[p]);
                    } else {
                        snprintf(text, sizeof(text), " end\r\n");
                        sent[p]++;
                    }
                    half[p] ^= 1;
                    guest(p, text);
                }
                break;
            case 2:
                snprintf(text, sizeof(text), "mon %u\n", sent[PORTS]);
                sent[PORTS] += conmux_reply(&m, text, strlen(text));
                break;
            case 3:
                conmux_prompt(&m);
                break;
            case 4:
                if (m.prompt_wanted) {
                    size_t n = strlen(typed);
                    if (n < 20) {
                        strcpy(typed + n, "k");
                        conmux_edit(&m, "k", 1);
                    } else {
                        conmux_prompt_end(&m);
                        typed[0] = 0;
                    }
                }
                break;
            case 5:
                conmux_settle(&m);
                break;
            default:
                /* Escape sequences are not cut for the terminal's sake. */
                pull((size_t)(rand() % 5) == 0 ? SIZE_MAX : CONMUX_STAGE);
                break;
            }
        }
        pull(SIZE_MAX);
        assert_true(conmux_empty(&m));
        static const char *const prefixes[] = {"[a] ", "[bb] ", "[ccc] "};
        for (unsigned i = 0; i < n_lines; i++) {
            char want[64];
            bool found = strncmp(lines[i], PROMPT, strlen(PROMPT)) == 0 ||
                         strstr(lines[i], "lines lost") != NULL;
            for (unsigned p = 0; p < PORTS && !found; p++) {
                snprintf(want, sizeof(want), "%sline %u end", prefixes[p], got[p]);
                if (strcmp(lines[i], want) == 0) {
                    got[p]++;
                    found = true;
                }
            }
            snprintf(want, sizeof(want), "mon %u", got[PORTS]);
            if (!found && strcmp(lines[i], want) == 0) {
                got[PORTS]++;
                found = true;
            }
            if (!found) {
                fail_msg("seed %u: line %u is '%s'", seed, i, lines[i]);
            }
        }
        for (unsigned p = 0; p <= PORTS; p++) {
            assert_int_equal(got[p], sent[p]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_whole_lines, setup),
        cmocka_unit_test_setup(test_controls_are_taken_out, setup),
        cmocka_unit_test_setup(test_end, setup),
        cmocka_unit_test_setup(test_end_of_a_full_port, setup),
        cmocka_unit_test_setup(test_line_waits_for_statistics, setup),
        cmocka_unit_test_setup(test_long_line, setup),
        cmocka_unit_test_setup(test_one_line_a_call, setup),
        cmocka_unit_test_setup(test_rows, setup),
        cmocka_unit_test_setup(test_prompt_comes_back, setup),
        cmocka_unit_test_setup(test_flood, setup),
        cmocka_unit_test_setup(test_room, setup),
        cmocka_unit_test_setup(test_lost_is_told, setup),
        cmocka_unit_test_setup(test_attach, setup),
        cmocka_unit_test_setup(test_attach_leaves_lines_out, setup),
        cmocka_unit_test_setup(test_back_with_a_full_reply, setup),
        cmocka_unit_test_setup(test_marks, setup),
        cmocka_unit_test_setup(test_history, setup),
        cmocka_unit_test_setup(test_screen, setup),
        cmocka_unit_test_setup(test_property, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
