/* SPDX-License-Identifier: BSD-2-Clause */
/* Bounded printf: one pass over the format, every byte through put(), which alone knows the end. */
#include "base/format.h"

#include "base/string.h"

struct sink {
    char *buf;
    size_t size;
    size_t wanted; /* bytes that an endless buffer would hold */
};

struct spec {
    bool left, zero, alternate, has_precision;
    size_t width, precision;
    enum { LEN_HH, LEN_H, LEN_INT, LEN_L, LEN_LL, LEN_Z, LEN_J } length;
};

#define WIDTH_MAX 4096u /* bounds the padding that a format or a `*` can ask for */

static void put(struct sink *s, char c)
{
    if (s->size != 0 && s->wanted < s->size - 1) {
        s->buf[s->wanted] = c;
    }
    s->wanted++;
}

static void pad(struct sink *s, char c, size_t n)
{
    while (n-- > 0) {
        put(s, c);
    }
}

static void put_text(struct sink *s, const struct spec *sp, const char *text, size_t len)
{
    size_t fill = sp->width > len ? sp->width - len : 0;

    if (!sp->left) {
        pad(s, ' ', fill);
    }
    for (size_t i = 0; i < len; i++) {
        put(s, text[i]);
    }
    if (sp->left) {
        pad(s, ' ', fill);
    }
}

/* `prefix` is the sign or 0x; a precision makes the 0 flag void, as in C. */
static void put_number(struct sink *s, const struct spec *sp, const char *prefix, uint64_t v,
                       unsigned base, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char tmp[20];
    size_t n = 0, prefix_len = strlen(prefix), zeros = 0, fill = 0;

    while (v != 0) {
        tmp[n++] = digits[v % base];
        v /= base;
    }
    if (n == 0 && !(sp->has_precision && sp->precision == 0)) {
        tmp[n++] = '0';
    }
    if (sp->has_precision && sp->precision > n) {
        zeros = sp->precision - n;
    }
    if (sp->width > prefix_len + zeros + n) {
        fill = sp->width - prefix_len - zeros - n;
    }
    if (sp->zero && !sp->left && !sp->has_precision) {
        zeros += fill;
        fill = 0;
    }
    if (!sp->left) {
        pad(s, ' ', fill);
    }
    for (size_t i = 0; i < prefix_len; i++) {
        put(s, prefix[i]);
    }
    pad(s, '0', zeros);
    while (n > 0) {
        put(s, tmp[--n]);
    }
    if (sp->left) {
        pad(s, ' ', fill);
    }
}

static size_t parse_number(const char **p)
{
    size_t v = 0;

    while (**p >= '0' && **p <= '9') {
        v = v * 10 + (size_t)(**p - '0');
        if (v > WIDTH_MAX) {
            v = WIDTH_MAX;
        }
        (*p)++;
    }
    return v;
}

static void parse_length(const char **p, struct spec *sp)
{
    sp->length = LEN_INT;
    switch (**p) {
    case 'h':
        (*p)++;
        sp->length = LEN_H;
        if (**p == 'h') {
            (*p)++;
            sp->length = LEN_HH;
        }
        break;
    case 'l':
        (*p)++;
        sp->length = LEN_L;
        if (**p == 'l') {
            (*p)++;
            sp->length = LEN_LL;
        }
        break;
    case 'z':
        (*p)++;
        sp->length = LEN_Z;
        break;
    case 'j':
        (*p)++;
        sp->length = LEN_J;
        break;
    default:
        break;
    }
}

/* A va_list that is a parameter decays to a pointer on x86-64; in a struct it can be passed on. */
struct args {
    va_list ap;
};

static int64_t next_signed(struct args *a, const struct spec *sp)
{
    switch (sp->length) {
    case LEN_HH:
        return (signed char)va_arg(a->ap, int);
    case LEN_H:
        return (short)va_arg(a->ap, int);
    case LEN_L:
        return va_arg(a->ap, long);
    case LEN_LL:
        return va_arg(a->ap, long long);
    case LEN_Z:
        return va_arg(a->ap, ptrdiff_t);
    case LEN_J:
        return va_arg(a->ap, intmax_t);
    case LEN_INT:
    default:
        return va_arg(a->ap, int);
    }
}

static uint64_t next_unsigned(struct args *a, const struct spec *sp)
{
    switch (sp->length) {
    case LEN_HH:
        return (unsigned char)va_arg(a->ap, unsigned);
    case LEN_H:
        return (unsigned short)va_arg(a->ap, unsigned);
    case LEN_L:
        return va_arg(a->ap, unsigned long);
    case LEN_LL:
        return va_arg(a->ap, unsigned long long);
    case LEN_Z:
        return va_arg(a->ap, size_t);
    case LEN_J:
        return va_arg(a->ap, uintmax_t);
    case LEN_INT:
    default:
        return va_arg(a->ap, unsigned);
    }
}

static void parse_spec(const char **p, struct spec *sp, struct args *a)
{
    *sp = (struct spec){0};
    for (; **p == '-' || **p == '0' || **p == '#'; (*p)++) {
        sp->left |= **p == '-';
        sp->zero |= **p == '0';
        sp->alternate |= **p == '#';
    }
    if (**p == '*') {
        int64_t w = va_arg(a->ap, int);
        (*p)++;
        if (w < 0) {
            sp->left = true;
            w = -w;
        }
        sp->width = w > WIDTH_MAX ? WIDTH_MAX : (size_t)w;
    } else {
        sp->width = parse_number(p);
    }
    if (**p == '.') {
        (*p)++;
        sp->has_precision = true;
        if (**p == '*') {
            int w = va_arg(a->ap, int);
            (*p)++;
            sp->has_precision = w >= 0;
            sp->precision = w < 0 ? 0 : (size_t)w;
        } else {
            sp->precision = parse_number(p);
        }
    }
    parse_length(p, sp);
}

/* False: the conversion is none of ours (nothing was taken from the arguments for it). */
static bool convert(struct sink *s, const struct spec *sp, char conversion, struct args *a)
{
    struct spec number = *sp;

    if (number.precision > WIDTH_MAX) {
        number.precision = WIDTH_MAX;
    }
    switch (conversion) {
    case 'd':
    case 'i': {
        int64_t v = next_signed(a, sp);
        put_number(s, &number, v < 0 ? "-" : "", v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, false);
        return true;
    }
    case 'u':
        put_number(s, &number, "", next_unsigned(a, sp), 10, false);
        return true;
    case 'x':
    case 'X': {
        uint64_t v = next_unsigned(a, sp);
        const char *prefix = !sp->alternate || v == 0 ? "" : conversion == 'X' ? "0X" : "0x";
        put_number(s, &number, prefix, v, 16, conversion == 'X');
        return true;
    }
    case 'p':
        put_number(s, &number, "0x", (uintptr_t)va_arg(a->ap, void *), 16, false);
        return true;
    case 's': {
        const char *text = va_arg(a->ap, const char *);
        text = text != NULL ? text : "(null)";
        put_text(s, sp, text, sp->has_precision ? strnlen(text, sp->precision) : strlen(text));
        return true;
    }
    case 'c': {
        char c = (char)va_arg(a->ap, int);
        put_text(s, sp, &c, 1);
        return true;
    }
    case '%':
        put(s, '%');
        return true;
    default:
        return false;
    }
}

size_t format_va(char *buf, size_t size, const char *fmt, va_list ap)
{
    struct sink s = {.buf = buf, .size = size};
    struct args a;

    va_copy(a.ap, ap);
    for (const char *p = fmt; *p != '\0';) {
        const char *start = p;
        struct spec sp;

        if (*p++ != '%') {
            put(&s, *start);
            continue;
        }
        parse_spec(&p, &sp, &a);
        if (*p != '\0' && convert(&s, &sp, *p, &a)) {
            p++;
            continue;
        }
        for (p += *p != '\0'; start < p; start++) {
            put(&s, *start);
        }
    }
    va_end(a.ap);
    if (size != 0) {
        buf[s.wanted < size ? s.wanted : size - 1] = '\0';
    }
    return s.wanted;
}

size_t format(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    size_t n = format_va(buf, size, fmt, ap);
    va_end(ap);
    return n;
}
