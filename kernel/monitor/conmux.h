/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes out on the one serial line, and in which order: the composition behind kernel/console,
 * pure, so that it runs in tests as it is. kernel/console.h says what the modes are.
 *
 * The line is composed of units, each put on the stage as a whole and pulled from there byte by
 * byte: a piece of echo, lines of the monitor or the log, one line of one guest, a prompt. So lines
 * never mix. Whatever is due in this order comes next:
 *
 *     echo > monitor and log > the prompt, if urgent > guests' lines, one of each in turn
 *
 * A prompt that a line pushed away is drawn again when conmux_settle says that it has been quiet
 * for a while, or at once when the user types.
 *
 * A port's buffer is a ring of the last CONMUX_PORT_BYTES bytes that its guest wrote; `sent` moves
 * through it, and what is behind `sent` is history until it is overwritten.
 */
#ifndef KERNEL_MONITOR_CONMUX_H
#define KERNEL_MONITOR_CONMUX_H

#include "base/types.h"

#include <bsd/sys/queue.h>

#define CONMUX_PORT_BYTES 16384u   /* a power of two */
#define CONMUX_HISTORY_BYTES 2048u /* shown on attaching */
#define CONMUX_ECHO_BYTES 4096u    /* a power of two */
#define CONMUX_LINE 1024u          /* longer lines of guests are cut in pieces */
#define CONMUX_STAGE (CONMUX_LINE + 256u)

enum conmux_mode { CONMUX_MONITOR, CONMUX_ATTACHED, CONMUX_SCREEN };

struct conmux_port {
    const char *name;
    char *bytes;            /* CONMUX_PORT_BYTES */
    uint64_t written, sent; /* positions since boot; written - sent are to be sent */
    uint64_t scanned;       /* no newline between sent and here */
    bool blocked;           /* was told that there is no room */
    TAILQ_ENTRY(conmux_port) link;
};

/* Bytes in order; positions since boot. */
struct conmux_ring {
    char *bytes;
    uint64_t size; /* a power of two */
    uint64_t written, read;
};

struct conmux {
    enum conmux_mode mode;
    TAILQ_HEAD(, conmux_port) ports; /* the next one to be asked for a line is first */
    struct conmux_port *attached;
    unsigned n_blocked;
    struct conmux_ring echo, out;
    char stage[CONMUX_STAGE];
    size_t stage_n, stage_at;
    bool column0;    /* what was staged last ended a line */
    bool out_inside; /* the stage ended inside a line of `out` */
    bool prompt_wanted, prompt_shown, prompt_urgent;
    uint64_t guest_lines;  /* staged since boot */
    uint64_t hidden_lines; /* not shown in the other modes, since that mode was entered */
    uint64_t lost, lost_said;
    /* The prompt with the line typed so far; returns the length, cut to size. */
    size_t (*render)(void *ctx, char *buf, size_t size);
    void *render_ctx;
};

/* `out` of out_size bytes (a power of two), `echo` of CONMUX_ECHO_BYTES. render is set later. */
void conmux_init(struct conmux *m, char *out, uint64_t out_size, char *echo);
/* `bytes` of CONMUX_PORT_BYTES; port, name and bytes stay the caller's. */
void conmux_add(struct conmux *m, struct conmux_port *p, const char *name, char *bytes);

/* A byte from the guest; lost when there is no room. */
void conmux_port_put(struct conmux *m, struct conmux_port *p, char byte);
/* Whether there is; a no is remembered, and conmux_unblocked finds the port when there is again. */
bool conmux_port_room(struct conmux *m, struct conmux_port *p);
/* Ends the line that the guest has left open, if there is one. */
void conmux_port_end(struct conmux *m, struct conmux_port *p);
/* A port that was blocked and has room now; it counts as unblocked. NULL: none. */
struct conmux_port *conmux_unblocked(struct conmux *m);

/* Text of whole lines for the terminal; "\n" becomes "\r\n". All of it or, when there is no room,
 * nothing: false then, counted in `lost`. */
bool conmux_write(struct conmux *m, const char *text, size_t n);
/* Bytes that a write can take, a newline being two. */
uint64_t conmux_room(const struct conmux *m);

/* The monitor waits for a line: draw the prompt, before guests' lines. */
void conmux_prompt(struct conmux *m);
/* The line has been edited: `bytes` change what is on the screen accordingly. */
void conmux_edit(struct conmux *m, const char *bytes, size_t n);
/* The line was entered: it stays on the screen, and what is written next goes below it. */
void conmux_prompt_end(struct conmux *m);
/* It has been quiet: draw the prompt if it is not there. */
void conmux_settle(struct conmux *m);
/* Whether conmux_settle would do anything. */
bool conmux_unsettled(const struct conmux *m);

/* The terminal is this guest's from now on; begins with the last it wrote. */
void conmux_attach(struct conmux *m, struct conmux_port *p);
/* The terminal is the monitor's alone, for a table that draws itself; guests' lines are hidden. */
void conmux_screen(struct conmux *m);
/* Back to MONITOR. Returns how many lines of guests were not shown meanwhile. */
uint64_t conmux_back(struct conmux *m);

/* The next bytes for the wire, at most max. 0: nothing to send. */
size_t conmux_pull(struct conmux *m, char *buf, size_t max);
bool conmux_empty(const struct conmux *m);

#endif
