/* SPDX-License-Identifier: BSD-2-Clause */
/* What the core wants to say, on the host: lines on stderr; and the end of the program. */
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    (void)level;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}
