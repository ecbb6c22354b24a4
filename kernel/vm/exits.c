/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM answers to its vCPUs' exits, and how its interrupts find the way back. */
#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "base/log.h"
#include "kernel/vm/internal.h"
#include "kernel/vm/wait_memory.h"

/* ---- interrupts: devices -> PIC or APIC -> vCPU -------------------------------------------- */

static void kick(struct vcpu *v)
{
    if (v->hvm) {
        hvm_irq_kick(v->hvm);
    }
    sched_wake(&v->sched);
}

static void pic_changed(void *ctx, bool intr)
{
    struct vm *vm = ctx;

    vioapic_set_intr(&vm->ioapic, intr);
    if (intr) {
        kick(&vm->vcpus[0]); /* the PIC is wired to the boot processor's LINT0 */
    }
}

static void set_line(void *ctx, unsigned line, bool level)
{
    struct vm *vm = ctx;

    vpic_set_line(&vm->pic, line, level);
    vioapic_set_line(&vm->ioapic, line, level);
}

static unsigned all_lapics(struct vm *vm, struct vlapic **out)
{
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        out[i] = &vm->vcpus[i].lapic;
    }
    return vm->n_vcpus;
}

static void message(void *ctx, uint64_t addr, uint32_t data)
{
    struct vm *vm = ctx;
    struct vlapic *apics[VM_VCPUS];

    vlapic_message(apics, all_lapics(vm, apics), addr, data);
}

static void ipi(void *ctx, struct vlapic *from, uint64_t icr)
{
    struct vcpu *v = ctx;
    struct vlapic *apics[VM_VCPUS];

    vlapic_route_ipi(apics, all_lapics(v->vm, apics), from, icr);
}

static void nmi(void *ctx)
{
    struct vcpu *v = ctx;

    hvm_nmi(v->hvm);
    sched_wake(&v->sched);
}

/* INIT to the only processor resets the machine, as a PC's chipset would turn it into one. */
static void init_signal(void *ctx)
{
    struct vcpu *v = ctx;

    vm_stop(v->vm, true, "INIT signal");
}

static void eoi(void *ctx, uint8_t vector)
{
    struct vcpu *v = ctx;

    vioapic_eoi(&v->vm->ioapic, vector);
}

/* Whether the PIC's INTR reaches this vCPU: by its LINT0, or through the I/O APIC. */
static bool hears_pic(const struct vcpu *v)
{
    uint32_t dest;
    bool logical;

    return (v->sched.id == 0 && vlapic_accepts_extint(&v->lapic)) ||
           (vioapic_passes_intr(&v->vm->ioapic, &dest, &logical) &&
            vlapic_matches(&v->lapic, dest, logical));
}

static void lapic_changed(void *ctx)
{
    struct vcpu *v = ctx;

    if (vlapic_highest(&v->lapic) >= 0 || hears_pic(v)) {
        kick(v);
    }
}

static uint64_t tsc_to_ns(void *ctx, uint64_t tsc)
{
    struct vcpu *v = ctx;
    uint64_t guest_now = hvm_guest_tsc(v->hvm), now_ns = clock_now_ns();

    if ((int64_t)(tsc - guest_now) <= 0) {
        return now_ns;
    }
    /* Rounded up: a timer must not fire before the guest's clock shows its deadline. */
    uint64_t wait = clock_ticks_to_ns(tsc - guest_now) + 1;
    return wait < TIMER_NEVER - now_ns ? now_ns + wait : TIMER_NEVER;
}

static const struct vlapic_ops vlapic_ops = {
    .ipi = ipi,
    .nmi = nmi,
    .init = init_signal,
    .eoi = eoi,
    .changed = lapic_changed,
    .tsc_to_ns = tsc_to_ns,
};

void vm_irq_init(struct vm *vm)
{
    vm->irq = (struct irq_sink){.set_line = set_line, .message = message, .ctx = vm};
    vpic_init(&vm->pic, pic_changed, vm);
    vioapic_init(&vm->ioapic, &vm->irq);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        struct vcpu *v = &vm->vcpus[i];
        vlapic_init(&v->lapic, i, &vlapic_ops, v, &vm->sched.timers, hvm_apic_bus_hz(), i == 0);
        if (i == 0) {
            vlapic_virtual_wire(&v->lapic);
        }
    }
}

static bool extint(const struct vcpu *v)
{
    return vpic_pending(&v->vm->pic) && hears_pic(v);
}

static bool op_irq_pending(void *ctx)
{
    const struct vcpu *v = ctx;

    return vlapic_highest(&v->lapic) >= 0 || extint(v);
}

static int op_irq_ack(void *ctx)
{
    struct vcpu *v = ctx;

    if (extint(v)) {
        return vpic_ack(&v->vm->pic);
    }
    int vector = vlapic_highest(&v->lapic);
    if (vector >= 0) {
        vlapic_ack(&v->lapic, (unsigned)vector);
    }
    return vector;
}

/* ---- accesses -------------------------------------------------------------------------------
 * A device may have armed a timer or have work for the loop: both are looked at afterwards. */

/* Interrupts that a device raises kick the vCPU by themselves; see kick's callers. */
static void after_access(struct vcpu *v)
{
    sched_timers_changed();
    if (v->vm->device_work || v->vm->state != VM_RUN) {
        hvm_request_exit(v->hvm);
    }
}

/* An access to the local APIC may also have let through what it held back: by a lower priority, an
 * end of interrupt, a wire that is no longer masked. */
static void after_apic_access(struct vcpu *v)
{
    hvm_irq_kick(v->hvm);
    after_access(v);
}

static uint64_t op_pio_read(void *ctx, uint16_t port, unsigned size)
{
    struct vcpu *v = ctx;
    uint64_t value = iobus_read(&v->vm->pio, port, size);

    after_access(v);
    return value;
}

static void op_pio_write(void *ctx, uint16_t port, unsigned size, uint64_t value)
{
    struct vcpu *v = ctx;

    iobus_write(&v->vm->pio, port, size, value);
    after_access(v);
}

static uint64_t op_mmio_read(void *ctx, gpa_t addr, unsigned size)
{
    struct vcpu *v = ctx;
    uint64_t value;

    if (vlapic_claims(&v->lapic, addr.a)) {
        value = vlapic_mmio_read(&v->lapic, addr.a & PAGE_MASK, size);
        after_apic_access(v);
    } else {
        value = iobus_read(&v->vm->mmio, addr.a, size);
        after_access(v);
    }
    return value;
}

static void op_mmio_write(void *ctx, gpa_t addr, unsigned size, uint64_t value)
{
    struct vcpu *v = ctx;

    if (vlapic_claims(&v->lapic, addr.a)) {
        vlapic_mmio_write(&v->lapic, addr.a & PAGE_MASK, size, value);
        after_apic_access(v);
    } else {
        iobus_write(&v->vm->mmio, addr.a, size, value);
        after_access(v);
    }
}

static enum status op_apic_msr_read(void *ctx, uint32_t msr, uint64_t *value)
{
    struct vcpu *v = ctx;

    return vlapic_msr_read(&v->lapic, msr, value);
}

static enum status op_apic_msr_write(void *ctx, uint32_t msr, uint64_t value)
{
    struct vcpu *v = ctx;
    enum status s = vlapic_msr_write(&v->lapic, msr, value);

    after_apic_access(v);
    return s;
}

static enum status op_pv_msr_read(void *ctx, uint32_t msr, uint64_t *value)
{
    const struct vcpu *v = ctx;

    return pvclock_msr_read(&v->vm->clock.pv, msr, value);
}

static enum status op_pv_msr_write(void *ctx, uint32_t msr, uint64_t value)
{
    struct vcpu *v = ctx;

    return pvclock_msr_write(&v->vm->clock.pv, msr, value);
}

static void op_tsc_moved(void *ctx, uint64_t by)
{
    struct vcpu *v = ctx;

    pvclock_tsc_moved(&v->vm->clock.pv, by);
    vlapic_tsc_moved(&v->lapic);
    after_apic_access(v);
}

static uint8_t op_get_cr8(void *ctx)
{
    const struct vcpu *v = ctx;

    return vlapic_cr8_read(&v->lapic);
}

static void op_set_cr8(void *ctx, uint8_t value)
{
    struct vcpu *v = ctx;

    vlapic_cr8_write(&v->lapic, value);
}

/* ---- when hvm_run is over -------------------------------------------------------------------- */

void vm_exited(struct sched_vcpu *sv, enum hvm_exit why)
{
    struct vcpu *v = container_of(sv, struct vcpu, sched);
    struct vm *vm = v->vm;

    if (why != HVM_EXIT_HALT) {
        vm_dead_ran(vm);
    }
    switch (why) {
    case HVM_EXIT_DEADLINE:
    case HVM_EXIT_WORK:
    case HVM_EXIT_PAUSE:
        break;
    case HVM_EXIT_HALT:
        if (hvm_halt_is_final(v->hvm)) {
            vm_dead_halted(vm);
        }
        break;
    case HVM_EXIT_NO_MEMORY:
        vm_wait_for_memory(vm);
        break;
    case HVM_EXIT_SHUTDOWN:
        log_warn("%s: triple fault; the VM is reset", vm->config->name);
        vm_stop(vm, true, "triple fault");
        break;
    case HVM_EXIT_CRASH:
        log_error("%s: stopped: %s", vm->config->name, hvm_crash_reason(v->hvm));
        hvm_dump(v->hvm);
        vm_stop(vm, false, hvm_crash_reason(v->hvm));
        break;
    }
}

/* ---- what it has to say ---------------------------------------------------------------------- */

static void op_warn(void *ctx, const char *text)
{
    const struct vcpu *v = ctx;

    log_warn("%s: %s", v->vm->config->name, text);
}

static void op_note(void *ctx, const char *text)
{
    const struct vcpu *v = ctx;

    /* Not as a line about the VM: it would count against those that tell more of it. */
    log_info("VM %s: %s", v->vm->config->name, text);
}

const struct hvm_ops vm_hvm_ops = {
    .pio_read = op_pio_read,
    .pio_write = op_pio_write,
    .mmio_read = op_mmio_read,
    .mmio_write = op_mmio_write,
    .apic_msr_read = op_apic_msr_read,
    .apic_msr_write = op_apic_msr_write,
    .pv_msr_read = op_pv_msr_read,
    .pv_msr_write = op_pv_msr_write,
    .tsc_moved = op_tsc_moved,
    .get_cr8 = op_get_cr8,
    .set_cr8 = op_set_cr8,
    .irq_pending = op_irq_pending,
    .irq_ack = op_irq_ack,
    .warn = op_warn,
    .note = op_note,
};
