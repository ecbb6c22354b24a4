/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitor's `check`: walks the whole memory state and proves that it is sound.
 *
 * Proven: each frame has one state and the counts agree with the table and the free list; each
 * frame's references equal the ones found; only PRIVATE frames are writable anywhere, and each only
 * where its owner is; no guest reaches a hypervisor frame or another share group's; the indexes are
 * valid trees that hold exactly the frames that say so, the stable ones in strict order of content
 * or of the hash that their content really has; the zero pages are zero; the VMs' own counters are
 * right.
 *
 * Nothing is changed, and nothing that is found is trusted: a broken table cannot make the walk
 * fault or loop. Nor may anything change while it lasts, `yield` included: what is counted at the
 * beginning is compared with what is found at the end.
 */
#ifndef MM_AUDIT_AUDIT_H
#define MM_AUDIT_AUDIT_H

#include "base/types.h"
#include "base/yield.h"
#include "mm/fold/fold.h"
#include "mm/frame.h"
#include "mm/p2m.h"

/* More violations than this are counted, but not told. */
#define AUDIT_LINES_MAX 20

struct audit {
    const struct frames *frames;
    struct p2m *const *maps; /* every live VM's, attached to the folding or not */
    unsigned n_maps;
    struct p2m *const *unmapped; /* VMs that are restarted, have no map, and are promised memory */
    unsigned n_unmapped;
    struct share_group *const *groups; /* every group, each once */
    unsigned n_groups;
    const struct fold *fold; /* NULL when nothing is ever indexed */
    uint32_t *scratch;       /* frames->count counts; their values do not matter */

    /* Calls `found` once for each reference that is held by something other than a p2m (the disk
     * cache). NULL when there is no such thing. */
    void (*others)(void *ctx, struct yield *yield, void (*found)(void *arg, mfn_t mfn), void *arg);
    void *others_ctx;
    struct yield *yield; /* between two pieces of the work: some entries, or a page; or NULL */
    /* Takes one violation as a line of text without a newline. NULL: only counted. */
    void (*report)(void *ctx, const char *line);
    void *report_ctx;

    unsigned violations; /* the result */
};

/* Returns the number of violations: 0 for a sound state. Without a meaning where `yield` ended it.
 */
unsigned audit_run(struct audit *a);

/* For the parts of the audit: counts a violation and tells it. */
void audit_fail(struct audit *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Checks one tree, its nodes carrying `flag`; returns how many nodes were reached. */
uint64_t audit_tree(struct audit *a, const struct share_group *g, uint32_t root, uint8_t flag,
                    bool balanced, bool ordered);
/* Checks the index by hash, and adds its nodes of each kind; the hashes of stable frames are
 * computed anew. */
void audit_hash_index(struct audit *a, uint64_t *stable, uint64_t *unstable);

#endif
