/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine of frames and guests in host memory, with CPUs that keep stale translations. */
#include "fake_p2m.h"

#include "arena.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fake_frames_init(struct frames *f, uint64_t count)
{
    uint64_t places = arena_places(count, 1);
    struct frame *table = calloc(places, sizeof(*table));
    void *window = aligned_alloc(PAGE_SIZE, places * PAGE_SIZE);

    ASSERT(table && window);
    memset(window, 0xA5, places * PAGE_SIZE); /* what is handed out uncleared shows */
    frames_init(f, table, places, window);
    arena_add(f, 0, count, 1);
}

void fake_frames_fini(struct frames *f)
{
    arena_end(f);
    free(f->table);
    free(f->window);
}

/* ---- the map ------------------------------------------------------------------------------- */

void fake_map_init(struct fake_map *m, struct frames *frames, uint64_t pages)
{
    memset(m, 0, sizeof(*m));
    m->frames = frames;
    m->pages = pages;
    m->fail_after = UINT64_MAX;
    m->entries = calloc(pages, sizeof(*m->entries));
    m->accessed = calloc(pages / P2M_REGION_PAGES + 1, sizeof(*m->accessed));
    m->regions = calloc(pages / P2M_REGION_PAGES + 1, sizeof(*m->regions));
    ASSERT(m->entries && m->accessed && m->regions);
    for (unsigned c = 0; c < FAKE_CPUS; c++) {
        for (unsigned a = 0; a < FAKE_ALIASES; a++) {
            m->cached[c][a] = calloc(pages, sizeof(*m->entries));
            ASSERT(m->cached[c][a]);
        }
    }
}

void fake_map_fini(struct fake_map *m)
{
    free(m->entries);
    free(m->accessed);
    free(m->regions);
    for (unsigned c = 0; c < FAKE_CPUS; c++) {
        for (unsigned a = 0; a < FAKE_ALIASES; a++) {
            free(m->cached[c][a]);
        }
    }
}

static enum status fake_lookup(void *ctx, gfn_t gfn, struct p2m_entry *out)
{
    const struct fake_map *m = ctx;

    if (gfn.n >= m->pages || !m->entries[gfn.n].present) {
        return E_NOTFOUND;
    }
    out->mfn = m->entries[gfn.n].mfn;
    out->writable = m->entries[gfn.n].writable;
    return OK;
}

static enum status fake_next(void *ctx, gfn_t from, gfn_t end, gfn_t *at, struct p2m_entry *out)
{
    const struct fake_map *m = ctx;

    for (uint64_t n = from.n; n < end.n && n < m->pages; n++) {
        if (fake_lookup(ctx, GFN(n), out) == OK) {
            *at = GFN(n);
            return OK;
        }
    }
    return E_NOTFOUND;
}

static void run_race(struct fake_map *m)
{
    if (m->race) {
        m->race(m->race_ctx, m);
    }
}

static enum status fake_map(void *ctx, gfn_t gfn, mfn_t mfn, bool writable)
{
    struct fake_map *m = ctx;

    ASSERT(gfn.n < m->pages && mfn.n < m->frames->count);
    run_race(m);
    if (m->fail_maps) {
        return E_NOMEM;
    }
    struct fake_slot *e = &m->entries[gfn.n];
    if (!e->present) {
        if (m->fail_after == 0) {
            return E_NOMEM;
        }
        m->fail_after -= m->fail_after != UINT64_MAX;
    }
    *e = (struct fake_slot){.present = true, .writable = writable, .mfn = mfn};
    return OK;
}

static void fake_protect(void *ctx, gfn_t gfn)
{
    ((struct fake_map *)ctx)->entries[gfn.n].writable = false;
}

static void fake_unmap(void *ctx, gfn_t gfn)
{
    ((struct fake_map *)ctx)->entries[gfn.n].present = false;
}

static bool fake_test_clear_dirty(void *ctx, gfn_t gfn)
{
    struct fake_slot *e = &((struct fake_map *)ctx)->entries[gfn.n];
    bool dirty = e->present && e->dirty;

    e->dirty = false;
    return dirty;
}

/* As the hardware has it: one look at the accessed bit, which a walk through the region sets. */
static bool fake_harvest(void *ctx, gfn_t first, uint64_t *bits)
{
    struct fake_map *m = ctx;

    ASSERT(first.n % P2M_REGION_PAGES == 0 && first.n < m->pages);
    if (!m->accessed[first.n / P2M_REGION_PAGES]) {
        return false;
    }
    m->accessed[first.n / P2M_REGION_PAGES] = false;
    run_race(m);
    for (uint64_t i = 0; i < P2M_REGION_PAGES && first.n + i < m->pages; i++) {
        if (fake_test_clear_dirty(m, GFN(first.n + i))) {
            bits[i / 64] |= UINT64_C(1) << (i % 64);
        }
    }
    return true;
}

static void fake_flush(void *ctx)
{
    struct fake_map *m = ctx;

    m->flushes++;
    run_race(m);
    for (unsigned c = 0; c < FAKE_CPUS; c++) {
        for (unsigned a = 0; a < FAKE_ALIASES; a++) {
            memset(m->cached[c][a], 0, m->pages * sizeof(*m->entries));
        }
    }
}

void fake_map_load(struct fake_map *m, unsigned cpu, unsigned alias, gfn_t gfn)
{
    struct fake_slot *c = &m->cached[cpu][alias][gfn.n];

    if (!c->present && m->entries[gfn.n].present) {
        *c = m->entries[gfn.n];
        m->accessed[gfn.n / P2M_REGION_PAGES] = true;
    }
}

const struct p2m_ops fake_map_ops_checksum = {
    .lookup = fake_lookup,
    .next = fake_next,
    .map = fake_map,
    .protect = fake_protect,
    .unmap = fake_unmap,
    .test_clear_dirty = fake_test_clear_dirty,
    .flush = fake_flush,
};

const struct p2m_ops fake_map_ops = {
    .lookup = fake_lookup,
    .next = fake_next,
    .map = fake_map,
    .protect = fake_protect,
    .unmap = fake_unmap,
    .test_clear_dirty = fake_test_clear_dirty,
    .harvest = fake_harvest,
    .flush = fake_flush,
    .has_dirty = true,
};

/* ---- the guest's CPUs ---------------------------------------------------------------------- */

/* The byte's place in host memory by the CPU's translation, which is loaded or refused first. */
static enum status translate(struct p2m *p, unsigned cpu, unsigned alias, gfn_t gfn, bool write,
                             uint8_t **page)
{
    struct fake_map *m = p->ctx;

    /* Two faults settle any access; a third would be a loop that a real guest is caught in. */
    for (unsigned faults = 0; faults < 3; faults++) {
        if (gfn.n < m->pages) {
            struct fake_slot *c = &m->cached[cpu][alias][gfn.n];
            struct fake_slot *e = &m->entries[gfn.n];

            fake_map_load(m, cpu, alias, gfn);
            if (c->present && (c->writable || !write)) {
                if (write && !c->dirty) { /* a cached dirty bit is not set in memory again */
                    c->dirty = true;
                    e->dirty = true;
                }
                *page = frame_bytes(m->frames, c->mfn);
                return OK;
            }
            c->present = false; /* the violation drops this alias's translation, no other */
        }
        enum status s = p2m_fault(p, gfn, write);
        if (s != OK) {
            return s;
        }
    }
    panic("a fault that never ends at gfn %llu", (unsigned long long)gfn.n);
}

enum status fake_guest_read(struct p2m *p, unsigned cpu, unsigned alias, gfn_t gfn, unsigned offset,
                            uint8_t *out)
{
    uint8_t *page;
    enum status s = translate(p, cpu, alias, gfn, false, &page);

    if (s == OK) {
        *out = page[offset];
    }
    return s;
}

enum status fake_guest_write(struct p2m *p, unsigned cpu, unsigned alias, gfn_t gfn,
                             unsigned offset, uint8_t value)
{
    uint8_t *page;
    enum status s = translate(p, cpu, alias, gfn, true, &page);

    if (s == OK) {
        page[offset] = value;
    }
    return s;
}

/* ---- the audit ----------------------------------------------------------------------------- */

static void print_violation(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "check: %s\n", line);
}

void fake_check(struct frames *f, struct p2m *const *maps, unsigned n_maps,
                struct share_group *const *groups, unsigned n_groups, const struct fold *fold)
{
    struct audit a = {
        .frames = f,
        .maps = maps,
        .n_maps = n_maps,
        .groups = groups,
        .n_groups = n_groups,
        .fold = fold,
        .scratch = malloc(f->count * sizeof(uint32_t)),
        .report = print_violation,
    };

    ASSERT(a.scratch);
    unsigned violations = audit_run(&a);
    free(a.scratch);
    if (violations > 0) {
        panic("%u violations", violations);
    }
}
