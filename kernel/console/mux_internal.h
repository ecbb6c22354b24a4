/* SPDX-License-Identifier: BSD-2-Clause */
/* Between mux.c, which takes what is to be sent, mux_stage.c, which decides what comes next,
 * and mux_line.c, which makes guests' lines. */
#ifndef KERNEL_CONSOLE_MUX_INTERNAL_H
#define KERNEL_CONSOLE_MUX_INTERNAL_H

#include "base/bits.h"
#include "kernel/console/mux.h"

static inline char conmux_port_byte(const struct conmux_port *p, uint64_t at)
{
    return p->bytes[at & (CONMUX_PORT_BYTES - 1)];
}

static inline void conmux_port_skip_to(struct conmux_port *p, uint64_t at)
{
    p->sent = at;
    p->scanned = MAX(p->scanned, at);
    if (at == p->written) {
        p->lines = 0;
    }
}

static inline uint64_t conmux_ring_room(const struct conmux_ring *r)
{
    return r->size - (r->written - r->read);
}

static inline bool conmux_ring_empty(const struct conmux_ring *r)
{
    return r->read == r->written;
}

/* mux_stage.c: onto the stage; what does not fit is dropped. */
void conmux_stage_put(struct conmux *m, char c);
void conmux_stage_puts(struct conmux *m, const char *s);
/* Makes way for a line: takes the prompt off the screen, or ends what stands in the line. */
void conmux_fresh_line(struct conmux *m);

/* Composes the next unit; false: there is nothing to send. */
bool conmux_compose(struct conmux *m);

/* Where p's next line ends (past its newline), or a piece of a line that is too long for one; false
 * while there is none. Looks at each byte once. */
bool conmux_find_line(struct conmux_port *p, uint64_t *end);
/* Stages [sent, end) of p as one line, in rows: without control characters, so that a guest's
 * output cannot touch the rest of the screen. */
void conmux_stage_line(struct conmux *m, struct conmux_port *p, uint64_t end);

#endif
