/* SPDX-License-Identifier: BSD-2-Clause */
/* Who comes next on the serial line: see conmux.h. */
#include "kernel/monitor/conmux.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"
#include "kernel/monitor/conmux_internal.h"

#define ERASE_LINE "\r\033[K"

/* A blocked port goes on when this much is free, so that it does not stop at every byte. */
#define RESUME_ROOM 512u
/* Raw bytes of the attached guest staged at a time: what an urgent line has to wait for. */
#define RAW_PIECE 64u

/* ---- rings and the stage --------------------------------------------------------------------- */

static uint64_t ring_room(const struct conmux_ring *r)
{
    return r->size - (r->written - r->read);
}

static void ring_put(struct conmux_ring *r, char c)
{
    r->bytes[r->written++ & (r->size - 1)] = c;
}

static bool ring_get(struct conmux_ring *r, char *c)
{
    if (r->read == r->written) {
        return false;
    }
    *c = r->bytes[r->read++ & (r->size - 1)];
    return true;
}

void conmux_stage_put(struct conmux *m, char c)
{
    if (m->stage_n < sizeof(m->stage)) {
        m->stage[m->stage_n++] = c;
        m->column0 = c == '\n';
    }
}

void conmux_stage_puts(struct conmux *m, const char *s)
{
    while (*s) {
        conmux_stage_put(m, *s++);
    }
}

void conmux_fresh_line(struct conmux *m)
{
    if (m->prompt_shown) {
        conmux_stage_puts(m, ERASE_LINE);
        m->prompt_shown = false;
    } else if (!m->column0) {
        conmux_stage_puts(m, "\r\n");
    }
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
    }
}

void conmux_port_end(struct conmux *m, struct conmux_port *p)
{
    if (p->written > 0 && p->bytes[(p->written - 1) & (CONMUX_PORT_BYTES - 1)] != '\n') {
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

static bool stage_guest_line(struct conmux *m)
{
    struct conmux_port *p;
    uint64_t end;

    TAILQ_FOREACH(p, &m->ports, link)
    {
        if (conmux_find_line(p, &end)) {
            conmux_stage_line(m, p, end);
            TAILQ_REMOVE(&m->ports, p, link);
            TAILQ_INSERT_TAIL(&m->ports, p, link);
            return true;
        }
    }
    return false;
}

static bool stage_raw(struct conmux *m)
{
    struct conmux_port *p = m->attached;
    uint64_t n = MIN(p->written - p->sent, RAW_PIECE);

    for (uint64_t i = 0; i < n; i++) {
        conmux_stage_put(m, conmux_port_byte(p, p->sent + i));
    }
    conmux_port_skip_to(p, p->sent + n);
    return n > 0;
}

/* ---- the monitor's side ---------------------------------------------------------------------- */

bool conmux_write(struct conmux *m, const char *text, size_t n)
{
    uint64_t need = n;

    for (size_t i = 0; i < n; i++) {
        need += text[i] == '\n';
    }
    if (need > ring_room(&m->out)) {
        m->lost++;
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n') {
            ring_put(&m->out, '\r');
        }
        ring_put(&m->out, text[i]);
    }
    return true;
}

uint64_t conmux_room(const struct conmux *m)
{
    return ring_room(&m->out);
}

void conmux_prompt(struct conmux *m)
{
    m->prompt_wanted = true;
    m->prompt_urgent = true;
}

/* Echo only makes sense on the very line that the editor knows; where that line is not, or where
 * there is no room, the whole line is drawn instead. */
void conmux_edit(struct conmux *m, const char *bytes, size_t n)
{
    if (!m->prompt_wanted) {
        return;
    }
    if (!m->prompt_shown || n > ring_room(&m->echo)) {
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
    struct conmux_ring *r = m->prompt_shown ? &m->echo : &m->out;
    char line[CONMUX_STAGE];
    size_t n = 0;

    if (!m->prompt_wanted) {
        return;
    }
    if (!m->prompt_shown && m->render) {
        n = m->render(m->render_ctx, line, sizeof(line));
    }
    if (n + 2 <= ring_room(r)) {
        for (size_t i = 0; i < n; i++) {
            ring_put(r, line[i]);
        }
        ring_put(r, '\r');
        ring_put(r, '\n');
    }
    m->prompt_wanted = m->prompt_shown = m->prompt_urgent = false;
}

void conmux_settle(struct conmux *m)
{
    m->prompt_urgent |= m->prompt_wanted && !m->prompt_shown;
}

bool conmux_unsettled(const struct conmux *m)
{
    return m->prompt_wanted && !m->prompt_shown && !m->prompt_urgent;
}

/* ---- modes ----------------------------------------------------------------------------------- */

/* Leaves out what is not to be shown from now on. */
static void hide_ports(struct conmux *m)
{
    struct conmux_port *p;
    uint64_t end;

    m->hidden_lines = 0;
    TAILQ_FOREACH(p, &m->ports, link)
    {
        if (port_hidden(m, p)) {
            while (conmux_find_line(p, &end)) {
                m->hidden_lines++;
                conmux_port_skip_to(p, end);
            }
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
        m->attached->scanned = m->attached->sent;
    }
    m->attached = NULL;
    m->mode = CONMUX_MONITOR;
    return m->hidden_lines;
}

/* ---- composing ------------------------------------------------------------------------------- */

static bool stage_ring(struct conmux *m, struct conmux_ring *r)
{
    char c;
    size_t before = m->stage_n;

    while (m->stage_n < sizeof(m->stage) && ring_get(r, &c)) {
        conmux_stage_put(m, c);
    }
    return m->stage_n > before;
}

static bool stage_out(struct conmux *m)
{
    if (m->out.read == m->out.written) {
        return false;
    }
    if (m->mode != CONMUX_SCREEN && !m->out_inside) {
        conmux_fresh_line(m);
    }
    (void)stage_ring(m, &m->out);
    m->out_inside = !m->column0 && m->mode != CONMUX_SCREEN;
    return true;
}

static bool stage_prompt(struct conmux *m)
{
    if (!m->prompt_wanted || m->prompt_shown || !m->prompt_urgent || !m->render) {
        return false;
    }
    conmux_fresh_line(m);
    m->stage_n += m->render(m->render_ctx, m->stage + m->stage_n, sizeof(m->stage) - m->stage_n);
    m->column0 = false;
    m->prompt_shown = true;
    m->prompt_urgent = false;
    return true;
}

static bool stage_lost(struct conmux *m)
{
    char text[80];

    if (m->lost == m->lost_said) {
        return false;
    }
    conmux_fresh_line(m);
    format(text, sizeof(text), "[%llu lines lost: the console's buffer was full]\r\n",
           (unsigned long long)(m->lost - m->lost_said));
    conmux_stage_puts(m, text);
    m->lost_said = m->lost;
    return true;
}

static bool compose(struct conmux *m)
{
    m->stage_n = m->stage_at = 0;
    if (stage_ring(m, &m->echo) || stage_out(m)) {
        return true;
    }
    switch (m->mode) {
    case CONMUX_MONITOR:
        return stage_lost(m) || stage_prompt(m) || stage_guest_line(m);
    case CONMUX_ATTACHED:
        return stage_raw(m);
    case CONMUX_SCREEN:
    default:
        return false;
    }
}

size_t conmux_pull(struct conmux *m, char *buf, size_t max)
{
    size_t n = 0;

    while (n < max) {
        if (m->stage_at == m->stage_n && !compose(m)) {
            break;
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

    if (m->stage_at < m->stage_n || m->echo.read < m->echo.written ||
        m->out.read < m->out.written) {
        return false;
    }
    TAILQ_FOREACH(p, &m->ports, link)
    {
        for (uint64_t at = p->scanned; m->mode == CONMUX_MONITOR && at < p->written; at++) {
            if (conmux_port_byte(p, at) == '\n') {
                return false;
            }
        }
        if (p == m->attached && p->sent < p->written) {
            return false;
        }
    }
    return true;
}

void conmux_init(struct conmux *m, char *out, uint64_t out_size, char *echo)
{
    memset(m, 0, sizeof(*m));
    TAILQ_INIT(&m->ports);
    m->out = (struct conmux_ring){.bytes = out, .size = out_size};
    m->echo = (struct conmux_ring){.bytes = echo, .size = CONMUX_ECHO_BYTES};
    m->column0 = true;
}

void conmux_add(struct conmux *m, struct conmux_port *p, const char *name, char *bytes)
{
    *p = (struct conmux_port){.name = name, .bytes = bytes};
    TAILQ_INSERT_TAIL(&m->ports, p, link);
}
