/* SPDX-License-Identifier: BSD-2-Clause */
/* base/page.h on the host. */
#include "base/page.h"
#include "base/string.h"

void page_zero(void *page)
{
    memset(page, 0, PAGE_SIZE);
}

void page_copy(void *restrict to, const void *restrict from)
{
    memcpy(to, from, PAGE_SIZE);
}
