/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clearing and copying whole pages, the two costs that dominate a first touch and a broken sharing.
 * The kernel links the CPU's string instructions (arch/x86_64/page.S); host builds link the C
 * library's. Both pointers are page-aligned; the pages do not overlap.
 */
#ifndef BASE_PAGE_H
#define BASE_PAGE_H

#include "base/types.h"

/* PAGE_SIZE bytes each. */
void page_zero(void *page);
void page_copy(void *restrict to, const void *restrict from);

#endif
