/* SPDX-License-Identifier: BSD-2-Clause */
/* Well-formed UTF-8, as in the table of RFC 3629, section 4: see utf8.h. */
#include "kernel/monitor/utf8.h"

unsigned utf8_printable(const uint8_t bytes[UTF8_MAX])
{
    uint8_t first = bytes[0], low = 0x80, high = 0xbf;
    unsigned n;

    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
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
    if (first == 0xe2 && bytes[1] == 0x80 && (bytes[2] == 0xa8 || bytes[2] == 0xa9)) {
        return 0;
    }
    return n;
}
