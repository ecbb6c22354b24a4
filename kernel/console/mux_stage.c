/* SPDX-License-Identifier: BSD-2-Clause */
/* Which output comes next on the serial line, unit by unit: see mux.h. */
#include "base/bits.h"
#include "base/format.h"
#include "kernel/console/mux_internal.h"

#define ERASE_LINE "\r\033[K"
/* How a statistics line that was cut ends, and how it goes on. */
#define CUT "@+"

/* Raw bytes of the attached guest staged at a time: what an urgent line has to wait for. */
#define RAW_PIECE 64u
/* Bytes of a statistics line likewise; a cut and a newline still fit on the stage. */
#define STATS_PIECE 1024u

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
    if (m->stats.inside && !m->stats.cut) {
        m->stats.cut = true;
        conmux_stage_puts(m, CUT "\r\n");
    } else if (m->prompt_shown) {
        conmux_stage_puts(m, ERASE_LINE);
        m->prompt_shown = false;
    } else if (!m->column0) {
        conmux_stage_puts(m, "\r\n");
    }
}

/* A line of r, or as much of it as fits; false: r is empty. */
static bool stage_ring_line(struct conmux *m, struct conmux_ring *r)
{
    char c = '\0';

    if (conmux_ring_empty(r)) {
        return false;
    }
    while (c != '\n' && m->stage_n < sizeof(m->stage) && !conmux_ring_empty(r)) {
        c = r->bytes[r->read++ & (r->size - 1)];
        conmux_stage_put(m, c);
    }
    return true;
}

static bool stage_echo(struct conmux *m)
{
    struct conmux_ring *r = &m->echo;

    while (m->stage_n < sizeof(m->stage) && !conmux_ring_empty(r)) {
        conmux_stage_put(m, r->bytes[r->read++ & (r->size - 1)]);
    }
    return m->stage_n > 0;
}

static bool stage_prompt(struct conmux *m)
{
    if (!m->prompt_wanted || m->prompt_shown || !m->render) {
        return false;
    }
    conmux_fresh_line(m);
    m->stage_n += m->render(m->render_ctx, m->stage + m->stage_n, sizeof(m->stage) - m->stage_n);
    m->column0 = false;
    m->prompt_shown = true;
    m->prompt_urgent = m->prompt_due = false;
    return true;
}

static bool stage_reply(struct conmux *m)
{
    if (conmux_ring_empty(&m->reply)) {
        return false;
    }
    if (m->mode != CONMUX_SCREEN && !m->reply_inside) {
        conmux_fresh_line(m);
    }
    (void)stage_ring_line(m, &m->reply);
    m->reply_inside = !m->column0 && m->mode != CONMUX_SCREEN;
    return true;
}

static bool stage_log(struct conmux *m)
{
    if (conmux_ring_empty(&m->log)) {
        return false;
    }
    conmux_fresh_line(m);
    return stage_ring_line(m,
                           &m->log); /* it was written as a whole and is shorter than the stage */
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

static bool stage_stats(struct conmux *m)
{
    struct conmux_stats *s = &m->stats;

    if (!s->busy) {
        return false;
    }
    if (!s->inside || s->cut) {
        conmux_fresh_line(m);
        conmux_stage_puts(m, s->cut ? CUT : "");
        s->cut = false;
    }
    size_t n = s->more(s->ctx, m->stage + m->stage_n, STATS_PIECE);
    m->stage_n += MIN(n, STATS_PIECE);
    m->column0 = false;
    s->inside = n > 0;
    if (n == 0) {
        s->busy = false;
        conmux_stage_puts(m, "\r\n");
    }
    m->stats_bytes += m->stage_n;
    return true;
}

/* The port whose turn it is, with the end of its next line; NULL: no guest has one. */
static struct conmux_port *next_port(struct conmux *m, uint64_t *end)
{
    struct conmux_port *p;

    TAILQ_FOREACH(p, &m->ports, link)
    {
        if (conmux_find_line(p, end)) {
            return p;
        }
    }
    return NULL;
}

/* Statistics and guests' lines: who had fewer bytes of the wire is next. */
static bool stage_shared(struct conmux *m)
{
    uint64_t end;
    struct conmux_port *p = next_port(m, &end);

    if (!p) {
        m->guest_bytes = MAX(m->guest_bytes, m->stats_bytes); /* who does not wait saves nothing */
        return stage_stats(m);
    }
    if (m->stats.busy && (m->stats.inside || m->stats_bytes <= m->guest_bytes)) {
        return stage_stats(m);
    }
    conmux_stage_line(m, p, end);
    TAILQ_REMOVE(&m->ports, p, link);
    TAILQ_INSERT_TAIL(&m->ports, p, link);
    m->guest_bytes += m->stage_n;
    return true;
}

static bool stage_raw(struct conmux *m)
{
    struct conmux_port *p = m->attached;
    uint64_t n = MIN(p->written - p->sent, RAW_PIECE);

    for (uint64_t i = 0; i < n; i++) {
        char c = conmux_port_byte(p, p->sent + i);
        p->lines -= c == '\n';
        conmux_stage_put(m, c);
    }
    conmux_port_skip_to(p, p->sent + n);
    m->stage_raw = true;
    return n > 0;
}

/* What nobody asked for. */
static bool stage_rest(struct conmux *m)
{
    switch (m->mode) {
    case CONMUX_MONITOR:
        /* A log line can wait until the statistics line is whole. */
        return (m->stats.inside && !m->stats.cut && stage_stats(m)) || stage_lost(m) ||
               stage_log(m) || stage_shared(m);
    case CONMUX_ATTACHED:
        return stage_log(m) || stage_raw(m);
    case CONMUX_SCREEN:
    default:
        return false;
    }
}

bool conmux_compose(struct conmux *m)
{
    bool any;

    m->stage_n = m->stage_at = 0;
    m->stage_raw = false;
    m->stage_echoes = stage_echo(m) || (m->prompt_urgent && !m->reply_inside && stage_prompt(m));
    if (m->stage_echoes) {
        return true;
    }
    if (m->typing && m->prompt_wanted && !m->prompt_due && m->burst == 0 && !m->reply_inside) {
        return stage_prompt(m);
    }
    any = stage_reply(m) || (m->stats.asked && m->mode == CONMUX_MONITOR && stage_stats(m)) ||
          (m->prompt_due && stage_prompt(m)) || stage_rest(m);
    m->burst -= MIN(m->burst, m->stage_n);
    return any;
}
