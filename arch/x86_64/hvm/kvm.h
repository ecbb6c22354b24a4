/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of KVM's guest interface is spoken here (Linux, Documentation/virt/kvm/x86/cpuid.rst and
 * hypercalls.rst): the signature, the clock page, and an answer to its hypercalls.
 */
#ifndef ARCH_HVM_KVM_H
#define ARCH_HVM_KVM_H

#include "base/types.h"

#define KVM_SIGNATURE "KVMKVMKVM\0\0\0" /* 12 bytes in EBX, ECX, EDX of leaf 0x40000000 */
/* Leaf 0x40000001, EAX. */
#define KVM_FEATURE_NOP_IO_DELAY 0x2u
#define KVM_FEATURE_CLOCKSOURCE2 0x8u /* the clock page, by the MSRs of drivers/guest/pvclock.h */
#define KVM_FEATURE_CLOCKSOURCE_STABLE_BIT 0x1000000u

#define KVM_MSR_BASE 0x4b564d00u /* and 255 more */

#define KVM_EPERM 1
#define KVM_ENOSYS 1000

/* The result of a hypercall, for RAX: none is offered, and none is allowed outside ring 0. */
static inline int64_t kvm_hypercall(bool ring0)
{
    return ring0 ? -KVM_ENOSYS : -KVM_EPERM;
}

#endif
