/* SPDX-License-Identifier: BSD-2-Clause */
/* A reading of the counters: KSM's, and the cost model's terms. */
#include "base/bits.h"
#include "mm/fold/fold.h"

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t estimate_unshared(const struct fold *f)
{
    uint64_t open = 0, known = f->unshared_last + f->volatile_last;

    for (const struct p2m *p = f->maps; p; p = p->fold_next) {
        open += p->present - p->shared_maps - p->zero_maps;
    }
    /* A page takes 4 KiB and a candidate some hundred ticks: no product overflows. */
    return f->candidates_lately > 0
               ? less(open, known) * MIN(f->merges_lately, f->candidates_lately) /
                     f->candidates_lately
               : 0;
}

#define COPY(name, from, text) .name = f->from,
#define SUM(name, from, text) out->name += g->from;
#define COPY_CLASS(name, from, text) .name = f->by_class[c].from,
#define SUM_CLASS(name, from, text) out->name += g->from[c];

static void read_class(const struct fold *f, unsigned c, struct fold_class_counters *out)
{
    *out = (struct fold_class_counters){FOLD_CLASS_COUNTERS(COPY_CLASS, FOLD_NOTHING)};
    for (const struct share_group *g = f->groups; g; g = g->fold_next) {
        FOLD_CLASS_COUNTERS(FOLD_NOTHING, SUM_CLASS)
    }
}

void fold_read(const struct fold *f, struct fold_counters *out)
{
    const struct frames *frames = f->frames;
    uint64_t shared_maps = 0;

    *out = (struct fold_counters){FOLD_COUNTERS(COPY, FOLD_NOTHING, FOLD_NOTHING, FOLD_NOTHING)};
    for (const struct share_group *g = f->groups; g; g = g->fold_next) {
        FOLD_COUNTERS(FOLD_NOTHING, SUM, FOLD_NOTHING, FOLD_NOTHING)
        shared_maps += g->shared_maps;
    }
    out->pages_shared = frames->by_state[FRAME_SHARED] - frames->shared_gone - frames->shared_given;
    out->pages_sharing = less(shared_maps, out->pages_shared);
    out->cost_unshared_pages = estimate_unshared(f);
    out->cost_scan_ticks = f->scan_ticks - f->merge_ticks;
    for (unsigned c = 0; c < PAGE_CLASSES; c++) {
        read_class(f, c, &out->by_class[c]);
    }
}
