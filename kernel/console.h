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
 * Who comes first: the echo of what is typed, then the monitor and the log, then the guests, a line
 * of each in turn. A guest that writes more than the line takes finds no room in its own port's
 * buffer (console_port_room) and waits; nobody else does.
 *
 * All memory is bounded and taken at boot. Everything runs in the scheduler's loop or its interrupt
 * windows; console_write, console_port_tx and the log may be called from anywhere in it.
 */
#ifndef KERNEL_CONSOLE_H
#define KERNEL_CONSOLE_H

#include "base/types.h"

struct vm;
struct console_port;

/* Opens COM1, or does without one, and takes over the log. */
void console_init(void);

/* ---- for VMs -------------------------------------------------------------------------------- */

/* A VM's port. At boot only; before or after console_init. */
struct console_port *console_port_new(struct vm *vm);
/* A byte from the guest; only after console_port_room said yes (else it is lost). When it said no,
 * uart_tx_resume is called once there is room. */
void console_port_tx(struct console_port *p, uint8_t byte);
bool console_port_room(struct console_port *p);
/* The guest is off: the line that it left open is ended, so that it is shown and stays its own. */
void console_port_end(struct console_port *p);

/* ---- for the monitor ------------------------------------------------------------------------ */

struct console_user {
    /* One typed byte. Called only while `ready` says yes and there is room for output. */
    void (*key)(void *ctx, uint8_t byte);
    bool (*ready)(void *ctx);
    /* The prompt with what has been typed so far and the cursor moved to its place; returns the
     * length, cut to size. */
    size_t (*render)(void *ctx, char *buf, size_t size);
    void *ctx;
};
void console_set_user(const struct console_user *user);

/* Text of whole lines, each ended by a newline: all of it, or nothing when there is no room; false
 * then, and the console says later that something is missing. */
bool console_write(const char *text, size_t n);
void console_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Bytes that console_write can take now, at least; newlines count twice. */
size_t console_room(void);

/* The prompt is wanted: it is drawn after what has been written so far. */
void console_prompt(void);
/* What the line editor wants on the terminal after a key: its changes to the line shown. */
void console_edit(const char *bytes, size_t n);
/* The line is complete: ends it on the terminal; no prompt until console_prompt. */
void console_prompt_end(void);

/* MONITOR -> ATTACHED. */
void console_attach(struct vm *vm);
/* MONITOR -> SCREEN and back. In SCREEN, console_write's text goes out unchanged by prompts, and
 * log lines are kept back. */
void console_screen(bool on);
/* Whether the monitor's line-by-line output may come out now (mode MONITOR). */
bool console_wants_lines(void);
/* Whether all that was written has left the machine. */
bool console_drained(void);

/* Bytes both ways since boot, and lines that were dropped for want of room. */
void console_counts(uint64_t *tx, uint64_t *rx, uint64_t *lost);

#endif
