/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/portio.h on the host: fake devices by port range. A port that no device claims reads as
 * all ones and swallows writes, as an empty bus does.
 */
#ifndef TESTS_HOST_SUPPORT_FAKE_PORTIO_H
#define TESTS_HOST_SUPPORT_FAKE_PORTIO_H

#include "base/portio.h"

struct fake_ports {
    uint16_t first, count;
    uint32_t (*in)(void *ctx, uint16_t offset, unsigned size); /* offset from `first` */
    void (*out)(void *ctx, uint16_t offset, unsigned size, uint32_t value);
    void *ctx;
};

/* Claims the range until fake_ports_clear; `p` is not copied. At most 16 at a time. */
void fake_ports_add(const struct fake_ports *p);
void fake_ports_clear(void);

#endif
