/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk itself: see gwalk.h. */
#include "arch/x86_64/decode/gwalk.h"

#include "base/bits.h"

#define CR0_WP_BIT BIT(16)
#define CR0_PG_BIT BIT(31)
#define CR4_PSE_BIT BIT(4)
#define CR4_PAE_BIT BIT(5)
#define CR4_LA57_BIT BIT(12)
#define CR4_SMEP_BIT BIT(20)
#define CR4_SMAP_BIT BIT(21)
#define EFER_LMA_BIT BIT(10)
#define EFER_NXE_BIT BIT(11)

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_PS BIT(7)
#define PTE_NX BIT(63)
#define PTE_ADDRESS UINT64_C(0x000ffffffffff000)

struct walk {
    const struct gwalk_mode *m;
    const struct gwalk_reader *r;
    unsigned access;
    bool writable, user, nx; /* rights, over all levels */
};

static enum status read_entry(const struct walk *w, uint64_t at, unsigned n, uint64_t *entry)
{
    uint8_t raw[8] = {0};
    enum status s = w->r->read(w->r->ctx, GPA(at), raw, n);

    *entry = load_le64(raw);
    return s == E_FAULT ? E_RANGE : s;
}

static enum status fault(const struct walk *w, uint32_t bits, uint32_t *error)
{
    bool fetch_counts = (w->m->cr4 & CR4_SMEP_BIT) ||
                        ((w->m->efer & EFER_NXE_BIT) && (w->m->cr4 & CR4_PAE_BIT));

    *error = bits | ((w->access & GWALK_WRITE) ? GWALK_PF_WRITE : 0) |
             ((w->access & GWALK_USER) ? GWALK_PF_USER : 0) |
             ((w->access & GWALK_FETCH) && fetch_counts ? GWALK_PF_FETCH : 0);
    return E_FAULT;
}

/* Rights of the whole walk: SDM vol. 3, 4.6. */
static bool allowed(const struct walk *w)
{
    const struct gwalk_mode *m = w->m;
    bool as_user = w->access & GWALK_USER, fetch = w->access & GWALK_FETCH;

    if (fetch && w->nx && (m->efer & EFER_NXE_BIT)) {
        return false;
    }
    if (as_user && !w->user) {
        return false;
    }
    if (!as_user && w->user) {
        if (fetch && (m->cr4 & CR4_SMEP_BIT)) {
            return false;
        }
        if (!fetch && (m->cr4 & CR4_SMAP_BIT) && !m->ac) {
            return false;
        }
    }
    if ((w->access & GWALK_WRITE) && !w->writable) {
        return !as_user && !(m->cr0 & CR0_WP_BIT);
    }
    return true;
}

static void take_rights(struct walk *w, uint64_t entry)
{
    w->writable &= (entry & PTE_W) != 0;
    w->user &= (entry & PTE_U) != 0;
    w->nx |= (entry & PTE_NX) != 0;
}

static enum status walk32(struct walk *w, uint32_t linear, gpa_t *gpa, uint32_t *error)
{
    uint64_t entry;
    enum status s =
        read_entry(w, (w->m->cr3 & 0xfffff000u) + (linear >> 22) * 4u, 4, &entry);

    if (s != OK) {
        return s;
    }
    if (!(entry & PTE_P)) {
        return fault(w, 0, error);
    }
    take_rights(w, entry);
    if ((entry & PTE_PS) && (w->m->cr4 & CR4_PSE_BIT)) {
        /* PSE-36: bits 20:13 are address bits 39:32. */
        gpa->a = (entry & 0xffc00000u) | (entry >> 13 & 0xff) << 32 | (linear & 0x3fffff);
        return allowed(w) ? OK : fault(w, GWALK_PF_PRESENT, error);
    }
    s = read_entry(w, (entry & 0xfffff000u) + (linear >> 12 & 0x3ff) * 4u, 4, &entry);
    if (s != OK) {
        return s;
    }
    if (!(entry & PTE_P)) {
        return fault(w, 0, error);
    }
    take_rights(w, entry);
    gpa->a = (entry & 0xfffff000u) | (linear & PAGE_MASK);
    return allowed(w) ? OK : fault(w, GWALK_PF_PRESENT, error);
}

/* PAE and the long modes: tables of 512 eight-byte entries, from `level` down to 1. */
static enum status walk64(struct walk *w, uint64_t table, unsigned level, uint64_t linear,
                          gpa_t *gpa, uint32_t *error)
{
    for (;; level--) {
        unsigned shift = PAGE_SHIFT + 9 * (level - 1);
        uint64_t entry;
        enum status s = read_entry(w, table + (linear >> shift & 511) * 8, 8, &entry);

        if (s != OK) {
            return s;
        }
        if (!(entry & PTE_P)) {
            return fault(w, 0, error);
        }
        if ((entry & PTE_NX) && !(w->m->efer & EFER_NXE_BIT)) {
            return fault(w, GWALK_PF_PRESENT | GWALK_PF_RESERVED, error);
        }
        take_rights(w, entry);
        if (level == 1 || (level <= 3 && (entry & PTE_PS))) {
            uint64_t offset = BIT(shift) - 1;
            gpa->a = (entry & PTE_ADDRESS & ~offset) | (linear & offset);
            return allowed(w) ? OK : fault(w, GWALK_PF_PRESENT, error);
        }
        if (entry & PTE_PS) { /* reserved above level 3 */
            return fault(w, GWALK_PF_PRESENT | GWALK_PF_RESERVED, error);
        }
        table = entry & PTE_ADDRESS;
    }
}

enum status gwalk(const struct gwalk_mode *m, const struct gwalk_reader *r, uint64_t linear,
                  unsigned access, gpa_t *gpa, uint32_t *error)
{
    struct walk w = {m, r, access, true, true, false};

    if (!(m->cr0 & CR0_PG_BIT)) {
        gpa->a = (uint32_t)linear;
        return OK;
    }
    if (m->efer & EFER_LMA_BIT) {
        return walk64(&w, m->cr3 & PTE_ADDRESS, (m->cr4 & CR4_LA57_BIT) ? 5 : 4, linear, gpa,
                      error);
    }
    if (!(m->cr4 & CR4_PAE_BIT)) {
        return walk32(&w, (uint32_t)linear, gpa, error);
    }
    /* PAE: the four entries at CR3 carry no rights, so they are read apart. */
    uint64_t pdpte;
    enum status s = read_entry(&w, (m->cr3 & 0xffffffe0u) + (linear >> 30 & 3) * 8, 8, &pdpte);
    if (s != OK) {
        return s;
    }
    if (!(pdpte & PTE_P)) {
        return fault(&w, 0, error);
    }
    return walk64(&w, pdpte & PTE_ADDRESS, 2, (uint32_t)linear, gpa, error);
}
