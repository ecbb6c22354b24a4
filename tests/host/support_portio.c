/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake port space of the host tests. */
#include "support_portio.h"

#include "base/portio.h"

#include <stdlib.h>

static struct portio_fake fakes[16];
static unsigned n_fakes;

void portio_claim(struct portio_fake fake)
{
    if (n_fakes == sizeof(fakes) / sizeof(fakes[0])) {
        abort();
    }
    fakes[n_fakes++] = fake;
}

void portio_release_all(void)
{
    n_fakes = 0;
}

static uint32_t in(uint16_t port, unsigned size)
{
    for (unsigned i = 0; i < n_fakes; i++) {
        if (port >= fakes[i].base && port - fakes[i].base < fakes[i].len) {
            return fakes[i].in(fakes[i].ctx, port, size);
        }
    }
    return UINT32_MAX;
}

static void out(uint16_t port, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < n_fakes; i++) {
        if (port >= fakes[i].base && port - fakes[i].base < fakes[i].len) {
            fakes[i].out(fakes[i].ctx, port, size, value);
            return;
        }
    }
}

uint8_t port_in8(uint16_t port)
{
    return (uint8_t)in(port, 1);
}

uint16_t port_in16(uint16_t port)
{
    return (uint16_t)in(port, 2);
}

uint32_t port_in32(uint16_t port)
{
    return in(port, 4);
}

void port_out8(uint16_t port, uint8_t value)
{
    out(port, 1, value);
}

void port_out16(uint16_t port, uint16_t value)
{
    out(port, 2, value);
}

void port_out32(uint16_t port, uint32_t value)
{
    out(port, 4, value);
}

void port_in16s(uint16_t port, void *to, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ((uint16_t *)to)[i] = port_in16(port);
    }
}

void port_out16s(uint16_t port, const void *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        port_out16(port, ((const uint16_t *)from)[i]);
    }
}
