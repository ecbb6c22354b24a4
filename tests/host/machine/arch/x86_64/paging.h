/* SPDX-License-Identifier: BSD-2-Clause */
/* In the place of arch/x86_64/paging.h on the host: RAM is an array, which a test makes. */
#ifndef MACHINE_PAGING_H
#define MACHINE_PAGING_H

#include "base/types.h"

#define WINDOW_LIMIT (UINT64_C(1) << 46)

extern uint8_t *fake_ram; /* what lies at address 0 */

static inline void *window(hpa_t a)
{
    return (void *)((uintptr_t)fake_ram + a.a);
}

#endif
