/* SPDX-License-Identifier: BSD-2-Clause */
/* VT-x on, and a vCPU's VMCS from nothing. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm/exits.h"
#include "arch/x86_64/hvm/xstate.h"
#include "arch/x86_64/vmx/vmx.h"
#include "base/log.h"
#include "base/string.h"

extern char vmx_exit_stub[];

static uint16_t next_vpid = 1; /* the machine's: a vCPU keeps its tag on every CPU */

static bool vmx_op_failed(const char *op, uint64_t pa)
{
    log_error("VT-x: %s of %#llx failed", op, (unsigned long long)pa);
    return true;
}

static bool vmxon(uint64_t pa)
{
    bool fail;
    __asm__ volatile("vmxon %1" : "=@ccbe"(fail) : "m"(pa) : "memory");
    return !fail || !vmx_op_failed("VMXON", pa);
}

enum status hvm_init(struct frames *f)
{
    mfn_t on;
    enum status s = vmx_caps_init();
    if (s != OK) {
        return s;
    }
    s = vmx_msr_bitmap_init(f);
    if (s != OK) {
        return s;
    }
    s = frames_alloc(f, FRAME_HYP, &on);
    if (s != OK) {
        log_error("VT-x: no frame for the VMXON region");
        return s;
    }
    memset(frame_bytes(f, on), 0, PAGE_SIZE);
    store_le32(frame_bytes(f, on), vmx_caps.revision);

    /* Unlocked IA32_FEATURE_CONTROL is ours to set and lock; a locked-off one was refused before.
     */
    uint64_t fc = rdmsr(MSR_IA32_FEATURE_CONTROL);
    if (!(fc & FEATURE_CONTROL_LOCK)) {
        wrmsr(MSR_IA32_FEATURE_CONTROL,
              fc | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
    }
    write_cr0((read_cr0() | vmx_caps.cr0_must) & vmx_caps.cr0_may);
    write_cr4((read_cr4() | CR4_VMXE | vmx_caps.cr4_must) & vmx_caps.cr4_may);
    if (!vmxon(mfn_to_hpa(on).a)) {
        frames_free(f, on);
        return E_UNSUPPORTED;
    }
    this_cpu(vmx_cpu)->vmxon = on;
    xstate_init_machine();
    hvm_cpuid_init();
    vmx_caps.cr4_owned = ~hvm_guest_cr4_bits() | CR4_VMXE | CR4_MCE;
    hvm_backend = &vmx_backend;
    return OK;
}

size_t hvm_vcpu_bytes(void)
{
    return sizeof(struct vmx_vcpu);
}

/* The base of the running TSS, out of its 16-byte descriptor (SDM vol. 3, 8.2.3). */
static uint64_t tss_base(uint64_t gdt, uint16_t tr)
{
    const uint8_t *d = (const uint8_t *)(gdt + (tr & 0xfff8u)); /* NOLINT: an address by design */
    return (load_le64(d) >> 16 & 0xffffff) | (uint64_t)d[7] << 24 |
           (uint64_t)load_le32(d + 8) << 32;
}

static void vmcs_init_host(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdtr, idtr;
    uint16_t cs, ss, tr;

    __asm__ volatile("sgdt %0" : "=m"(gdtr));
    __asm__ volatile("sidt %0" : "=m"(idtr));
    __asm__ volatile("mov %%cs, %0; mov %%ss, %1; str %2" : "=r"(cs), "=r"(ss), "=r"(tr));
    vmcs_write(HOST_CS_SELECTOR, cs);
    vmcs_write(HOST_SS_SELECTOR, ss & 0xf8u);
    vmcs_write(HOST_DS_SELECTOR, 0);
    vmcs_write(HOST_ES_SELECTOR, 0);
    vmcs_write(HOST_FS_SELECTOR, 0);
    vmcs_write(HOST_GS_SELECTOR, 0);
    vmcs_write(HOST_TR_SELECTOR, tr);
    vmcs_write(HOST_FS_BASE, rdmsr(MSR_IA32_FS_BASE));
    vmcs_write(HOST_GS_BASE, rdmsr(MSR_IA32_GS_BASE));
    vmcs_write(HOST_TR_BASE, tss_base(gdtr.base, tr));
    vmcs_write(HOST_GDTR_BASE, gdtr.base);
    vmcs_write(HOST_IDTR_BASE, idtr.base);
    vmcs_write(HOST_CR0, read_cr0());
    vmcs_write(HOST_CR3, read_cr3());
    vmcs_write(HOST_CR4, read_cr4());
    vmcs_write(HOST_IA32_EFER, rdmsr(MSR_IA32_EFER));
    vmcs_write(HOST_IA32_PAT, rdmsr(MSR_IA32_PAT));
    vmcs_write(HOST_IA32_SYSENTER_CS, 0);
    vmcs_write(HOST_IA32_SYSENTER_ESP, 0);
    vmcs_write(HOST_IA32_SYSENTER_EIP, 0);
    vmcs_write(HOST_RIP, (uint64_t)vmx_exit_stub);
}

static void vmcs_init_controls(struct hvm_vcpu *v)
{
    const struct vmx_controls *c = &vmx_caps.controls;

    to_vmx(v)->cpu_controls = c->cpu;
    vmcs_write(PIN_BASED_VM_EXECUTION_CONTROL, c->pin);
    vmcs_write(PRIMARY_VM_EXECUTION_CONTROL, c->cpu);
    vmcs_write(SECONDARY_VM_EXECUTION_CONTROL, c->cpu2);
    vmcs_write(VM_EXIT_CONTROLS, c->exit);
    vmcs_write(VM_ENTRY_CONTROLS, c->entry);
    /* #MC is the machine's, not the guest's. #DB and #AC can be made to raise themselves while they
     * are delivered, in a loop that no interrupt and no timer ends: they go by way of us. */
    vmcs_write(EXCEPTION_BITMAP, BIT32(EXC_MC) | BIT32(EXC_DB) | BIT32(EXC_AC));
    vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
    vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
    vmcs_write(CR3_TARGET_COUNT, 0);
    vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
    vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
    vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
    vmcs_write(VM_ENTRY_INTERRUPTION_INFO, 0);
    vmcs_write(MSR_BITMAP, mfn_to_hpa(vmx_msr_bitmap()).a);
    vmcs_write(TSC_OFFSET, v->tsc_offset);
    vmcs_write(EPT_POINTER, ept_pointer(v->space));
    if (c->cpu2 & CPU2_ENABLE_VPID) {
        vmcs_write(VIRTUAL_PROCESSOR_ID, to_vmx(v)->vpid);
    }
    if (c->cpu2 & CPU2_PAUSE_LOOP_EXITING) {
        vmcs_write(PLE_GAP, 128);
        vmcs_write(PLE_WINDOW, 4096);
    }
    vmcs_write(VMCS_LINK_POINTER, UINT64_MAX);
    /* Guest CR0 bits that VMX fixes and the guest must not see: SDM vol. 3, 24.8. */
    vmcs_write(CR0_GUEST_HOST_MASK, VMX_CR0_OWNED);
    vmcs_write(CR4_GUEST_HOST_MASK, vmx_caps.cr4_owned);
}

static void vmcs_init(struct hvm_vcpu *v)
{
    vmcs_init_controls(v);
    vmcs_init_host();
    for (unsigned i = 0; i < 4; i++) {
        vmcs_write((enum vmcs_field)(GUEST_PDPTE0 + 2 * i), 0);
    }
    vmcs_write(GUEST_IA32_DEBUGCTL, 0);
    vmcs_write(GUEST_IA32_PAT, UINT64_C(0x0007040600070406)); /* reset value, SDM vol. 3, 12.12.4 */
    vmcs_write(GUEST_DR7, 0x400);
    vmcs_write(GUEST_INTERRUPTIBILITY_STATE, 0);
    vmcs_write(GUEST_ACTIVITY_STATE, 0);
    vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
    vmcs_write(GUEST_IA32_SYSENTER_CS, 0);
    vmcs_write(GUEST_IA32_SYSENTER_ESP, 0);
    vmcs_write(GUEST_IA32_SYSENTER_EIP, 0);
}

enum status hvm_vcpu_init(struct hvm_vcpu *v, struct hvm_space *space, struct p2m *p2m,
                          const struct hvm_ops *ops, void *ctx, unsigned vcpu_id)
{
    struct vmx_vcpu *x = to_vmx(v);
    struct frames *f = p2m->frames;
    enum status s;

    memset(x, 0, sizeof(*x));
    v->space = space;
    v->p2m = p2m;
    v->frames = f;
    v->ops = ops;
    v->ctx = ctx;
    v->id = vcpu_id;
    v->dr6 = 0xffff0ff0;
    guest_msrs_reset(&v->msrs, hvm_guest_phys_bits(), HVM_DEVICE_HOLE);
    s = frames_alloc(f, FRAME_HYP, &x->vmcs);
    if (s != OK) {
        return s;
    }
    s = frames_alloc(f, FRAME_HYP, &v->xsave);
    if (s != OK) {
        frames_free(f, x->vmcs);
        return s;
    }
    if (++next_vpid == 0) {
        next_vpid = 1; /* 0 is the host's; reuse is safe after the flush in vmx_make_current */
    }
    x->vpid = next_vpid;
    v->tsc_offset = (uint64_t) - (int64_t)rdtsc();
    v->irq_check = true;
    memset(frame_bytes(f, x->vmcs), 0, PAGE_SIZE);
    store_le32(frame_bytes(f, x->vmcs), vmx_caps.revision);
    xstate_reset(v);
    vmx_vmclear(mfn_to_hpa(x->vmcs).a);
    vmx_make_current(v);
    vmx_flush_vpid(v); /* a VPID used before may have left translations */
    space->stale = true;
    vmcs_init(v);
    return OK;
}

unsigned hvm_vcpu_frames(void)
{
    return 2; /* VMCS and XSAVE area */
}

void hvm_vcpu_fini(struct hvm_vcpu *v)
{
    vmx_forget(v);
    frames_free(v->frames, to_vmx(v)->vmcs);
    frames_free(v->frames, v->xsave);
}
