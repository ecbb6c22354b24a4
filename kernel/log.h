/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's log: a ring of the last 64 KiB of lines, behind base/log.h. Each line also goes to
 * the sink; until the console sets one, straight to COM1.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include "base/log.h"

/* Receives a whole line: "[  1.234567] text", NUL-ended, no newline. NULL brings COM1 back. */
typedef void log_sink(enum log_level level, const char *line);
void log_set_sink(log_sink *sink);

/* Calls `put` for each line in the ring, oldest first, at most the last `max_lines`. */
void log_each(unsigned max_lines, void (*put)(void *ctx, const char *line), void *ctx);

#endif
