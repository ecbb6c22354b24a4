/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x86 port I/O as host drivers see it. The kernel links arch/x86_64/portio.c; host tests link a
 * fake device instead, so that a driver's every register access can be scripted.
 */
#ifndef BASE_PORTIO_H
#define BASE_PORTIO_H

#include "base/types.h"

uint8_t port_in8(uint16_t port);
uint16_t port_in16(uint16_t port);
uint32_t port_in32(uint16_t port);
void port_out8(uint16_t port, uint8_t value);
void port_out16(uint16_t port, uint16_t value);
void port_out32(uint16_t port, uint32_t value);
/* `count` 16-bit reads of one port. */
void port_in16s(uint16_t port, void *to, size_t count);

#endif
