/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bounded printf. Supports flags - 0 # (the last for x X), width and precision (also *), the
 * lengths hh h l ll z j, and the conversions d i u x X p s c %. Anything else is printed as it
 * stands.
 */
#ifndef BASE_FORMAT_H
#define BASE_FORMAT_H

#include "base/types.h"

/* As C's vsnprintf: always ends buf with NUL when size > 0; returns the length it wanted. */
size_t format_va(char *buf, size_t size, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
size_t format(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
