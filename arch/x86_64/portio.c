/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's port I/O behind base/portio.h. */
#include "base/portio.h"

#include "arch/x86_64/io.h"

uint8_t port_in8(uint16_t port)
{
    return in8(port);
}

uint16_t port_in16(uint16_t port)
{
    return in16(port);
}

uint32_t port_in32(uint16_t port)
{
    return in32(port);
}

void port_out8(uint16_t port, uint8_t value)
{
    out8(port, value);
}

void port_out16(uint16_t port, uint16_t value)
{
    out16(port, value);
}

void port_out32(uint16_t port, uint32_t value)
{
    out32(port, value);
}

void port_in16s(uint16_t port, void *to, size_t count)
{
    __asm__ volatile("rep insw" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}
