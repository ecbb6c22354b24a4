/* SPDX-License-Identifier: BSD-2-Clause */
/* Port I/O: IN and OUT at once, INS and OUTS an element at a time with the guest's page tables. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm/backend.h"
#include "arch/x86_64/hvm/exits.h"
#include "arch/x86_64/hvm/mmio.h"

static uint64_t size_mask(unsigned size)
{
    return size == 4 ? UINT32_MAX : BIT(8 * size) - 1;
}

static void plain(struct hvm_vcpu *v, const struct hvm_pio_info *q)
{
    uint64_t mask = size_mask(q->size);

    if (!q->in) {
        v->ops->pio_write(v->ctx, q->port, q->size, v->gpr[RAX] & mask);
        return;
    }
    uint64_t value = v->ops->pio_read(v->ctx, q->port, q->size) & mask;
    /* A 32-bit result clears the upper half, smaller ones leave it. */
    v->gpr[RAX] = q->size == 4 ? value : (v->gpr[RAX] & ~mask) | value;
}

/* The next element. The memory must allow it before the device is read or written: that may have an
 * effect. */
static enum emul_result element(struct hvm_vcpu *v, const struct hvm_pio_info *q, uint64_t offset)
{
    struct emul_range r;
    struct emul e;
    uint8_t bytes[8] = {0};

    hvm_emul_begin(v, &e);
    enum emul_result result = emul_map_at(&e, q->segment, offset, q->size, q->in, &r);
    if (result == EMUL_DONE && q->in) {
        store_le64(bytes, v->ops->pio_read(v->ctx, q->port, q->size));
        result = emul_put(&e, &r, bytes);
    } else if (result == EMUL_DONE) {
        result = emul_get(&e, &r, bytes);
        if (result == EMUL_DONE) {
            v->ops->pio_write(v->ctx, q->port, q->size, load_le64(bytes));
        }
    }
    if (result == EMUL_FAULT) {
        hvm_emul_fault(v, &e.fault);
    }
    return result;
}

/* As much of it as there is time for. It exits again for the rest, so that a long one neither holds
 * up the host nor loses an interrupt. */
bool hvm_exit_pio_string(struct hvm_vcpu *v, const struct hvm_pio_info *q, enum hvm_exit *out)
{
    uint64_t mask = emul_address_mask(q->address_size);
    unsigned index = q->in ? RDI : RSI;
    uint64_t step =
        (hvm_backend->get_reg(v, HVM_RFLAGS) & RFLAGS_DF) ? (uint64_t) - (int64_t)q->size : q->size;
    uint64_t left = q->rep ? v->gpr[RCX] & mask : 1, begin = rdtsc();

    v->counts[HVM_N_IO]++;
    while (left > 0) {
        switch (element(v, q, v->gpr[index] & mask)) {
        case EMUL_DONE:
            break;
        case EMUL_FAULT:
            return true; /* with RCX and the index as far as it came */
        default:
            return hvm_backend->retry(v, HVM_EXIT_NO_MEMORY, out);
        }
        left--;
        emul_reg_add(&v->gpr[index], step, q->address_size);
        if (q->rep) {
            emul_reg_add(&v->gpr[RCX], UINT64_MAX, q->address_size);
        }
        if (left > 0 && hvm_backend->end_element(v)) {
            return true;
        }
        if (left > 0 && hvm_must_leave(v, begin)) {
            return hvm_backend->retry(v, HVM_EXIT_WORK, out);
        }
    }
    if (left == 0) {
        hvm_backend->advance(v);
    }
    return true;
}

bool hvm_exit_pio(struct hvm_vcpu *v, const struct hvm_pio_info *q, enum hvm_exit *out)
{
    (void)out;
    v->counts[HVM_N_IO]++;
    plain(v, q);
    hvm_backend->advance(v);
    return true;
}
