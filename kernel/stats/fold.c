/* SPDX-License-Identifier: BSD-2-Clause */
/* Folding's part of the statistics: what it did, what that cost, and by class of page. */
#include "kernel/stats/fold.h"

#include "base/bits.h"
#include "kernel/core/machine.h"
#include "kernel/scan/scan.h"

#define NS_PER_MS UINT64_C(1000000)

#define LINE(name, from, text) FIELD(fold, name, text),
#define OWN_LINE(name, text) FIELD(fold, name, text),
#define CLASS_LINE(name, from, text) FIELD(class, name, text),

static const struct stats_field fold_fields[] = {FOLD_COUNTERS(LINE, LINE, OWN_LINE, OWN_LINE)};

static const struct stats_field class_fields[] = {FOLD_CLASS_COUNTERS(CLASS_LINE, CLASS_LINE)};

const struct stats_field *stats_fold_fields(unsigned *n)
{
    *n = ARRAY_LEN(fold_fields);
    return fold_fields;
}

const struct stats_field *stats_class_fields(unsigned *n)
{
    *n = ARRAY_LEN(class_fields);
    return class_fields;
}

/* What is kept for folding's sake, and in the frame table. */
static uint64_t metadata_bytes(void)
{
    const uint64_t *by = machine_frames.by_state;
    uint64_t notes = 0;

    for (unsigned i = 0; i < n_vms; i++) {
        notes += vm_has_memory(vms[i]) ? vms[i]->p2m.n_notes : 0;
    }
    return (notes << PAGE_SHIFT) +
           (by[FRAME_PRIVATE] + by[FRAME_SHARED] + by[FRAME_ZERO]) * sizeof(struct frame);
}

static void read_advisor(struct stats_fold *out)
{
    struct scan_status s;

    scan_status(&s);
    out->advisor_binds = s.binds;
    out->pass_ms = s.pass_ns / NS_PER_MS;
    out->pass_scan_ms = s.pass_scan_ns / NS_PER_MS;
}

#define COPY(name, ...) .name = c.name,
#define COPY_CLASS(name, ...) .name = c.by_class[i].name,

void stats_read_fold(struct stats_fold *out)
{
    struct fold_counters c;

    fold_read(&machine_fold, &c);
    *out = (struct stats_fold){FOLD_COUNTERS(COPY, COPY, COPY, FOLD_NOTHING)};
    out->metadata_bytes = metadata_bytes();
    uint64_t saved = (c.pages_sharing + c.pages_zero) << PAGE_SHIFT;
    out->general_profit = saved - MIN(saved, out->metadata_bytes);
    read_advisor(out);
    for (unsigned i = 0; i < PAGE_CLASSES; i++) {
        out->classes[i] = (struct stats_class){FOLD_CLASS_COUNTERS(COPY_CLASS, COPY_CLASS)};
    }
}
