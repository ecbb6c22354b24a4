/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's two 8259 interrupt controllers, lines 0 to 15 on vectors 0x20 to 0x2f. */
#ifndef ARCH_PIC_H
#define ARCH_PIC_H

#include "base/types.h"

#define PIC_CASCADE 2 /* the line that the second controller hangs on */

void host_pic_init(void); /* everything masked */
void host_pic_mask(unsigned line);
void host_pic_unmask(unsigned line);
void host_pic_eoi(unsigned line);
/*
 * Whether the interrupt just taken on `line` was none: the line fell before it was acknowledged,
 * and the controller answered with its lowest priority (7 or 15). Sends the EOI that the first
 * controller still wants for a spurious 15.
 */
bool host_pic_is_spurious(unsigned line);

#endif
