/* SPDX-License-Identifier: BSD-2-Clause */
/* The log ring: lines one after the other, each ended by a newline; the oldest are overwritten. */
#include "kernel/log.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/early_uart.h"
#include "base/format.h"
#include "base/string.h"

#define RING_BYTES 65536u
#define LINE_BYTES 512u
#define PANIC_LINES 20u

static char ring[RING_BYTES];
static uint64_t ring_end; /* bytes ever written; the byte at i is ring[i % RING_BYTES] */
static log_sink *sink;

static void ring_put(const char *s)
{
    for (; *s; s++) {
        ring[ring_end++ % RING_BYTES] = *s;
    }
    ring[ring_end++ % RING_BYTES] = '\n';
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char line[LINE_BYTES];
    uint64_t us = clock_now_ns() / 1000;
    size_t n = format(line, sizeof(line), "[%4llu.%06llu] %s", (unsigned long long)(us / 1000000),
                      (unsigned long long)(us % 1000000),
                      level == LOG_ERROR  ? "error: "
                      : level == LOG_WARN ? "warning: "
                                          : "");
    va_list ap;

    va_start(ap, fmt);
    format_va(line + n, sizeof(line) - n, fmt, ap);
    va_end(ap);
    for (char *c = line; *c; c++) {
        if (*c == '\n' || *c == '\r') {
            *c = ' '; /* one call is one line, whatever a name in it holds */
        }
    }
    ring_put(line);
    if (sink) {
        sink(level, line);
    } else {
        early_uart_puts(line);
        early_uart_puts("\n");
    }
}

void log_set_sink(log_sink *s)
{
    sink = s;
}

/* Where the last `max_lines` lines begin; a line that is partly overwritten is not counted. */
static uint64_t tail_start(unsigned max_lines)
{
    uint64_t oldest = ring_end > RING_BYTES ? ring_end - RING_BYTES : 0;
    uint64_t at = ring_end, start = ring_end;

    if (max_lines == 0) {
        return ring_end;
    }
    while (at > oldest) {
        at--;
        if (at != ring_end - 1 && ring[at % RING_BYTES] == '\n') {
            start = at + 1;
            if (--max_lines == 0) {
                return start;
            }
        }
    }
    return oldest == 0 ? 0 : start;
}

void log_each(unsigned max_lines, void (*put)(void *ctx, const char *line), void *ctx)
{
    char line[LINE_BYTES];
    size_t n = 0;
    uint64_t end = ring_end; /* what `put` itself logs is not part of it */

    for (uint64_t at = tail_start(max_lines); at < end; at++) {
        char c = ring[at % RING_BYTES];
        if (c == '\n') {
            line[n] = 0;
            put(ctx, line);
            n = 0;
        } else if (n < sizeof(line) - 1) {
            line[n++] = c;
        }
    }
}

void log_tail(void (*put)(char c))
{
    for (uint64_t at = tail_start(PANIC_LINES); at < ring_end; at++) {
        put(ring[at % RING_BYTES]);
    }
}
