/* SPDX-License-Identifier: BSD-2-Clause */
/* Stack operations and near calls, jumps and returns, where stack or operand is in device memory.
 */
#include "arch/x86_64/decode/alu.h"
#include "arch/x86_64/decode/emul_priv.h"
#include "base/bits.h"
#include "base/string.h"

static unsigned stack_size(const struct emul *e)
{
    struct emul_segment ss;

    if (e->mode == INSN_64) {
        return 8;
    }
    e->ops->get_segment(e->ctx, SEG_SS, &ss);
    return (ss.rights & SEG_DB) ? 4 : 2;
}

/* The place of a push of `size` bytes, translated, and RSP after it. */
struct push {
    struct emul_range at;
    uint64_t sp;
};

static enum emul_result prepare_push(struct emul *e, unsigned size, struct push *p)
{
    unsigned width = stack_size(e);

    p->sp = e->gpr[RSP];
    emul_reg_add(&p->sp, 0 - (uint64_t)size, width);
    return emul_map_at(e, SEG_SS, p->sp & emul_address_mask(width), size, true, &p->at);
}

static enum emul_result finish_push(struct emul *e, const struct push *p, uint64_t value)
{
    TRY(emul_put_value(e, &p->at, value));
    e->gpr[RSP] = p->sp;
    return EMUL_DONE;
}

enum emul_result emul_push(struct emul *e, uint64_t value, unsigned size)
{
    struct push p;

    TRY(prepare_push(e, size, &p));
    return finish_push(e, &p, value);
}

static enum emul_result pop(struct emul *e, uint64_t *value, unsigned size)
{
    unsigned width = stack_size(e);

    TRY(emul_load(e, SEG_SS, e->gpr[RSP] & emul_address_mask(width), size, value));
    emul_reg_add(&e->gpr[RSP], size, width);
    return EMUL_DONE;
}

/* The source of PUSH, CALL and JMP: a register, memory, an immediate or a selector. */
static enum emul_result source(struct emul *e, uint64_t *value)
{
    const struct insn *i = &e->insn;
    struct emul_segment s;

    if (i->src == OPERAND_IMM) {
        *value = i->imm;
    } else if (i->src == OPERAND_SREG) {
        e->ops->get_segment(e->ctx, i->sub, &s);
        *value = s.selector;
    } else if (i->memory) {
        return emul_load(e, i->segment, emul_address(e, i), i->size, value);
    } else {
        *value = emul_reg_read(e, i->rm, i->size, true);
    }
    return EMUL_DONE;
}

/* POP to memory: the address is computed with RSP as it is afterwards. */
static enum emul_result pop_memory(struct emul *e)
{
    const struct insn *i = &e->insn;
    unsigned width = stack_size(e);
    uint64_t sp = e->gpr[RSP], value = 0;
    struct emul_range from, to;

    TRY(emul_map_at(e, SEG_SS, sp & emul_address_mask(width), i->size, false, &from));
    emul_reg_add(&e->gpr[RSP], i->size, width);
    uint64_t at = emul_address(e, i), after = e->gpr[RSP];
    e->gpr[RSP] = sp;
    TRY(emul_map_at(e, i->segment, at, i->size, true, &to));
    TRY(emul_get_value(e, &from, &value));
    TRY(emul_put_value(e, &to, value));
    e->gpr[RSP] = after;
    return EMUL_DONE;
}

static enum emul_result do_pop(struct emul *e)
{
    const struct insn *i = &e->insn;
    uint64_t value = 0, sp = e->gpr[RSP];

    if (i->dst == OPERAND_RM && i->memory) {
        return pop_memory(e);
    }
    TRY(pop(e, &value, i->size));
    if (i->dst == OPERAND_RM) {
        emul_reg_write(e, i->rm, i->size, true, value);
        return EMUL_DONE;
    }
    enum emul_result r = emul_load_segment(e, i->sub, (uint16_t)value);
    if (r != EMUL_DONE) {
        e->gpr[RSP] = sp;
    }
    return r;
}

static bool v86_denies(const struct emul *e)
{
    return (e->rflags & RF_VM) && (e->rflags & RF_IOPL) != RF_IOPL;
}

/* Which flags POPF may change: SDM vol. 2, POPF. */
static enum emul_result do_popf(struct emul *e)
{
    uint64_t may = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF | RF_TF | RF_DF |
                   RF_NT | RF_AC | BIT(21),
             value = 0;

    if (v86_denies(e)) {
        return emul_raise(e, EXC_GP, true, 0);
    }
    if (!(e->cr0 & CR0_PE) || e->cpl == 0) {
        may |= RF_IOPL | RF_IF;
    } else if (e->cpl <= (e->rflags & RF_IOPL) >> 12) {
        may |= RF_IF;
    }
    if (e->rflags & RF_VM) {
        may &= ~RF_IOPL;
    }
    TRY(pop(e, &value, e->insn.size));
    may &= alu_mask(e->insn.size);
    e->rflags = (e->rflags & ~may) | (value & may);
    return EMUL_DONE;
}

/* Bytes of the stack, which go on at its beginning where they come to its end. */
struct stack_range {
    struct emul_range part[2];
    unsigned first; /* bytes of part[0] */
};

/* n bytes from `at` on, of whole operands: one that lies across the end faults as by itself. */
static enum emul_result map_stack(struct emul *e, uint64_t at, unsigned n, bool write,
                                  struct stack_range *out)
{
    uint64_t mask = emul_address_mask(stack_size(e)), room = mask - (at & mask) + 1;

    at &= mask;
    *out = (struct stack_range){.first = n};
    if (room < n) {
        out->first = (unsigned)(room - room % e->insn.size);
        TRY(emul_map_at(e, SEG_SS, (at + out->first) & mask, n - out->first, write, &out->part[1]));
    }
    return out->first > 0 ? emul_map_at(e, SEG_SS, at, out->first, write, &out->part[0])
                          : EMUL_DONE;
}

/* All eight at once; the stack pointer's own place is skipped by POPA. */
static enum emul_result all_registers(struct emul *e, bool push_them)
{
    unsigned size = e->insn.size, width = stack_size(e);
    uint64_t sp = e->gpr[RSP];
    uint8_t bytes[32];
    struct stack_range r;

    if (push_them) {
        emul_reg_add(&sp, 0 - (uint64_t)(8 * size), width);
    }
    TRY(map_stack(e, sp, 8 * size, push_them, &r));
    if (!push_them) {
        TRY(emul_get(e, &r.part[0], bytes));
        TRY(emul_get(e, &r.part[1], bytes + r.first));
    }
    for (unsigned n = 0; n < 8; n++) {
        uint8_t *at = bytes + (7 - n) * size;

        if (push_them && size == 4) {
            store_le32(at, (uint32_t)e->gpr[n]);
        } else if (push_them) {
            store_le16(at, (uint16_t)e->gpr[n]);
        } else if (n != RSP) {
            emul_reg_write(e, n, size, true, size == 4 ? load_le32(at) : load_le16(at));
        }
    }
    if (push_them) {
        TRY(emul_put(e, &r.part[0], bytes));
        TRY(emul_put(e, &r.part[1], bytes + r.first));
    } else {
        emul_reg_add(&sp, 8 * size, width);
    }
    e->gpr[RSP] = sp;
    return EMUL_DONE;
}

/* Whether execution can go on at `rip`. */
static enum emul_result check_target(struct emul *e, uint64_t rip)
{
    struct emul_segment cs;

    if (e->mode == INSN_64) {
        return (uint64_t)((int64_t)(rip << 16) >> 16) == rip ? EMUL_DONE
                                                             : emul_raise(e, EXC_GP, true, 0);
    }
    e->ops->get_segment(e->ctx, SEG_CS, &cs);
    return rip <= cs.limit ? EMUL_DONE : emul_raise(e, EXC_GP, true, 0);
}

static enum emul_result do_call(struct emul *e, uint64_t *rip)
{
    const struct insn *i = &e->insn;
    struct push p;
    uint64_t to = 0;

    if (i->op == INSN_CALL) {
        TRY(prepare_push(e, i->size, &p));
    }
    TRY(source(e, &to));
    if (i->src == OPERAND_IMM) {
        to += *rip;
    }
    to &= alu_mask(i->size);
    TRY(check_target(e, to));
    if (i->op == INSN_CALL) {
        TRY(finish_push(e, &p, *rip));
    }
    *rip = to;
    return EMUL_DONE;
}

static enum emul_result do_ret(struct emul *e, uint64_t *rip)
{
    uint64_t sp = e->gpr[RSP], to = 0;

    TRY(pop(e, &to, e->insn.size));
    enum emul_result r = check_target(e, to);
    if (r != EMUL_DONE) {
        e->gpr[RSP] = sp;
        return r;
    }
    emul_reg_add(&e->gpr[RSP], e->insn.imm, stack_size(e));
    *rip = to;
    return EMUL_DONE;
}

/* Registers are the caller's to restore when it fails; what was pushed until then is pushed again.
 * (SDM vol. 2, ENTER.) */
static enum emul_result frame(struct emul *e)
{
    const struct insn *i = &e->insn;
    unsigned levels = i->sub & 31u, width = stack_size(e);
    uint64_t bp = e->gpr[RBP], value = 0;

    TRY(emul_push(e, bp, i->size));
    uint64_t top = e->gpr[RSP];
    for (unsigned n = 1; n < levels; n++) {
        emul_reg_add(&bp, 0 - (uint64_t)i->size, width);
        TRY(emul_load(e, SEG_SS, bp & emul_address_mask(width), i->size, &value));
        TRY(emul_push(e, value, i->size));
    }
    if (levels > 0) {
        TRY(emul_push(e, top, i->size));
    }
    emul_reg_write(e, RBP, i->size, true, top);
    emul_reg_add(&e->gpr[RSP], 0 - i->imm, width);
    return EMUL_DONE;
}

static enum emul_result do_enter(struct emul *e)
{
    uint64_t sp = e->gpr[RSP];
    enum emul_result r = frame(e);

    if (r != EMUL_DONE) {
        e->gpr[RSP] = sp;
    }
    return r;
}

static enum emul_result do_leave(struct emul *e)
{
    unsigned width = stack_size(e);
    uint64_t sp = e->gpr[RSP], value = 0;

    e->gpr[RSP] = width == 2 ? (sp & ~UINT64_C(0xffff)) | (e->gpr[RBP] & 0xffff)
                             : e->gpr[RBP] & emul_address_mask(width);
    enum emul_result r = pop(e, &value, e->insn.size);
    if (r != EMUL_DONE) {
        e->gpr[RSP] = sp;
        return r;
    }
    emul_reg_write(e, RBP, e->insn.size, true, value);
    return EMUL_DONE;
}

enum emul_result emul_stack(struct emul *e, uint64_t *rip)
{
    uint64_t value = 0;
    struct push p;

    switch (e->insn.op) {
    case INSN_PUSH:
        TRY(prepare_push(e, e->insn.size, &p));
        TRY(source(e, &value));
        return finish_push(e, &p, value);
    case INSN_POP:
        return do_pop(e);
    case INSN_PUSHF:
        /* RF and VM are pushed as 0. */
        return v86_denies(e) ? emul_raise(e, EXC_GP, true, 0)
                             : emul_push(e, e->rflags & ~(RF_RF | RF_VM), e->insn.size);
    case INSN_POPF:
        return do_popf(e);
    case INSN_PUSHA:
    case INSN_POPA:
        return all_registers(e, e->insn.op == INSN_PUSHA);
    case INSN_CALL:
    case INSN_JMP:
        return do_call(e, rip);
    case INSN_RET:
        return do_ret(e, rip);
    case INSN_ENTER:
        return do_enter(e);
    default:
        return do_leave(e);
    }
}
