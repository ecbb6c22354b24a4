/* SPDX-License-Identifier: BSD-2-Clause */
/* One guest's output in lines that are safe to show: see mux_internal.h. */
#include "base/bits.h"
#include "kernel/console/mux_internal.h"
#include "kernel/console/utf8.h"

#define ESC 0x1b
#define ESCAPE_MAX 16u /* as long as they usually are at most */

bool conmux_find_line(struct conmux_port *p, uint64_t *end)
{
    while (p->scanned < p->written && p->scanned - p->sent < CONMUX_LINE) {
        if (conmux_port_byte(p, p->scanned) == '\n') {
            *end = p->scanned + 1; /* it is found again, if its turn has not come */
            return true;
        }
        p->scanned++;
    }
    if (p->scanned - p->sent < CONMUX_LINE) {
        return false;
    }
    *end = p->scanned;
    for (uint64_t at = p->scanned - ESCAPE_MAX; at < *end; at++) {
        uint8_t c = (uint8_t)conmux_port_byte(p, at);
        /* An escape sequence stays in one piece, and so does a character. */
        if (c == ESC || (c >= 0xc0 && at + utf8_length(c) > p->scanned)) {
            *end = p->scanned = at;
        }
    }
    return true;
}

/* Past the escape sequence whose ESC is at `at` (ECMA-48: CSI to its final byte, else one more). */
static uint64_t skip_escape(const struct conmux_port *p, uint64_t at, uint64_t end)
{
    at++;
    if (at < end && conmux_port_byte(p, at) == '[') {
        at++;
        while (at < end && (conmux_port_byte(p, at) < 0x40 || conmux_port_byte(p, at) > 0x7e)) {
            at++;
        }
    }
    return at < end ? at + 1 : end;
}

/* One line on its way to the stage. */
struct rows {
    struct conmux *m;
    const char *name;
    unsigned left; /* columns for text in this row */
};

/* All rows of a line fit on the stage: the most there can be, each with a name, a sign and an end;
 * and before them what conmux_fresh_line puts. */
#define NAME_COLUMNS(n) ((n) + 3u) /* "[NAME] " */
#define ROWS_MAX (CONMUX_LINE / (CONMUX_COLUMNS - NAME_COLUMNS(CONMUX_NAME) - UTF8_MAX + 1u) + 1u)
_Static_assert(CONMUX_LINE + ROWS_MAX * (NAME_COLUMNS(CONMUX_NAME) + 3u) + 8u <= CONMUX_STAGE,
               "a line in rows fits on the stage");

static void begin_row(struct rows *r, char sign)
{
    unsigned n = 0;

    conmux_stage_put(r->m, '[');
    while (r->name[n] && n < CONMUX_NAME) {
        conmux_stage_put(r->m, r->name[n++]);
    }
    conmux_stage_put(r->m, ']');
    conmux_stage_put(r->m, sign);
    r->left = CONMUX_COLUMNS - NAME_COLUMNS(n);
}

/* A character of n bytes of the line. */
static void put_char(struct rows *r, const uint8_t *bytes, unsigned n)
{
    if (r->left < n) {
        conmux_stage_puts(r->m, "\r\r\n");
        begin_row(r, '+');
    }
    r->left -= n;
    for (unsigned i = 0; i < n; i++) {
        conmux_stage_put(r->m, (char)bytes[i]);
    }
}

/* Puts the character that begins at `at`, or what stands for it; returns its end. */
static uint64_t put_next(struct rows *r, const struct conmux_port *p, uint64_t at, uint64_t end)
{
    uint8_t bytes[UTF8_MAX];

    for (unsigned i = 0; i < UTF8_MAX; i++) {
        bytes[i] = at + i < end ? (uint8_t)conmux_port_byte(p, at + i) : 0;
    }
    if (bytes[0] >= 0x80) {
        unsigned n = utf8_printable(bytes);
        put_char(r, n > 0 ? bytes : (const uint8_t *)"?", MAX(n, 1u));
        return at + MAX(n, 1u);
    }
    /* On a terminal, what follows a carriage return stands over what came before: here, behind. */
    bool over = bytes[0] == '\r' && bytes[1] && bytes[1] != '\r' && bytes[1] != '\n';
    if (bytes[0] == '\t' || over) {
        bytes[0] = ' ';
    }
    if (bytes[0] >= 0x20 && bytes[0] != 0x7f) {
        put_char(r, bytes, 1);
    }
    return at + 1;
}

void conmux_stage_line(struct conmux *m, struct conmux_port *p, uint64_t end)
{
    struct rows rows = {.m = m, .name = p->name};
    uint64_t at = p->sent;

    conmux_fresh_line(m);
    begin_row(&rows, ' ');
    while (at < end) {
        uint8_t c = (uint8_t)conmux_port_byte(p, at);
        if (c >= 0x20 && c < 0x7f) {
            put_char(&rows, &c, 1); /* as most are */
            at++;
        } else {
            at = c == ESC ? skip_escape(p, at, end) : put_next(&rows, p, at, end);
        }
    }
    conmux_stage_puts(m, "\r\n");
    p->lines -= conmux_port_byte(p, end - 1) == '\n';
    conmux_port_skip_to(p, end);
    m->guest_lines++;
}
