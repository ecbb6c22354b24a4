/* SPDX-License-Identifier: BSD-2-Clause */
/* A range of physical memory, in bytes. */
#ifndef BASE_RANGE_H
#define BASE_RANGE_H

#include "base/types.h"

struct phys_range {
    uint64_t start, end; /* end exclusive */
};

#endif
