/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes out on the one serial line, and in which order: the composition behind kernel/console,
 * pure, so that it runs in tests as it is. kernel/console/console.h says what the modes are.
 *
 * The line is composed of units, each put on the stage as a whole and pulled from there byte by
 * byte: a piece of echo, a line of a reply or of the log, one line of one guest, a prompt. So lines
 * never mix. Whatever is due in this order comes next:
 *
 *     echo > the prompt of a line that is being typed > the reply to a command > the prompt
 *          > the log > statistics and guests' lines, by turns
 *
 * Each has room of its own, so output that was not asked for never takes the room of an answer, nor
 * keeps a key waiting. While a line is being typed (conmux_typing), everything below the first two
 * comes in bursts of CONMUX_BURST bytes, and the prompt is drawn again after each: the user sees
 * what is typed, and the rest still moves.
 *
 * A statistics line can be long (64 VMs: 50 KB, which take the wire 4 s). It is made piece by piece
 * as it is sent, by the owner's callback. What the user types or asked for may come in between; the
 * line is then cut: the piece ends with "@+", and a later line that begins with "@+" goes on.
 *
 * A prompt that a line pushed away is drawn again when conmux_settle says that it has been quiet
 * for a while, or at once when the user types.
 *
 * A guest's line is shown in rows of at most CONMUX_COLUMNS. Each row begins with the guest's name,
 * "[NAME] " the first and "[NAME]+" the others, so that the terminal never wraps text of a guest's
 * choice to the left edge, where it would look like the hypervisor's. A byte counts as a column:
 * no character is wider than it is long in UTF-8. A row that goes on ends with CR CR LF, by which
 * tools/run puts the line together again; guests' carriage returns never reach the wire.
 *
 * A port's buffer is a ring of the last CONMUX_PORT_BYTES bytes that its guest wrote; `sent` moves
 * through it, and what is behind `sent` is history until it is overwritten.
 */
#ifndef KERNEL_CONSOLE_MUX_H
#define KERNEL_CONSOLE_MUX_H

#include "base/types.h"

#include <bsd/sys/queue.h>

#define CONMUX_PORT_BYTES 16384u   /* a power of two */
#define CONMUX_HISTORY_BYTES 2048u /* shown on attaching */
#define CONMUX_ECHO_BYTES 4096u    /* a power of two */
#define CONMUX_LINE 1024u          /* longer lines of guests are cut in pieces */
#define CONMUX_COLUMNS 79u /* and shown in rows, so that no terminal of 80 columns wraps them */
#define CONMUX_NAME 31u    /* longest name of a port */
#define CONMUX_STAGE (2u * CONMUX_LINE)
#define CONMUX_MARK 160u
#define CONMUX_TOKEN 64u   /* longest, its NUL included */
#define CONMUX_BURST 1024u /* of other output, at a time while a line is being typed */

enum conmux_mode { CONMUX_MONITOR, CONMUX_ATTACHED, CONMUX_SCREEN };

struct conmux_port {
    const char *name;
    char *bytes;            /* CONMUX_PORT_BYTES */
    uint64_t written, sent; /* positions since boot; written - sent are to be sent */
    uint64_t scanned;       /* no newline between sent and here */
    uint64_t lines;         /* newlines between sent and written */
    bool blocked;           /* was told that there is no room */
    TAILQ_ENTRY(conmux_port) link;
};

/* Bytes in order; positions since boot. */
struct conmux_ring {
    char *bytes;
    uint64_t size; /* a power of two */
    uint64_t written, read;
};

/* The statistics line that is on its way. */
struct conmux_stats {
    /* Writes the next bytes of the line, its newline excluded; 0: that was all. */
    size_t (*more)(void *ctx, char *buf, size_t size);
    void *ctx;
    bool busy;
    bool asked;  /* the user waits for it */
    bool inside; /* part of it is out */
    bool cut;    /* and something else after that part */
};

struct conmux {
    enum conmux_mode mode;
    TAILQ_HEAD(, conmux_port) ports; /* the next one to be asked for a line is first */
    struct conmux_port *attached;
    unsigned n_blocked;
    struct conmux_ring echo, reply, log;
    struct conmux_stats stats;
    char stage[CONMUX_STAGE];
    size_t stage_n, stage_at;
    bool column0;      /* what was staged last ended a line */
    bool reply_inside; /* the stage ended inside a line of `reply` */
    /* The prompt is drawn: at all, now; at once; when the reply is out. */
    bool prompt_wanted, prompt_shown, prompt_urgent, prompt_due;
    bool typing;
    uint64_t burst;        /* bytes of other output that may still come before the next tick */
    bool stage_echoes;     /* the stage shows something typed */
    uint64_t guest_lines;  /* staged since boot */
    uint64_t hidden_lines; /* not shown in the other modes, since that mode was entered */
    uint64_t lost, lost_said;
    uint64_t guest_bytes, stats_bytes; /* staged, to share the wire fairly */
    /* Known to the far end of the wire alone: with it in a mark, it is told where an attached
     * guest's bytes begin and end. NULL: no marks. */
    const char *token;
    struct conmux_port *origin; /* whose bytes are on the wire, by the last mark; NULL: our own */
    bool stage_raw;             /* the stage has an attached guest's bytes */
    char mark[CONMUX_MARK];
    size_t mark_n, mark_at;
    /* The prompt with the line typed so far; returns the length, cut to size. */
    size_t (*render)(void *ctx, char *buf, size_t size);
    void *render_ctx;
};

/* `reply` and `log` have buffers of these sizes (powers of two), `echo` of CONMUX_ECHO_BYTES.
 * render is set later. */
void conmux_init(struct conmux *m, char *reply, uint64_t reply_size, char *log, uint64_t log_size,
                 char *echo);
/* `bytes` of CONMUX_PORT_BYTES; port, name and bytes stay the caller's. The name has at most
 * CONMUX_NAME characters. */
void conmux_add(struct conmux *m, struct conmux_port *p, const char *name, char *bytes);

/* A byte from the guest; lost when there is no room. */
void conmux_port_put(struct conmux *m, struct conmux_port *p, char byte);
/* Whether there is; a no is remembered, and conmux_unblocked finds the port when there is again. */
bool conmux_port_room(struct conmux *m, struct conmux_port *p);
/* Ends the line that the guest has left open, if there is one. */
void conmux_port_end(struct conmux *m, struct conmux_port *p);
/* A port that was blocked and has room now; it counts as unblocked. NULL: none. */
struct conmux_port *conmux_unblocked(struct conmux *m);

/* Text of whole lines for the terminal; "\n" becomes "\r\n". The first is what the user asked for,
 * the second what happens by itself. All of it or, when there is no room, nothing: false then,
 * counted in `lost`. */
bool conmux_reply(struct conmux *m, const char *text, size_t n);
bool conmux_log(struct conmux *m, const char *text, size_t n);
/* Bytes that a reply can take, a newline being two. */
uint64_t conmux_room(const struct conmux *m);
/* The user does not want the rest of the reply. Returns whether there was any. */
bool conmux_cut_reply(struct conmux *m);

/* Sends a statistics line, made by `more`. False: the one before is still on its way. `asked`: it
 * goes before what was not asked for. */
bool conmux_send_stats(struct conmux *m, size_t (*more)(void *ctx, char *buf, size_t size),
                       void *ctx, bool asked);

/* The monitor waits for a line: draw the prompt, below the reply, before guests' lines. */
void conmux_prompt(struct conmux *m);
/* The line has been edited: `bytes` change what is on the screen accordingly. */
void conmux_edit(struct conmux *m, const char *bytes, size_t n);
/* The line was entered: it stays on the screen, and what is written next goes below it. */
void conmux_prompt_end(struct conmux *m);
/* It has been quiet: draw the prompt if it is not there. */
void conmux_settle(struct conmux *m);
/* Whether conmux_settle would do anything. */
bool conmux_unsettled(const struct conmux *m);
/* A line is being typed, or may be (a reply has just ended); or no more. */
void conmux_typing(struct conmux *m, bool on);
/* While one is: time for another burst of the rest. */
void conmux_tick(struct conmux *m);

/* The terminal is this guest's from now on; begins with the last it wrote. */
void conmux_attach(struct conmux *m, struct conmux_port *p);
/* The terminal is the monitor's alone, for a table that draws itself; guests' lines are hidden. */
void conmux_screen(struct conmux *m);
/* Back to MONITOR. Returns how many lines of guests were not shown meanwhile. */
uint64_t conmux_back(struct conmux *m);

/* The mark after which bytes are the guest's, or our own for a name of NULL; its length. */
size_t conmux_mark(char *buf, size_t size, const char *token, const char *guest);
/* The next bytes for the wire, at most max; fewer at the end of a unit, as a call composes one at
 * most. 0: nothing to send. */
size_t conmux_pull(struct conmux *m, char *buf, size_t max);
bool conmux_empty(const struct conmux *m);
/* Whether the echo of something typed has not been pulled yet. */
bool conmux_echoing(const struct conmux *m);

#endif
