/* SPDX-License-Identifier: BSD-2-Clause */
/* Selectors and descriptor-table registers from and to memory. */
#include "arch/x86_64/decode/emul_priv.h"
#include "base/bits.h"

static enum emul_result store_value(struct emul *e, uint64_t value)
{
    const struct insn *i = &e->insn;
    struct emul_range r;

    if (!i->memory) {
        emul_reg_write(e, i->rm, i->size, true, value);
        return EMUL_DONE;
    }
    TRY(emul_map_at(e, i->segment, emul_address(e, i), 2, true, &r));
    return emul_put_value(e, &r, value);
}

static enum emul_result store_selector(struct emul *e, unsigned which)
{
    struct emul_segment s;

    e->ops->get_segment(e->ctx, which, &s);
    return store_value(e, s.selector);
}

static enum emul_result load_selector(struct emul *e)
{
    const struct insn *i = &e->insn;
    uint64_t selector = emul_reg_read(e, i->rm, 2, true);

    if (i->memory) {
        TRY(emul_load(e, i->segment, emul_address(e, i), 2, &selector));
    }
    return emul_load_segment(e, i->sub, (uint16_t)selector);
}

/* LDS and its like: the register changes once the segment is loaded. */
static enum emul_result load_far(struct emul *e)
{
    const struct insn *i = &e->insn;
    uint8_t bytes[16] = {0};
    struct emul_range r;

    TRY(emul_map_at(e, i->segment, emul_address(e, i), i->size + 2u, false, &r));
    TRY(emul_get(e, &r, bytes));
    TRY(emul_load_segment(e, i->sub, load_le16(bytes + i->size)));
    e->blocks_ss = false; /* MOV and POP of SS alone hold interrupts back: SDM vol. 3, 6.8.3 */
    emul_reg_write(e, i->reg, i->size, true, load_le64(bytes));
    return EMUL_DONE;
}

static enum emul_result store_table(struct emul *e, unsigned which)
{
    const struct insn *i = &e->insn;
    struct emul_segment t;
    uint8_t bytes[16];
    struct emul_range r;

    e->ops->get_segment(e->ctx, which, &t);
    store_le16(bytes, (uint16_t)t.limit);
    store_le64(bytes + 2, t.base);
    TRY(emul_map_at(e, i->segment, emul_address(e, i), i->size, true, &r));
    return emul_put(e, &r, bytes);
}

static enum emul_result load_table(struct emul *e, unsigned which)
{
    const struct insn *i = &e->insn;
    struct emul_segment t = {0};
    uint8_t bytes[16] = {0};
    struct emul_range r;

    if (e->cpl != 0) {
        return emul_raise(e, EXC_GP, true, 0);
    }
    TRY(emul_map_at(e, i->segment, emul_address(e, i), i->size, false, &r));
    TRY(emul_get(e, &r, bytes));
    t.limit = load_le16(bytes);
    t.base = load_le64(bytes + 2);
    if (e->mode != INSN_64) {
        t.base &= i->operand_size == 2 ? 0xffffffu : UINT32_MAX;
    } else if ((uint64_t)((int64_t)(t.base << 16) >> 16) != t.base) {
        return emul_raise(e, EXC_GP, true, 0);
    }
    e->ops->set_segment(e->ctx, which, &t);
    return EMUL_DONE;
}

/* What a user may not see when the system has set UMIP (SDM vol. 3, 2.5). The CPU has looked, but
 * perhaps at other bytes than those that are here now. */
static bool is_hidden(const struct emul *e)
{
    switch (e->insn.op) {
    case INSN_SGDT:
    case INSN_SIDT:
    case INSN_SLDT:
    case INSN_STR:
    case INSN_SMSW:
        return e->cpl > 0 && (e->cr4 & CR4_UMIP);
    default:
        return false;
    }
}

enum emul_result emul_system(struct emul *e)
{
    if (is_hidden(e)) {
        return emul_raise(e, EXC_GP, true, 0);
    }
    switch (e->insn.op) {
    case INSN_MOV_FROM_SREG:
        return store_selector(e, e->insn.sub);
    case INSN_MOV_TO_SREG:
        return load_selector(e);
    case INSN_LOAD_FAR:
        return load_far(e);
    case INSN_SGDT:
        return store_table(e, SEG_GDTR);
    case INSN_SIDT:
        return store_table(e, SEG_IDTR);
    case INSN_LGDT:
        return load_table(e, SEG_GDTR);
    case INSN_LIDT:
        return load_table(e, SEG_IDTR);
    case INSN_SMSW:
        return store_value(e, e->cr0);
    case INSN_SLDT:
        return store_selector(e, SEG_LDTR);
    default:
        return store_selector(e, SEG_TR);
    }
}
