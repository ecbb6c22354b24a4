/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory by linear address: see vmx_mem.h. The emulator's way, for one access. */
#include "arch/x86_64/vmx_mem.h"

#include "arch/x86_64/vmx_emul.h"
#include "base/log.h"

static enum vmx_mem outcome(struct hvm_vcpu *v, const struct emul *e, enum emul_result r)
{
    if (r == EMUL_FAULT) {
        vmx_emul_fault(v, &e->fault);
        return VMX_MEM_FAULT;
    }
    return r == EMUL_DONE ? VMX_MEM_OK : VMX_MEM_NO_MEMORY;
}

static unsigned user(const struct emul *e)
{
    return e->cpl == 3 ? GWALK_USER : 0;
}

enum vmx_mem vmx_mem_read(struct hvm_vcpu *v, uint64_t linear, void *to, unsigned n)
{
    struct emul e;

    vmx_emul_begin(v, &e);
    return outcome(v, &e, emul_read(&e, linear, to, n, user(&e)));
}

enum vmx_mem vmx_mem_write(struct hvm_vcpu *v, uint64_t linear, const void *from, unsigned n)
{
    struct emul e;

    vmx_emul_begin(v, &e);
    return outcome(v, &e, emul_write(&e, linear, from, n, user(&e)));
}

enum vmx_mem vmx_mem_prepare_write(struct hvm_vcpu *v, uint64_t linear, unsigned n)
{
    struct emul_range r;
    struct emul e;

    ASSERT(n <= EMUL_RANGE_MAX);
    vmx_emul_begin(v, &e);
    return outcome(v, &e, emul_map(&e, linear, n, user(&e) | GWALK_WRITE, &r));
}
