/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carries out one instruction for a guest, where the CPU cannot because memory is not RAM.
 *
 * The vendor's code fills a struct emul from its control block, calls emul_step, and writes back
 * what has changed. This file and its neighbours know no VMCS: registers that are not in the
 * struct, the guest's RAM and its devices are reached through struct emul_ops.
 *
 * Each byte of an operand goes to its own page: RAM, or the device there (all ones where nothing
 * is). An instruction is restartable until its first access to a device, and by then has made sure
 * that the others succeed: translations, rights and frames are there. So neither a page fault nor a
 * lack of memory makes a device see an access twice; only ENTER with nested frames and loads of
 * segment registers, which read descriptors afterwards, may read it again. LOCK needs nothing more
 * while a VM has one vCPU.
 *
 * What is not emulated is #UD, as in Linux KVM: far calls and jumps, x87 and MMX, vector
 * arithmetic, EVEX forms, and what the decoder does not know. Debug registers do not see emulated
 * accesses, and there is no alignment check (#AC).
 *
 * Work is bounded: every access is at most 64 bytes, ENTER has at most 31 levels, and a string
 * instruction asks ops->stop after each element.
 */
#ifndef ARCH_DECODE_EMUL_H
#define ARCH_DECODE_EMUL_H

#include "arch/x86_64/decode/crbits.h"
#include "arch/x86_64/decode/gwalk.h"
#include "arch/x86_64/decode/insn.h"
#include "base/status.h"
#include "base/types.h"

/* Beyond the six segment registers. */
enum { SEG_LDTR = SEG_REGISTERS, SEG_TR, SEG_GDTR, SEG_IDTR, SEG_ALL };

/* A segment register with its hidden part. `rights` is in VT-x' format (SDM vol. 3, 25.4.1), which
 * is the descriptor's bits 40 to 55, and SEG_UNUSABLE. */
struct emul_segment {
    uint16_t selector;
    uint32_t limit; /* in bytes, whatever the granularity */
    uint64_t base;
    uint32_t rights;
};
#define SEG_TYPE 0xfu
#define SEG_S 0x10u
#define SEG_DPL_SHIFT 5
#define SEG_P 0x80u
#define SEG_L 0x2000u
#define SEG_DB 0x4000u
#define SEG_G 0x8000u
#define SEG_UNUSABLE 0x10000u

static inline unsigned emul_dpl(uint32_t rights)
{
    return rights >> SEG_DPL_SHIFT & 3;
}

/* Whether code of the segment CS is 64-bit code: CS.L means that in IA-32e mode only. */
static inline bool emul_is_code64(uint32_t cs_rights, uint64_t efer)
{
    return (cs_rights & SEG_L) && (efer & EFER_LMA);
}

/* Exceptions by vector. */
enum {
    EXC_DE = 0,
    EXC_DB = 1,
    EXC_BP = 3,
    EXC_UD = 6,
    EXC_NM = 7,
    EXC_DF = 8,
    EXC_TS = 10,
    EXC_NP = 11,
    EXC_SS = 12,
    EXC_GP = 13,
    EXC_PF = 14,
    EXC_AC = 17,
    EXC_MC = 18,
};

enum emul_result {
    EMUL_DONE,      /* carried out: registers, RIP and RFLAGS are as after it */
    EMUL_AGAIN,     /* a string instruction stopped between two elements: RIP is still there */
    EMUL_FAULT,     /* nothing has changed; `fault` is to be raised */
    EMUL_NO_MEMORY, /* out of frames: try again later */
    EMUL_UNKNOWN,   /* not emulated: #UD */
};

struct emul_fault {
    uint8_t vector;
    bool has_error;
    uint32_t error;
    uint64_t cr2; /* #PF */
};

#define EMUL_VECTOR_BYTES 64 /* of a vector register, the parts that the CPU lacks included */

struct emul_ops {
    void (*get_segment)(void *ctx, unsigned which, struct emul_segment *out);
    void (*set_segment)(void *ctx, unsigned which, const struct emul_segment *in);
    /* Whether RAM is at `at`, and if `write`, that the page may be written: OK, E_FAULT (no RAM),
     * E_NOMEM (no frame for it). The accesses lie in one page, of which this was asked; a read
     * may be E_NOMEM too. */
    enum status (*ram_find)(void *ctx, gpa_t at, bool write);
    enum status (*ram_read)(void *ctx, gpa_t at, void *to, unsigned n);
    enum status (*ram_write)(void *ctx, gpa_t at, const void *from, unsigned n);
    /* What is not RAM: size is 1, 2, 4 or 8. */
    uint64_t (*device_read)(void *ctx, gpa_t at, unsigned size);
    void (*device_write)(void *ctx, gpa_t at, unsigned size, uint64_t value);
    void (*get_vector)(void *ctx, unsigned n, uint8_t to[EMUL_VECTOR_BYTES]);
    void (*set_vector)(void *ctx, unsigned n, const uint8_t from[EMUL_VECTOR_BYTES]);
    /* Loads CR3 by a task switch: E_INVAL if what it points to is illegal (PAE). */
    enum status (*load_cr3)(void *ctx, uint64_t cr3);
    /* Whether a string instruction is to stop here, because others want the CPU. */
    bool (*stop)(void *ctx);
};

/* A page's translation for one kind of access, as a TLB keeps it. */
struct emul_translation {
    bool known;
    unsigned access;
    uint64_t page; /* linear */
    gpa_t at;
    bool ram; /* else a device */
};

struct emul {
    const struct emul_ops *ops;
    void *ctx;
    uint64_t *gpr; /* 16, in the order of encoding, RSP included */
    uint64_t rip, rflags;
    uint64_t cr0, cr3, cr4, efer, xcr0;
    bool has_pdptes; /* these are what the CPU holds of PAE's; else they are in memory */
    uint64_t pdptes[4];
    enum insn_mode mode; /* of the code segment */
    uint8_t cpl;
    uint8_t phys_bits;         /* of guest-physical addresses, as CPUID has it; 0: 52 */
    bool has_tzcnt, has_lzcnt; /* CPUs without them take them for BSF and BSR */
    /* Results. */
    struct emul_fault fault;
    struct insn insn;    /* as far as it was decoded */
    bool blocks_ss;      /* it loaded SS: no interrupt before the next instruction ends */
    bool single_step;    /* TF was set, and an instruction or an element is done */
    bool touched_device; /* */
    uint8_t bytes[INSN_MAX];
    unsigned n_bytes;
    /* The last read's and the last write's, so that what touches memory often, as ENTER does, walks
     * the page tables only when it comes to another page. */
    struct emul_translation reads, writes;
};

/* Before a state that is another than that of the last access: registers that were filled in, or
 * CR3 or the privilege level changed. emul_step does it. */
static inline void emul_forget(struct emul *e)
{
    e->reads.known = e->writes.known = false;
}

/* Fetches the instruction at RIP and carries it out. */
enum emul_result emul_step(struct emul *e) MUST_CHECK;

/* ---- a guest's memory by linear address, for what else must reach it ----------------------- */

/* A range of linear addresses, translated: at most 64 bytes, so in two pages at most. */
struct emul_range {
    unsigned n;
    struct {
        gpa_t at;
        unsigned n;
        bool ram;
    } part[2];
};
#define EMUL_RANGE_MAX 64u

/* `access` is a mask of GWALK_*; GWALK_USER is not added. EMUL_FAULT: e->fault is a #PF, or #GP
 * where the address is not canonical. */
enum emul_result emul_map(struct emul *e, uint64_t linear, unsigned n, unsigned access,
                          struct emul_range *out) MUST_CHECK;
/* n bytes at segment:offset, as an instruction would reach them at its privilege level: EMUL_FAULT
 * also where the segment does not allow it. */
enum emul_result emul_map_at(struct emul *e, unsigned segment, uint64_t offset, unsigned n,
                             bool write, struct emul_range *out) MUST_CHECK;
/* Of a mapped range, and only with GWALK_WRITE of a write, nothing fails; E_NOMEM of a read. */
enum emul_result emul_get(struct emul *e, const struct emul_range *r, void *to) MUST_CHECK;
enum emul_result emul_put(struct emul *e, const struct emul_range *r, const void *from) MUST_CHECK;
/* A string instruction's step of a register: 64-bit addressing moves all of it, 32-bit clears the
 * upper half, 16-bit keeps the rest. address_size in bytes. */
uint64_t emul_address_mask(unsigned address_size);
void emul_reg_add(uint64_t *reg, uint64_t by, unsigned address_size);
/* Both at once, of any length, and for the CPU's own sake: GWALK_IMPLICIT is added. */
enum emul_result emul_read(struct emul *e, uint64_t linear, void *to, unsigned n,
                           unsigned access) MUST_CHECK;
enum emul_result emul_write(struct emul *e, uint64_t linear, const void *from, unsigned n,
                            unsigned access) MUST_CHECK;

#endif
