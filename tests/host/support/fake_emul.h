/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine for the emulator's tests: a page of code in this process' memory, and data pages that
 * are RAM or a device's. Linear addresses are physical ones. */
#ifndef TESTS_HOST_SUPPORT_FAKE_EMUL_H
#define TESTS_HOST_SUPPORT_FAKE_EMUL_H

#include "arch/x86_64/decode/emul.h"
#include "base/types.h"

#define FAKE_CODE UINT64_C(0x20000000) /* a page of code, then pages of data */
#define FAKE_DATA (FAKE_CODE + PAGE_SIZE)
#define FAKE_PAGES 4u
#define FAKE_BYTES ((size_t)FAKE_PAGES * PAGE_SIZE)

struct emul_fake {
    struct emul e;
    uint64_t gpr[16];
    struct emul_segment segments[SEG_ALL];
    uint8_t memory[FAKE_BYTES]; /* what the emulator sees of the data pages */
    uint8_t ymm[16][EMUL_VECTOR_BYTES];
    unsigned device_pages; /* a mask: these are a device */
    bool aliased;          /* every address is one of the data pages; there is no code page */
    unsigned device_accesses, stops, calls; /* calls: of all callbacks */
    uint64_t cr3;                           /* loaded by a task switch */
    enum status cr3_status;                 /* what its load comes to */
    /* Masks of data pages: writes to them, or reads, find no frame. */
    unsigned frameless, unreadable;
};
extern struct emul_fake fake;

/* Maps the code page, and data pages behind it for who wants them; false: it cannot. */
bool fake_map(void);
/* A CPU in this mode, with flat segments, that executes at FAKE_CODE; pages and memory stay. */
void fake_reset(enum insn_mode mode);
/* Whether this CPU's CPUID has a bit, of register 0 (EAX) to 3 (EDX). */
bool host_has(uint32_t leaf, unsigned reg, unsigned bit);

#endif
