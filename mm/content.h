/* SPDX-License-Identifier: BSD-2-Clause */
/* Comparing the bytes of whole pages, eight at a time. */
#ifndef MM_CONTENT_H
#define MM_CONTENT_H

#include "base/types.h"

/* memcmp's order over two pages: negative, 0 or positive. Both 8-byte aligned. */
int content_compare(const void *a, const void *b);
/* Whether all bytes are zero. Cheap for most pages that are not. */
bool content_is_zero(const void *page);

#endif
