/* SPDX-License-Identifier: BSD-2-Clause */
/* RAM on the host: see machine/arch/x86_64/paging.h. A test that has none may compare addresses. */
#include "arch/x86_64/paging.h"

uint8_t *fake_ram;
