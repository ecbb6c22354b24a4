/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the kernel's own image lies: symbols of linker.ld. */
#ifndef ARCH_IMAGE_H
#define ARCH_IMAGE_H

#include "base/types.h"

#define IMAGE_VIRT UINT64_C(0xffffffff80000000) /* link address less physical address */

extern char image_text_start[], image_text_end[];
extern char image_data_start[], image_data_end[]; /* .data and .bss */
extern char image_rodata_start[], image_rodata_end[];
extern char image_phys_start[], image_phys_end[]; /* their addresses are physical addresses */

#endif
