/* SPDX-License-Identifier: BSD-2-Clause */
/* What is to go out on the serial line, until its turn comes: see mux.h. */
#include "kernel/console/mux.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"
#include "kernel/console/mux_internal.h"

/*
 * A terminal as a guest should have found it, whatever it did to it: an unfinished sequence is
 * cancelled; VT52 mode left; then keyboard unlocked, no local echo; overwriting, line feed as it
 * is; normal keys, colours, origin, wrapping; no mouse reports, focus reports or bracketed paste;
 * the main screen, without margins; UTF-8 (in which a byte from 0x80 to 0x9f is no control), ASCII
 * below it, answers of 7 bits; keys as they always were; no attributes; the cursor to be seen, on
 * the last line. (ECMA-48, ECMA-35, DEC VT510, xterm's control sequences, kitty's keyboard
 * protocol, Windows Terminal's win32-input-mode.)
 */
#define RESET_TERMINAL                                                                             \
    "\030\033\\\033<\033[!p\033[2l\033[12h\033[4l\033[20l\033[?1l\033>\033[?5l\033[?6l"            \
    "\033[?7h\033[?9l\033[?1000l\033[?1001l\033[?1002l\033[?1003l\033[?1004l\033[?1005l"           \
    "\033[?1006l\033[?1015l\033[?2004l\033[?1047l\033[?69l\033[r\033%G\033 F\017\033(B\033)B"      \
    "\033[>4m\033[=0u\033[?9001l\033[0m\033[?25h\033[999;1H\r\n"

/* A blocked port goes on when this much is free, so that it does not stop at every byte. */
#define RESUME_ROOM 512u

static void ring_put(struct conmux_ring *r, char c)
{
    r->bytes[r->written++ & (r->size - 1)] = c;
}

/* ---- ports ----------------------------------------------------------------------------------- */

static uint64_t port_free(const struct conmux_port *p)
{
    return CONMUX_PORT_BYTES - (p->written - p->sent);
}

static bool port_hidden(const struct conmux *m, const struct conmux_port *p)
{
    return m->mode != CONMUX_MONITOR && p != m->attached;
}

void conmux_port_put(struct conmux *m, struct conmux_port *p, char byte)
{
    if (port_free(p) == 0) {
        return;
    }
    p->bytes[p->written++ & (CONMUX_PORT_BYTES - 1)] = byte;
    if (port_hidden(m, p)) {
        m->hidden_lines += byte == '\n';
        conmux_port_skip_to(p, p->written);
    } else {
        p->lines += byte == '\n';
    }
}

void conmux_port_end(struct conmux *m, struct conmux_port *p)
{
    if (p->written > 0 && p->bytes[(p->written - 1) & (CONMUX_PORT_BYTES - 1)] != '\n') {
        /* The port may be full: its last bytes give way, for without an end the line stays. */
        while (port_free(p) < 2) {
            p->written--;
            p->lines -= conmux_port_byte(p, p->written) == '\n';
            p->scanned = MIN(p->scanned, p->written);
        }
        conmux_port_put(m, p, '\r');
        conmux_port_put(m, p, '\n');
    }
}

bool conmux_port_room(struct conmux *m, struct conmux_port *p)
{
    if (port_free(p) > 0) {
        return true;
    }
    if (!p->blocked) {
        p->blocked = true;
        m->n_blocked++;
    }
    return false;
}

struct conmux_port *conmux_unblocked(struct conmux *m)
{
    struct conmux_port *p;

    if (m->n_blocked == 0) {
        return NULL;
    }
    TAILQ_FOREACH(p, &m->ports, link)
    {
        if (p->blocked && port_free(p) >= RESUME_ROOM) {
            p->blocked = false;
            m->n_blocked--;
            return p;
        }
    }
    return NULL;
}

/* ---- the monitor's side ---------------------------------------------------------------------- */

static bool write(struct conmux *m, struct conmux_ring *r, const char *text, size_t n)
{
    uint64_t need = n;

    for (size_t i = 0; i < n; i++) {
        need += text[i] == '\n';
    }
    if (need > conmux_ring_room(r)) {
        m->lost++;
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n') {
            ring_put(r, '\r');
        }
        ring_put(r, text[i]);
    }
    return true;
}

bool conmux_reply(struct conmux *m, const char *text, size_t n)
{
    return write(m, &m->reply, text, n);
}

bool conmux_log(struct conmux *m, const char *text, size_t n)
{
    return write(m, &m->log, text, n);
}

uint64_t conmux_room(const struct conmux *m)
{
    return conmux_ring_room(&m->reply);
}

bool conmux_cut_reply(struct conmux *m)
{
    bool any = !conmux_ring_empty(&m->reply);

    m->reply.read = m->reply.written;
    m->reply_inside = false;
    return any;
}

bool conmux_send_stats(struct conmux *m, size_t (*more)(void *ctx, char *buf, size_t size),
                       void *ctx, bool asked)
{
    struct conmux_stats *s = &m->stats;

    if (s->busy) {
        s->asked |= asked; /* what the user wants is behind it */
        return false;
    }
    *s = (struct conmux_stats){.more = more, .ctx = ctx, .busy = true, .asked = asked};
    /* Guests' lines went out before: they owe it nothing for that. */
    m->stats_bytes = MAX(m->stats_bytes, m->guest_bytes);
    return true;
}

void conmux_prompt(struct conmux *m)
{
    m->prompt_wanted = true;
    m->prompt_due = !m->prompt_shown;
}

/* Echo only makes sense on the very line that the editor knows; where that line is not, or where
 * there is no room, the whole line is drawn instead. */
void conmux_edit(struct conmux *m, const char *bytes, size_t n)
{
    if (!m->prompt_wanted) {
        return;
    }
    if (!m->prompt_shown || n > conmux_ring_room(&m->echo)) {
        m->prompt_urgent = true;
        if (m->prompt_shown) {
            m->echo.read = m->echo.written;
            m->prompt_shown = false;
            m->column0 = false;
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        ring_put(&m->echo, bytes[i]);
    }
}

/* What was typed ahead of an answer has not been echoed: its line goes where it belongs, behind
 * that answer. */
void conmux_prompt_end(struct conmux *m)
{
    struct conmux_ring *r = m->prompt_shown ? &m->echo : &m->reply;
    char line[CONMUX_STAGE];
    size_t n = 0;

    if (!m->prompt_wanted) {
        return;
    }
    if (!m->prompt_shown && m->render) {
        n = m->render(m->render_ctx, line, sizeof(line));
    }
    if (n + 2 <= conmux_ring_room(r)) {
        for (size_t i = 0; i < n; i++) {
            ring_put(r, line[i]);
        }
        ring_put(r, '\r');
        ring_put(r, '\n');
    }
    m->prompt_wanted = m->prompt_shown = m->prompt_urgent = m->prompt_due = false;
    m->typing = false;
}

void conmux_settle(struct conmux *m)
{
    bool quiet = !m->stats.inside || m->stats.cut;

    m->prompt_due |= m->prompt_wanted && !m->prompt_shown && quiet;
}

bool conmux_unsettled(const struct conmux *m)
{
    return m->prompt_wanted && !m->prompt_shown && !m->prompt_urgent && !m->prompt_due;
}

void conmux_typing(struct conmux *m, bool on)
{
    if (on && !m->typing) {
        m->burst = 0;
    }
    m->typing = on;
}

void conmux_tick(struct conmux *m)
{
    m->burst = CONMUX_BURST;
}

/* ---- modes ----------------------------------------------------------------------------------- */

/* Leaves out what is not to be shown from now on. */
static void hide_ports(struct conmux *m)
{
    struct conmux_port *p;

    m->hidden_lines = 0;
    TAILQ_FOREACH(p, &m->ports, link)
    {
        if (port_hidden(m, p)) {
            m->hidden_lines += p->lines;
            conmux_port_skip_to(p, p->written);
        }
    }
}

void conmux_attach(struct conmux *m, struct conmux_port *p)
{
    uint64_t from = p->written > CONMUX_HISTORY_BYTES ? p->written - CONMUX_HISTORY_BYTES : 0;

    /* Not in the middle of a line, unless it is all one line. */
    for (uint64_t at = from; from > 0 && at < p->written; at++) {
        if (conmux_port_byte(p, at) == '\n') {
            from = at + 1;
            break;
        }
    }
    p->lines = 0; /* it may begin behind lines that were still to be shown */
    for (uint64_t at = from; at < p->written; at++) {
        p->lines += conmux_port_byte(p, at) == '\n';
    }
    p->sent = p->scanned = from;
    m->attached = p;
    m->mode = CONMUX_ATTACHED;
    hide_ports(m);
}

void conmux_screen(struct conmux *m)
{
    m->attached = NULL;
    m->mode = CONMUX_SCREEN;
    hide_ports(m);
}

uint64_t conmux_back(struct conmux *m)
{
    if (m->attached) {
        bool room = conmux_ring_room(&m->reply) >= sizeof(RESET_TERMINAL);

        m->attached->scanned = m->attached->sent;
        for (const char *c = RESET_TERMINAL; room && *c; c++) {
            ring_put(&m->reply, *c); /* a reply that waits to be shown is not written over */
        }
    }
    m->attached = NULL;
    m->mode = CONMUX_MONITOR;
    return m->hidden_lines;
}

/* ---- the wire ------------------------------------------------------------------------------- */

/* ECMA-48: an application program command, which terminals do not show. */
size_t conmux_mark(char *buf, size_t size, const char *token, const char *guest)
{
    return format(buf, size, "\033_pagefold %s %s%s\033\\", token, guest ? "guest " : "host",
                  guest ? guest : "");
}

/* Whether a mark is to go out before what is on the stage. */
static void make_mark(struct conmux *m)
{
    struct conmux_port *origin = m->stage_raw ? m->attached : NULL;

    if (!m->token || origin == m->origin) {
        return;
    }
    m->origin = origin;
    m->mark_at = 0;
    m->mark_n = MIN(conmux_mark(m->mark, sizeof(m->mark), m->token, origin ? origin->name : NULL),
                    sizeof(m->mark) - 1);
}

size_t conmux_pull(struct conmux *m, char *buf, size_t max)
{
    size_t n = 0;
    bool composed = false;

    while (n < max) {
        if (m->mark_at < m->mark_n) {
            buf[n++] = m->mark[m->mark_at++];
            continue;
        }
        if (m->stage_at == m->stage_n) {
            /* One unit a call: a guest can make one of much that leaves few bytes to send. */
            if ((composed && n > 0) || !conmux_compose(m)) {
                break;
            }
            composed = true;
            make_mark(m);
            continue;
        }
        size_t piece = MIN(max - n, m->stage_n - m->stage_at);
        memcpy(buf + n, m->stage + m->stage_at, piece);
        m->stage_at += piece;
        n += piece;
    }
    return n;
}

bool conmux_empty(const struct conmux *m)
{
    struct conmux_port *p;

    if (m->stage_at < m->stage_n || !conmux_ring_empty(&m->echo) || !conmux_ring_empty(&m->reply) ||
        !conmux_ring_empty(&m->log) || (m->stats.busy && m->mode == CONMUX_MONITOR)) {
        return false;
    }
    TAILQ_FOREACH(p, &m->ports, link)
    {
        if (m->mode == CONMUX_MONITOR && p->lines > 0) {
            return false;
        }
        if (p == m->attached && p->sent < p->written) {
            return false;
        }
    }
    return true;
}

bool conmux_echoing(const struct conmux *m)
{
    return !conmux_ring_empty(&m->echo) || m->prompt_urgent ||
           (m->stage_echoes && m->stage_at < m->stage_n);
}

void conmux_init(struct conmux *m, char *reply, uint64_t reply_size, char *log, uint64_t log_size,
                 char *echo)
{
    memset(m, 0, sizeof(*m));
    TAILQ_INIT(&m->ports);
    m->reply = (struct conmux_ring){.bytes = reply, .size = reply_size};
    m->log = (struct conmux_ring){.bytes = log, .size = log_size};
    m->echo = (struct conmux_ring){.bytes = echo, .size = CONMUX_ECHO_BYTES};
    m->column0 = true;
}

void conmux_add(struct conmux *m, struct conmux_port *p, const char *name, char *bytes)
{
    *p = (struct conmux_port){.name = name, .bytes = bytes};
    TAILQ_INSERT_TAIL(&m->ports, p, link);
}
