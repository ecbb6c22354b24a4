/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exit qualifications taken apart (SDM vol. 3, section 28.2.1, "Basic VM-Exit Information"): what
 * the CPU says about the access that ended a guest's run. Pure; reserved bits are not looked at.
 */
#ifndef ARCH_DECODE_EXITQUAL_H
#define ARCH_DECODE_EXITQUAL_H

#include "base/bits.h"
#include "base/types.h"

/* Port I/O (table 28-5). */
struct exitqual_io {
    uint16_t port;
    uint8_t size; /* bytes: 1, 2 or 4; 0 for an encoding that the SDM does not have */
    bool in;      /* IN or INS, else OUT or OUTS */
    bool string;
    bool rep;
    bool imm; /* the port is an immediate, else in DX */
};

static inline struct exitqual_io exitqual_io(uint64_t q)
{
    static const uint8_t sizes[8] = {1, 2, 0, 4, 0, 0, 0, 0};

    return (struct exitqual_io){
        .port = (uint16_t)(q >> 16),
        .size = sizes[q & 7],
        .in = (q & BIT(3)) != 0,
        .string = (q & BIT(4)) != 0,
        .rep = (q & BIT(5)) != 0,
        .imm = (q & BIT(6)) != 0,
    };
}

/* Control-register accesses (table 28-3). */
enum exitqual_cr_type { CR_MOV_TO = 0, CR_MOV_FROM = 1, CR_CLTS = 2, CR_LMSW = 3 };

struct exitqual_cr {
    enum exitqual_cr_type type;
    uint8_t cr;       /* number; 0 for CLTS and LMSW */
    uint8_t gpr;      /* MOV: the register, 0 (RAX) to 15 (R15), in the order of encoding */
    bool lmsw_memory; /* LMSW: its operand is in memory (then the linear address is given) */
    uint16_t lmsw;    /* LMSW: its source data */
};

static inline struct exitqual_cr exitqual_cr(uint64_t q)
{
    return (struct exitqual_cr){
        .type = (enum exitqual_cr_type)(q >> 4 & 3),
        .cr = (uint8_t)(q & 0xf),
        .gpr = (uint8_t)(q >> 8 & 0xf),
        .lmsw_memory = (q & BIT(6)) != 0,
        .lmsw = (uint16_t)(q >> 16),
    };
}

/* EPT violations (table 28-7). */
struct exitqual_ept {
    bool read, write, fetch; /* the access; the page walk's own counts as both read and write when
                                the EPT has accessed and dirty bits */
    bool readable, writable, executable; /* what all entries on the way to the page allow */
    bool linear_valid;                   /* the guest-linear-address field holds the address */
    bool translated;    /* the access was to the translation of that address; else to an entry of
                           the guest's page tables. Says something only if linear_valid */
    bool nmi_unblocked; /* an IRET had just unblocked NMIs */
};

static inline struct exitqual_ept exitqual_ept(uint64_t q)
{
    return (struct exitqual_ept){
        .read = (q & BIT(0)) != 0,
        .write = (q & BIT(1)) != 0,
        .fetch = (q & BIT(2)) != 0,
        .readable = (q & BIT(3)) != 0,
        .writable = (q & BIT(4)) != 0,
        .executable = (q & BIT(5)) != 0,
        .linear_valid = (q & BIT(7)) != 0,
        .translated = (q & BIT(8)) != 0,
        .nmi_unblocked = (q & BIT(12)) != 0,
    };
}

#endif
