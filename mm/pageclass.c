/* SPDX-License-Identifier: BSD-2-Clause */
/* The names of the guest page classes. */
#include "mm/pageclass.h"

const char *page_class_name(enum page_class c)
{
    static const char *const names[PAGE_CLASSES] = {
        [PAGE_UNKNOWN] = "unknown", [PAGE_FREE] = "free",     [PAGE_KERNEL] = "kernel",
        [PAGE_ANON] = "anonymous",  [PAGE_MAPPED] = "mapped", [PAGE_CACHE] = "pagecache",
    };

    return c < PAGE_CLASSES ? names[c] : "?";
}
