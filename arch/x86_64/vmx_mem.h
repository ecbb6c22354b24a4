/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory, devices' included, by the guest's own linear addresses: for port I/O. */
#ifndef ARCH_VMX_MEM_H
#define ARCH_VMX_MEM_H

#include "arch/x86_64/vmx.h"

/* What a linear access came to. */
enum vmx_mem {
    VMX_MEM_OK,
    VMX_MEM_FAULT,     /* #PF or #GP was injected */
    VMX_MEM_NO_MEMORY, /* out of frames: try the instruction again later */
};

/* Reads or writes n bytes at a linear address with the guest's present privilege, across pages. */
enum vmx_mem vmx_mem_read(struct hvm_vcpu *v, uint64_t linear, void *to, unsigned n);
enum vmx_mem vmx_mem_write(struct hvm_vcpu *v, uint64_t linear, const void *from, unsigned n);
/* Makes sure that a vmx_mem_write of the same n (at most 8) bytes will succeed, or fails as it
 * would. */
enum vmx_mem vmx_mem_prepare_write(struct hvm_vcpu *v, uint64_t linear, unsigned n) MUST_CHECK;

#endif
