/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory by linear address: see vmx_mem.h. */
#include "arch/x86_64/vmx_mem.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/decode/gwalk.h"
#include "base/log.h"
#include "mm/p2m.h"

static enum status read_table(void *ctx, gpa_t at, void *to, unsigned n)
{
    struct hvm_vcpu *v = ctx;

    return p2m_read(v->p2m, at, to, n);
}

bool vmx_in_64bit_code(void)
{
    return (vmcs_read(GUEST_CS_ACCESS_RIGHTS) & BIT(13)) && (vmcs_read(GUEST_IA32_EFER) & EFER_LMA);
}

static bool canonical(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear; /* no LA57 in guests */
}

/* E_FAULT: a page fault with *error, which the caller injects if it wants to. */
static enum status walk(struct hvm_vcpu *v, uint64_t linear, unsigned access, gpa_t *gpa,
                        uint32_t *error)
{
    const struct gwalk_mode mode = {
        .cr0 = vmcs_read(GUEST_CR0),
        .cr3 = vmcs_read(GUEST_CR3),
        .cr4 = vmcs_read(GUEST_CR4),
        .efer = vmcs_read(GUEST_IA32_EFER),
        .ac = vmcs_read(GUEST_RFLAGS) & RFLAGS_AC,
    };
    const struct gwalk_reader reader = {read_table, v};

    /* The privilege level is SS's DPL: SDM vol. 3, 25.4.1. */
    if ((vmcs_read(GUEST_SS_ACCESS_RIGHTS) >> 5 & 3) == 3) {
        access |= GWALK_USER;
    }
    return gwalk(&mode, &reader, linear, access, gpa, error);
}

static enum vmx_mem translate(struct hvm_vcpu *v, uint64_t linear, unsigned access, gpa_t *gpa)
{
    uint32_t error = 0;

    switch (walk(v, linear, access, gpa, &error)) {
    case OK:
        return VMX_MEM_OK;
    case E_FAULT:
        /* Delivered like any exception; CR2 is not in the VMCS and the host does not fault. */
        write_cr2(linear);
        vmx_inject(v, VEC_PF, true, error);
        return VMX_MEM_FAULT;
    case E_NOMEM:
        return VMX_MEM_NO_MEMORY;
    default:
        if (!canonical(linear) && (vmcs_read(GUEST_IA32_EFER) & EFER_LMA)) {
            vmx_inject(v, VEC_GP, true, 0);
            return VMX_MEM_FAULT;
        }
        return VMX_MEM_NOT_RAM;
    }
}

static enum vmx_mem from_status(enum status s)
{
    return s == OK ? VMX_MEM_OK : s == E_NOMEM ? VMX_MEM_NO_MEMORY : VMX_MEM_NOT_RAM;
}

/* Goes over [linear, linear + n) page by page: reads into `to`, then writes from `from`, where they
 * are not NULL. */
static enum vmx_mem over_pages(struct hvm_vcpu *v, uint64_t linear, unsigned n, uint8_t *to,
                               const uint8_t *from)
{
    for (unsigned done = 0, part; done < n; done += part) {
        uint64_t at = linear + done;
        gpa_t gpa;
        enum vmx_mem m = translate(v, at, from ? GWALK_WRITE : 0, &gpa);

        part = MIN(n - done, (unsigned)(PAGE_SIZE - (at & PAGE_MASK)));
        if (m == VMX_MEM_OK && to) {
            m = from_status(p2m_read(v->p2m, gpa, to + done, part));
        }
        if (m == VMX_MEM_OK && from) {
            m = from_status(p2m_write(v->p2m, gpa, from + done, part));
        }
        if (m != VMX_MEM_OK) {
            return m;
        }
    }
    return VMX_MEM_OK;
}

enum vmx_mem vmx_mem_read(struct hvm_vcpu *v, uint64_t linear, void *to, unsigned n)
{
    return over_pages(v, linear, n, to, NULL);
}

enum vmx_mem vmx_mem_write(struct hvm_vcpu *v, uint64_t linear, const void *from, unsigned n)
{
    return over_pages(v, linear, n, NULL, from);
}

enum vmx_mem vmx_mem_prepare_write(struct hvm_vcpu *v, uint64_t linear, unsigned n)
{
    uint8_t bytes[8] = {0};

    ASSERT(n <= sizeof(bytes));
    /* Written with what is there: sharing is broken now, so the write to come needs no frame. */
    return over_pages(v, linear, n, bytes, bytes);
}

enum vmx_mem vmx_mem_fetch(struct hvm_vcpu *v, void *to, unsigned n, unsigned *got)
{
    uint64_t linear = vmcs_read(GUEST_RIP);
    uint8_t *p = to;

    if (!vmx_in_64bit_code()) {
        linear = (uint32_t)(linear + vmcs_read(GUEST_CS_BASE));
    }
    *got = 0;
    while (*got < n) {
        unsigned part = MIN(n - *got, (unsigned)(PAGE_SIZE - (linear & PAGE_MASK)));
        gpa_t gpa;
        enum vmx_mem m;
        if (*got > 0) {
            /* The next page counts only if the instruction reaches it; its own fetch succeeded, so
             * a fault there means that it does not. Ask without injecting. */
            uint32_t error;
            if (walk(v, linear, GWALK_FETCH, &gpa, &error) != OK) {
                return VMX_MEM_OK;
            }
            m = VMX_MEM_OK;
        } else {
            m = translate(v, linear, GWALK_FETCH, &gpa);
        }
        if (m == VMX_MEM_OK) {
            m = from_status(p2m_read(v->p2m, gpa, p + *got, part));
        }
        if (m != VMX_MEM_OK) {
            return *got > 0 && m != VMX_MEM_NO_MEMORY ? VMX_MEM_OK : m;
        }
        linear += part;
        *got += part;
    }
    return VMX_MEM_OK;
}
