/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator's callbacks for a rehearsal: see rehearsal.h. */
#include "arch/x86_64/decode/rehearsal.h"

#include "arch/x86_64/decode/emul_priv.h"
#include "base/string.h"

static void get_segment(void *ctx, unsigned which, struct emul_segment *out)
{
    *out = ((const struct rehearsal *)ctx)->segments[which];
}

static void set_segment(void *ctx, unsigned which, const struct emul_segment *in)
{
    ((struct rehearsal *)ctx)->segments[which] = *in;
}

static enum status ram_find(void *ctx, gpa_t at, bool write)
{
    const struct emul *real = ((const struct rehearsal *)ctx)->real;

    return real->ops->ram_find(real->ctx, at, write);
}

static enum status ram_read(void *ctx, gpa_t at, void *to, unsigned n)
{
    const struct emul *real = ((const struct rehearsal *)ctx)->real;

    return real->ops->ram_read(real->ctx, at, to, n);
}

static enum status ram_write(void *ctx, gpa_t at, const void *from, unsigned n)
{
    (void)from;
    (void)n;
    return ram_find(ctx, at, true);
}

static uint64_t device_read(void *ctx, gpa_t at, unsigned size)
{
    const struct emul *real = ((const struct rehearsal *)ctx)->real;

    return real->ops->device_read(real->ctx, at, size);
}

static void device_write(void *ctx, gpa_t at, unsigned size, uint64_t value)
{
    (void)ctx;
    (void)at;
    (void)size;
    (void)value;
}

/* Only whether PAE's four top entries can be read; the real load judges them. */
static enum status load_cr3(void *ctx, uint64_t cr3)
{
    const struct rehearsal *r = ctx;
    uint8_t pdptes[32];

    if (r->real->cr4 & CR4_PAE) {
        enum status s = ram_read(ctx, GPA(cr3 & 0xffffffe0u), pdptes, sizeof(pdptes));
        return s == E_NOMEM ? s : OK;
    }
    return OK;
}

static const struct emul_ops ops = {.get_segment = get_segment,
                                    .set_segment = set_segment,
                                    .ram_find = ram_find,
                                    .ram_read = ram_read,
                                    .ram_write = ram_write,
                                    .device_read = device_read,
                                    .device_write = device_write,
                                    .load_cr3 = load_cr3};

void rehearsal_begin(struct rehearsal *r, const struct emul *real)
{
    r->real = real;
    r->e = *real;
    r->e.ops = &ops;
    r->e.ctx = r;
    r->e.gpr = r->gpr;
    memcpy(r->gpr, real->gpr, sizeof(r->gpr));
    for (unsigned n = 0; n < SEG_ALL; n++) {
        real->ops->get_segment(real->ctx, n, &r->segments[n]);
    }
}
