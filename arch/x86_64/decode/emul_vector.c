/* SPDX-License-Identifier: BSD-2-Clause */
/* Moves between SSE or AVX registers and memory. */
#include "arch/x86_64/decode/emul_priv.h"
#include "base/string.h"

/* Whether the guest has enabled them: SDM vol. 3, 14.1, and vol. 1, 14.3. */
static enum emul_result check_enabled(struct emul *e)
{
    bool on = e->insn.vex ? (e->cr4 & CR4_OSXSAVE) && (e->xcr0 & 6) == 6 && (e->cr0 & CR0_PE) &&
                                !(e->rflags & RF_VM)
                          : !(e->cr0 & CR0_EM) && (e->cr4 & CR4_OSFXSR);

    if (!on) {
        return emul_raise(e, EXC_UD, false, 0);
    }
    return (e->cr0 & CR0_TS) ? emul_raise(e, EXC_NM, false, 0) : EMUL_DONE;
}

static enum emul_result load(struct emul *e, const struct emul_range *r)
{
    const struct insn *i = &e->insn;
    uint8_t memory[32] = {0}, v[EMUL_VECTOR_BYTES], other[EMUL_VECTOR_BYTES];
    bool merges = i->sub == VECTOR_LOW || i->sub == VECTOR_HIGH;

    TRY(emul_get(e, r, memory));
    e->ops->get_vector(e->ctx, i->reg, v);
    if (merges && i->vex) { /* the other half is another register's */
        e->ops->get_vector(e->ctx, i->vvvv, other);
        memcpy(v, other, 16);
    }
    if (merges) {
        memcpy(v + (i->sub == VECTOR_HIGH ? 8 : 0), memory, 8);
    } else {
        memset(v, 0, 16);
        memcpy(v, memory, i->size);
    }
    if (i->vex) { /* all above the destination is cleared; SSE leaves it */
        unsigned kept = i->size == 32 ? 32 : 16;
        memset(v + kept, 0, EMUL_VECTOR_BYTES - kept);
    }
    e->ops->set_vector(e->ctx, i->reg, v);
    return EMUL_DONE;
}

enum emul_result emul_vector(struct emul *e)
{
    const struct insn *i = &e->insn;
    uint8_t v[EMUL_VECTOR_BYTES];
    struct emul_range r;
    uint64_t at = 0;
    bool store = i->op == INSN_VSTORE;

    TRY(check_enabled(e));
    TRY(emul_linear(e, i->segment, emul_address(e, i), i->size, store, &at));
    if (i->aligned && at % i->size != 0) {
        return emul_raise(e, EXC_GP, true, 0);
    }
    TRY(emul_map_at(e, i->segment, emul_address(e, i), i->size, store, &r));
    if (!store) {
        return load(e, &r);
    }
    e->ops->get_vector(e->ctx, i->reg, v);
    return emul_put(e, &r, v + (i->sub == VECTOR_HIGH ? 8 : 0));
}
