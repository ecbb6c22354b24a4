/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The p2m on Intel: four levels of EPT tables (SDM vol. 3, 29.3), 4 KiB leaves.
 *
 * Taking a right away marks the space stale; the INVEPT happens once, just before the next guest
 * entry. That is soon enough: the hypervisor runs on one CPU, so no guest runs between the change
 * and the entry. A CPU without A/D bits says "written" for every page.
 */
#include "arch/x86_64/hvm/hvm.h"
#include "arch/x86_64/vmx/vmx.h"
#include "base/bits.h"
#include "base/log.h"
#include "base/page.h"

#define EPT_READ BIT(0)
#define EPT_WRITE BIT(1)
#define EPT_EXECUTE BIT(2)
#define EPT_PRESENT (EPT_READ | EPT_WRITE | EPT_EXECUTE)
#define EPT_TYPE_WB (UINT64_C(6) << 3)
#define EPT_ACCESSED BIT(8)
#define EPT_DIRTY BIT(9)
#define EPT_ADDRESS UINT64_C(0x000ffffffffff000)

#define EPTP_WB 6u
#define EPTP_LEVELS_4 (3u << 3)
#define EPTP_AD BIT(6)

#define LEVELS 4
#define ENTRIES 512u
#define NO_BLOCK UINT64_MAX

_Static_assert(PAGE_SIZE / sizeof(uint64_t) == ENTRIES, "an EPT table is one page");
_Static_assert(ENTRIES == P2M_REGION_PAGES, "a region is what one lowest table maps");

size_t hvm_space_bytes(void)
{
    return sizeof(struct hvm_space);
}

static enum status table_alloc(struct hvm_space *s, mfn_t *out)
{
    enum status st = frames_alloc(s->frames, FRAME_HYP, out);

    if (st == OK) {
        page_zero(frame_bytes(s->frames, *out));
        s->tables++;
    }
    return st;
}

enum status hvm_space_init(struct hvm_space *s, struct frames *f)
{
    s->frames = f;
    s->tables = 0;
    s->stale = true;
    s->leaf_block = NO_BLOCK;
    return table_alloc(s, &s->root);
}

static uint64_t *table_at(const struct hvm_space *s, uint64_t entry)
{
    return frame_bytes(s->frames, MFN((entry & EPT_ADDRESS) >> PAGE_SHIFT));
}

static void table_free(struct hvm_space *s, mfn_t table, unsigned level)
{
    if (level > 1) {
        const uint64_t *t = frame_bytes(s->frames, table);
        for (unsigned i = 0; i < ENTRIES; i++) {
            if (t[i] & EPT_PRESENT) {
                table_free(s, MFN((t[i] & EPT_ADDRESS) >> PAGE_SHIFT), level - 1);
            }
        }
    }
    frames_free(s->frames, table);
    s->tables--;
}

/* Tables freed between two looks at the clock. */
#define TRIM_TABLES 32u

/* Frees some of what a table of level 2 leads to; true when nothing is left. */
static bool trim_directory(struct hvm_space *s, uint64_t *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < ENTRIES; i++) {
        if (!(t[i] & EPT_PRESENT)) {
            continue;
        }
        if (n++ == TRIM_TABLES) {
            return false;
        }
        table_free(s, MFN((t[i] & EPT_ADDRESS) >> PAGE_SHIFT), 1);
        t[i] = 0;
    }
    return true;
}

/* The first entry that leads to a table of level 2, or NULL. */
static uint64_t *first_directory(struct hvm_space *s)
{
    uint64_t *top = frame_bytes(s->frames, s->root);

    for (unsigned i = 0; i < ENTRIES; i++) {
        if (!(top[i] & EPT_PRESENT)) {
            continue;
        }
        uint64_t *t = table_at(s, top[i]);
        for (unsigned k = 0; k < ENTRIES; k++) {
            if (t[k] & EPT_PRESENT) {
                return &t[k];
            }
        }
    }
    return NULL;
}

bool hvm_space_trim(struct hvm_space *s, const struct deadline *d)
{
    uint64_t *e;

    s->leaf_block = NO_BLOCK;
    s->stale = true;
    while ((e = first_directory(s)) != NULL) {
        if (trim_directory(s, table_at(s, *e))) {
            table_free(s, MFN((*e & EPT_ADDRESS) >> PAGE_SHIFT), 1);
            *e = 0;
        }
        if (deadline_passed(d)) {
            return true;
        }
    }
    return false;
}

void hvm_space_fini(struct hvm_space *s)
{
    table_free(s, s->root, LEVELS);
    s->leaf_block = NO_BLOCK;
    s->stale = true;
}

uint64_t hvm_space_tables(const struct hvm_space *s)
{
    return s->tables;
}

uint64_t ept_pointer(const struct hvm_space *s)
{
    return mfn_to_hpa(s->root).a | EPTP_WB | EPTP_LEVELS_4 | (vmx_caps.has_ad ? EPTP_AD : 0);
}

void ept_flush_if_stale(struct hvm_space *s)
{
    struct {
        uint64_t eptp, zero;
    } d = {ept_pointer(s), 0};
    bool fail;

    if (!s->stale) {
        return;
    }
    __asm__ volatile("invept %1, %2"
                     : "=@ccbe"(fail)
                     : "m"(d), "r"(UINT64_C(1)) /* single-context */
                     : "memory");
    if (fail) {
        vmx_insn_failed("INVEPT", d.eptp);
    }
    s->stale = false;
}

static inline unsigned index_at(gfn_t gfn, unsigned level)
{
    return (unsigned)(gfn.n >> (9 * (level - 1))) & (ENTRIES - 1);
}

/* Down from the root; keeps what it finds for the next time. */
static uint64_t *leaf_walk(struct hvm_space *s, gfn_t gfn)
{
    uint64_t *t = frame_bytes(s->frames, s->root);

    if (gfn.n >> (9 * LEVELS)) {
        return NULL;
    }
    for (unsigned level = LEVELS; level > 1; level--) {
        uint64_t e = t[index_at(gfn, level)];
        if (!(e & EPT_PRESENT)) {
            return NULL;
        }
        t = table_at(s, e);
    }
    s->leaf_block = gfn.n / ENTRIES;
    s->leaf_table = t;
    return &t[index_at(gfn, 1)];
}

/* The leaf entry for gfn when the last walk came to its table, or NULL. A fault looks its page up
 * and then maps it, and neighbours follow: most walks end before they begin. */
static inline uint64_t *leaf_kept(struct hvm_space *s, gfn_t gfn)
{
    return gfn.n / ENTRIES == s->leaf_block ? &s->leaf_table[index_at(gfn, 1)] : NULL;
}

/* The leaf entry for gfn, or NULL when a table on the way is missing. */
static inline uint64_t *leaf_find(struct hvm_space *s, gfn_t gfn)
{
    uint64_t *e = leaf_kept(s, gfn);

    return e ? e : leaf_walk(s, gfn);
}

/* Walks, makes the tables that are missing, and keeps what it comes to. Empty tables that it made
 * stay when a later one fails. */
static enum status leaf_make(struct hvm_space *s, gfn_t gfn, uint64_t **out)
{
    uint64_t *t = frame_bytes(s->frames, s->root);

    if (gfn.n >> (9 * LEVELS)) {
        return E_RANGE;
    }
    for (unsigned level = LEVELS; level > 1; level--) {
        uint64_t *e = &t[index_at(gfn, level)];
        if (!(*e & EPT_PRESENT)) {
            mfn_t table;
            enum status st = table_alloc(s, &table);
            if (st != OK) {
                return st;
            }
            *e = mfn_to_hpa(table).a | EPT_PRESENT;
        }
        t = table_at(s, *e);
    }
    s->leaf_block = gfn.n / ENTRIES;
    s->leaf_table = t;
    *out = &t[index_at(gfn, 1)];
    return OK;
}

static enum status ept_lookup(void *ctx, gfn_t gfn, struct p2m_entry *out)
{
    const uint64_t *e = leaf_find(ctx, gfn);

    if (!e || !(*e & EPT_PRESENT)) {
        return E_NOTFOUND;
    }
    out->mfn = MFN((*e & EPT_ADDRESS) >> PAGE_SHIFT);
    out->writable = *e & EPT_WRITE;
    return OK;
}

static enum status ept_next(void *ctx, gfn_t from, gfn_t end, gfn_t *at, struct p2m_entry *out)
{
    const struct hvm_space *s = ctx;
    uint64_t n = from.n;

    while (n < end.n && !(n >> (9 * LEVELS))) {
        const uint64_t *t = frame_bytes(s->frames, s->root);
        unsigned level = LEVELS;
        for (; level > 1; level--) {
            uint64_t e = t[index_at(GFN(n), level)];
            if (!(e & EPT_PRESENT)) {
                break;
            }
            t = table_at(s, e);
        }
        if (level > 1) { /* nothing below this entry: on to the next one of its level */
            n = ALIGN_DOWN(n, BIT(9 * (level - 1))) + BIT(9 * (level - 1));
            continue;
        }
        for (unsigned i = index_at(GFN(n), 1); i < ENTRIES && n < end.n; i++, n++) {
            if (t[i] & EPT_PRESENT) {
                *at = GFN(n);
                out->mfn = MFN((t[i] & EPT_ADDRESS) >> PAGE_SHIFT);
                out->writable = t[i] & EPT_WRITE;
                return OK;
            }
        }
    }
    return E_NOTFOUND;
}

static enum status ept_map(void *ctx, gfn_t gfn, mfn_t mfn, bool writable)
{
    struct hvm_space *s = ctx;
    uint64_t *e = leaf_kept(s, gfn);

    if (!e) {
        enum status st = leaf_make(s, gfn, &e);
        if (st != OK) {
            return st;
        }
    }
    uint64_t want = mfn_to_hpa(mfn).a | EPT_READ | EPT_EXECUTE | EPT_TYPE_WB;
    if (writable) {
        want |= EPT_WRITE;
    }
    /* A hole is cached nowhere (SDM vol. 3, 29.4.3), and a right that is only added needs no flush:
     * a stale translation at worst faults once more, and the fault drops it. */
    if ((*e & EPT_PRESENT) && ((*e ^ want) & (EPT_ADDRESS | (*e & EPT_WRITE)))) {
        s->stale = true;
    }
    *e = want;
    return OK;
}

static void ept_protect(void *ctx, gfn_t gfn)
{
    struct hvm_space *s = ctx;
    uint64_t *e = leaf_find(s, gfn);

    if (e && (*e & EPT_WRITE)) {
        *e &= ~EPT_WRITE;
        s->stale = true;
    }
}

static void ept_unmap(void *ctx, gfn_t gfn)
{
    struct hvm_space *s = ctx;
    uint64_t *e = leaf_find(s, gfn);

    if (e && (*e & EPT_PRESENT)) {
        *e = 0;
        s->stale = true;
    }
}

static bool ept_test_clear_dirty(void *ctx, gfn_t gfn)
{
    struct hvm_space *s = ctx;
    uint64_t *e = leaf_find(s, gfn);

    if (!vmx_caps.has_ad || !e) {
        return true;
    }
    if (*e & EPT_DIRTY) {
        *e &= ~EPT_DIRTY;
        s->stale = true; /* a cached translation would set the bit no second time */
        return true;
    }
    return false;
}

/*
 * The accessed bit of the entry that leads to the table says whether any translation through it was
 * made since it was cleared (SDM vol. 3, 29.3.5). A translation made earlier may still be in use,
 * and sets no bit: so clearing any makes the space stale, and the INVEPT comes before the guest
 * runs again.
 */
static bool ept_harvest(void *ctx, gfn_t first, uint64_t *bits)
{
    struct hvm_space *s = ctx;
    uint64_t *t = frame_bytes(s->frames, s->root);
    uint64_t *e = NULL;

    for (unsigned level = LEVELS; level > 1; level--) {
        e = &t[index_at(first, level)];
        if (!(*e & EPT_PRESENT)) {
            return false;
        }
        t = table_at(s, *e);
    }
    if (!(*e & EPT_ACCESSED)) {
        return false;
    }
    *e &= ~EPT_ACCESSED;
    s->stale = true;
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (t[i] & EPT_DIRTY) {
            t[i] &= ~EPT_DIRTY;
            bits[i / 64] |= BIT(i % 64);
        }
    }
    return true;
}

/* Nothing to wait for: the INVEPT comes before the next entry, and no guest runs until then. */
static void ept_flush(void *ctx)
{
    (void)ctx;
}

static uint64_t ept_tables(void *ctx)
{
    return hvm_space_tables(ctx);
}

static struct p2m_ops ops = {
    .lookup = ept_lookup,
    .next = ept_next,
    .map = ept_map,
    .protect = ept_protect,
    .unmap = ept_unmap,
    .test_clear_dirty = ept_test_clear_dirty,
    .harvest = ept_harvest,
    .flush = ept_flush,
    .tables = ept_tables,
};

const struct p2m_ops *hvm_space_ops(void)
{
    ops.has_dirty = vmx_caps.has_ad;
    return &ops;
}
