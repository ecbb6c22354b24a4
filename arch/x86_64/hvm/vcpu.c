/* SPDX-License-Identifier: BSD-2-Clause */
/* What a vCPU's owner asks and tells it, where no register of the guest is needed for that. */
#include "arch/x86_64/hvm/vcpu.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/hvm/backend.h"
#include "base/deadline.h"
#include "base/format.h"

struct hvm_caps hvm_caps;
const struct hvm_backend *hvm_backend;

bool hvm_crash(struct hvm_vcpu *v, enum hvm_exit *out, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    format_va(v->reason, sizeof(v->reason), fmt, ap);
    va_end(ap);
    v->broken = true;
    *out = HVM_EXIT_CRASH;
    return false;
}

bool hvm_must_leave(const struct hvm_vcpu *v, uint64_t begin_tsc)
{
    uint64_t now = rdtsc();

    return v->yield || now >= *v->deadline_tsc || now - begin_tsc >= clock_ns_to_ticks(STEP_MAX_NS);
}

void hvm_request_exit(struct hvm_vcpu *v)
{
    v->yield = true;
}

bool hvm_hears_irqs(const struct hvm_vcpu *v)
{
    return !v->halted || v->halt_irqs;
}

bool hvm_can_wake(const struct hvm_vcpu *v)
{
    return !v->halted || (v->halt_nmis && v->nmi_pending) ||
           (v->halt_irqs && v->ops->irq_pending(v->ctx));
}

void hvm_irq_kick(struct hvm_vcpu *v)
{
    v->irq_check = true;
}

void hvm_nmi(struct hvm_vcpu *v)
{
    v->nmi_pending = true;
    v->irq_check = true;
}

const char *hvm_crash_reason(const struct hvm_vcpu *v)
{
    return v->reason;
}

const uint64_t *hvm_counts(const struct hvm_vcpu *v)
{
    return v->counts;
}

uint64_t hvm_unemulated(const struct hvm_vcpu *v)
{
    return v->unemulated;
}

uint64_t hvm_longest_exit(const struct hvm_vcpu *v)
{
    return v->longest_exit;
}

uint64_t hvm_guest_tsc(const struct hvm_vcpu *v)
{
    return rdtsc() + v->tsc_offset;
}
