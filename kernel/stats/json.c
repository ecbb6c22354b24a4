/* SPDX-License-Identifier: BSD-2-Clause */
/* The JSON writer (RFC 8259): every byte through put(), which alone knows the buffer's end. */
#include "kernel/stats/json.h"

#include "base/format.h"
#include "base/string.h"

void json_init(struct json *j, char *buf, size_t size)
{
    memset(j, 0, sizeof(*j));
    j->buf = buf;
    j->size = size;
    buf[0] = '\0';
}

static void put(struct json *j, char c)
{
    if (j->n + 1 >= j->size) {
        j->full = true;
        return;
    }
    j->buf[j->n++] = c;
    j->buf[j->n] = '\0';
}

static void put_text(struct json *j, const char *text)
{
    for (; *text != '\0'; text++) {
        put(j, *text);
    }
}

static void put_string(struct json *j, const char *text)
{
    char code[8];

    put(j, '"');
    for (; *text != '\0'; text++) {
        uint8_t c = (uint8_t)*text;

        if (c == '"' || c == '\\') {
            put(j, '\\');
            put(j, (char)c);
        } else if (c >= 0x20 && c < 0x7f) {
            put(j, (char)c);
        } else {
            (void)format(code, sizeof(code), "\\u%04x", c);
            put_text(j, code);
        }
    }
    put(j, '"');
}

/* What stands before a value: a comma, and its name within an object. */
static void begin(struct json *j, const char *name)
{
    bool in_object = j->depth > 0 && j->closers[j->depth - 1] == '}';

    if (in_object != (name != NULL) || (j->depth == 0 && j->more)) {
        j->broken = true;
        return;
    }
    if (j->more) {
        put(j, ',');
    }
    j->more = true;
    if (name != NULL) {
        put_string(j, name);
        put(j, ':');
    }
}

void json_open(struct json *j, const char *name, char bracket)
{
    begin(j, name);
    if (j->depth == JSON_DEPTH || (bracket != '{' && bracket != '[')) {
        j->broken = true;
        return;
    }
    put(j, bracket);
    j->closers[j->depth++] = bracket == '{' ? '}' : ']';
    j->more = false;
}

void json_close(struct json *j)
{
    if (j->depth == 0) {
        j->broken = true;
        return;
    }
    put(j, j->closers[--j->depth]);
    j->more = true;
}

void json_number(struct json *j, const char *name, uint64_t value)
{
    char text[24];

    begin(j, name);
    (void)format(text, sizeof(text), "%llu", (unsigned long long)value);
    put_text(j, text);
}

void json_signed(struct json *j, const char *name, int64_t value)
{
    char text[24];

    begin(j, name);
    (void)format(text, sizeof(text), "%lld", (long long)value);
    put_text(j, text);
}

void json_bool(struct json *j, const char *name, bool value)
{
    begin(j, name);
    put_text(j, value ? "true" : "false");
}

void json_string(struct json *j, const char *name, const char *value)
{
    begin(j, name);
    put_string(j, value);
}

void json_go_on(struct json *j)
{
    j->n = 0;
    j->buf[0] = '\0';
}

bool json_finish(const struct json *j)
{
    return !j->broken && !j->full && j->depth == 0 && j->more;
}
