/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one serial line, shared by the monitor, the log and every guest's console.
 *
 * Modes. MONITOR: the user types at the monitor; the log and whole lines of the guests come out
 * between, those behind "[NAME] ", and the prompt is put back after them. ATTACHED: what is typed
 * goes to one guest and what it writes comes out as it is; Ctrl-] ends that. SCREEN: a monitor
 * command (`top`) has the terminal for itself. In the last two modes other guests' output is kept
 * only as far as each port's buffer remembers it.
 *
 * Who comes first: the echo of what is typed, then the reply to a command, the log, and by turns
 * statistics and the guests, a line of each in turn. Each has room of its own: output that nobody
 * asked for keeps no key and no reply waiting. A guest that writes more than the line takes finds
 * no room in its own port's buffer (console_port_room) and waits; nobody else does. A command that
 * writes much does it in pieces, as there is room (console_user's work); Ctrl-C ends it.
 *
 * All memory is bounded and taken at boot. Everything runs in the scheduler's loop or its interrupt
 * windows; console_write, console_port_tx and the log may be called from anywhere in it.
 */
#ifndef KERNEL_CONSOLE_CONSOLE_H
#define KERNEL_CONSOLE_CONSOLE_H

#include "base/types.h"

struct console_port;
struct log_subject;

/* Opens COM1, or does without one, and takes over the log. With console.token=TOKEN in the
 * hypervisor's command line, marks with this token tell what an attached guest writes. */
void console_init(const char *cmdline);

/* ---- for VMs -------------------------------------------------------------------------------- */

/* What the console asks of a port's owner, a VM. */
struct console_port_ops {
    /* Whether its UART is there to talk to; the next two are called only then. */
    bool (*can_take)(void *ctx);
    /* A byte that was typed for it. False: it has no room for that now. */
    bool (*receive)(void *ctx, uint8_t byte);
    /* There is room again, after console_port_room said no. */
    void (*resume)(void *ctx);
    /* There is something to send: its guest is to come back to the loop soon. Called from
     * console_port_tx only. */
    void (*yield)(void *ctx);
};

/* A port named `name`. While it is attached, the log's lines about `log` are shown, and no others.
 * At boot only; before or after console_init. What it is given stays the caller's. */
struct console_port *console_port_new(const char *name, const struct log_subject *log,
                                      const struct console_port_ops *ops, void *ctx);
/* A byte from the guest; only after console_port_room said yes (else it is lost). When it said no,
 * the port is resumed once there is room. */
void console_port_tx(struct console_port *p, uint8_t byte);
bool console_port_room(struct console_port *p);
/* The guest is off: the line that it left open is ended, so that it is shown and stays its own. */
void console_port_end(struct console_port *p);

/* ---- for the monitor ------------------------------------------------------------------------ */

struct console_user {
    /* One typed byte. Called only after `ready` said yes for it. */
    void (*key)(void *ctx, uint8_t byte);
    bool (*ready)(void *ctx, uint8_t byte);
    /* Ctrl-C was typed behind a byte that is not ready: end what it waits for. */
    void (*interrupt)(void *ctx);
    /* A piece of what the last command still has to write, while there is room for
     * CONSOLE_PIECE bytes; returns whether it wants to be called again. */
    bool (*work)(void *ctx);
    /* The prompt with what has been typed so far and the cursor moved to its place; returns the
     * length, cut to size. */
    size_t (*render)(void *ctx, char *buf, size_t size);
    void *ctx;
};
#define CONSOLE_PIECE 8192u
void console_set_user(const struct console_user *user);

/* The reply to a command: text of whole lines, each ended by a newline. All of it, or nothing when
 * there is no room; false then, and the console says later that something is missing. */
bool console_write(const char *text, size_t n);
void console_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Bytes that console_write can take now, at least; newlines count twice. */
size_t console_room(void);
/* Drops what has not been sent of replies. */
void console_cut_reply(void);

/* Sends a statistics line, made piece by piece by `more` (conmux_send_stats). False: the one before
 * has not left yet. `asked`: the user waits for it. */
bool console_send_stats(size_t (*more)(void *ctx, char *buf, size_t size), void *ctx, bool asked);

/* The prompt is wanted: it is drawn after what has been written so far. */
void console_prompt(void);
/* What the line editor wants on the terminal after a key: its changes to the line shown. */
void console_edit(const char *bytes, size_t n);
/* The line is complete: ends it on the terminal; no prompt until console_prompt. */
void console_prompt_end(void);

/* MONITOR -> ATTACHED. */
void console_attach(struct console_port *p);
/* MONITOR -> SCREEN and back. In SCREEN, console_write's text goes out unchanged by prompts, and
 * log lines are kept back. */
void console_screen(bool on);
/* Whether the monitor's line-by-line output may come out now (mode MONITOR). */
bool console_wants_lines(void);
/* The run ends: back to MONITOR from wherever the terminal is. */
void console_release(void);
/* Whether all that was written has left the machine. */
bool console_drained(void);

struct console_counts {
    uint64_t tx_bytes, rx_bytes; /* since boot */
    uint64_t lost_lines;         /* dropped because their buffer was full */
    /* The longest since boot: from a key's arrival until its echo was handed to the port, and from
     * Enter's arrival until its command began. Waiting for output that was asked for is not
     * counted. */
    uint64_t echo_max_us, obey_max_us;
};
struct console_counts console_counts(void);

#endif
