/* SPDX-License-Identifier: BSD-2-Clause */
/* Who gets an interrupt message: IPIs and MSIs over the local APICs of one VM (SDM vol. 3, 11.6.2).
 */
#include "base/bits.h"
#include "drivers/guest/vlapic.h"
#include "drivers/guest/vlapic_internal.h"

#define MSI_BASE UINT64_C(0xfee00000)
#define MSI_BASE_MASK (~UINT64_C(0xfffff))
#define MSI_LOGICAL 0x4u
#define MSI_REDIRECT 0x8u
#define MSI_LEVEL 0x8000u
#define DFR_CLUSTER_MODEL 0u

bool vlapic_matches(const struct vlapic *l, uint32_t dest, bool logical)
{
    uint32_t id;

    if (!vlapic_is_present(l)) {
        return false;
    }
    if (dest == DEST_BROADCAST) {
        return true;
    }
    if (vlapic_is_x2apic(l)) {
        uint32_t ldr = vlapic_x2apic_ldr(l);
        return logical ? ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff) != 0 : dest == l->id;
    }
    if (dest > 0xff) {
        return false;
    }
    if (!logical) {
        return dest == l->xapic_id;
    }
    id = l->ldr >> 24;
    if (l->dfr >> 28 == DFR_CLUSTER_MODEL) {
        return id >> 4 == dest >> 4 && (id & dest & 0xf) != 0;
    }
    return (id & dest) != 0;
}

/* 8-bit destinations say "all" with 0xff. */
static uint32_t widen(uint32_t dest8)
{
    return dest8 == 0xff ? DEST_BROADCAST : dest8;
}

/* Of those named, the one with the least to do: the lowest processor priority. */
static struct vlapic *lowest(struct vlapic *const *apics, unsigned n, uint32_t dest, bool logical)
{
    struct vlapic *best = NULL;

    for (unsigned i = 0; i < n; i++) {
        if (vlapic_matches(apics[i], dest, logical) && vlapic_is_on(apics[i]) &&
            (best == NULL || vlapic_ppr(apics[i]) < vlapic_ppr(best))) {
            best = apics[i];
        }
    }
    return best;
}

static void route(struct vlapic *const *apics, unsigned n, uint32_t dest, bool logical,
                  enum vlapic_mode mode, bool one, uint8_t vector, bool level)
{
    if (one) {
        struct vlapic *l = lowest(apics, n, dest, logical);
        if (l != NULL) {
            vlapic_deliver(l, mode, vector, level);
        }
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        if (vlapic_matches(apics[i], dest, logical)) {
            vlapic_deliver(apics[i], mode, vector, level);
        }
    }
}

void vlapic_message(struct vlapic *const *apics, unsigned n, uint64_t addr, uint32_t data)
{
    enum vlapic_mode mode = (enum vlapic_mode)(data >> 8 & 7);
    bool redirect = addr & MSI_REDIRECT && addr & MSI_LOGICAL;
    bool one = mode == VLAPIC_LOWEST || (mode == VLAPIC_FIXED && redirect);

    if ((addr & MSI_BASE_MASK) != MSI_BASE || mode == VLAPIC_SIPI) {
        return;
    }
    route(apics, n, widen((uint32_t)addr >> 12 & 0xff), addr & MSI_LOGICAL, mode, one,
          (uint8_t)data, data & MSI_LEVEL);
}

void vlapic_route_ipi(struct vlapic *const *apics, unsigned n, struct vlapic *from, uint64_t icr)
{
    uint32_t dest = vlapic_is_x2apic(from) ? (uint32_t)(icr >> 32) : widen((uint32_t)(icr >> 56));
    enum vlapic_mode mode = ICR_MODE(icr);
    unsigned shorthand = ICR_SHORTHAND(icr);

    if (shorthand == SHORTHAND_SELF) {
        vlapic_deliver(from, mode, ICR_VECTOR(icr), false);
        return;
    }
    if (shorthand == SHORTHAND_NONE) {
        route(apics, n, dest, icr & ICR_LOGICAL, mode, mode == VLAPIC_LOWEST, ICR_VECTOR(icr),
              false);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        if (vlapic_is_present(apics[i]) && (apics[i] != from || shorthand == SHORTHAND_ALL)) {
            vlapic_deliver(apics[i], mode, ICR_VECTOR(icr), false);
        }
    }
}

/* The guest has written an interrupt command. */
void vlapic_send(struct vlapic *l, uint64_t icr)
{
    enum vlapic_mode mode = ICR_MODE(icr);

    if ((mode == VLAPIC_FIXED || mode == VLAPIC_LOWEST) && ICR_VECTOR(icr) < 16) {
        vlapic_error(l, ESR_SEND_ILLEGAL);
        return;
    }
    if (mode == VLAPIC_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT)) {
        return; /* INIT level de-assert: only old processors had it */
    }
    if (ICR_SHORTHAND(icr) == SHORTHAND_SELF) {
        if (mode == VLAPIC_FIXED) { /* others cannot be sent to oneself */
            vlapic_deliver(l, mode, ICR_VECTOR(icr), false);
        }
        return;
    }
    if (l->ops->ipi != NULL) {
        l->ops->ipi(l->ctx, l, icr);
    } else {
        vlapic_route_ipi(&l, 1, l, icr);
    }
}
