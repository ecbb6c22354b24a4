/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the VMCS and the emulator (decode/emul.h): registers and memory for it, and what its
 * results mean for the next entry. */
#include "arch/x86_64/hvm/mmio.h"

#include "arch/x86_64/cpu.h"
#include "base/format.h"
#include "mm/p2m.h"

struct segment_fields {
    enum vmcs_field selector, base, limit, rights;
};
#define FIELDS(name)                                                                               \
    {                                                                                              \
        GUEST_##name##_SELECTOR, GUEST_##name##_BASE, GUEST_##name##_LIMIT,                        \
            GUEST_##name##_ACCESS_RIGHTS                                                           \
    }
static const struct segment_fields fields[] = {
    [SEG_ES] = FIELDS(ES), [SEG_CS] = FIELDS(CS), [SEG_SS] = FIELDS(SS),     [SEG_DS] = FIELDS(DS),
    [SEG_FS] = FIELDS(FS), [SEG_GS] = FIELDS(GS), [SEG_LDTR] = FIELDS(LDTR), [SEG_TR] = FIELDS(TR),
};

static void get_segment(void *ctx, unsigned which, struct emul_segment *out)
{
    (void)ctx;
    if (which >= SEG_GDTR) {
        bool gdt = which == SEG_GDTR;
        *out = (struct emul_segment){
            .base = vmcs_read(gdt ? GUEST_GDTR_BASE : GUEST_IDTR_BASE),
            .limit = (uint32_t)vmcs_read(gdt ? GUEST_GDTR_LIMIT : GUEST_IDTR_LIMIT)};
        return;
    }
    const struct segment_fields *f = &fields[which];
    *out = (struct emul_segment){.selector = (uint16_t)vmcs_read(f->selector),
                                 .base = vmcs_read(f->base),
                                 .limit = (uint32_t)vmcs_read(f->limit),
                                 .rights = (uint32_t)vmcs_read(f->rights)};
}

static void set_segment(void *ctx, unsigned which, const struct emul_segment *in)
{
    (void)ctx;
    if (which >= SEG_GDTR) {
        bool gdt = which == SEG_GDTR;
        vmcs_write(gdt ? GUEST_GDTR_BASE : GUEST_IDTR_BASE, in->base);
        vmcs_write(gdt ? GUEST_GDTR_LIMIT : GUEST_IDTR_LIMIT, in->limit);
        return;
    }
    const struct segment_fields *f = &fields[which];
    vmcs_write(f->selector, in->selector);
    vmcs_write(f->base, in->base);
    vmcs_write(f->limit, in->limit);
    vmcs_write(f->rights, in->rights);
}

static enum status ram_find(void *ctx, gpa_t at, bool write)
{
    const struct hvm_vcpu *v = ctx;

    if (!write) { /* needs no frame: what was never touched reads as zeroes */
        return p2m_is_ram(v->p2m, gpa_to_gfn(at)) ? OK : E_FAULT;
    }
    return p2m_fault(v->p2m, gpa_to_gfn(at), true);
}

static enum status ram_read(void *ctx, gpa_t at, void *to, unsigned n)
{
    const struct hvm_vcpu *v = ctx;

    return p2m_read(v->p2m, at, to, n);
}

static enum status ram_write(void *ctx, gpa_t at, const void *from, unsigned n)
{
    const struct hvm_vcpu *v = ctx;

    return p2m_write(v->p2m, at, from, n);
}

static uint64_t device_read(void *ctx, gpa_t at, unsigned size)
{
    const struct hvm_vcpu *v = ctx;

    return v->ops->mmio_read(v->ctx, at, size);
}

static void device_write(void *ctx, gpa_t at, unsigned size, uint64_t value)
{
    const struct hvm_vcpu *v = ctx;

    v->ops->mmio_write(v->ctx, at, size, value);
}

static void get_vector(void *ctx, unsigned n, uint8_t to[EMUL_VECTOR_BYTES])
{
    xstate_read_vector(ctx, n, to);
}

static void set_vector(void *ctx, unsigned n, const uint8_t from[EMUL_VECTOR_BYTES])
{
    xstate_write_vector(ctx, n, from);
}

static enum status load_cr3(void *ctx, uint64_t cr3)
{
    struct hvm_vcpu *v = ctx;
    bool pae = vmcs_read(GUEST_CR4) & CR4_PAE, no_memory;

    if (pae && !vmx_load_pdptes(v, cr3, &no_memory)) {
        return no_memory ? E_NOMEM : E_INVAL;
    }
    vmcs_write(GUEST_CR3, cr3);
    vmx_flush_vpid(v);
    return OK;
}

/* When the step or the turn is over, and before an interrupt that an element may have raised. */
static bool stop(void *ctx)
{
    const struct hvm_vcpu *v = ctx;

    return v->irq_check || vmx_must_leave(v, v->emul_begin_tsc);
}

static const struct emul_ops ops = {
    .get_segment = get_segment,
    .set_segment = set_segment,
    .ram_find = ram_find,
    .ram_read = ram_read,
    .ram_write = ram_write,
    .device_read = device_read,
    .device_write = device_write,
    .get_vector = get_vector,
    .set_vector = set_vector,
    .load_cr3 = load_cr3,
    .stop = stop,
};

void vmx_emul_begin(struct hvm_vcpu *v, struct emul *e)
{
    static bool has_tzcnt, has_lzcnt, known;
    uint64_t cs = vmcs_read(GUEST_CS_ACCESS_RIGHTS);

    if (!known) {
        known = true;
        has_tzcnt = cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & BIT32(3));
        has_lzcnt = cpuid(0x80000001, 0).ecx & BIT32(5);
    }
    v->gpr[RSP_UNUSED] = vmcs_read(GUEST_RSP); /* lent to the register file */
    v->emul_begin_tsc = rdtsc();
    e->ops = &ops;
    e->ctx = v;
    e->gpr = v->gpr;
    e->rip = vmcs_read(GUEST_RIP);
    e->rflags = vmcs_read(GUEST_RFLAGS);
    e->cr0 = vmx_guest_cr0();
    e->cr3 = vmcs_read(GUEST_CR3);
    e->cr4 = vmcs_read(GUEST_CR4);
    e->efer = vmcs_read(GUEST_IA32_EFER);
    e->has_pdptes = (e->cr0 & CR0_PG) && (e->cr4 & CR4_PAE) && !(e->efer & EFER_LMA);
    for (unsigned i = 0; e->has_pdptes && i < 4; i++) { /* SDM vol. 3, 28.3.1 */
        e->pdptes[i] = vmcs_read((enum vmcs_field)(GUEST_PDPTE0 + 2 * i));
    }
    e->xcr0 = v->xcr0;
    e->mode = (cs & SEG_L) && (e->efer & EFER_LMA) ? INSN_64 : (cs & SEG_DB) ? INSN_32 : INSN_16;
    e->cpl = vmcs_read(GUEST_SS_ACCESS_RIGHTS) >> SEG_DPL_SHIFT & 3; /* SDM vol. 3, 25.4.1 */
    e->phys_bits = (uint8_t)vmx_guest_phys_bits();
    e->has_tzcnt = has_tzcnt;
    e->has_lzcnt = has_lzcnt;
    emul_forget(e);
}

void vmx_emul_fault(struct hvm_vcpu *v, const struct emul_fault *f)
{
    if (f->vector == EXC_PF) {
        write_cr2(f->cr2); /* not in the VMCS, and the hypervisor takes no page faults */
    }
    vmx_inject(v, f->vector, f->has_error, f->error);
}

/* An instruction, or an element of one, has ended: interrupts are open again, a single step traps.
 */
static void end_instruction(const struct emul *e)
{
    uint64_t was = vmcs_read(GUEST_INTERRUPTIBILITY_STATE);
    uint64_t is = was & ~(uint64_t)(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS);

    is |= e->blocks_ss ? BLOCKING_BY_MOV_SS : 0;
    if (is != was) {
        vmcs_write(GUEST_INTERRUPTIBILITY_STATE, is);
    }
    if (e->single_step) {
        vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS,
                   vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS) | BIT(14)); /* BS */
    }
}

static void tell_once(struct hvm_vcpu *v, const struct emul *e, bool fetch)
{
    char text[128];

    if (v->told_unemulated) {
        return;
    }
    v->told_unemulated = true;
    if (fetch) {
        format(text, sizeof(text), "executes outside its memory at rip %#llx: #UD",
               (unsigned long long)e->rip);
    } else {
        format(text, sizeof(text),
               "instruction at rip %#llx (%02x %02x %02x %02x) on device memory %#llx is not "
               "emulated: #UD",
               (unsigned long long)e->rip, e->bytes[0], e->bytes[1], e->bytes[2], e->bytes[3],
               (unsigned long long)vmcs_read(GUEST_PHYSICAL_ADDRESS));
    }
    v->ops->warn(v->ctx, text);
}

/* #UD; but where the access failed for page tables that are nowhere, the #PF that it would be.
 * False: no frame to tell. */
static bool not_emulated(struct hvm_vcpu *v, struct emul *e, struct exitqual_ept q)
{
    struct emul_range r;

    if (!q.translated) {
        enum emul_result mapped =
            emul_map(e, vmcs_read(GUEST_LINEAR_ADDRESS), 1, e->cpl == 3 ? GWALK_USER : 0, &r);
        if (mapped == EMUL_NO_MEMORY) {
            return false;
        }
        if (mapped == EMUL_FAULT) {
            vmx_emul_fault(v, &e->fault);
            return true;
        }
    }
    if (!q.fetch) {
        v->unemulated++;
    }
    tell_once(v, e, q.fetch);
    vmx_inject(v, VEC_UD, false, 0);
    return true;
}

/* The instruction is executed again, once there is memory. */
static bool wait_for_memory(struct exitqual_ept q, enum hvm_exit *out)
{
    if (q.nmi_unblocked) {
        vmx_block_nmis();
    }
    *out = HVM_EXIT_NO_MEMORY;
    return false;
}

bool vmx_emulate(struct hvm_vcpu *v, struct exitqual_ept q, enum hvm_exit *out)
{
    struct emul e;

    vmx_emul_begin(v, &e);
    enum emul_result r = emul_step(&e);

    /* A string instruction that failed has done the elements before. */
    vmcs_write(GUEST_RFLAGS, e.rflags);
    vmcs_write(GUEST_RSP, v->gpr[RSP_UNUSED]);
    switch (r) {
    case EMUL_DONE:
        vmcs_write(GUEST_RIP, e.rip);
        end_instruction(&e);
        break;
    case EMUL_AGAIN:
        end_instruction(&e);
        break;
    case EMUL_FAULT:
        vmx_emul_fault(v, &e.fault);
        break;
    case EMUL_NO_MEMORY:
        return wait_for_memory(q, out);
    case EMUL_UNKNOWN:
        if (!not_emulated(v, &e, q)) {
            return wait_for_memory(q, out);
        }
        break;
    }
    return true;
}
