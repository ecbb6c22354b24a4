/* SPDX-License-Identifier: BSD-2-Clause */
/* The exit qualification's formats, taken apart: SDM vol. 3, 28.2.1. Pure. */
#ifndef ARCH_DECODE_EXITQUAL_H
#define ARCH_DECODE_EXITQUAL_H

#include "base/bits.h"

/* I/O instructions: table 28-5. */
struct exitqual_io {
    unsigned size; /* bytes: 1, 2 or 4; 0 when the field is none of these */
    bool in;
    bool string;
    bool rep;
    bool immediate;
    uint16_t port;
};

static inline struct exitqual_io exitqual_io(uint64_t q)
{
    unsigned code = q & 7;

    return (struct exitqual_io){
        .size = code == 0 || code == 1 || code == 3 ? code + 1 : 0,
        .in = q & BIT(3),
        .string = q & BIT(4),
        .rep = q & BIT(5),
        .immediate = q & BIT(6),
        .port = (uint16_t)(q >> 16),
    };
}

/* Control-register accesses: table 28-3. */
enum exitqual_cr_type { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };

struct exitqual_cr {
    unsigned cr;
    enum exitqual_cr_type type;
    unsigned gpr;  /* MOV: the general register */
    uint16_t lmsw; /* LMSW: the source */
};

static inline struct exitqual_cr exitqual_cr(uint64_t q)
{
    return (struct exitqual_cr){
        .cr = q & 0xf,
        .type = (enum exitqual_cr_type)(q >> 4 & 3),
        .gpr = q >> 8 & 0xf,
        .lmsw = (uint16_t)(q >> 16),
    };
}

/* EPT violations: table 28-7. */
struct exitqual_ept {
    bool read, write, fetch; /* what was tried */
    bool readable, writable, executable; /* what the entry allowed, ANDed over the levels */
    bool linear_valid; /* the guest-linear-address field holds something */
    bool translated;   /* the access was to the final page, not to a paging structure */
};

static inline struct exitqual_ept exitqual_ept(uint64_t q)
{
    return (struct exitqual_ept){
        .read = q & BIT(0),
        .write = q & BIT(1),
        .fetch = q & BIT(2),
        .readable = q & BIT(3),
        .writable = q & BIT(4),
        .executable = q & BIT(5),
        .linear_valid = q & BIT(7),
        .translated = q & BIT(8),
    };
}

#endif
