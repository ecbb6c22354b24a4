/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitor's line editor: keys in, changes to one terminal line out. Pure.
 *
 * Keys: arrows, Home, End, Delete, Backspace, Ctrl-A B C D E F H K N P U W, Enter, and the history
 * of the last LINEEDIT_HISTORY lines. Whatever else a terminal (or noise) sends is swallowed:
 * escape sequences as a whole, other control characters and bytes above 0x7e one by one.
 *
 * Output: what was typed at the end of the line is echoed as it is; any other change draws the line
 * anew. The whole line, prompt included, can also be had at any time (lineedit_render), to draw it
 * again below text that others have printed. A line longer than the terminal is shown in part,
 * around the cursor, so that it never wraps.
 */
#ifndef KERNEL_MONITOR_LINEEDIT_H
#define KERNEL_MONITOR_LINEEDIT_H

#include "base/types.h"

#define LINEEDIT_MAX 256 /* bytes of a line, its NUL included */
#define LINEEDIT_HISTORY 16
#define LINEEDIT_COLUMNS 79 /* shown, prompt included */
#define LINEEDIT_PROMPT_MAX 32
#define LINEEDIT_RENDER 128 /* bytes that lineedit_render needs at most, its NUL included */

enum lineedit_event {
    LINEEDIT_MORE, /* go on */
    LINEEDIT_LINE, /* Enter: lineedit_line has the line */
    LINEEDIT_END,  /* Ctrl-D on an empty line */
};

struct lineedit {
    const char *prompt; /* printable; cut at LINEEDIT_PROMPT_MAX */
    void (*put)(void *ctx, const char *bytes, size_t n);
    void *ctx;
    char text[LINEEDIT_MAX];
    unsigned n, at; /* bytes, and the cursor's place among them */
    bool complete;  /* the last key ended the line; the next one begins another */
    bool after_cr;  /* a LF right after a CR belongs to it */
    uint8_t escape; /* state inside an escape sequence, 0: in none */
    uint8_t number; /* its first parameter */
    char history[LINEEDIT_HISTORY][LINEEDIT_MAX]; /* a ring */
    unsigned n_history, newest;                   /* index of the slot to be written next */
    unsigned browsing;                            /* 0: the line itself; else so many lines back */
    char draft[LINEEDIT_MAX]; /* the line itself while older ones are looked at */
};

/* put may be NULL: then nothing is written, and the caller draws with lineedit_render. */
void lineedit_init(struct lineedit *e, const char *prompt,
                   void (*put)(void *ctx, const char *bytes, size_t n), void *ctx);
/* One byte from the terminal; at most LINEEDIT_RENDER bytes are put for it. After Enter or Ctrl-C
 * the caller ends the line on the terminal (the latter is an empty LINEEDIT_LINE). */
enum lineedit_event lineedit_key(struct lineedit *e, uint8_t byte);
/* The line after LINEEDIT_LINE, until the next key. */
const char *lineedit_line(const struct lineedit *e);
/* The line as it is to be shown now: carriage return, prompt, text, rest cleared, cursor in place.
 * After LINEEDIT_LINE that is the next line, empty. Returns the length; buf ends with NUL. size >=
 * LINEEDIT_RENDER is always enough. */
size_t lineedit_render(const struct lineedit *e, char *buf, size_t size);

#endif
