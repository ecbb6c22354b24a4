/* SPDX-License-Identifier: BSD-2-Clause */
/* The log of host tests: lines to stderr when PF_LOG is set; a panic is an abort, hence a failure.
 */
#include "fake_log.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

static char last[256];

const char *log_last_line(void)
{
    return last;
}

/* Weak: test_log has the kernel's own. */
__attribute__((weak)) void log_line(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(last, sizeof(last), fmt, ap);
    va_end(ap);
    if (getenv("PF_LOG") == NULL) {
        return;
    }
    fprintf(stderr, "%s: ", names[level]);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

_Noreturn void panic(const char *fmt, ...)
{
    va_list ap;

    fputs("panic: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}
