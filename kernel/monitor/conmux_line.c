/* SPDX-License-Identifier: BSD-2-Clause */
/* One guest's output in lines that are safe to show: see conmux_internal.h. */
#include "base/bits.h"
#include "kernel/monitor/conmux_internal.h"
#include "kernel/monitor/utf8.h"

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
    for (uint64_t at = p->scanned - ESCAPE_MAX; at < p->scanned; at++) {
        if (conmux_port_byte(p, at) == ESC) {
            *end = p->scanned = at; /* an escape sequence stays in one piece */
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

void conmux_stage_line(struct conmux *m, struct conmux_port *p, uint64_t end)
{
    uint64_t at = p->sent;

    conmux_fresh_line(m);
    conmux_stage_put(m, '[');
    for (size_t i = 0; p->name[i] && i < 128; i++) {
        conmux_stage_put(m, p->name[i]);
    }
    conmux_stage_puts(m, "] ");
    while (at < end) {
        char c = conmux_port_byte(p, at);
        if (c == ESC) {
            at = skip_escape(p, at, end);
            continue;
        }
        if (c < 0) {
            uint8_t bytes[UTF8_MAX];
            for (unsigned i = 0; i < UTF8_MAX; i++) {
                bytes[i] = at + i < end ? (uint8_t)conmux_port_byte(p, at + i) : 0;
            }
            unsigned n = utf8_printable(bytes);
            for (unsigned i = 0; i < n; i++) {
                conmux_stage_put(m, conmux_port_byte(p, at + i));
            }
            if (n == 0) {
                conmux_stage_put(m, '?');
            }
            at += MAX(n, 1u);
            continue;
        }
        at++;
        if (c == '\t' || (c < 0x20 && c != '\n' && c != '\r')) {
            c = c == '\t' ? ' ' : 0;
        } else if (c == '\r') {
            c = at < end && conmux_port_byte(p, at) != '\n' && conmux_port_byte(p, at) != '\r' ? ' '
                                                                                               : 0;
        }
        if (c && c != '\n' && c != 0x7f) {
            conmux_stage_put(m, c);
        }
    }
    conmux_stage_puts(m, "\r\n");
    p->lines -= conmux_port_byte(p, end - 1) == '\n';
    conmux_port_skip_to(p, end);
    m->guest_lines++;
}
