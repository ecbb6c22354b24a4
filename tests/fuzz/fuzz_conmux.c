/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one serial line: guests write any bytes, the monitor and the log write, somebody types, and
 * the terminal changes hands while it is slow.
 *
 * What comes out to the monitor's terminal is read as a terminal reads it. Capitals, `@`, `[` and
 * `$` are not written by guests here, so the first character of a row says who wrote it, and a
 * guest's text must stay behind its name, within the bound of a line, and free of control
 * characters.
 */
#define RECORD_HEAD 0u
#define RECORD_BYTES 8u
#include "records.h"

#include "kernel/console/mux.h"
#include "work.h"

#include <stdio.h>

#define PORTS 3u
#define OUT_BYTES 4096u
#define PROMPT "$ "
/* Bytes that go out for each that came in: each may be a line, which brings a name and the end of a
 * row, and pushes the prompt away; and what is done once for each operation. */
#define WORK_PER_BYTE 32u
#define WORK_PER_OPERATION 8192u

struct screen {
    bool raw;      /* a guest has the terminal, or it has just been given back */
    unsigned from; /* the row's first character; 0: nothing yet */
    unsigned n;    /* characters in it */
    unsigned escape;
    bool name; /* inside a guest's name */
    unsigned utf8;
};

static struct conmux m;
static struct conmux_port ports[PORTS];
static char bytes[PORTS][CONMUX_PORT_BYTES], replies[OUT_BYTES], logged[OUT_BYTES];
static char echo[CONMUX_ECHO_BYTES];
static char typed[32];
static struct screen screen;
static uint64_t work, allowed;
static size_t stats_left;
static unsigned resets; /* of the terminal, that are still to come out */

static size_t render(void *ctx, char *buf, size_t size)
{
    int n = snprintf(buf, size, "%s%s", PROMPT, typed);

    (void)ctx;
    return MIN((size_t)n, size - 1);
}

static void new_row(void)
{
    screen.from = screen.n = 0;
    screen.name = false;
    screen.raw = false;
    screen.utf8 = 0;
}

static void text(uint8_t c)
{
    screen.n++;
    if (screen.from == 0) {
        screen.from = c;
        require(c == 'L' || c == '$' || c == '[' || c == 'S' || c == '@');
        screen.name = c == '[';
        return;
    }
    require(screen.from == 'L' || (c != 'L' && c != '['));
    require(screen.from == 'S' || screen.from == '@' || (c != 'S' && c != '@'));
    require(screen.from == '$' || c != '$');
    screen.name = screen.name && c != ']';
    require(screen.from != '[' || screen.n <= CONMUX_COLUMNS);
}

/* Whether the terminal is still to be reset, once a guest has had it. That may begin while another
 * guest has it, and an echo may come in between; so until its end nothing is judged. No guest here
 * writes its end. */
static bool is_unset(uint8_t c)
{
    static const char end[] = "\033[999;1H\r\n";
    static unsigned seen;

    if (resets == 0) {
        seen = 0;
        return false;
    }
    seen = c == (uint8_t)end[seen] ? seen + 1 : c == (uint8_t)end[0];
    if (end[seen] == '\0') {
        resets--;
        screen = (struct screen){0};
        seen = 0;
    }
    return true;
}

/* One byte to the monitor's terminal, which knows `ESC [ K` and no more. */
static void show(uint8_t c)
{
    if (c == '\r' || c == '\n') {
        require(screen.raw || screen.escape == 0);
        new_row();
        screen.escape = 0;
        return;
    }
    if (screen.raw) {
        return;
    }
    if (screen.escape > 0 || c == 0x1b) {
        require(c == (uint8_t) "\033[K"[screen.escape]);
        screen.escape = screen.escape == 2 ? 0 : screen.escape + 1;
        return;
    }
    require((c >= 0x20 && c != 0x7f) || (c == '\b' && screen.from == '$'));
    require(c < 0x80 || c > 0x9f || screen.utf8 > 0); /* C1, unless inside a character */
    screen.utf8 = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : screen.utf8 - (screen.utf8 > 0);
    text(c);
}

/* True: something went out. */
static bool pull(size_t max)
{
    char buf[600];
    bool raw = m.mode != CONMUX_MONITOR;
    size_t n = conmux_pull(&m, buf, MIN(max, sizeof(buf)));

    /* While a line is typed the rest comes in bursts, while a screen is shown not at all. */
    bool waits = (m.typing && m.burst == 0) || m.mode == CONMUX_SCREEN;
    require(n <= max && (n > 0 || max == 0 || waits || conmux_empty(&m)));
    work += n;
    for (size_t i = 0; i < n; i++) {
        if (is_unset((uint8_t)buf[i])) {
            continue;
        }
        if (raw) {
            screen = (struct screen){.raw = true};
        } else {
            show((uint8_t)buf[i]);
        }
    }
    return n > 0;
}

static void guest_put(struct conmux_port *p, uint8_t c)
{
    c = c >= '@' && c <= '[' ? (uint8_t)(c | 0x20) : c == '$' ? '.' : c;
    if (conmux_port_room(&m, p)) {
        conmux_port_put(&m, p, (char)c);
        allowed += WORK_PER_BYTE;
    }
}

static void guest(struct input *in)
{
    uint32_t how = take(in, 1);
    struct conmux_port *p = &ports[how % PORTS];
    unsigned times = how & 0x40 ? 1 + take(in, 1) * 5 : 1;

    for (unsigned i = 0; i < times; i++) {
        struct input again = *in;
        while (again.n > 0) {
            guest_put(p, (uint8_t)take(&again, 1));
        }
    }
}

/* A statistics line is made piece by piece. */
static size_t more(void *ctx, char *buf, size_t size)
{
    size_t n = MIN(MIN(size, stats_left), (size_t)700);

    (void)ctx;
    memset(buf, 'S', n);
    stats_left -= n;
    return n;
}

static void send_stats(struct input *in)
{
    size_t n = 1 + take(in, 2) % 4000;

    if (!m.stats.busy) {
        stats_left = n;
        require(conmux_send_stats(&m, more, NULL, take(in, 1) & 1));
        allowed += WORK_PER_BYTE * n;
    } else {
        require(!conmux_send_stats(&m, more, NULL, false));
    }
}

static void write_lines(struct input *in)
{
    char line[256];
    size_t n = 1 + take(in, 1) % (sizeof(line) - 2);

    uint32_t how = take(in, 1);

    memset(line, 'L', n);
    for (uint32_t cuts = how % 4; cuts > 0 && n > 2; cuts--) {
        line[1 + take(in, 1) % (n - 1)] = '\n';
    }
    for (size_t i = 1; i < n; i++) { /* lines that are empty would have no first character */
        line[i] = line[i - 1] == '\n' ? 'L' : line[i];
    }
    line[n] = '\n';
    bool reply = how & 4;
    uint64_t room = conmux_room(&m);
    bool fits = reply ? conmux_reply(&m, line, n + 1) : conmux_log(&m, line, n + 1);
    require(fits || !reply || room < 2 * (n + 1));
    allowed += WORK_PER_BYTE * (n + 1);
}

static void type(struct input *in)
{
    size_t n = strlen(typed);

    switch (take(in, 1) % 4) {
    case 0:
        conmux_prompt(&m);
        break;
    case 1:
        if (n + 1 < sizeof(typed)) {
            typed[n] = 't';
            conmux_edit(&m, "t", 1);
        }
        break;
    case 2:
        if (n > 0) {
            typed[n - 1] = '\0';
            conmux_edit(&m, "\b \b", 3);
        }
        break;
    default:
        typed[0] = '\0';
        conmux_prompt_end(&m);
        break;
    }
}

static void give_back(void)
{
    resets += m.attached != NULL;
    (void)conmux_back(&m);
}

static void hands(uint32_t how)
{
    switch (how % 8) {
    case 0:
        conmux_attach(&m, &ports[how / 8 % PORTS]);
        break;
    case 1:
        conmux_screen(&m);
        break;
    default:
        give_back();
        break;
    }
}

static void step(struct input *in)
{
    struct conmux_port *p;

    allowed += WORK_PER_OPERATION;
    switch (take(in, 1) % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
        guest(in);
        break;
    case 4:
        write_lines(in);
        break;
    case 5:
        type(in);
        break;
    case 6:
        conmux_settle(&m);
        /* A prompt waits for the end of a statistics line. */
        require(!conmux_unsettled(&m) || (m.stats.inside && !m.stats.cut));
        break;
    case 7:
        hands(take(in, 1));
        break;
    case 8:
        conmux_port_end(&m, &ports[take(in, 1) % PORTS]);
        break;
    case 9:
        p = conmux_unblocked(&m);
        require(!p || conmux_port_room(&m, p));
        break;
    case 10:
        send_stats(in);
        break;
    case 11:
        conmux_typing(&m, take(in, 1) & 1);
        break;
    case 12:
        conmux_tick(&m);
        break;
    case 13:
        (void)conmux_cut_reply(&m);
        break;
    default:
        for (uint32_t n = take(in, 1) % 8, max = take(in, 2); n > 0 && pull(max % 601); n--) {
        }
        break;
    }
    require(work <= allowed);
}

static int one_input(const uint8_t *data, size_t size)
{
    static const char *const names[PORTS] = {"a", "b.c", "a-long-name-of-a-vm"};
    struct input in = {data, size}, record;

    conmux_init(&m, replies, sizeof(replies), logged, sizeof(logged), echo);
    m.render = render;
    for (unsigned i = 0; i < PORTS; i++) {
        conmux_add(&m, &ports[i], names[i], bytes[i]);
    }
    typed[0] = '\0';
    screen = (struct screen){0};
    work = allowed = 0;
    resets = 0;
    while (next_record(&in, &record)) {
        step(&record);
    }
    /* However it was left: all of it comes out, and the terminal is the monitor's. */
    give_back();
    conmux_typing(&m, false);
    for (unsigned i = 0; i < PORTS; i++) {
        conmux_port_end(&m, &ports[i]);
    }
    conmux_settle(&m);
    allowed += 4 * WORK_PER_OPERATION + PORTS * CONMUX_PORT_BYTES * WORK_PER_BYTE;
    while (pull(600)) {
        require(work <= allowed);
    }
    for (unsigned i = 0; i < PORTS; i++) {
        require(ports[i].sent == ports[i].written);
    }
    return 0;
}

FUZZ_ENTRY(one_input, 200000, 40000)
