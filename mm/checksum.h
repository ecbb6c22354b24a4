/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checksum by which a page counts as volatile: equal sums are taken for "not written since".
 * Never more than a hint; nothing is merged without a full compare.
 */
#ifndef MM_CHECKSUM_H
#define MM_CHECKSUM_H

#include "base/types.h"

/* The sum of one page (PAGE_SIZE bytes, 8-byte aligned). */
uint32_t checksum_page(const void *page);

#endif
