/* SPDX-License-Identifier: BSD-2-Clause */
/* Settles the VMX controls from the capability MSRs: SDM vol. 3, appendix A. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/vmx/vmx.h"
#include "base/log.h"

struct vmx_caps vmx_caps;

#define IA32_VMX_BASIC_TRUE_CONTROLS BIT(55)

/* IA32_VMX_EPT_VPID_CAP: SDM vol. 3, A.10. */
#define EPT_CAP_INVEPT BIT(20)
#define EPT_CAP_AD BIT(21)
#define EPT_CAP_INVEPT_SINGLE BIT(25)
#define VPID_CAP_INVVPID BIT(32)
#define VPID_CAP_INVVPID_SINGLE BIT(41)

struct control_bit {
    uint32_t bit;
    bool required;
    const char *name;
};

struct control_set {
    const char *name;
    uint32_t msr, true_msr;
    const struct control_bit *bits;
    unsigned n_bits;
    uint32_t must_be_clear; /* capability must allow 0 here: we rely on these not exiting */
    uint32_t *out;
};

static const struct control_bit pin_bits[] = {
    {PIN_EXTERNAL_INTERRUPT_EXITING, true, "external-interrupt exiting"},
    {PIN_NMI_EXITING, true, "NMI exiting"},
    {PIN_VIRTUAL_NMIS, true, "virtual NMIs"},
    {PIN_PREEMPTION_TIMER, false, "VMX-preemption timer"},
};

#define CPU_RDPMC_EXITING (1 << 11)

static const struct control_bit cpu_bits[] = {
    {CPU_USE_TSC_OFFSETTING, true, "use TSC offsetting"},
    {CPU_HLT_EXITING, true, "HLT exiting"},
    {CPU_MWAIT_EXITING, true, "MWAIT exiting"},
    {CPU_MONITOR_EXITING, true, "MONITOR exiting"},
    {CPU_RDPMC_EXITING, true, "RDPMC exiting"},
    {CPU_CR8_LOAD_EXITING, true, "CR8-load exiting"},
    {CPU_CR8_STORE_EXITING, true, "CR8-store exiting"},
    {CPU_UNCONDITIONAL_IO_EXITING, true, "unconditional I/O exiting"},
    {CPU_USE_MSR_BITMAPS, true, "use MSR bitmaps"},
    {CPU_ACTIVATE_SECONDARY_CONTROLS, true, "activate secondary controls"},
};

static const struct control_bit cpu2_bits[] = {
    {CPU2_ENABLE_EPT, true, "enable EPT"},
    {CPU2_UNRESTRICTED_GUEST, true, "unrestricted guest"},
    {CPU2_ENABLE_VPID, false, "enable VPID"},
    {CPU2_ENABLE_RDTSCP, false, "enable RDTSCP"},
    {CPU2_ENABLE_INVPCID, false, "enable INVPCID"},
    {CPU2_WBINVD_EXITING, false, "WBINVD exiting"},
    {CPU2_PAUSE_LOOP_EXITING, false, "PAUSE-loop exiting"},
};

static const struct control_bit exit_bits[] = {
    {EXIT_SAVE_DEBUG_CONTROLS, true, "save debug controls"},
    {EXIT_HOST_ADDRESS_SPACE_SIZE, true, "host address-space size"},
    {EXIT_SAVE_IA32_PAT, true, "save IA32_PAT"},
    {EXIT_LOAD_IA32_PAT, true, "load IA32_PAT"},
    {EXIT_SAVE_IA32_EFER, true, "save IA32_EFER"},
    {EXIT_LOAD_IA32_EFER, true, "load IA32_EFER"},
};

static const struct control_bit entry_bits[] = {
    {ENTRY_LOAD_DEBUG_CONTROLS, true, "load debug controls"},
    {ENTRY_IA32E_MODE_GUEST, true, "IA-32e mode guest"},
    {ENTRY_LOAD_IA32_PAT, true, "load IA32_PAT"},
    {ENTRY_LOAD_IA32_EFER, true, "load IA32_EFER"},
};

static enum status settle(const struct control_set *s, bool true_msrs)
{
    uint64_t cap = rdmsr(true_msrs ? s->true_msr : s->msr);
    uint32_t must = (uint32_t)cap, may = (uint32_t)(cap >> 32), want = 0;

    for (unsigned i = 0; i < s->n_bits; i++) {
        want |= s->bits[i].bit;
        if (s->bits[i].required && !(may & s->bits[i].bit)) {
            log_error("VT-x: this CPU lacks the %s control '%s', which Pagefold needs", s->name,
                      s->bits[i].name);
            return E_UNSUPPORTED;
        }
    }
    if (must & s->must_be_clear) {
        log_error("VT-x: this CPU forces %s controls %#x that Pagefold must leave off", s->name,
                  must & s->must_be_clear);
        return E_UNSUPPORTED;
    }
    *s->out = (want | must) & may;
    return OK;
}

static void read_ept_caps(struct vmx_caps *c)
{
    uint64_t ept = rdmsr(MSR_IA32_VMX_EPT_VPID_CAP);

    c->has_ad = ept & EPT_CAP_AD;
    c->has_invept_single = (ept & EPT_CAP_INVEPT) && (ept & EPT_CAP_INVEPT_SINGLE);
    if (!(ept & VPID_CAP_INVVPID) || !(ept & VPID_CAP_INVVPID_SINGLE)) {
        c->controls.cpu2 &= ~(uint32_t)CPU2_ENABLE_VPID;
    }
    c->has_vpid = c->controls.cpu2 & CPU2_ENABLE_VPID;
}

enum status vmx_caps_init(void)
{
    struct vmx_caps *c = &vmx_caps;
    uint64_t basic = rdmsr(MSR_IA32_VMX_BASIC);
    bool true_msrs = basic & IA32_VMX_BASIC_TRUE_CONTROLS;
    const struct control_set sets[] = {
        {"pin-based", MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PINBASED_CTLS, pin_bits,
         ARRAY_LEN(pin_bits), 0, &c->controls.pin},
        {"primary processor-based", MSR_IA32_VMX_PROCBASED_CTLS, MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
         cpu_bits, ARRAY_LEN(cpu_bits), CPU_CR3_LOAD_EXITING | CPU_CR3_STORE_EXITING,
         &c->controls.cpu},
        {"secondary processor-based", MSR_IA32_VMX_PROCBASED_CTLS2, MSR_IA32_VMX_PROCBASED_CTLS2,
         cpu2_bits, ARRAY_LEN(cpu2_bits), 0, &c->controls.cpu2},
        {"VM-exit", MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_TRUE_EXIT_CTLS, exit_bits,
         ARRAY_LEN(exit_bits), 0, &c->controls.exit},
        {"VM-entry", MSR_IA32_VMX_ENTRY_CTLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS, entry_bits,
         ARRAY_LEN(entry_bits), 0, &c->controls.entry},
    };

    c->revision = (uint32_t)basic & 0x7fffffff;
    for (unsigned i = 0; i < ARRAY_LEN(sets); i++) {
        enum status s = settle(&sets[i], true_msrs);
        if (s != OK) {
            return s;
        }
    }
    /* Set per vCPU as it goes: long mode is entered by the guest, the timer by its deadline. */
    c->controls.entry &= (uint32_t)~ENTRY_IA32E_MODE_GUEST;
    c->has_preempt = c->controls.pin & PIN_PREEMPTION_TIMER;
    c->preempt_shift = rdmsr(MSR_IA32_VMX_MISC) & 0x1f;
    c->cr0_must = rdmsr(MSR_IA32_VMX_CR0_FIXED0);
    c->cr0_may = rdmsr(MSR_IA32_VMX_CR0_FIXED1);
    c->cr4_must = rdmsr(MSR_IA32_VMX_CR4_FIXED0);
    c->cr4_may = rdmsr(MSR_IA32_VMX_CR4_FIXED1);
    read_ept_caps(c);
    hvm_caps.has_rdtscp = c->controls.cpu2 & CPU2_ENABLE_RDTSCP;
    hvm_caps.has_invpcid = c->controls.cpu2 & CPU2_ENABLE_INVPCID;
    hvm_caps.cr4_may = c->cr4_may;
    if (!c->has_invept_single) {
        log_error("VT-x: this CPU lacks single-context INVEPT, which Pagefold needs");
        return E_UNSUPPORTED;
    }
    log_info("VT-x: pin %#x primary %#x secondary %#x exit %#x entry %#x; EPT A/D bits %s, VPID "
             "%s, preemption timer %s",
             c->controls.pin, c->controls.cpu, c->controls.cpu2, c->controls.exit,
             c->controls.entry, c->has_ad ? "yes" : "no", c->has_vpid ? "yes" : "no",
             c->has_preempt ? "yes" : "no");
    return OK;
}
