/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the emulator have of each other. */
#ifndef ARCH_DECODE_EMUL_PRIV_H
#define ARCH_DECODE_EMUL_PRIV_H

#include "arch/x86_64/decode/crbits.h"
#include "arch/x86_64/decode/emul.h"
#include "arch/x86_64/decode/regs.h"

#define RF_TF (UINT64_C(1) << 8)
#define RF_IF (UINT64_C(1) << 9)
#define RF_DF (UINT64_C(1) << 10)
#define RF_IOPL (UINT64_C(3) << 12)
#define RF_NT (UINT64_C(1) << 14)
#define RF_RF (UINT64_C(1) << 16)
#define RF_VM (UINT64_C(1) << 17)
#define RF_AC (UINT64_C(1) << 18)

/* Returns what `call` came to, unless that is EMUL_DONE. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum emul_result result_of_call = (call);                                                  \
        if (result_of_call != EMUL_DONE) {                                                         \
            return result_of_call;                                                                 \
        }                                                                                          \
    } while (0)

static inline enum emul_result emul_raise(struct emul *e, uint8_t vector, bool has_error,
                                          uint32_t error)
{
    e->fault = (struct emul_fault){.vector = vector, .has_error = has_error, .error = error};
    return EMUL_FAULT;
}

/* Protected mode that is not virtual-8086: selectors name descriptors. */
static inline bool emul_protected(const struct emul *e)
{
    return (e->cr0 & CR0_PE) && !(e->rflags & RF_VM);
}

static inline bool emul_long_mode(const struct emul *e)
{
    return e->efer & EFER_LMA;
}

/* emul_mem.c: the linear address of n bytes at segment:offset, which must allow the access. */
enum emul_result emul_linear(struct emul *e, unsigned segment, uint64_t offset, unsigned n,
                             bool write, uint64_t *linear) MUST_CHECK;
enum emul_result emul_load(struct emul *e, unsigned segment, uint64_t offset, unsigned n,
                           uint64_t *value) MUST_CHECK;
enum emul_result emul_get_value(struct emul *e, const struct emul_range *r,
                                uint64_t *value) MUST_CHECK;
enum emul_result emul_put_value(struct emul *e, const struct emul_range *r,
                                uint64_t value) MUST_CHECK;

/* emul_regs.c */
uint64_t emul_reg_read(const struct emul *e, unsigned reg, unsigned size, bool rex);
/* A 32-bit write clears the upper half. */
void emul_reg_write(struct emul *e, unsigned reg, unsigned size, bool rex, uint64_t value);
/* The offset of the memory operand in its segment. */
uint64_t emul_address(const struct emul *e, const struct insn *i);

/* One family each; RIP is the caller's to advance, but where they set it themselves. */
enum emul_result emul_string(struct emul *e);               /* emul_string.c */
enum emul_result emul_stack(struct emul *e, uint64_t *rip); /* emul_stack.c */
/* Pushes `size` bytes on the stack of the present mode. */
enum emul_result emul_push(struct emul *e, uint64_t value, unsigned size) MUST_CHECK;
enum emul_result emul_vector(struct emul *e); /* emul_vector.c */
enum emul_result emul_system(struct emul *e); /* emul_system.c */

/* emul_segment.c: loads segment register `which` as MOV or POP would; faults as they do. */
enum emul_result emul_load_segment(struct emul *e, unsigned which, uint16_t selector) MUST_CHECK;
/* The descriptor of a selector that is not null: where it is and its 8 bytes. Faults with `vector`
 * and the selector if there is none. */
enum emul_result emul_descriptor(struct emul *e, uint16_t selector, uint8_t vector, uint64_t *at,
                                 uint64_t *descriptor) MUST_CHECK;
/* A descriptor's hidden part. */
struct emul_segment emul_segment_of(uint16_t selector, uint64_t descriptor);
/* Sets the accessed bit of the descriptor at `at` and of `s`. */
enum emul_result emul_set_accessed(struct emul *e, uint64_t at, uint64_t descriptor,
                                   struct emul_segment *s) MUST_CHECK;
/* In real and virtual-8086 mode: base and selector change, the rest stays. */
void emul_load_real_segment(struct emul *e, unsigned which, uint16_t selector);

#endif
