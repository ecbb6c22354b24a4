/* SPDX-License-Identifier: BSD-2-Clause */
/* Well-formed UTF-8, as in the table of RFC 3629, section 4: see utf8.h. */
#include "kernel/console/utf8.h"

#include "base/bits.h"

/* Letters that are not seen, or change the order or place of those that are (Unicode's category
 * Cf, its line and paragraph separators, and the variation selectors). */
static bool is_unseen(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00ad, 0x00ad},   {0x0600, 0x0605},   {0x061c, 0x061c},   {0x06dd, 0x06dd},
        {0x070f, 0x070f},   {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
        {0x2060, 0x206f},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xfff9, 0xfffb},
        {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
    };

    for (unsigned i = 0; i < ARRAY_LEN(ranges); i++) {
        if (code >= ranges[i].first && code <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

unsigned utf8_length(uint8_t first)
{
    return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
}

unsigned utf8_printable(const uint8_t bytes[UTF8_MAX])
{
    uint8_t first = bytes[0], low = 0x80, high = 0xbf;
    unsigned n;

    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    n = utf8_length(first);
    switch (first) {
    case 0xc2: /* U+0080 to U+009F are controls */
    case 0xe0:
        low = 0xa0;
        break;
    case 0xed: /* no surrogates */
        high = 0x9f;
        break;
    case 0xf0:
        low = 0x90;
        break;
    case 0xf4:
        high = 0x8f;
        break;
    default:
        break;
    }
    if (bytes[1] < low || bytes[1] > high) {
        return 0;
    }
    for (unsigned i = 2; i < n; i++) {
        if (bytes[i] < 0x80 || bytes[i] > 0xbf) {
            return 0;
        }
    }
    uint32_t code = first & (0x7fu >> n);
    for (unsigned i = 1; i < n; i++) {
        code = code << 6 | (bytes[i] & 0x3f);
    }
    return is_unseen(code) ? 0 : n;
}
