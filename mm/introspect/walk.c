/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking into a guest's memory: see walk.h. */
#include "mm/introspect/walk.h"

#include "base/bits.h"

#define PTE_PRESENT BIT(0)
#define PTE_LARGE BIT(7)
#define PTE_ADDRESS UINT64_C(0x000ffffffffff000)
#define ENTRY_BITS 9u
#define ENTRIES 512u

const uint8_t *guestwalk_page(struct p2m *p, gfn_t gfn)
{
    struct p2m_entry e;

    if (!p2m_is_ram(p, gfn) || p->ops->lookup(p->ctx, gfn, &e) != OK) {
        return NULL;
    }
    return frame_bytes(p->frames, e.mfn);
}

bool guestwalk_word(struct p2m *p, uint64_t gpa, uint64_t *out)
{
    const uint8_t *page = guestwalk_page(p, gpa_to_gfn(GPA(gpa)));

    if (!page || gpa % 8 != 0) {
        return false;
    }
    *out = load_le64(page + (gpa & PAGE_MASK));
    return true;
}

static bool canonical(uint64_t va, bool five_level)
{
    unsigned spare = five_level ? 7 : 16;

    return (uint64_t)((int64_t)(va << spare) >> spare) == va;
}

bool guestwalk(struct p2m *p, const struct guestwalk_root *root, uint64_t va,
               struct guestwalk_result *out)
{
    uint64_t table = root->table;

    if (!canonical(va, root->five_level)) {
        return false;
    }
    for (unsigned level = root->five_level ? 5 : 4;; level--) {
        unsigned shift = PAGE_SHIFT + (level - 1) * ENTRY_BITS;
        uint64_t in_page = BIT(shift) - 1, e;

        if (!guestwalk_word(p, table + (va >> shift) % ENTRIES * 8, &e) || !(e & PTE_PRESENT)) {
            return false;
        }
        uint64_t to = e & PTE_ADDRESS & ~root->mask;
        if (level == 1 || ((e & PTE_LARGE) && level <= 3)) {
            *out = (struct guestwalk_result){(to & ~in_page) | (va & in_page), table, level == 1};
            return true;
        }
        if (e & PTE_LARGE) {
            return false; /* reserved there */
        }
        table = to;
    }
}

bool guestwalk_entry(struct p2m *p, const struct guestwalk_root *root, uint64_t table,
                     unsigned index, uint64_t *gpa)
{
    uint64_t e;

    if (!guestwalk_word(p, table + index % ENTRIES * 8, &e) || !(e & PTE_PRESENT)) {
        return false;
    }
    *gpa = e & PTE_ADDRESS & ~root->mask;
    return true;
}
