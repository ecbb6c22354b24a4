/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's own symbol table, made by tools/mksyms. */
#ifndef ARCH_KSYMS_H
#define ARCH_KSYMS_H

#include "base/types.h"

/* The function that holds addr and the distance from its start; NULL outside the kernel's text. */
const char *ksyms_find(uint64_t addr, uint64_t *offset);

#endif
