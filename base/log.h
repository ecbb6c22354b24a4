/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logging and panic. The kernel sends lines to the console and to a ring that `log` and a panic
 * print; host tests send them to stderr. One call is one line, without a newline at its end.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/types.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* printf-like (the subset of base/format.h); safe at any place but an NMI or machine check. */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#ifdef PAGEFOLD_DEBUG
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#else
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (0) {                                                                                   \
            log_line(LOG_DEBUG, __VA_ARGS__);                                                      \
        }                                                                                          \
    } while (0)
#endif

/* The last lines by the character, each ended with a newline: for a panic. */
void log_tail(void (*put)(char c));

/* The hypervisor itself is broken: print why, registers, backtrace and last log lines, and stop. */
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* An invariant of ours; stays on in release builds. Never for what a guest or a user can cause. */
#define ASSERT(cond)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) {                                                        \
            panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond);                       \
        }                                                                                          \
    } while (0)

#endif
