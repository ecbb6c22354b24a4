/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's log: a ring of the last 64 KiB of lines, behind base/log.h. Each line also goes to
 * the sink; until the console sets one, straight to COM1.
 *
 * A line about a VM begins with the VM's name and a colon. Lines about one VM are limited
 * (kernel/monitor/loglimit.h), because a guest can provoke some: they may push neither other lines
 * out of the ring nor guests' output off the console.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include "base/log.h"

struct vm;

/* Receives a whole line: "[  1.234567] text", NUL-ended, no newline; `about` is the VM that it is
 * about, or NULL. NULL brings COM1 back. */
typedef void log_sink(enum log_level level, const struct vm *about, const char *line);
void log_set_sink(log_sink *sink);
/* Writes how many lines were suppressed lately, if any; to be called now and then. */
void log_tell_suppressed(void);

#define LOG_LINE_BYTES 512u /* of a line at most, its NUL included */

/* A place among the lines; those written later are not before its end. */
struct log_place {
    uint64_t at, end, seek;
    unsigned more; /* lines that are still to be sought, backwards from `seek` */
};
/* Where the last `max_lines` lines begin, once it has been sought. */
struct log_place log_last(unsigned max_lines);
/* A short step of seeking it; false: found. */
bool log_seek(struct log_place *p);
/* The line at `p`, which was found, and on to the next; false: there is none. What is overwritten
 * meanwhile is left out. */
bool log_next(struct log_place *p, char *line, size_t size);

#endif
