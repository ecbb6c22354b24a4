/* SPDX-License-Identifier: BSD-2-Clause */
/* Fake port devices: see fake_portio.h. */
#include "fake_portio.h"

#include "base/bits.h"
#include "base/log.h"

static const struct fake_ports *devices[16];
static unsigned n_devices;

void fake_ports_add(const struct fake_ports *p)
{
    ASSERT(n_devices < ARRAY_LEN(devices));
    devices[n_devices++] = p;
}

void fake_ports_clear(void)
{
    n_devices = 0;
}

static const struct fake_ports *find(uint16_t port)
{
    for (unsigned i = 0; i < n_devices; i++) {
        if (port >= devices[i]->first && port - devices[i]->first < devices[i]->count) {
            return devices[i];
        }
    }
    return NULL;
}

static uint32_t in(uint16_t port, unsigned size)
{
    const struct fake_ports *p = find(port);

    return p ? p->in(p->ctx, (uint16_t)(port - p->first), size) : UINT32_MAX;
}

static void out(uint16_t port, unsigned size, uint32_t value)
{
    const struct fake_ports *p = find(port);

    if (p) {
        p->out(p->ctx, (uint16_t)(port - p->first), size, value);
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
    uint8_t *b = to;

    for (size_t i = 0; i < count; i++) {
        store_le16(b + 2 * i, port_in16(port));
    }
}
