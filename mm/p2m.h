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

#include "base/deadline.h"
#include "base/status.h"
#include "base/types.h"
#include "base/yield.h"
#include "mm/frame.h"
#include "mm/pageclass.h"

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
    /*
     * test_clear_dirty for the P2M_REGION_PAGES pages from `first` (a multiple of it) on: sets bit
     * i of `bits` for page first + i, leaves the others. False after one look when no translation
     * in the region was made since the last call; flush comes after a call that returned true even
     * when no page was written. Called only when has_dirty.
     */
    bool (*harvest)(void *ctx, gfn_t first, uint64_t *bits);
    /* When it returns, no CPU uses a translation older than the calls before it. */
    void (*flush)(void *ctx);
    /* Frames that the map itself takes up; NULL: none. */
    uint64_t (*tables)(void *ctx);
    /* Whether dirty bits exist. */
    bool has_dirty;
};

/*
 * What is remembered about guest pages, in regions of 2 MiB (as much as one lowest table of the
 * EPT maps): a frame of notes for each region that has ever been touched.
 */
#define P2M_REGION_PAGES 512u
#define P2M_REGION_WORDS (P2M_REGION_PAGES / 64)

/* gpage flags */
#define GPAGE_F_FOLDED 0x01    /* it maps what mm/fold made it map */
#define GPAGE_F_BROKEN 0x02    /* a write ended that since mm/fold last looked */
#define GPAGE_F_FROM_DISK 0x04 /* filled by a disk read, and not known to be written since */
#define GPAGE_F_TAGGED 0x08    /* mm/fold: not folded, and `since` is a part of its hash instead */
#define GPAGE_F_BY_CLASS 0x20  /* mm/fold: it rests, or did last, for its class */
#define GPAGE_F_SOLE 0x10 /* it maps a SHARED frame, and no other page does: see p2m_sole_walk */

/* One guest page, whatever it maps at the moment. */
struct gpage {
    uint8_t class; /* enum page_class when mm/fold last looked, and as folded */
    uint8_t flags;
    uint8_t level;  /* mm/fold: how quickly its folds have been breaking */
    uint8_t rests;  /* mm/fold: this many more rounds of rest (struct p2m_notes, resting) */
    uint16_t since; /* mm/fold: the low bits of full_scans when it was folded */
};

struct p2m_notes {
    uint64_t written[P2M_REGION_WORDS]; /* since mm/fold last looked, by guest or hypervisor */
    uint64_t pending[P2M_REGION_WORDS]; /* mm/fold: wants to look at it */
    uint64_t resting[P2M_REGION_WORDS]; /* mm/fold: but not soon */
    uint64_t skipped[P2M_REGION_WORDS]; /* of these: because of what became of it before */
    struct gpage pages[P2M_REGION_PAGES];
};

_Static_assert(sizeof(struct p2m_notes) <= PAGE_SIZE, "DESIGN: at most 16 bytes a guest page");

struct p2m_region {
    uint32_t notes; /* their frame (HYP), plus one; 0: nothing here was ever touched */
};

/*
 * A consumer of "which pages were written": dirty logging, migration. Any number may join; each has
 * a bitmap of its own, so that none takes a bit away from another or from mm/fold.
 */
struct p2m_log {
    uint64_t *bits; /* one for each gfn below p2m_regions() * P2M_REGION_PAGES; the owner's */
    struct p2m_log *next;
};

/* The guest's RAM: up to this many runs of guest frames, ascending, not touching. */
#define P2M_RUNS 4
struct p2m_slot {
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
    uint32_t stable_root, unstable_root; /* mm/fold's, by content; FRAME_NIL when empty */
    uint64_t indexed;                    /* frames of the group in any index, or left out of one */
    uint32_t id;                         /* unique, at most UINT16_MAX */
    struct share_group *fold_next;       /* mm/fold's list of the groups it knows */
    /* Sums over all its VMs, the ones that are gone included: entries, then events. */
    uint64_t shared_maps, zero_maps;
    uint64_t cow_breaks, zero_breaks, merges, zero_merges;
    /* Folded entries by the class they were folded as, and their ends by a write. */
    uint64_t class_folded[PAGE_CLASSES], class_breaks[PAGE_CLASSES];
    uint64_t cow_ticks; /* spent on writes that ended a fold, or the freezing of a page for one */
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

/* What a VM is promised, in frames: see mm/promise.h. */
struct promise {
    uint64_t pages;        /* to itself, at any moment; 0: none */
    uint64_t before;       /* while it is made (missing > 0): what was promised before */
    uint64_t missing;      /* frames that are yet to be kept for it */
    uint32_t fruitless;    /* calls in a row in which the cache gave none for it */
    uint64_t kept;         /* free frames kept for it: its part of frames->kept */
    uint64_t overhead;     /* frames of the VM's machine beside the map: vCPUs, disks' buffers */
    uint64_t overhead_max; /* these, when the machine is whole; their owner's to set */
};

struct p2m {
    const struct p2m_ops *ops;
    void *ctx;
    struct frames *frames;
    struct share_group *group;
    uint16_t vm; /* this VM's number, unique among live VMs */
    unsigned n_runs;
    struct p2m_slot runs[P2M_RUNS];
    uint64_t ram_pages; /* sum over runs */
    struct p2m_region *regions;
    uint32_t n_regions;   /* the last RAM page's, and those below it */
    gfn_t drop_next;      /* where p2m_drop_some goes on */
    uint32_t n_notes;     /* frames of notes in use, for the audit and `mem` */
    struct p2m_log *logs; /* who else wants to know about writes */
    /* mm/promise: what it may have. */
    struct promise promise;
    uint64_t max_frames; /* it may hold alone, what it keeps aside included */
    uint64_t aside;      /* frames that it holds in `,snapshot` disks; their owner's to set */
    uint64_t keep_free;  /* frames that it leaves to VMs that go first; set by mm/ration */
    uint8_t refused;     /* enum promise_refusal */
    /* Live statistics, in pages. */
    uint64_t present;     /* entries, whatever they map */
    uint64_t zero_maps;   /* of those, mapping the group's zero page */
    uint64_t shared_maps; /* of those, mapping a SHARED frame */
    uint64_t sole_maps;   /* of the latter, those with GPAGE_F_SOLE */
    uint64_t demand_zero, cow_breaks, zero_breaks, takeovers; /* events since creation */
    uint64_t merges, zero_merges;                             /* likewise, by mm/fold */
    struct p2m *fold_next;                                    /* mm/fold's list of attached maps */
    struct p2m *fold_same_slot;                               /* likewise, by the VM's number */
    uint32_t fold_due; /* mm/fold: in regions from this one on, all pages are yet to become due */
    bool fold_attached;
    /* Nothing of it is to be shared: disk blocks are copied to it instead of mapped, and what it
     * writes is not kept as a block. Its owner detaches it from mm/fold too (mm/fold/unmerge.h). */
    bool fold_off;
    uint64_t (*ticks)(void); /* mm/fold's clock, to tell what its folds cost; or NULL */
};

/* The number of regions that guest RAM of these runs spans. */
uint32_t p2m_regions(const struct p2m_slot *runs, unsigned n_runs);
/*
 * `runs` is copied; `regions` is memory for p2m_regions() of them, for as long as p is used: all
 * zeroes, as it is again when all has been dropped. The map must be empty. E_INVAL for runs that
 * overlap or exceed 2^32 frames.
 */
enum status p2m_init(struct p2m *p, const struct p2m_ops *ops, void *ctx, struct frames *frames,
                     struct share_group *group, uint16_t vm, const struct p2m_slot *runs,
                     unsigned n_runs, struct p2m_region *regions) MUST_CHECK;
/*
 * Drops every reference, and the notes, leaving an empty map. Slow for big guests; p2m_drop_some is
 * the bounded form: releases up to `budget` pages, looks at the clock after each few, and returns
 * whether anything is left.
 */
void p2m_drop_all(struct p2m *p);
bool p2m_drop_some(struct p2m *p, uint64_t budget, const struct deadline *d);

/* Whether gfn is this guest's RAM. */
bool p2m_is_ram(const struct p2m *p, gfn_t gfn);

/*
 * For walks over all entries, also where there should be none: the first at or after *at, which is
 * moved to it. Calls `y` (or NULL) between two pieces of the work, of a region each, and at least
 * once. False: there is no more, or `y` has ended it.
 */
bool p2m_walk(const struct p2m *p, struct yield *y, gfn_t *at, struct p2m_entry *e);

/*
 * Makes gfn accessible: a hole gets the zero page (read) or a zeroed frame of its own (write); a
 * write to a folded page gets a private copy, or the frame itself when this is the last reference.
 * OK also when there is nothing to do. E_FAULT: not RAM. E_NOMEM: out of frames, nothing changed.
 */
enum status p2m_fault(struct p2m *p, gfn_t gfn, bool write) MUST_CHECK;
/* Likewise, and tells the frame; *out is undefined on an error. */
enum status p2m_resolve(struct p2m *p, gfn_t gfn, bool write, mfn_t *out) MUST_CHECK;

/*
 * The door for the hypervisor's own accesses (device models, DMA). p2m_get_write breaks sharing,
 * and marks the page as written (a device's write sets no dirty bit by itself); p2m_put marks it
 * for the logs once more, as the device may have written until then. Both pin the frame: every
 * success is paired with one p2m_put. Errors as p2m_fault, and E_BUSY when this guest holds its own
 * page pinned FRAME_PINS_MAX times already.
 *
 * A shared frame that is pinned is never taken over in place: another guest's device may be reading
 * it, so the last holder's write gets a copy then.
 */
enum status p2m_get_read(struct p2m *p, gfn_t gfn, mfn_t *out) MUST_CHECK;
enum status p2m_get_write(struct p2m *p, gfn_t gfn, mfn_t *out) MUST_CHECK;
void p2m_put(struct p2m *p, mfn_t mfn);

/*
 * Maps a disk block's frame (CACHE, SHARED, or the group's zero page) read-only at gfn in place of
 * whatever is there: a page is read from a disk without a copy. The caller has it pinned, and no
 * guest of another share group maps it (p2m_may_map_shared). E_FAULT: not RAM. E_BUSY: a device is
 * writing to the guest's own page there, or the frame's references are all used. E_NOMEM: no memory
 * for tables. Nothing has changed then.
 */
enum status p2m_map_shared(struct p2m *p, gfn_t gfn, mfn_t mfn) MUST_CHECK;
/* Whether guests of share group `id` may map the CACHE or SHARED frame: only one group does at a
 * time, and none a FRAME_COMMON one, so that no group's write tells anything of another's pages. */
bool p2m_may_map_shared(const struct frame *fr, uint32_t id);

/*
 * The content of these pages is to stay as it is, for a device that reads them and has each pinned:
 * the guest's own pages among them that nobody else has pinned become SHARED, read-only in the
 * map, new to mm/fold, which is to look at them again. The guest's next write to one finds a pin or
 * another reference and gets a copy, or finds none and takes it over. Pages that are in a shared
 * frame cannot change anyway. One flush, if any.
 */
void p2m_share_for_io(struct p2m *p, const gfn_t *gfns, unsigned n);

/* Copies between a buffer and guest memory, across pages, through the same door. On an error part
 * of the bytes may have been copied. */
enum status p2m_read(struct p2m *p, gpa_t from, void *to, size_t n) MUST_CHECK;
enum status p2m_write(struct p2m *p, gpa_t to, const void *from, size_t n) MUST_CHECK;

/*
 * What a guest maps of the disk cache, and the pages that it froze, are SHARED frames: one each,
 * with the cache, however many guests map them. Where no other page maps one, the VM holds it alone
 * like a private page, and GPAGE_F_SOLE says so. The mark is set when a page comes to map such a
 * frame, and gone when it maps it no more. What other pages do is found out by this walk: it goes
 * on from *next, marks and unmarks, and returns whether anything is left; at the end *next is 0.
 */
bool p2m_sole_walk(struct p2m *p, gfn_t *next, const struct deadline *d);

/* ---- who wrote what ------------------------------------------------------------------------ */

/* The notes of gfn's region, or NULL when nothing there was ever touched. */
static inline struct p2m_notes *p2m_notes(const struct p2m *p, gfn_t gfn)
{
    uint64_t r = gfn.n / P2M_REGION_PAGES;

    if (r >= p->n_regions || p->regions[r].notes == 0) {
        return NULL;
    }
    return frame_bytes(p->frames, MFN(p->regions[r].notes - 1u));
}

/* The note of a page that is or was mapped. */
static inline struct gpage *p2m_page(const struct p2m *p, gfn_t gfn)
{
    struct p2m_notes *notes = p2m_notes(p, gfn);

    return notes ? &notes->pages[gfn.n % P2M_REGION_PAGES] : NULL;
}

/* What kind of page gfn, which is or was mapped, is; counted with what is folded. */
void p2m_set_class(struct p2m *p, gfn_t gfn, enum page_class class);
/* mm/fold need not look at the page, which has just come to map a frame of a stable index. */
void p2m_no_look(struct p2m *p, gfn_t gfn);
/* Tells every consumer that the page was or may be written: for writes that set no dirty bit. */
void p2m_mark_written(struct p2m *p, gfn_t gfn);
/* Moves the dirty bits of gfn's region into the consumers' bitmaps. False: no more than one look
 * was needed. Only where ops->has_dirty. */
bool p2m_harvest(struct p2m *p, gfn_t gfn);
/* The same for one page: whether it was written since its last harvest. */
bool p2m_harvest_page(struct p2m *p, gfn_t gfn);

/*
 * Joins with all bits of RAM set: whatever happened before counts as written. E_UNSUPPORTED without
 * dirty bits. Before reading its bits, the owner calls p2m_log_collect, which is where the dirty
 * bits of all memory are brought up to date; it clears the bits that it has dealt with itself.
 */
enum status p2m_log_join(struct p2m *p, struct p2m_log *log) MUST_CHECK;
void p2m_log_leave(struct p2m *p, struct p2m_log *log);
void p2m_log_collect(struct p2m *p);

/*
 * For mm/fold. p2m_make_shared wants gfn to map the PRIVATE frame that names (p->vm, gfn) as its
 * owner, already write-protected and flushed, and turns it into a SHARED one where it is.
 *
 * p2m_merge wants gfn to map such a frame or a SHARED one, and replaces it by `into` (SHARED or
 * CACHE of its group, or the group's zero page) read-only, flushes, and drops the old frame's
 * reference. E_BUSY: no reference to `into` is left. That, or an error from ops->map, is returned
 * and nothing has changed then.
 */
void p2m_make_shared(struct p2m *p, gfn_t gfn, mfn_t mfn);
enum status p2m_merge(struct p2m *p, gfn_t gfn, mfn_t old, mfn_t into) MUST_CHECK;

#endif
