/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One VM's map from guest frames to machine frames, and what a fault on it does.
 *
 * The map itself (EPT on Intel, an array with a stale translation cache in tests) is behind struct
 * p2m_ops; this layer gives memory on first touch, breaks sharing on writes, and is the one door
 * for the hypervisor's own accesses to guest memory: p2m_get_write breaks sharing first.
 *
 * Flush rules: an operation that takes rights away (protect, unmap, replacing an entry) takes
 * effect for certain only after ops->flush. This layer flushes before it releases a frame that a
 * stale translation could still reach. In detail:
 *
 *     hole -> page             no flush: a CPU caches no translation of what is not present
 *     same frame, now writable no flush: a stale read-only translation at worst faults once more,
 *                              and the fault itself drops it (SDM 29.4.3.1)
 *     another frame            flush, even with one vCPU that has just faulted: the violation drops
 *                              the translations of the one linear address that was used; another
 *                              linear address of the same guest page would still read the old frame
 *     less rights, or a hole   flush before the frame is looked at, or given away
 *
 * ops->flush may be put off to the next guest entry on a CPU that is not in the guest; "no CPU uses
 * a translation older" is all it promises.
 */
#ifndef MM_P2M_H
#define MM_P2M_H

#include "base/status.h"
#include "base/types.h"
#include "mm/frame.h"

struct p2m_entry {
    mfn_t mfn;
    bool writable;
};

struct p2m_ops {
    /* E_NOTFOUND for a hole; *out untouched then. */
    enum status (*lookup)(void *ctx, gfn_t gfn, struct p2m_entry *out);
    /* The first present entry at or after `from` and below `end`; E_NOTFOUND when there is none.
     * Skips whole empty tables, so walking a sparse map is cheap. */
    enum status (*next)(void *ctx, gfn_t from, gfn_t end, gfn_t *at, struct p2m_entry *out);
    /* Installs or replaces the entry; E_NOMEM when a table page is needed and there is none. */
    enum status (*map)(void *ctx, gfn_t gfn, mfn_t mfn, bool writable);
    void (*protect)(void *ctx, gfn_t gfn); /* take the write right away; holes are ignored */
    void (*unmap)(void *ctx, gfn_t gfn);   /* leave a hole; holes are ignored */
    /* Whether the page was written through this entry since the last call. Without A/D bits always
     * true. A cleared bit is certain to be set again by the next write only after flush. */
    bool (*test_clear_dirty)(void *ctx, gfn_t gfn);
    /* When it returns, no CPU uses a translation older than the calls before it. */
    void (*flush)(void *ctx);
    /* Whether dirty bits exist. */
    bool has_dirty;
};

/* The guest's RAM: up to this many runs of guest frames, ascending, not touching. */
#define P2M_RUNS 4
struct p2m_run {
    gfn_t first;
    uint64_t pages;
};

/*
 * VMs that may fold together. Made and owned by kernel/ with share_group_init; the zero page is a
 * FRAME_ZERO whose refs count the p2m entries that map it.
 */
struct share_group {
    const char *name;
    mfn_t zero;
    struct share_group *zero_lender;     /* whose page `zero` is, when it is not the group's own */
    uint32_t zero_borrowers;             /* groups that use this one's */
    uint32_t stable_root, unstable_root; /* mm/fold's; FRAME_NIL when empty */
    uint32_t id;                         /* unique, at most UINT16_MAX */
    struct share_group *fold_next;       /* mm/fold's list of the groups it knows */
    /* Sums over all its VMs, the ones that are gone included: entries, then events. */
    uint64_t shared_maps, zero_maps;
    uint64_t cow_breaks, zero_breaks, merges, zero_merges;
};

/* Takes and clears the zero page. E_NOMEM; E_RANGE for an id that is too big. */
enum status share_group_init(struct share_group *g, struct frames *frames, const char *name,
                             uint32_t id) MUST_CHECK;
/*
 * From now on `g`, freshly initialised, uses the zero page of `lender` and gives its own back.
 * `lender` must have its own. What a guest can tell by timing does not change: its pages of zeroes
 * fold with or without others' (but it shares a frame with VMs of another group).
 */
void share_group_join_zero(struct share_group *g, struct frames *frames,
                           struct share_group *lender);
/* Gives the zero page back. E_BUSY while a VM of the group still holds memory, or another group
 * uses the page. */
enum status share_group_fini(struct share_group *g, struct frames *frames) MUST_CHECK;

struct p2m {
    const struct p2m_ops *ops;
    void *ctx;
    struct frames *frames;
    struct share_group *group;
    uint16_t vm; /* this VM's number, unique among live VMs */
    unsigned n_runs;
    struct p2m_run runs[P2M_RUNS];
    uint64_t ram_pages; /* sum over runs */
    /* Live statistics, in pages. */
    uint64_t present;     /* entries, whatever they map */
    uint64_t zero_maps;   /* of those, mapping the group's zero page */
    uint64_t shared_maps; /* of those, mapping a SHARED frame */
    uint64_t demand_zero, cow_breaks, zero_breaks, takeovers; /* events since creation */
    uint64_t merges, zero_merges;                             /* likewise, by mm/fold */
    struct p2m *fold_next;                                    /* mm/fold's list of attached maps */
    bool fold_attached;
};

/* `runs` is copied. The map must be empty. E_INVAL for runs that overlap or exceed 2^32 frames. */
enum status p2m_init(struct p2m *p, const struct p2m_ops *ops, void *ctx, struct frames *frames,
                     struct share_group *group, uint16_t vm, const struct p2m_run *runs,
                     unsigned n_runs) MUST_CHECK;
/* Drops every reference, leaving an empty map. Slow for big guests; p2m_drop_some is the bounded
 * form: releases up to `budget` pages, returns whether any are left. */
void p2m_drop_all(struct p2m *p);
bool p2m_drop_some(struct p2m *p, uint64_t budget);

/* Whether gfn is this guest's RAM. */
bool p2m_is_ram(const struct p2m *p, gfn_t gfn);

/*
 * Makes gfn accessible: a hole gets the zero page (read) or a zeroed frame of its own (write); a
 * write to a folded page gets a private copy, or the frame itself when this is the last reference.
 * OK also when there is nothing to do. E_FAULT: not RAM. E_NOMEM: out of frames, nothing changed.
 */
enum status p2m_fault(struct p2m *p, gfn_t gfn, bool write) MUST_CHECK;

/*
 * The door for the hypervisor's own accesses (device models, DMA). p2m_get_write breaks sharing,
 * and marks the page as written (a device's write sets no dirty bit by itself). Both pin the frame:
 * every success is paired with one p2m_put. Errors as p2m_fault, and E_BUSY when this guest holds
 * its own page pinned FRAME_PINS_MAX times already.
 *
 * A shared frame that is pinned is never taken over in place: another guest's device may be reading
 * it, so the last holder's write gets a copy then.
 */
enum status p2m_get_read(struct p2m *p, gfn_t gfn, mfn_t *out) MUST_CHECK;
enum status p2m_get_write(struct p2m *p, gfn_t gfn, mfn_t *out) MUST_CHECK;
void p2m_put(struct p2m *p, mfn_t mfn);

/* Copies between a buffer and guest memory, across pages, through the same door. On an error part
 * of the bytes may have been copied. */
enum status p2m_read(struct p2m *p, gpa_t from, void *to, size_t n) MUST_CHECK;
enum status p2m_write(struct p2m *p, gpa_t to, const void *from, size_t n) MUST_CHECK;

/*
 * For mm/fold. Both want gfn to map the PRIVATE frame that names (p->vm, gfn) as its owner, already
 * write-protected and flushed.
 *
 * p2m_make_shared turns that frame into a SHARED one where it is. p2m_merge replaces it by `into`
 * (SHARED, or the group's zero page) read-only, flushes, and drops the old frame's reference; an
 * error from ops->map is returned and nothing has changed then.
 */
void p2m_make_shared(struct p2m *p, gfn_t gfn, mfn_t mfn);
enum status p2m_merge(struct p2m *p, gfn_t gfn, mfn_t old, mfn_t into) MUST_CHECK;

#endif
