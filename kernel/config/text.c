/* SPDX-License-Identifier: BSD-2-Clause */
/* What values of keys are made of: words and names; and how a message shows them. */
#include "kernel/config/keys.h"

bool key_is_ident(const char *text, size_t size)
{
    size_t n = 0;

    for (; text[n] != '\0'; n++) {
        char c = text[n], lower = (char)(c | 0x20);

        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' &&
            c != '-') {
            return false;
        }
    }
    return n > 0 && n < size && text[0] != '-';
}

bool key_is_printable(const char *text, size_t size, bool blanks)
{
    size_t n = 0;

    for (; text[n] != '\0'; n++) {
        if (text[n] < 0x20 || text[n] > 0x7e || (text[n] == ' ' && !blanks)) {
            return false;
        }
    }
    return n < size;
}

unsigned key_split(char *text, char **words, unsigned max)
{
    unsigned n = 0;

    for (char *p = text; *p != '\0';) {
        if (*p == ' ') {
            *p++ = '\0';
            continue;
        }
        if (n < max) {
            words[n] = p;
        }
        n++;
        while (*p != '\0' && *p != ' ') {
            p++;
        }
    }
    return n;
}

const char *key_quote(char *to, size_t size, const char *text)
{
    size_t n = 0;

    for (; n + 1 < size && text[n] != '\0'; n++) {
        to[n] = text[n] >= 0x20 && text[n] <= 0x7e ? text[n] : '?';
    }
    to[n] = '\0';
    return to;
}
