/* SPDX-License-Identifier: BSD-2-Clause */
/* Values as a configuration writes them: a number, then a unit out of a table. */
#include "kernel/config/value.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"

struct unit {
    char name[3];
    uint64_t factor;
};

static const struct unit sizes[] = {
    {"T", UINT64_C(1) << 40},
    {"G", UINT64_C(1) << 30},
    {"M", UINT64_C(1) << 20},
    {"K", UINT64_C(1) << 10},
    {"", 1},
};
static const struct unit durations[] = {
    {"s", 1000000000},
    {"ms", 1000000},
    {"us", 1000},
    {"ns", 1},
};

static int digit(char c, unsigned base)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (base == 16 && ((c | 0x20) >= 'a') && (c | 0x20) <= 'f') {
        return (c | 0x20) - 'a' + 10;
    }
    return -1;
}

/* The digits at *text, of which there must be one; moves *text behind them. */
static bool number(const char **text, unsigned base, uint64_t *out)
{
    const char *p = *text;
    uint64_t v = 0;

    for (; digit(*p, base) >= 0; p++) {
        if (__builtin_mul_overflow(v, base, &v) ||
            __builtin_add_overflow(v, (uint64_t)digit(*p, base), &v)) {
            return false;
        }
    }
    if (p == *text) {
        return false;
    }
    *text = p;
    *out = v;
    return true;
}

static bool with_unit(const char *text, const struct unit *units, size_t n, uint64_t *out)
{
    uint64_t v;

    if (!number(&text, 10, &v)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, units[i].name) == 0) {
            if (__builtin_mul_overflow(v, units[i].factor, &v)) {
                return false;
            }
            *out = v;
            return true;
        }
    }
    return false;
}

bool value_parse_count(const char *text, uint64_t *out)
{
    uint64_t v;
    unsigned base = 10;

    if (text[0] == '0' && text[1] == 'x') {
        text += 2;
        base = 16;
    }
    if (!number(&text, base, &v) || *text != '\0') {
        return false;
    }
    *out = v;
    return true;
}

bool value_parse_size(const char *text, uint64_t *bytes)
{
    char upper[24];
    size_t n = strlen(text);

    if (n >= sizeof(upper)) {
        return false;
    }
    memcpy(upper, text, n + 1);
    if (n > 0 && upper[n - 1] >= 'a' && upper[n - 1] <= 'z') {
        upper[n - 1] = (char)(upper[n - 1] - 'a' + 'A');
    }
    return with_unit(upper, sizes, ARRAY_LEN(sizes), bytes);
}

bool value_parse_duration(const char *text, uint64_t *ns)
{
    if (strcmp(text, "0") == 0) {
        *ns = 0;
        return true;
    }
    return with_unit(text, durations, ARRAY_LEN(durations), ns);
}

bool value_parse_percent(const char *text, unsigned *percent)
{
    uint64_t v;

    if (!number(&text, 10, &v) || strcmp(text, "%") != 0 || v > 100) {
        return false;
    }
    *percent = (unsigned)v;
    return true;
}

static void print(char *buf, size_t size, uint64_t v, const struct unit *units)
{
    /* The last unit of each table is 1, so this ends. */
    while (v % units->factor != 0 || (v == 0 && units->factor != 1)) {
        units++;
    }
    (void)format(buf, size, "%llu%s", (unsigned long long)(v / units->factor), units->name);
}

void value_print_size(char *buf, size_t size, uint64_t bytes)
{
    print(buf, size, bytes, sizes);
}

void value_print_duration(char *buf, size_t size, uint64_t ns)
{
    print(buf, size, ns, durations);
}
