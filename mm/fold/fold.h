/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Folding: finds pages of equal content among the attached VMs of a share group and maps them all
 * to one frame, read-only.
 *
 * A pass brings every page that is due before the engine once. A page of zeroes goes to the group's
 * zero page. Another is compared with the page that follows where its predecessor was folded
 * (lookahead), then looked for in the stable index (SHARED frames, which cannot change) and, when
 * it is not volatile, in the unstable index (PRIVATE frames, which may change under it): a match is
 * merged and becomes stable, what has no match is entered. What a search finds is only a hint: both
 * pages are then write-protected and flushed, and compared whole, before any merge.
 *
 * Which pages are due is fold.volatility. With checksums, all: a page whose sum differs from the
 * last pass's is volatile. With dirty bits, those that were written or are new and then stayed
 * clean for a pass; memory that nobody writes is not read at all. A map without dirty bits is
 * scanned by checksums in any case.
 *
 * fold.index = tree keeps the indexes in the order of content, as the paper has it, and tears the
 * unstable one down when its order may have suffered. fold.index = hash keeps both in one table of
 * small trees in the order of a keyed 64-bit hash, and nodes stay until their pages change. Pages
 * of equal hash that differ, which no guest can make (mm/content/content.h), are in it beside each
 * other, as far as HASH_TREE_CHAIN goes.
 *
 * With a disk cache (mm/cache), blocks take part. In its mode FOLD each block that has come is
 * looked at once, before the pass goes on, as its content cannot change: zeroes need no frame, a
 * block that equals a stable frame is that frame from then on, an equal page of the unstable index
 * is merged into the block's frame, and the block is stable at once. So an exclusive block stands
 * in the index like a guest's page, and no guest's page can be looked at and stay equal to it. In
 * mode SCRUB, each pass ends with a walk over the cache that drops the blocks whose content an
 * index holds.
 *
 *     fold_init -> fold_attach (each VM) -> fold_step, again and again -> fold_detach
 *
 * A VM may be attached and detached at any moment between two steps; its frames stay folded. Pinned
 * frames are skipped. Nothing here allocates, sleeps or keeps time.
 *
 * Locking: as the frame table's.
 */
#ifndef MM_FOLD_FOLD_H
#define MM_FOLD_FOLD_H

#include "base/deadline.h"
#include "base/status.h"
#include "base/types.h"
#include "mm/content/content.h"
#include "mm/fold/counters.h"
#include "mm/frame.h"
#include "mm/p2m.h"
#include "mm/pageclass.h"

enum fold_index { FOLD_TREE, FOLD_HASH };
enum fold_volatility { FOLD_CHECKSUM, FOLD_DIRTY };
/* What is done with a guest's page cache (paper, 5.5 and 7). */
enum fold_pagecache {
    FOLD_PAGECACHE_SCAN, /* what is done with any page */
    FOLD_PAGECACHE_ONCE, /* compared by lookahead only, then left alone until it is written */
    FOLD_PAGECACHE_SKIP, /* left alone */
};

/* What can be turned while it runs (kernel/config has the names). fold_init turns all of it on. */
struct fold_switches {
    bool run;       /* fold at all */
    bool zero;      /* pages of zeroes go to the zero page */
    bool lookahead; /* paper, section 7 */
    bool backoff;   /* pages rest whose folds keep breaking, or that stay as they are */
    enum fold_index index;
    enum fold_volatility volatility;
    enum fold_pagecache pagecache;
    uint8_t skip; /* BIT(class) for each class that is left alone */
};

/* What the engine is doing. */
enum fold_phase {
    FOLD_BEGIN,    /* about to start a pass */
    FOLD_SCAN,     /* in a pass */
    FOLD_CACHED,   /* at its end, what the disk cache holds */
    FOLD_TEARDOWN, /* emptying the unstable trees that are ordered by content */
    FOLD_REINDEX,  /* moving the stable frames to the other kind of index */
};

/* A page that wants to be looked at before its turn. */
struct fold_hint {
    uint16_t vm;
    uint32_t gfn;
};
/* So many are kept; what does not fit is found by the pass. A power of two. */
#define FOLD_HINTS 1024u

/* Which hashes blocks have that have come to be the cache's alone: one bit for so many bits of the
 * hash. What is not told apart costs a look at a page, so it is of one size. */
#define FOLD_TAG_BITS 16
struct fold_alone {
    uint64_t bits[(1u << FOLD_TAG_BITS) / 64];
    bool any;
    bool all; /* whatever the hash: the index is by content */
};

/* Where attached maps are found by their VM's number; a power of two. */
#define FOLD_VM_SLOTS 64u

struct cache;

struct fold {
    struct frames *frames;
    struct cache *cache;     /* whose blocks take part; to be set by whoever has one */
    uint64_t (*ticks)(void); /* may be NULL: all ticks stay 0 */
    /* Told for which VM the next work is done, by its number, and 0 when it is for all again: a
     * look before its turn, which the VM's disk read asked for, is that VM's cost, and so is the
     * look at a block that a VM brought into the cache. May be NULL. */
    void (*charge)(uint16_t vm);
    const struct content_unit *unit; /* to be set before the first attach, if at all */
    struct content_key key;
    /* Tells a page's class; NULL: all are PAGE_UNKNOWN. */
    enum page_class (*classify)(void *ctx, struct p2m *p, gfn_t gfn, bool from_disk);
    void *classify_ctx;

    struct fold_switches on; /* but for `run`, to be changed by fold_switch only */

    uint32_t *roots; /* of the index by hash, by the hash's highest bits */
    unsigned n_roots;
    uint8_t root_shift;

    struct p2m *maps;                 /* attached, in the order of attachment, */
    struct p2m *by_vm[FOLD_VM_SLOTS]; /* and by the VM's number, those of a slot in a list */
    struct share_group *groups;
    bool several_groups; /* there are more, whose guests may come later; set by their owner */
    enum fold_phase phase;
    bool reindex;        /* fold.index was switched: FOLD_REINDEX is to come */
    bool misplaced;      /* nodes of an unstable tree by content were written since its teardown */
    bool bracket;        /* unit->begin was called in this step */
    uint64_t reindex_at; /* the next frame to look at */
    struct p2m *cursor;  /* the map under the scan; NULL at a pass's end */
    gfn_t next;          /* the next guest frame to look at in it */
    bool in_region;      /* dirty bits: the region of `next` is being gone through, */
    uint64_t todo[P2M_REGION_WORDS];   /* and these of its pages are still to be looked at */
    uint64_t settle[P2M_REGION_WORDS]; /* likewise, written since the last pass: to be noted */
    uint64_t called[P2M_REGION_WORDS]; /* and these, which rest, for the cache's sake */
    unsigned way; /* work on the way to pages that is not yet charged to the budget */
    struct fold_hint hints[FOLD_HINTS];
    uint32_t hint_first, n_hints;
    uint32_t hint_credit;  /* so many are taken before the pass has to go on */
    uint32_t block_credit; /* likewise, of the cache's new blocks */
    uint32_t cached_left;  /* FOLD_CACHED: new blocks, or the cache's entries, still to look at */
    struct fold_alone alone[2]; /* since the last pass began; and since this one did */

    uint64_t stable, unstable;             /* nodes in all indexes of a kind */
    uint64_t left_out;                     /* SHARED frames in no index */
    uint64_t volatile_now;                 /* of this pass so far */
    uint64_t volatile_last, unshared_last; /* of the last complete pass */
    uint64_t full_scans, pages_scanned, pages_skipped, pages_ineligible, pages_backed_off,
        pages_hinted;
    uint64_t regions_harvested, regions_passed;
    uint64_t blocks_scanned; /* of the disk cache, looked at */
    uint64_t scrub_ticks;    /* of scan_ticks, what looking for blocks to be dropped took */
    uint64_t lookahead_hits, lookahead_misses, collisions;
    uint64_t compares, hashes, scan_ticks;
    uint64_t merge_ticks; /* of these, on the pages that were merged */
    struct fold_class_scan by_class[PAGE_CLASSES];
    /* How often a page that is looked at is merged: sums up to the last pass's end, and over the
     * last passes, the older ones counting less. */
    uint64_t candidates_then, merges_then, candidates_lately, merges_lately;
};

/* How many roots the index by hash has on a machine of so many frames: an eighth of a byte a frame.
 */
unsigned fold_roots(uint64_t frames);
/*
 * Also takes over frames->unindex. `random`: the key of the page hash is drawn from it. `roots`:
 * memory for fold_roots(frames->count) of them, for as long as f is used. Switches: on, hash,
 * dirty, nothing skipped; the scalar operations.
 */
void fold_init(struct fold *f, struct frames *frames, uint64_t (*ticks)(void),
               struct random *random, uint32_t *roots);

/* The map joins the pass under way, last. Its group must have been initialised. */
void fold_attach(struct fold *f, struct p2m *p);
/* The map is not looked at again. No effect when it is not attached. */
void fold_detach(struct fold *f, struct p2m *p);
/* Forgets a group before share_group_fini. E_BUSY while frames of it are indexed or VMs attached.
 */
enum status fold_forget(struct fold *f, struct share_group *g) MUST_CHECK;

/*
 * Does at most `budget` pages' worth of work (a page visited, or about as much of anything else)
 * and returns how much it did: less than `budget` at the end of a pass, or when `until` has passed,
 * 0 when switched off or when there is nothing to scan. It looks at `until` after each page's worth
 * and before none, so that any step gets on.
 */
unsigned fold_step(struct fold *f, unsigned budget, const struct deadline *until);

/*
 * A disk read into the page is done, its content has arrived whole: it is noted as from a disk, and
 * looked at in the next step, before the pass goes on (unless too many come: a guest that reads its
 * disk without end does not keep the pass from its way).
 */
void fold_hint(struct fold *f, struct p2m *p, gfn_t gfn);

/* The hints that wait and can be taken now, and the part of fold_step that takes up to `budget` of
 * them and leaves the pass where it is. */
uint32_t fold_hints(const struct fold *f);
unsigned fold_step_hints(struct fold *f, unsigned budget, const struct deadline *until);

/* How far the pass under way has come: the part of memory behind it, of `whole` (at most 2^16). */
uint32_t fold_progress(const struct fold *f, uint32_t whole);

/* The counters as they are now, sums over groups included. */
void fold_read(const struct fold *f, struct fold_counters *out);

/*
 * The paper's experiment 5: how long the runs of folded pages are that follow one another in the
 * same order elsewhere, where lookahead can do without a search. runs[k] counts those of 2^k to
 * 2^(k+1) - 1 pages; the last takes all longer ones. Walks all memory.
 */
#define FOLD_RUNS 16
void fold_sequences(const struct fold *f, struct yield *y, uint64_t runs[FOLD_RUNS]);

/* Takes effect with the next step. A new kind of index or volatility begins the pass anew. */
void fold_switch(struct fold *f, const struct fold_switches *to);

#endif
