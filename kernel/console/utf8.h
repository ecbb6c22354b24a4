/* SPDX-License-Identifier: BSD-2-Clause */
/* Which bytes beyond ASCII may go to a terminal that is not to be steered by them. */
#ifndef KERNEL_CONSOLE_UTF8_H
#define KERNEL_CONSOLE_UTF8_H

#include "base/types.h"

#define UTF8_MAX 4u /* bytes of the longest character */

/* How many bytes the character has that begins with this byte, by what that byte says. */
unsigned utf8_length(uint8_t first);

/* How many bytes (2 to 4) the character has that begins at bytes[0]. 0: there is none (RFC 3629),
 * or it is one of the control characters C1 (U+0080 to U+009F), to which terminals listen as they
 * do to ESC (ECMA-48), or one that is not seen: direction controls, zero-width
 * characters, line separators. */
unsigned utf8_printable(const uint8_t bytes[UTF8_MAX]);

#endif
