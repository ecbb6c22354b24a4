/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MSR bitmap (SDM vol. 3, 25.6.9), one for all vCPUs. It lets through what belongs to the guest
 * while it runs: MSRs in the VMCS guest area, and those that hvm/xstate.c swaps with the vCPU.
 */
#include "arch/x86_64/vmx/vmx.h"
#include "base/string.h"

#define MSR_IA32_TSC 0x10u

static mfn_t bitmap;

mfn_t vmx_msr_bitmap(void)
{
    return bitmap;
}

enum status vmx_msr_bitmap_init(struct frames *f)
{
    static const uint32_t through[] = {
        MSR_IA32_FS_BASE,      MSR_IA32_GS_BASE,     MSR_IA32_KERNEL_GS_BASE,
        MSR_IA32_STAR,         MSR_IA32_LSTAR,       MSR_IA32_CSTAR,
        MSR_IA32_FMASK,        MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP,
        MSR_IA32_SYSENTER_EIP, MSR_IA32_PAT,
    };
    enum status s = frames_alloc(f, FRAME_HYP, &bitmap);

    if (s != OK) {
        return s;
    }
    uint8_t *map = frame_bytes(f, bitmap);
    memset(map, 0xff, PAGE_SIZE);
    for (unsigned i = 0; i < ARRAY_LEN(through); i++) {
        bool high = through[i] >= 0xc0000000u;
        uint32_t n = through[i] & 0x1fff;
        uint8_t *read = map + (high ? 1024 : 0), *write = read + 2048;
        read[n / 8] &= (uint8_t) ~(1u << n % 8);
        write[n / 8] &= (uint8_t) ~(1u << n % 8);
    }
    if (hvm_caps.has_rdtscp) {
        uint32_t n = MSR_IA32_TSC_AUX & 0x1fff;
        map[1024 + n / 8] &= (uint8_t) ~(1u << n % 8);
        map[3072 + n / 8] &= (uint8_t) ~(1u << n % 8);
    }
    /* IA32_TSC: RDMSR applies the TSC offset by itself (SDM vol. 3, 26.3). */
    map[MSR_IA32_TSC / 8] &= (uint8_t) ~(1u << MSR_IA32_TSC % 8);
    return OK;
}
