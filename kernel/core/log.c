/* SPDX-License-Identifier: BSD-2-Clause */
/* The log ring: lines one after the other, each ended by a newline; the oldest are overwritten. */
#include "kernel/core/log.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/early_uart.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"

#define RING_BYTES 65536u
#define PANIC_LINES 20u
#define SEEK_BYTES 1024u /* that a step of seeking looks at */

static char ring[RING_BYTES];
static uint64_t ring_end; /* bytes ever written; the byte at i is ring[i % RING_BYTES] */
static log_sink *sink;
static STAILQ_HEAD(, log_subject) subjects = STAILQ_HEAD_INITIALIZER(subjects);

static void ring_put(const char *s)
{
    for (; *s; s++) {
        ring[ring_end++ % RING_BYTES] = *s;
    }
    ring[ring_end++ % RING_BYTES] = '\n';
}

/* Puts a line into the ring and hands it to the sink. */
static void emit(enum log_level level, const struct log_subject *about, const char *line)
{
    ring_put(line);
    if (sink) {
        sink(level, about, line);
    } else {
        early_uart_puts(line);
        early_uart_puts("\n");
    }
}

static size_t stamp(char *line, size_t size, uint64_t now_ns)
{
    uint64_t us = now_ns / 1000;

    return format(line, size, "[%4llu.%06llu] ", (unsigned long long)(us / 1000000),
                  (unsigned long long)(us % 1000000));
}

/* Tells that some lines are missing. */
static void emit_suppressed(const struct log_subject *about, uint64_t n, uint64_t now_ns)
{
    char line[LOG_LINE_BYTES];
    size_t at = stamp(line, sizeof(line), now_ns);

    format(line + at, sizeof(line) - at, "%s%s%llu log lines suppressed", about ? about->name : "",
           about ? ": " : "", (unsigned long long)n);
    emit(LOG_WARN, about, line);
}

void log_add_subject(struct log_subject *s)
{
    STAILQ_INSERT_TAIL(&subjects, s, link);
}

/* What the text is about: such a line begins with its name and a colon. */
static struct log_subject *subject(const char *text)
{
    const char *colon = strchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    struct log_subject *s;

    STAILQ_FOREACH(s, &subjects, link)
    {
        if (strlen(s->name) == n && memcmp(s->name, text, n) == 0) {
            return s;
        }
    }
    return NULL;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char line[LOG_LINE_BYTES];
    uint64_t now_ns = clock_now_ns(), suppressed = 0;
    size_t n = stamp(line, sizeof(line), now_ns);
    size_t text = n + format(line + n, sizeof(line) - n, "%s",
                             level == LOG_ERROR  ? "error: "
                             : level == LOG_WARN ? "warning: "
                                                 : "");
    va_list ap;

    va_start(ap, fmt);
    format_va(line + text, sizeof(line) - text, fmt, ap);
    va_end(ap);
    for (char *c = line; *c; c++) {
        if (*c == '\n' || *c == '\r') {
            *c = ' '; /* one call is one line, whatever a name in it holds */
        }
    }
    struct log_subject *about = subject(line + text);
    if (about && !loglimit_take(&about->limit, now_ns, &suppressed)) {
        return;
    }
    if (suppressed > 0) {
        emit_suppressed(about, suppressed, now_ns);
    }
    emit(level, about, line);
}

void log_tell_suppressed(void)
{
    uint64_t now_ns = clock_now_ns();
    struct log_subject *s;

    STAILQ_FOREACH(s, &subjects, link)
    {
        uint64_t n = loglimit_tell(&s->limit, now_ns);
        if (n > 0) {
            emit_suppressed(s, n, now_ns);
        }
    }
}

void log_set_sink(log_sink *to)
{
    sink = to;
}

static uint64_t oldest(void)
{
    return ring_end > RING_BYTES ? ring_end - RING_BYTES : 0;
}

struct log_place log_last(unsigned max_lines)
{
    return (struct log_place){.at = ring_end, .end = ring_end, .seek = ring_end, .more = max_lines};
}

bool log_seek(struct log_place *p)
{
    uint64_t stop = p->seek > SEEK_BYTES ? p->seek - SEEK_BYTES : 0;

    while (p->more > 0 && p->seek > MAX(stop, oldest())) {
        p->seek--;
        if (p->seek + 1 != p->end && ring[p->seek % RING_BYTES] == '\n') {
            p->at = p->seek + 1;
            p->more--;
        }
    }
    if (p->more > 0 && p->seek > oldest()) {
        return true;
    }
    if (p->more > 0 && p->seek == 0) {
        p->at = 0; /* the very first line; else the first there is may be overwritten in part */
    }
    p->more = 0;
    return false;
}

bool log_next(struct log_place *p, char *line, size_t size)
{
    size_t n = 0;

    if (p->at < oldest()) {
        p->at = oldest();
        while (p->at < ring_end && ring[p->at++ % RING_BYTES] != '\n') {
        }
    }
    while (p->at < p->end) {
        char c = ring[p->at++ % RING_BYTES];
        if (c == '\n') {
            line[n] = 0;
            return true;
        }
        if (n < size - 1) {
            line[n++] = c;
        }
    }
    return false;
}

void log_tail(void (*put)(char c))
{
    struct log_place p = log_last(PANIC_LINES);

    while (log_seek(&p)) {
    }
    for (uint64_t at = p.at; at < ring_end; at++) {
        put(ring[at % RING_BYTES]);
    }
}
