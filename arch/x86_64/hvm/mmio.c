/* SPDX-License-Identifier: BSD-2-Clause */
/* Between a vCPU and the emulator (decode/emul.h): registers and memory for it, and what its
 * results mean for the next entry. */
#include "arch/x86_64/hvm/mmio.h"

#include <cpuid.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm/backend.h"
#include "arch/x86_64/hvm/exits.h"
#include "arch/x86_64/hvm/xstate.h"
#include "base/format.h"
#include "mm/p2m.h"

static void get_segment(void *ctx, unsigned which, struct emul_segment *out)
{
    hvm_backend->get_segment(ctx, which, out);
}

static void set_segment(void *ctx, unsigned which, const struct emul_segment *in)
{
    hvm_backend->set_segment(ctx, which, in);
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
    return hvm_backend->load_cr3(ctx, cr3);
}

/* When the step or the turn is over, and before an interrupt that an element may have raised. */
static bool stop(void *ctx)
{
    const struct hvm_vcpu *v = ctx;

    return v->irq_check || hvm_must_leave(v, v->emul_begin_tsc);
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

void hvm_emul_begin(struct hvm_vcpu *v, struct emul *e)
{
    static bool has_tzcnt, has_lzcnt, known;

    if (!known) {
        known = true;
        has_tzcnt = cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & bit_BMI);
        has_lzcnt = cpuid(0x80000001, 0).ecx & bit_LZCNT;
    }
    v->emul_begin_tsc = rdtsc();
    e->ops = &ops;
    e->ctx = v;
    e->gpr = v->gpr;
    hvm_backend->load_emul(v, e);
    e->xcr0 = v->xcr0;
    e->phys_bits = (uint8_t)hvm_guest_phys_bits();
    e->has_tzcnt = has_tzcnt;
    e->has_lzcnt = has_lzcnt;
    emul_forget(e);
}

void hvm_emul_fault(struct hvm_vcpu *v, const struct emul_fault *f)
{
    if (f->vector == EXC_PF) {
        write_cr2(f->cr2); /* in no control block; the hypervisor takes no page faults */
    }
    hvm_backend->inject(v, f->vector, f->has_error, f->error);
}

/* An instruction, or an element of one, has ended: interrupts are open again, a single step traps.
 */
static void end_instruction(struct hvm_vcpu *v, const struct emul *e)
{
    uint32_t was = hvm_backend->get_blocking(v);
    uint32_t is = was & ~(HVM_BLOCKED_BY_STI | HVM_BLOCKED_BY_MOV_SS);

    is |= e->blocks_ss ? HVM_BLOCKED_BY_MOV_SS : 0;
    if (is != was) {
        hvm_backend->set_blocking(v, is);
    }
    if (e->single_step) {
        hvm_backend->step_pending(v);
    }
}

static void tell_once(struct hvm_vcpu *v, const struct emul *e, const struct hvm_access_info *a)
{
    char text[128];

    if (v->told_unemulated) {
        return;
    }
    v->told_unemulated = true;
    if (a->fetch) {
        format(text, sizeof(text), "executes outside its memory at rip %#llx: #UD",
               (unsigned long long)e->rip);
    } else {
        format(text, sizeof(text),
               "instruction at rip %#llx (%02x %02x %02x %02x) on device memory %#llx is not "
               "emulated: #UD",
               (unsigned long long)e->rip, e->bytes[0], e->bytes[1], e->bytes[2], e->bytes[3],
               (unsigned long long)a->gpa.a);
    }
    v->ops->warn(v->ctx, text);
}

/* #UD; but where the access failed for page tables that are nowhere, the #PF that it would be.
 * False: no frame to tell. */
static bool not_emulated(struct hvm_vcpu *v, struct emul *e, const struct hvm_access_info *a)
{
    struct emul_range r;

    if (!a->translated) {
        enum emul_result mapped = emul_map(e, a->linear, 1, e->cpl == 3 ? GWALK_USER : 0, &r);
        if (mapped == EMUL_NO_MEMORY) {
            return false;
        }
        if (mapped == EMUL_FAULT) {
            hvm_emul_fault(v, &e->fault);
            return true;
        }
    }
    if (!a->fetch) {
        v->unemulated++;
    }
    tell_once(v, e, a);
    hvm_backend->inject(v, EXC_UD, false, 0);
    return true;
}

/* The instruction is executed again, once there is memory. */
static bool wait_for_memory(struct hvm_vcpu *v, const struct hvm_access_info *a, enum hvm_exit *out)
{
    if (a->nmi_unblocked) {
        hvm_backend->set_blocking(v, hvm_backend->get_blocking(v) | HVM_BLOCKED_BY_NMI);
    }
    *out = HVM_EXIT_NO_MEMORY;
    return false;
}

bool hvm_emulate(struct hvm_vcpu *v, const struct hvm_access_info *a, enum hvm_exit *out)
{
    struct emul e;

    hvm_emul_begin(v, &e);
    enum emul_result r = emul_step(&e);

    /* A string instruction that failed has done the elements before. */
    hvm_backend->store_emul(v, &e);
    switch (r) {
    case EMUL_DONE:
        end_instruction(v, &e);
        break;
    case EMUL_AGAIN:
        end_instruction(v, &e);
        break;
    case EMUL_FAULT:
        hvm_emul_fault(v, &e.fault);
        break;
    case EMUL_NO_MEMORY:
        return wait_for_memory(v, a, out);
    case EMUL_UNKNOWN:
        if (!not_emulated(v, &e, a)) {
            return wait_for_memory(v, a, out);
        }
        break;
    }
    return true;
}
