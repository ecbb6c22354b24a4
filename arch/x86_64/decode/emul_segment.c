/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors and the loading of segment registers: SDM vol. 3, 3.4 and 5.6 to 5.8. */
#include "arch/x86_64/decode/emul_priv.h"
#include "base/bits.h"

#define DESCRIPTOR_S BIT(44)
#define DESCRIPTOR_P BIT(47)
#define DESCRIPTOR_ACCESSED BIT(40)

struct emul_segment emul_segment_of(uint16_t selector, uint64_t d)
{
    struct emul_segment s = {.selector = selector,
                             .base = (d >> 16 & 0xffffff) | (d >> 32 & 0xff000000u),
                             .limit = (uint32_t)((d & 0xffff) | (d >> 32 & 0xf0000)),
                             .rights = (uint32_t)(d >> 40 & 0xf0ff)};

    if (s.rights & SEG_G) {
        s.limit = s.limit << 12 | 0xfff;
    }
    return s;
}

enum emul_result emul_descriptor(struct emul *e, uint16_t selector, uint8_t vector, uint64_t *at,
                                 uint64_t *descriptor)
{
    struct emul_segment table;
    uint8_t bytes[8];
    unsigned offset = selector & 0xfff8u;

    e->ops->get_segment(e->ctx, (selector & 4) ? SEG_LDTR : SEG_GDTR, &table);
    if (((selector & 4) && (table.rights & SEG_UNUSABLE)) || offset + 7 > table.limit) {
        return emul_raise(e, vector, true, selector & 0xfffcu);
    }
    *at = table.base + offset;
    TRY(emul_read(e, *at, bytes, sizeof(bytes), 0));
    *descriptor = load_le64(bytes);
    return EMUL_DONE;
}

enum emul_result emul_set_accessed(struct emul *e, uint64_t at, uint64_t descriptor,
                                   struct emul_segment *s)
{
    uint8_t byte = (uint8_t)(descriptor >> 40) | 1;

    s->rights |= 1;
    return (descriptor & DESCRIPTOR_ACCESSED) ? EMUL_DONE : emul_write(e, at + 5, &byte, 1, 0);
}

void emul_load_real_segment(struct emul *e, unsigned which, uint16_t selector)
{
    struct emul_segment s;

    e->ops->get_segment(e->ctx, which, &s);
    s.selector = selector;
    s.base = (uint64_t)selector << 4;
    e->ops->set_segment(e->ctx, which, &s);
}

/* A null selector: DS, ES, FS, GS become unusable; SS may be so in 64-bit mode below level 3. */
static enum emul_result load_null(struct emul *e, unsigned which, uint16_t selector)
{
    struct emul_segment s = {.selector = selector, .rights = SEG_UNUSABLE};

    if (which == SEG_SS) {
        if (e->mode != INSN_64 || e->cpl == 3 || (selector & 3) != e->cpl) {
            return emul_raise(e, EXC_GP, true, 0);
        }
        s.rights |= (uint32_t)e->cpl << SEG_DPL_SHIFT;
    }
    e->ops->set_segment(e->ctx, which, &s);
    return EMUL_DONE;
}

enum emul_result emul_load_segment(struct emul *e, unsigned which, uint16_t selector)
{
    uint64_t at = 0, d = 0;
    uint32_t error = selector & 0xfffcu;

    e->blocks_ss = which == SEG_SS;
    if (!emul_protected(e)) {
        emul_load_real_segment(e, which, selector);
        return EMUL_DONE;
    }
    if (error == 0) {
        return load_null(e, which, selector);
    }
    TRY(emul_descriptor(e, selector, EXC_GP, &at, &d));
    struct emul_segment s = emul_segment_of(selector, d);
    unsigned dpl = s.rights >> SEG_DPL_SHIFT & 3, rpl = selector & 3;
    bool code = s.rights & 8, conforming = code && (s.rights & 4);

    if (which == SEG_SS) {
        if (!(d & DESCRIPTOR_S) || code || !(s.rights & 2) || rpl != e->cpl || dpl != e->cpl) {
            return emul_raise(e, EXC_GP, true, error);
        }
    } else if (!(d & DESCRIPTOR_S) || (code && !(s.rights & 2)) ||
               (!conforming && (dpl < rpl || dpl < e->cpl))) {
        return emul_raise(e, EXC_GP, true, error);
    }
    if (!(d & DESCRIPTOR_P)) {
        return emul_raise(e, which == SEG_SS ? EXC_SS : EXC_NP, true, error);
    }
    TRY(emul_set_accessed(e, at, d, &s));
    e->ops->set_segment(e->ctx, which, &s);
    return EMUL_DONE;
}
