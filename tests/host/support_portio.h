/* SPDX-License-Identifier: BSD-2-Clause */
/* base/portio.h on the host: whoever claims a range of ports answers there; else all ones. */
#ifndef TESTS_HOST_SUPPORT_PORTIO_H
#define TESTS_HOST_SUPPORT_PORTIO_H

#include "base/types.h"

struct portio_fake {
    uint16_t base, len;
    uint32_t (*in)(void *ctx, uint16_t port, unsigned size);
    void (*out)(void *ctx, uint16_t port, unsigned size, uint32_t value);
    void *ctx;
};

void portio_claim(struct portio_fake fake);
void portio_release_all(void);

#endif
