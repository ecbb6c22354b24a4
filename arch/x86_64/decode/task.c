/* SPDX-License-Identifier: BSD-2-Clause */
/* Task switches: see task.h. Checks and the old TSS first, then the commit, then descriptors. */
#include "arch/x86_64/decode/task.h"

#include "arch/x86_64/decode/emul_priv.h"
#include "arch/x86_64/decode/rehearsal.h"
#include "base/bits.h"

#define TYPE_BUSY 2u
#define TYPE_TSS16 1u /* available */
#define TYPE_TSS32 9u
#define TYPE_LDT 2u

#define FLAGS_DEFINED UINT64_C(0x3f7fd5)
#define V86_RIGHTS 0xf3u

/* Where a TSS has what: SDM vol. 3, figures 8-2 and 8-10. */
struct layout {
    unsigned bytes, word;               /* smallest size; of a field */
    unsigned ip, flags, gprs, segments; /* segments: ES CS SS DS (FS GS) */
    unsigned n_segments, ldt;
};
static const struct layout layout16 = {44, 2, 14, 16, 18, 34, 4, 42};
static const struct layout layout32 = {104, 4, 32, 36, 40, 72, 6, 96};
#define TSS_BYTES 104
#define TSS32_CR3 28
#define TSS32_TRAP 100

static uint32_t field(const uint8_t *tss, const struct layout *l, unsigned at)
{
    return l->word == 4 ? load_le32(tss + at) : load_le16(tss + at);
}

static void set_field(uint8_t *tss, const struct layout *l, unsigned at, uint32_t value)
{
    if (l->word == 4) {
        store_le32(tss + at, value);
    } else {
        store_le16(tss + at, (uint16_t)value);
    }
}

static enum emul_result bad(struct emul *e, const struct task_switch *t, uint8_t vector,
                            uint16_t selector)
{
    return emul_raise(e, vector, true, (selector & 0xfffcu) | t->external);
}

/* emul_descriptor, with the EXT bit in its error. */
static enum emul_result descriptor(struct emul *e, const struct task_switch *t, uint16_t selector,
                                   uint8_t vector, uint64_t *at, uint64_t *d)
{
    enum emul_result r = emul_descriptor(e, selector, vector, at, d);

    if (r == EMUL_FAULT && e->fault.vector == vector) {
        e->fault.error |= t->external;
    }
    return r;
}

/* ---- while it is still the old task -------------------------------------------------------- */

struct plan {
    struct emul_segment old_tr, tr;
    const struct layout *from, *to;
    uint64_t at, old_at;    /* their descriptors */
    uint8_t rights;         /* byte 5 of the new descriptor */
    uint8_t tss[TSS_BYTES]; /* the new one */
};

/* The new TSS: a descriptor that may be switched to, and its content. */
static enum emul_result find(struct emul *e, const struct task_switch *t, struct plan *p)
{
    bool iret = t->source == TASK_IRET;
    uint8_t vector = iret ? EXC_TS : EXC_GP;
    uint64_t d = 0;

    if ((t->selector & 4) || (t->selector & 0xfff8) == 0) {
        return bad(e, t, vector, t->selector);
    }
    TRY(descriptor(e, t, t->selector, vector, &p->at, &d));
    p->tr = emul_segment_of(t->selector, d);
    p->rights = (uint8_t)(d >> 40);
    uint32_t type = p->tr.rights & (SEG_S | SEG_TYPE);
    uint32_t available = type & ~TYPE_BUSY;
    if ((available != TYPE_TSS16 && available != TYPE_TSS32) || (type != available) != iret) {
        return bad(e, t, vector, t->selector);
    }
    if (!(p->tr.rights & SEG_P)) {
        return bad(e, t, EXC_NP, t->selector);
    }
    p->to = available == TYPE_TSS32 ? &layout32 : &layout16;
    if (p->tr.limit < p->to->bytes - 1) {
        return bad(e, t, EXC_TS, t->selector);
    }
    return emul_read(e, p->tr.base, p->tss, p->to->bytes, 0);
}

/* Sets or clears the busy bit of a descriptor. */
static enum emul_result set_busy(struct emul *e, uint64_t descriptor_at, bool busy)
{
    uint8_t byte = 0;

    TRY(emul_read(e, descriptor_at + 5, &byte, 1, 0));
    byte = (uint8_t)(busy ? byte | TYPE_BUSY : byte & ~TYPE_BUSY);
    return emul_write(e, descriptor_at + 5, &byte, 1, 0);
}

/* The registers into the old TSS: the part from EIP to the segments. */
static enum emul_result save(struct emul *e, const struct task_switch *t, const struct plan *p)
{
    const struct layout *l = p->from;
    unsigned first = l->ip, end = l->segments + l->n_segments * l->word;
    uint8_t tss[TSS_BYTES] = {0};
    uint64_t flags = e->rflags & ~(t->source == TASK_IRET ? RF_NT : 0);

    set_field(tss, l, l->ip, t->return_eip);
    set_field(tss, l, l->flags, (uint32_t)flags);
    for (unsigned n = 0; n < 8; n++) {
        set_field(tss, l, l->gprs + n * l->word, (uint32_t)e->gpr[n]);
    }
    for (unsigned n = 0; n < l->n_segments; n++) {
        struct emul_segment s;
        e->ops->get_segment(e->ctx, n, &s);
        set_field(tss, l, l->segments + n * l->word, s.selector);
    }
    return emul_write(e, p->old_tr.base + first, tss + first, end - first, 0);
}

static enum emul_result rehearse(const struct emul *e, const struct task_switch *t,
                                 const struct plan *p);

/* Both descriptors and both TSSs; each write can be made again, so a fault here undoes nothing. */
static enum emul_result leave(struct emul *e, const struct task_switch *t, struct plan *p)
{
    bool nested = t->source == TASK_CALL || t->source == TASK_GATE;
    struct emul_range probe;
    uint8_t link[2];

    /* All that will be written, before the first busy bit changes. */
    if (t->source != TASK_IRET) {
        TRY(emul_map(e, p->at + 5, 1, GWALK_WRITE | GWALK_IMPLICIT, &probe));
    }
    if (!nested) {
        TRY(emul_map(e, p->old_at + 5, 1, GWALK_WRITE | GWALK_IMPLICIT, &probe));
    } else {
        TRY(emul_map(e, p->tr.base, 2, GWALK_WRITE | GWALK_IMPLICIT, &probe));
    }
    TRY(rehearse(e, t, p));
    TRY(save(e, t, p));
    if (nested) {
        store_le16(link, p->old_tr.selector);
        TRY(emul_write(e, p->tr.base, link, 2, 0));
    } else {
        TRY(set_busy(e, p->old_at, false));
    }
    return t->source == TASK_IRET ? EMUL_DONE : set_busy(e, p->at, true);
}

/* ---- the commit ---------------------------------------------------------------------------- */

/* Selectors are the new task's; until their descriptors are loaded, segments cannot be used. An
 * entry into the guest must be possible all the same: a fault may be raised from here on. */
static void blank_segments(struct emul *e, const struct plan *p, uint8_t cpl)
{
    for (unsigned n = 0; n < SEG_REGISTERS; n++) {
        uint16_t selector = n < p->to->n_segments
                                ? (uint16_t)field(p->tss, p->to, p->to->segments + n * p->to->word)
                                : 0;
        struct emul_segment s = {.selector = selector,
                                 .rights = SEG_UNUSABLE | (uint32_t)cpl << SEG_DPL_SHIFT};
        if (n == SEG_CS) {
            s.limit = UINT32_MAX;
            s.rights = 0xc09b | (uint32_t)cpl << SEG_DPL_SHIFT;
        }
        e->ops->set_segment(e->ctx, n, &s);
    }
}

static enum emul_result commit(struct emul *e, struct task_switch *t, struct plan *p)
{
    const struct layout *l = p->to;
    uint64_t flags = (field(p->tss, l, l->flags) & FLAGS_DEFINED) | 2;
    uint16_t cs = (uint16_t)field(p->tss, l, l->segments + SEG_CS * l->word);

    if (t->source == TASK_CALL || t->source == TASK_GATE) {
        flags |= RF_NT;
    }
    t->switched = true;
    p->tr.rights |= TYPE_BUSY;
    e->ops->set_segment(e->ctx, SEG_TR, &p->tr);
    e->cr0 |= CR0_TS;
    e->rflags = flags;
    e->rip = field(p->tss, l, l->ip);
    for (unsigned n = 0; n < 16; n++) {
        e->gpr[n] = n < 8 ? field(p->tss, l, l->gprs + n * l->word) : e->gpr[n];
    }
    e->cpl = (flags & RF_VM) ? 3 : cs & 3;
    emul_forget(e);
    blank_segments(e, p, e->cpl);
    if (flags & RF_VM) { /* must be consistent at once */
        for (unsigned n = 0; n < SEG_REGISTERS; n++) {
            uint32_t selector = field(p->tss, l, l->segments + n * l->word);
            struct emul_segment s = {.selector = (uint16_t)selector,
                                     .base = (selector & 0xffff) << 4,
                                     .limit = 0xffff,
                                     .rights = V86_RIGHTS};
            e->ops->set_segment(e->ctx, n, &s);
        }
    }
    e->ops->set_segment(e->ctx, SEG_LDTR, &(struct emul_segment){.rights = SEG_UNUSABLE});
    t->debug_trap = l->word == 4 && (p->tss[TSS32_TRAP] & 1);
    if (l->word == 4 && (e->cr0 & CR0_PG)) {
        uint64_t cr3 = load_le32(p->tss + TSS32_CR3);
        enum status s = e->ops->load_cr3(e->ctx, cr3);
        if (s != OK) {
            return s == E_NOMEM ? EMUL_NO_MEMORY : emul_raise(e, EXC_GP, true, 0);
        }
        e->cr3 = cr3;
        e->has_pdptes = false; /* they have just been loaded */
        emul_forget(e);
    }
    return EMUL_DONE;
}

/* ---- the new task -------------------------------------------------------------------------- */

static enum emul_result load_ldt(struct emul *e, const struct task_switch *t, const struct plan *p)
{
    uint16_t selector = (uint16_t)field(p->tss, p->to, p->to->ldt);
    struct emul_segment s = {.selector = selector, .rights = SEG_UNUSABLE};
    uint64_t at = 0, d = 0;

    if ((selector & 0xfffc) != 0) {
        if (selector & 4) {
            return bad(e, t, EXC_TS, selector);
        }
        TRY(descriptor(e, t, selector, EXC_TS, &at, &d));
        s = emul_segment_of(selector, d);
        if ((s.rights & (SEG_S | SEG_TYPE)) != TYPE_LDT || !(s.rights & SEG_P)) {
            return bad(e, t, EXC_TS, selector);
        }
    } else {
        s.selector = 0;
    }
    e->ops->set_segment(e->ctx, SEG_LDTR, &s);
    return EMUL_DONE;
}

/* Whether the descriptor suits the segment register: SDM vol. 3, table 8-1. */
static bool suits(const struct emul *e, unsigned which, const struct emul_segment *s)
{
    unsigned dpl = s->rights >> SEG_DPL_SHIFT & 3, rpl = s->selector & 3;
    bool code = s->rights & 8, conforming = code && (s->rights & 4);

    if (!(s->rights & SEG_S)) {
        return false;
    }
    switch (which) {
    case SEG_CS:
        return code && (conforming ? dpl <= rpl : dpl == rpl);
    case SEG_SS:
        return !code && (s->rights & 2) && dpl == e->cpl && rpl == e->cpl;
    default:
        return (!code || (s->rights & 2)) && (conforming || (dpl >= e->cpl && dpl >= rpl));
    }
}

static enum emul_result load_segment(struct emul *e, const struct task_switch *t, unsigned which)
{
    struct emul_segment s;
    uint64_t at = 0, d = 0;

    e->ops->get_segment(e->ctx, which, &s); /* selector only, yet */
    uint16_t selector = s.selector;
    if ((selector & 0xfffc) == 0) {
        return which == SEG_CS || which == SEG_SS ? bad(e, t, EXC_TS, selector) : EMUL_DONE;
    }
    TRY(descriptor(e, t, selector, EXC_TS, &at, &d));
    s = emul_segment_of(selector, d);
    if (!suits(e, which, &s)) {
        return bad(e, t, EXC_TS, selector);
    }
    if (!(s.rights & SEG_P)) {
        return bad(e, t, which == SEG_SS ? EXC_SS : EXC_NP, selector);
    }
    TRY(emul_set_accessed(e, at, d, &s));
    e->ops->set_segment(e->ctx, which, &s);
    return EMUL_DONE;
}

static enum emul_result enter(struct emul *e, const struct task_switch *t, const struct plan *p)
{
    static const uint8_t order[] = {SEG_CS, SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    struct emul_segment cs;

    TRY(load_ldt(e, t, p));
    for (unsigned n = 0; n < ARRAY_LEN(order) && !(e->rflags & RF_VM); n++) {
        TRY(load_segment(e, t, order[n]));
    }
    e->ops->get_segment(e->ctx, SEG_CS, &cs);
    e->mode = (cs.rights & SEG_DB) ? INSN_32 : INSN_16;
    if (e->rip > cs.limit) {
        return emul_raise(e, EXC_GP, true, t->external);
    }
    if (t->has_error) {
        TRY(emul_push(e, t->error, p->to->word));
    }
    return EMUL_DONE;
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* The commit and all behind it, without a trace: EMUL_NO_MEMORY if it would lack a frame under the
 * new task's tables; else EMUL_DONE, whatever faults it would come to. */
static enum emul_result rehearse(const struct emul *e, const struct task_switch *t,
                                 const struct plan *p)
{
    struct rehearsal copy;
    struct task_switch task = *t;
    struct plan plan = *p;

    rehearsal_begin(&copy, e);
    enum emul_result r = commit(&copy.e, &task, &plan);
    if (r == EMUL_DONE) {
        r = enter(&copy.e, &task, &plan);
    }
    return r == EMUL_NO_MEMORY ? r : EMUL_DONE;
}

enum emul_result task_switch(struct emul *e, struct task_switch *t)
{
    struct emul_segment gdt;
    struct plan p = {.from = NULL};

    t->switched = t->debug_trap = false;
    e->ops->get_segment(e->ctx, SEG_TR, &p.old_tr);
    e->ops->get_segment(e->ctx, SEG_GDTR, &gdt);
    p.old_at = gdt.base + (p.old_tr.selector & 0xfff8u);
    p.from = (p.old_tr.rights & 8) ? &layout32 : &layout16;
    TRY(find(e, t, &p));
    TRY(leave(e, t, &p));
    enum emul_result r = commit(e, t, &p);
    if (r == EMUL_DONE) {
        r = enter(e, t, &p);
    }
    /* There is no way back to the old task. The rehearsal has found all frames; only a descriptor
     * in a device, which reads otherwise now, can lead to a page that it has not seen. */
    return r == EMUL_NO_MEMORY ? emul_raise(e, EXC_SS, true, t->external) : r;
}
