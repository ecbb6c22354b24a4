/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory by the guest's own linear addresses, for the instructions that are emulated. */
#ifndef ARCH_VMX_MEM_H
#define ARCH_VMX_MEM_H

#include "arch/x86_64/vmx.h"

/* What a linear access came to. */
enum vmx_mem {
    VMX_MEM_OK,
    VMX_MEM_FAULT,     /* #PF or #GP was injected */
    VMX_MEM_NO_MEMORY, /* out of frames: try the instruction again later */
    VMX_MEM_NOT_RAM,   /* translated, but no RAM is there */
};

/* Reads or writes n bytes at a linear address with the guest's present privilege, across pages. */
enum vmx_mem vmx_mem_read(struct hvm_vcpu *v, uint64_t linear, void *to, unsigned n);
enum vmx_mem vmx_mem_write(struct hvm_vcpu *v, uint64_t linear, const void *from, unsigned n);
/* Makes sure that a vmx_mem_write of the same n (at most 8) bytes will succeed, or fails as it
 * would. */
enum vmx_mem vmx_mem_prepare_write(struct hvm_vcpu *v, uint64_t linear, unsigned n) MUST_CHECK;
/* Likewise at RIP, as an instruction fetch; *got may be less than n when a page ends there. */
enum vmx_mem vmx_mem_fetch(struct hvm_vcpu *v, void *to, unsigned n, unsigned *got);

/* Whether the guest executes 64-bit code: segments have no bases or limits then but FS and GS. */
bool vmx_in_64bit_code(void);

#endif
