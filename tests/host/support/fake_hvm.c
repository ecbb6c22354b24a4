/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rest of arch/x86_64/hvm/hvm.h for whole VMs on the host, beside what fake_machine.c has of
 * it: address spaces over the fake map of fake_p2m.h, and vCPUs that take frames.
 */
#include <string.h>

#include "base/log.h"
#include "fake_machine.h"
#include "fake_p2m.h"

#define SPACE_PAGES 4096u /* guest frames that can be mapped: 16 MiB */

struct hvm_space {
    struct fake_map map; /* first: it is what fake_map_ops gets */
    mfn_t root;
};

size_t hvm_space_bytes(void)
{
    return sizeof(struct hvm_space);
}

enum status hvm_space_init(struct hvm_space *s, struct frames *f)
{
    enum status st = frames_alloc(f, FRAME_HYP, &s->root);

    if (st == OK) {
        fake_map_init(&s->map, f, SPACE_PAGES);
    }
    return st;
}

void hvm_space_fini(struct hvm_space *s)
{
    frames_free(s->map.frames, s->root);
    fake_map_fini(&s->map);
}

bool hvm_space_trim(struct hvm_space *s, const struct deadline *d)
{
    (void)s;
    (void)d;
    return false;
}

const struct p2m_ops *hvm_space_ops(void)
{
    return &fake_map_ops;
}

uint64_t hvm_space_tables(const struct hvm_space *s)
{
    (void)s;
    return 1;
}

size_t hvm_vcpu_bytes(void)
{
    return sizeof(struct hvm_vcpu);
}

unsigned hvm_vcpu_frames(void)
{
    return sizeof(((struct hvm_vcpu *)NULL)->frames) / sizeof(mfn_t);
}

enum status hvm_vcpu_init(struct hvm_vcpu *v, struct hvm_space *space, struct p2m *p2m,
                          const struct hvm_ops *ops, void *ctx, unsigned vcpu_id)
{
    (void)space;
    (void)vcpu_id;
    memset(v, 0, sizeof(*v));
    for (unsigned i = 0; i < hvm_vcpu_frames(); i++) {
        enum status s = frames_alloc(p2m->frames, FRAME_HYP, &v->frames[i]);
        if (s != OK) {
            while (i > 0) {
                frames_free(p2m->frames, v->frames[--i]);
            }
            return s;
        }
    }
    v->ops = ops;
    v->ctx = ctx;
    v->p2m = p2m;
    v->left_ns = UINT64_MAX;
    v->least_ns = UINT64_MAX;
    v->then = HVM_EXIT_HALT;
    return OK;
}

void hvm_vcpu_fini(struct hvm_vcpu *v)
{
    for (unsigned i = 0; i < hvm_vcpu_frames(); i++) {
        frames_free(v->p2m->frames, v->frames[i]);
    }
    v->program = NULL;
}

void hvm_vcpu_boot64(struct hvm_vcpu *v, const struct hvm_boot64 *b)
{
    v->rip = b->rip;
}

void hvm_vcpu_boot32(struct hvm_vcpu *v, const struct hvm_boot32 *b)
{
    v->rip = b->rip;
}

void hvm_irq_kick(struct hvm_vcpu *v)
{
    v->irq = v->ops && v->ops->irq_pending(v->ctx);
}

void hvm_nmi(struct hvm_vcpu *v)
{
    v->irq = true;
}

bool hvm_halt_is_final(struct hvm_vcpu *v)
{
    return v->deaf;
}

const char *hvm_crash_reason(const struct hvm_vcpu *v)
{
    (void)v;
    return "the test broke it";
}

const uint64_t *hvm_counts(const struct hvm_vcpu *v)
{
    return v->counts;
}

uint64_t hvm_unemulated(const struct hvm_vcpu *v)
{
    (void)v;
    return 0;
}

uint64_t hvm_guest_tsc(const struct hvm_vcpu *v)
{
    return machine.now_ns * 2 + v->tsc;
}

void hvm_tsc_skip(struct hvm_vcpu *v, uint64_t by)
{
    v->tsc += by;
}

uint64_t hvm_guest_cr3(struct hvm_vcpu *v)
{
    (void)v;
    return 0;
}

uint64_t hvm_apic_bus_hz(void)
{
    return UINT64_C(1000000000);
}

void hvm_dump(struct hvm_vcpu *v)
{
    (void)v;
}
