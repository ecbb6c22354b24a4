/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding the guest's VMCOREINFO, and seeing to it that it is still the running kernel's.
 *
 * A note may be a leftover: of the kernel before a kexec, of a dump file in the page cache, or made
 * up. It counts when its page tables lead to a struct page of its own page that says "kernel", and
 * when a vCPU's page tables are this kernel's: the top table of every Linux process has the same
 * last entry, which maps the kernel's image, as swapper_pg_dir.
 */
#include "base/bits.h"
#include "base/string.h"
#include "mm/introspect/memmap.h"

/* Checks in a row that a note survives while the vCPU's tables are another's: a firmware call has
 * such for a moment. */
#define DOUBTS_MAX 3u
/* A step of parsing counts as this many pages that are looked at. */
#define PARSE_COST 16u
#define TABLE_LAST (511u * 8)
#define ENTRY_ADDRESS UINT64_C(0x000ffffffffff000)
/* Page table isolation (Linux, arch/x86/mm/pti.c): a process has two top tables side by side, the
 * kernel's and, with this bit set in its address, the one for user mode. */
#define PTI_USER BIT(12)

static bool same_image(struct p2m *p, uint64_t entry, uint64_t table)
{
    uint64_t e;

    return guestwalk_word(p, (table & ENTRY_ADDRESS) + TABLE_LAST, &e) &&
           ((e ^ entry) & ENTRY_ADDRESS) == 0;
}

/* Whether a vCPU with that CR3 runs the kernel in g->info. */
static bool is_running(struct guest_pages *g, uint64_t cr3)
{
    const struct guestwalk_root root = guest_pages_root(g);
    uint64_t entry;

    return guestwalk_word(g->p2m, root.table + TABLE_LAST, &entry) && (entry & 1) &&
           (same_image(g->p2m, entry, cr3) || same_image(g->p2m, entry, cr3 & ~PTI_USER));
}

/* Whether the tables of g->info lead somewhere: the note's own page is the kernel's. */
static bool makes_sense(struct guest_pages *g, gfn_t note)
{
    bool known = g->known;

    /* Not through translations that another note, or another time, has left. */
    guest_pages_drop_cache(g);
    g->known = true;
    enum page_class c = guest_pages_class(g, note, false);
    g->known = known;
    return c == PAGE_KERNEL;
}

/* So that an unchanged note need not be parsed again. */
static uint64_t digest(const uint8_t *page)
{
    uint64_t d = 0;

    for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
        d = (d ^ load_le64(page + i)) * UINT64_C(0x9e3779b97f4a7c15);
        d ^= d >> 32;
    }
    return d;
}

/* False: what was known does not hold any more. */
static bool check(struct guest_pages *g, uint64_t cr3)
{
    const uint8_t *page = guestwalk_page(g->p2m, g->note);

    if (!page || digest(page) != g->note_digest || !makes_sense(g, g->note)) {
        return false;
    }
    g->doubts = cr3 == 0 || is_running(g, cr3) ? 0 : g->doubts + 1;
    return g->doubts < DOUBTS_MAX;
}

/* A note that has changed while it was read, step by step, is none. */
static bool take_up(struct guest_pages *g, const uint8_t *page, uint64_t cr3)
{
    if (digest(page) != g->note_digest || (cr3 != 0 && !is_running(g, cr3)) ||
        !makes_sense(g, g->note)) {
        return false;
    }
    g->known = true;
    g->doubts = 0;
    g->found++;
    guest_pages_restart(g);
    return true;
}

/* Goes on to read g->note; it is read, or no note, when g->reading is false. */
static void read_on(struct guest_pages *g, uint64_t cr3, unsigned *budget)
{
    while (g->reading && *budget > 0) {
        const uint8_t *page = guestwalk_page(g->p2m, g->note);
        const char *text;
        size_t n;

        *budget -= MIN(*budget, PARSE_COST);
        enum status s = page && vmcoreinfo_find(page, &text, &n)
                            ? vmcoreinfo_step(&g->lines, text, n, &g->info)
                            : E_INVAL;
        g->reading = s == E_BUSY;
        if (s == OK) {
            (void)take_up(g, page, cr3);
        }
    }
}

/* Up to *budget pages of [from, end), up to a note; *from is where it stopped. */
static void search_run(struct guest_pages *g, uint64_t cr3, uint64_t *from, uint64_t end,
                       unsigned *budget)
{
    const struct p2m *p = g->p2m;
    struct p2m_entry e;
    const char *text;
    gfn_t at;
    size_t n;

    while (*budget > 0 && *from < end && !g->known && !g->reading) {
        at = GFN(*from); /* mostly there; a look is cheaper than a search */
        if (p->ops->lookup(p->ctx, at, &e) != OK &&
            p->ops->next(p->ctx, at, GFN(end), &at, &e) != OK) {
            *from = end;
            break;
        }
        *from = at.n + 1;
        --*budget;
        const uint8_t *page = frame_bytes(p->frames, e.mfn);
        if (vmcoreinfo_find(page, &text, &n)) {
            g->note = at;
            g->note_digest = digest(page);
            g->reading = true;
            vmcoreinfo_begin(&g->lines);
            read_on(g, cr3, budget);
        }
    }
}

bool guest_pages_search(struct guest_pages *g, uint64_t cr3, unsigned budget)
{
    const struct p2m *p = g->p2m;

    if (g->known) {
        if (check(g, cr3)) {
            return true;
        }
        guest_pages_forget(g);
    }
    read_on(g, cr3, &budget);
    for (unsigned r = 0; r < p->n_runs && !g->known && !g->reading; r++) {
        uint64_t end = p->runs[r].first.n + p->runs[r].pages;
        uint64_t from = MAX(g->next.n, p->runs[r].first.n);
        search_run(g, cr3, &from, end, &budget);
        g->next = GFN(MAX(g->next.n, from));
        if (from < end) {
            return g->known;
        }
    }
    if (g->reading) {
        return false;
    }
    if (!g->known) {
        g->next = GFN(0);
    }
    return true;
}
