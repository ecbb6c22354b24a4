/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's log: a ring of the last 64 KiB of lines, behind base/log.h. Each line also goes to
 * the sink; until the console sets one, straight to COM1.
 *
 * A line about a subject, which is a VM, begins with the subject's name and a colon. Lines about
 * one subject are limited (kernel/core/loglimit.h), because a guest can provoke some: they may
 * push neither other lines out of the ring nor guests' output off the console.
 */
#ifndef KERNEL_CORE_LOG_H
#define KERNEL_CORE_LOG_H

#include "base/log.h"
#include "kernel/core/loglimit.h"

#include <bsd/sys/queue.h>

/* What lines can be about; all zeroes but the name at first. */
struct log_subject {
    const char *name; /* unique, and without a colon */
    struct loglimit limit;
    STAILQ_ENTRY(log_subject) link;
};
/* Lines may be about it from now on. It stays for ever. */
void log_add_subject(struct log_subject *s);

/* Receives a whole line: "[  1.234567] text", NUL-ended, no newline; `about` is what it is about,
 * or NULL. A sink of NULL brings COM1 back. */
typedef void log_sink(enum log_level level, const struct log_subject *about, const char *line);
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
