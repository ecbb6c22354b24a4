/* SPDX-License-Identifier: BSD-2-Clause */
/* One descent for every format: what differs (levels, width of an entry, reserved bits) is data. */
#include "arch/x86_64/decode/gwalk.h"

#include "arch/x86_64/decode/crbits.h"
#include "base/bits.h"

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_PS BIT(7)
#define PTE_NX BIT(63)
#define PTE_ADDR UINT64_C(0x000ffffffffff000)

struct format {
    unsigned levels;
    unsigned entry;    /* bytes */
    unsigned bits;     /* of the linear address that each level below the root consumes */
    bool pae_root;     /* the root has four entries without permissions */
    bool large2;       /* PS is known at the level of page directories */
    bool large3;       /* and at the one above */
    uint64_t reserved; /* in every present entry */
};

/* False: not canonical. */
static bool format_of(const struct gwalk_mode *mode, uint64_t linear, struct format *f)
{
    unsigned phys_bits = mode->phys_bits != 0 && mode->phys_bits < 52 ? mode->phys_bits : 52;

    if (!(mode->cr4 & CR4_PAE)) {
        *f = (struct format){2, 4, 10, false, (mode->cr4 & CR4_PSE) != 0, false, 0};
        return true;
    }
    uint64_t reserved = PTE_ADDR & ~(BIT(phys_bits) - 1);
    if (!(mode->efer & EFER_NXE)) {
        reserved |= PTE_NX;
    }
    if (!(mode->efer & EFER_LMA)) {
        /* PAE: bits 62:52 are reserved, which 4-level paging ignores. */
        reserved |= UINT64_C(0x7ff) << 52;
        *f = (struct format){3, 8, 9, true, true, false, reserved};
        return true;
    }
    unsigned levels = mode->cr4 & CR4_LA57 ? 5 : 4;
    unsigned spare = levels == 5 ? 7 : 16;
    *f = (struct format){levels, 8, 9, false, true, true, reserved};
    return (uint64_t)((int64_t)(linear << spare) >> spare) == linear;
}

/* Reserved bits of an entry at `level` (1: maps a 4 KiB page) that maps a page if `leaf`. */
static uint64_t reserved_bits(const struct format *f, const struct gwalk_mode *mode, unsigned level,
                              bool leaf)
{
    if (f->entry == 4) {
        /* PSE-36: bits 20:13 are bits 39:32 of the address, 21 is always reserved. */
        unsigned phys_bits = mode->phys_bits != 0 ? mode->phys_bits : 52;
        uint64_t high = phys_bits >= 40 ? 0 : UINT64_C(0x1fe000);

        if (!leaf || level == 1) {
            return 0;
        }
        if (phys_bits > 32 && phys_bits < 40) {
            high &= ~((BIT(phys_bits - 32) - 1) << 13);
        }
        return high | BIT(21);
    }
    if (f->pae_root && level == 3) {
        return f->reserved | PTE_NX | PDPTE_RESERVED;
    }
    if (leaf && level > 1) {
        return f->reserved | (level == 2 ? UINT64_C(0x1fe000) : UINT64_C(0x3fffe000));
    }
    /* PS where no large page can be: the two top levels. */
    return f->reserved | (level >= 4 ? PTE_PS : 0);
}

/* Where the page of a leaf entry begins. */
static uint64_t leaf_base(const struct format *f, uint64_t e, unsigned level, uint64_t page_mask)
{
    if (f->entry == 4 && level == 2) {
        return (e & UINT64_C(0xffc00000)) | (e >> 13 & 0xff) << 32;
    }
    return e & PTE_ADDR & ~page_mask;
}

/* SDM vol. 3, section 5.6.1, with `all` the AND and `any` the OR of all levels' entries. */
static bool allowed(const struct gwalk_mode *mode, unsigned access, uint64_t all, uint64_t any)
{
    bool user_page = (all & PTE_U) != 0;
    bool nx = (mode->cr4 & CR4_PAE) && (mode->efer & EFER_NXE) && (any & PTE_NX);

    if ((access & GWALK_FETCH) && nx) {
        return false;
    }
    if (access & GWALK_USER) {
        return user_page && (!(access & GWALK_WRITE) || (all & PTE_W));
    }
    if (access & GWALK_FETCH) {
        return !(user_page && (mode->cr4 & CR4_SMEP));
    }
    if (user_page && (mode->cr4 & CR4_SMAP) && (!mode->ac || (access & GWALK_IMPLICIT))) {
        return false;
    }
    return !(access & GWALK_WRITE) || (all & PTE_W) || !(mode->cr0 & CR0_WP);
}

static enum status fault(const struct gwalk_mode *mode, unsigned access, uint32_t why,
                         uint32_t *error)
{
    bool fetch_known = ((mode->cr4 & CR4_PAE) && (mode->efer & EFER_NXE)) || (mode->cr4 & CR4_SMEP);

    *error = why | (access & (GWALK_WRITE | GWALK_USER | (fetch_known ? GWALK_FETCH : 0)));
    return E_FAULT;
}

static enum status read_entry(const struct gwalk_reader *reader, uint64_t at, unsigned n,
                              uint64_t *e)
{
    uint8_t bytes[8] = {0};
    enum status s = reader->read(reader->ctx, GPA(at), bytes, n);

    *e = load_le64(bytes);
    return s == E_FAULT ? E_RANGE : s;
}

/* Where the entries of a walk are, by level. */
struct path {
    uint64_t at[6];
    unsigned top, leaf;
};

static enum status mark(const struct gwalk_reader *reader, const struct format *f,
                        const struct path *path, unsigned access)
{
    for (unsigned level = path->top; reader->mark && level >= path->leaf; level--) {
        uint8_t bits = PTE_A | (level == path->leaf && (access & GWALK_WRITE) ? PTE_D : 0);

        if (f->pae_root && level == 3) {
            continue; /* these have no such bits */
        }
        enum status s = reader->mark(reader->ctx, GPA(path->at[level]), bits);
        if (s != OK) {
            return s;
        }
    }
    return OK;
}

enum status gwalk(const struct gwalk_mode *mode, const struct gwalk_reader *reader, uint64_t linear,
                  unsigned access, gpa_t *gpa, uint32_t *error)
{
    uint64_t all = UINT64_MAX, any = 0, table;
    struct format f;
    struct path path;

    if (!(mode->cr0 & CR0_PG)) {
        *gpa = GPA((uint32_t)linear);
        return OK;
    }
    if (!(mode->efer & EFER_LMA)) {
        linear = (uint32_t)linear;
    }
    if (!format_of(mode, linear, &f)) {
        return E_RANGE;
    }
    table = f.pae_root ? mode->cr3 & UINT64_C(0xffffffe0)
                       : mode->cr3 & (f.entry == 4 ? UINT64_C(0xfffff000) : PTE_ADDR);
    path.top = f.levels;
    for (unsigned level = f.levels;; level--) {
        unsigned shift = PAGE_SHIFT + (level - 1) * f.bits;
        uint64_t index = linear >> shift & (BIT(f.bits) - 1);
        uint64_t page_mask = BIT(shift) - 1, e;
        enum status s = OK;

        path.at[level] = table + index * f.entry;
        if (f.pae_root && level == 3 && mode->pdptes) {
            e = mode->pdptes[index & 3];
        } else {
            s = read_entry(reader, path.at[level], f.entry, &e);
        }
        if (s != OK) {
            return s;
        }
        if (!(e & PTE_P)) {
            return fault(mode, access, 0, error);
        }
        bool leaf =
            level == 1 || ((e & PTE_PS) && ((level == 2 && f.large2) || (level == 3 && f.large3)));
        if (e & reserved_bits(&f, mode, level, leaf)) {
            return fault(mode, access, PF_PRESENT | PF_RESERVED, error);
        }
        if (!(f.pae_root && level == 3)) {
            all &= e;
            any |= e;
        }
        if (leaf) {
            if (!allowed(mode, access, all, any)) {
                return fault(mode, access, PF_PRESENT, error);
            }
            path.leaf = level;
            s = mark(reader, &f, &path, access);
            if (s != OK) {
                return s;
            }
            *gpa = GPA(leaf_base(&f, e, level, page_mask) | (linear & page_mask));
            return OK;
        }
        table = e & (f.entry == 4 ? UINT64_C(0xfffff000) : PTE_ADDR);
    }
}
