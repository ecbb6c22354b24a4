/* SPDX-License-Identifier: BSD-2-Clause */
/* Values as a configuration writes them: sizes, durations, percentages. Pure. */
#ifndef KERNEL_CONFIG_VALUE_H
#define KERNEL_CONFIG_VALUE_H

#include "base/types.h"

/* Each takes the whole string, or returns false and leaves *out alone; none can overflow. */
bool value_parse_count(const char *text, uint64_t *out);   /* decimal, or hexadecimal with 0x */
bool value_parse_size(const char *text, uint64_t *bytes);  /* bytes, or with K M G T (of 1024) */
bool value_parse_duration(const char *text, uint64_t *ns); /* with ns us ms s; a plain 0 as well */
bool value_parse_percent(const char *text, unsigned *percent); /* "20%"; 0 to 100 */

/* The shortest text that parses to the same value; bounded as format(). */
void value_print_size(char *buf, size_t size, uint64_t bytes);
void value_print_duration(char *buf, size_t size, uint64_t ns);

#endif
