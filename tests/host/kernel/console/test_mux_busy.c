/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/console/mux on a slow wire that is always wanted: 64 guests, the log and statistics
 * write as much as they may, and what is typed and asked for comes first all the same. */
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

#define PORTS 64
#define REPLY 65536
#define LOG 16384
#define WIRE 11520u        /* bytes a second: 115200 baud, ten bits each */
#define MS (WIRE / 1000.0) /* of the wire, in bytes */
#define STATS_LINE 50000u
#define PROMPT "pagefold> "

static struct conmux m;
static struct conmux_port ports[PORTS];
static char port_bytes[PORTS][CONMUX_PORT_BYTES], reply_bytes[REPLY], log_bytes[LOG],
    echo_bytes[CONMUX_ECHO_BYTES], names[PORTS][8];
static char typed[80];
static char wire[1 << 20]; /* all that has gone out */
static size_t wire_n;
static size_t stats_at; /* what the statistics line has handed out */
static unsigned stats_lines, stats_skipped;

static size_t render(void *ctx, char *buf, size_t size)
{
    (void)ctx;
    return (size_t)snprintf(buf, size, "\r" PROMPT "%s\033[K", typed);
}

static char stats_char(size_t at)
{
    return at == 0 ? '@' : at == 1 ? '{' : at == STATS_LINE - 1 ? '}' : (char)('a' + at % 26);
}

static size_t stats_more(void *ctx, char *buf, size_t size)
{
    size_t n = MIN(size, STATS_LINE - stats_at);

    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        buf[i] = stats_char(stats_at++);
    }
    return n;
}

static void send_stats(void)
{
    if (conmux_send_stats(&m, stats_more, NULL, false)) {
        stats_at = 0;
        stats_lines++;
    } else {
        stats_skipped++;
    }
}

static int setup(void **state)
{
    (void)state;
    conmux_init(&m, reply_bytes, REPLY, log_bytes, LOG, echo_bytes);
    for (unsigned i = 0; i < PORTS; i++) {
        snprintf(names[i], sizeof(names[i]), "v%u", i + 1);
        conmux_add(&m, &ports[i], names[i], port_bytes[i]);
    }
    m.render = render;
    typed[0] = '\0';
    wire_n = stats_at = 0;
    stats_lines = stats_skipped = 0;
    return 0;
}

/* Everybody writes what there is room for. */
static void flood(void)
{
    static const char line[] = "a line of a guest that writes them as fast as it can\n";

    for (unsigned i = 0; i < PORTS; i++) {
        while (CONMUX_PORT_BYTES - (ports[i].written - ports[i].sent) > sizeof(line)) {
            for (const char *c = line; *c; c++) {
                conmux_port_put(&m, &ports[i], *c);
            }
        }
    }
}

static void flood_log(void)
{
    static const char line[] = "[   1.000000] v1: a line of the log that the guest provoked\n";

    while (conmux_log(&m, line, sizeof(line) - 1)) {
    }
}

/* The wire for so long: as a UART with a FIFO of 16 bytes takes it. */
static void run_ms(double ms)
{
    size_t end = wire_n + (size_t)(ms * MS), n;

    while (wire_n < end && wire_n + 16 < sizeof(wire) &&
           (n = conmux_pull(&m, wire + wire_n, 16)) > 0) {
        wire_n += n;
    }
}

static void type(char c)
{
    size_t n = strlen(typed);

    typed[n] = c;
    typed[n + 1] = '\0';
    conmux_typing(&m, true);
    conmux_edit(&m, &c, 1);
}

/* How long until it is echoed, in ms. */
static double echo_ms(void)
{
    size_t before = wire_n;

    while (conmux_echoing(&m)) {
        size_t n = conmux_pull(&m, wire + wire_n, 16);
        assert_true(n > 0);
        wire_n += n;
    }
    return (double)(wire_n - before) / MS;
}

static size_t count(const char *text)
{
    size_t n = 0;

    wire[wire_n] = '\0';
    for (const char *at = wire; (at = strstr(at, text)) != NULL; at++) {
        n++;
    }
    return n;
}

/* A command of eight keys, one each 100 ms, in the tenth second of everybody's flood. */
static void test_keys_come_first(void **state)
{
    (void)state;
    double worst = 0;

    conmux_prompt(&m);
    for (unsigned i = 0; i < 100; i++) {
        flood();
        flood_log();
        send_stats();
        run_ms(100);
    }
    for (const char *c = "vms --hm"; *c; c++) {
        flood();
        flood_log();
        send_stats();
        type(*c);
        double ms = echo_ms();
        worst = ms > worst ? ms : worst;
        conmux_tick(&m);
        run_ms(100 - MIN(ms, 100.0));
    }
    assert_true(worst < 150); /* a stage, and the prompt */
    conmux_prompt_end(&m);
    assert_true(conmux_reply(&m, "the answer\n", 11));
    conmux_prompt(&m);
    typed[0] = '\0';
    flood_log();
    run_ms(200);
    assert_int_equal(count("the answer\r\n\r" PROMPT), 1);
}

/* What is typed can be read, not only for the moment until the next guest's line; but the others
 * get on. */
static void test_typed_line_stays(void **state)
{
    (void)state;
    unsigned shown = 0;
    uint64_t lines = 0;

    conmux_prompt(&m);
    for (unsigned i = 0; i < 200; i++) { /* 2 s, a key in every fifth step */
        flood();
        send_stats();
        if (i % 5 == 0 && i < 190) {
            type('x');
        }
        if (i % 25 == 0) {
            conmux_tick(&m);
            lines = m.guest_lines + stats_lines;
        }
        run_ms(10);
        shown += m.prompt_shown;
    }
    assert_true(shown > 100);
    assert_true(m.guest_lines + m.stats_bytes > 4000 && lines > 0);
    conmux_typing(&m, false);
    lines = m.guest_bytes + m.stats_bytes;
    run_ms(1000);
    assert_true(m.guest_bytes + m.stats_bytes - lines > WIRE * 9 / 10);
}

/* A statistics line that was cut again and again is whole when its pieces are put together. */
static void test_cut_statistics(void **state)
{
    (void)state;
    char line[STATS_LINE + 1];
    size_t n = 0;
    unsigned pieces = 0;
    bool any_other = false;

    conmux_prompt(&m);
    send_stats();
    for (unsigned i = 0; wire_n < 3 * STATS_LINE && m.stats.busy; i++) {
        run_ms(300);
        type('k');
        (void)echo_ms();
        if (i % 4 == 3) {
            conmux_prompt_end(&m);
            assert_true(conmux_reply(&m, "an answer\n", 10));
            conmux_prompt(&m);
            typed[0] = '\0';
        }
        assert_true(conmux_log(&m, "a log line\n", 11));
        conmux_tick(&m);
    }
    run_ms(1000);
    assert_false(m.stats.busy);
    wire[wire_n] = '\0';
    for (char *at = wire, *end; (end = strstr(at, "\r\n")) != NULL; at = end + 2) {
        char *erase;
        *end = '\0';
        while ((erase = strrchr(at, '\r')) != NULL) { /* a prompt that was wiped away */
            at = erase + 1;
            at += strncmp(at, "\033[K", 3) == 0 ? 3 : 0;
        }
        bool first = strncmp(at, "@{", 2) == 0, next = strncmp(at, "@+", 2) == 0;
        size_t length = strlen(at);
        if (!first && !next) {
            any_other |= strcmp(at, "a log line") == 0;
            continue;
        }
        assert_true(first == (pieces++ == 0));
        bool cut = length > 4 && strcmp(at + length - 2, "@+") == 0;
        length -= cut ? 2 : 0;
        if (next) {
            at += 2;
            length -= 2;
        }
        assert_true(cut == (n + length < STATS_LINE));
        assert_true(n + length <= STATS_LINE);
        memcpy(line + n, at, length);
        n += length;
    }
    assert_true(pieces > 5 && any_other);
    assert_int_equal(n, STATS_LINE);
    for (size_t i = 0; i < n; i++) {
        assert_true(line[i] == stats_char(i));
    }
}

/* Without anything typed, the log and guests' lines never cut it. */
static void test_uncut_statistics(void **state)
{
    (void)state;
    conmux_prompt(&m);
    for (unsigned i = 0; i < 200; i++) {
        flood();
        if (i % 10 == 0) {
            (void)conmux_log(&m, "a log line\n", 11);
        }
        send_stats();
        conmux_settle(&m);
        run_ms(100);
    }
    assert_int_equal(count("@+"), 0);
    assert_true(stats_lines >= 2 && stats_skipped > 100);
    assert_true(count("a log line") >= 10);
}

/* Statistics and guests share the wire evenly when both want all of it; one alone has all. */
static void test_share(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        flood();
        send_stats();
        run_ms(100);
    }
    assert_true(m.guest_bytes > WIRE * 10 && m.stats_bytes > WIRE * 10);
    for (unsigned i = 0; i < PORTS; i++) { /* and the guests among themselves */
        assert_true(ports[i].sent > WIRE * 10 / PORTS);
    }
    uint64_t before = m.guest_bytes;
    for (unsigned i = 0; i < 60; i++) {
        flood();
        run_ms(100);
    }
    assert_true(m.guest_bytes - before > WIRE);
    /* What statistics did not use is not theirs later: a line of theirs, then guests again. */
    for (unsigned i = 0; i < 100; i++) {
        flood();
        send_stats();
        run_ms(100);
    }
    assert_true(m.guest_bytes - before > WIRE * 8);
}

/* A long reply is whole while all others flood, and Ctrl-C ends one. */
static void test_reply(void **state)
{
    (void)state;
    char line[100];
    const char *at;

    conmux_prompt(&m);
    run_ms(10);
    conmux_prompt_end(&m);
    for (unsigned i = 0; i < 600; i++) {
        snprintf(line, sizeof(line), "row %3u of a long table, which is told to the end\n", i);
        assert_true(conmux_reply(&m, line, strlen(line)));
    }
    conmux_prompt(&m);
    for (unsigned i = 0; i < 40; i++) {
        flood();
        flood_log();
        send_stats();
        run_ms(100);
    }
    wire[wire_n] = '\0';
    at = wire;
    for (unsigned i = 0; i < 600; i++) {
        snprintf(line, sizeof(line), "row %3u of a long table, which is told to the end\r\n", i);
        at = strstr(at, line);
        assert_non_null(at);
    }
    conmux_prompt_end(&m);
    for (unsigned i = 0; i < 600; i++) {
        assert_true(conmux_reply(&m, "again\n", 6));
    }
    run_ms(10);
    assert_true(conmux_cut_reply(&m));
    assert_false(conmux_cut_reply(&m));
    conmux_prompt(&m);
    run_ms(100);
    assert_true(count("again") < 60);
    assert_true(m.prompt_shown || count(PROMPT) > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_keys_come_first, setup),
        cmocka_unit_test_setup(test_typed_line_stays, setup),
        cmocka_unit_test_setup(test_cut_statistics, setup),
        cmocka_unit_test_setup(test_uncut_statistics, setup),
        cmocka_unit_test_setup(test_share, setup),
        cmocka_unit_test_setup(test_reply, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
