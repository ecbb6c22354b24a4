/* SPDX-License-Identifier: BSD-2-Clause */
/* 82093AA register access, as far as masking needs it. */
#include "arch/x86_64/ioapic.h"

#include "arch/x86_64/paging.h"
#include "base/bits.h"

#define IOREGSEL (0x00 / 4)
#define IOWIN (0x10 / 4)
#define IOAPIC_VERSION 0x01
#define IOAPIC_REDIRECTION 0x10 /* two registers a pin */
#define REDIRECTION_MASKED BIT32(16)
#define MAX_PINS 120u /* more do not fit the 8-bit register index */

void ioapic_mask_all(const struct acpi_info *info)
{
    for (unsigned i = 0; i < info->n_ioapics; i++) {
        volatile uint32_t *io = mmio_map(HPA(info->ioapic[i].address), 0x20);
        if (!io) {
            continue;
        }
        io[IOREGSEL] = IOAPIC_VERSION;
        uint32_t version = io[IOWIN];
        if (version == UINT32_MAX) {
            continue; /* nothing answers there */
        }
        unsigned pins = MIN((version >> 16 & 0xff) + 1, MAX_PINS);
        for (unsigned pin = 0; pin < pins; pin++) {
            io[IOREGSEL] = IOAPIC_REDIRECTION + 2 * pin;
            io[IOWIN] = REDIRECTION_MASKED;
        }
    }
}
