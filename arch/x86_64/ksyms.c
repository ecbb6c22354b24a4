/* SPDX-License-Identifier: BSD-2-Clause */
/* Looks addresses up in the table between ksyms_start and ksyms_end, sorted by address. */
#include "arch/x86_64/ksyms.h"

#include "arch/x86_64/image.h"

struct ksym {
    uint32_t addr; /* less IMAGE_VIRT */
    uint32_t name; /* offset from ksyms_start */
};

extern const struct ksym ksyms_start[], ksyms_end[];

const char *ksyms_find(uint64_t addr, uint64_t *offset)
{
    size_t low = 0, high = (size_t)(ksyms_end - ksyms_start);

    if (addr < (uint64_t)image_text_start || addr >= (uint64_t)image_text_end) {
        return NULL;
    }
    /* Below `low` every symbol starts at or before addr; from `high` on, after it. */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ksyms_start[mid].addr + IMAGE_VIRT <= addr) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low == 0) {
        return NULL;
    }
    *offset = addr - IMAGE_VIRT - ksyms_start[low - 1].addr;
    return (const char *)ksyms_start + ksyms_start[low - 1].name;
}
