/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A JSON writer into a buffer of fixed size. Pure.
 *
 * Commas and nesting are its own business; a text that does not fit, nesting that is too deep or
 * calls that do not make a JSON value are remembered, and json_finish tells.
 *
 *     json_init(&j, buf, sizeof(buf));
 *     json_open(&j, NULL, '{');
 *     json_number(&j, "t_ms", 17);
 *     json_close(&j);
 *     ok = json_finish(&j);
 */
#ifndef KERNEL_STATS_JSON_H
#define KERNEL_STATS_JSON_H

#include "base/types.h"

#define JSON_DEPTH 8

struct json {
    char *buf;
    size_t size, n;
    unsigned depth;
    char closers[JSON_DEPTH]; /* `}` or `]` of each open value */
    bool more;                /* a comma is due before the next value */
    bool broken;
    bool full; /* the buffer was too small; what it holds is not whole */
};

/* buf holds size bytes, at least 1; it always ends with NUL. */
void json_init(struct json *j, char *buf, size_t size);
/* Each takes the member's name inside an object and NULL inside an array (and outside of both). */
void json_open(struct json *j, const char *name, char bracket); /* `{` or `[` */
void json_close(struct json *j);
void json_number(struct json *j, const char *name, uint64_t value);
void json_signed(struct json *j, const char *name, int64_t value);
void json_bool(struct json *j, const char *name, bool value);
/* Bytes beyond ASCII come out as if they were Latin-1, so that any bytes make valid JSON. */
void json_string(struct json *j, const char *name, const char *value);
/* What buf holds has been taken away: the text goes on at its start. */
void json_go_on(struct json *j);
/* Whether buf holds one whole JSON value, or its end after json_go_on. */
bool json_finish(const struct json *j);

#endif
