/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block devices as the hypervisor sees them: asynchronous, stackable.
 *
 * A host disk (ATA), a partition of one, a boot module, and the second-level cache over any of them
 * are each a struct blk_dev; a VM's virtio-blk submits to the top one. Sectors are 512 bytes.
 *
 * Memory is named by machine address: a segment may lie anywhere in machine memory, any length that
 * is a multiple of 512, any alignment to 2. The frames behind it stay pinned by the submitter until
 * `done`.
 */
#ifndef DRIVERS_BLOCK_BLK_H
#define DRIVERS_BLOCK_BLK_H

#include "base/status.h"
#include "base/types.h"

#include <bsd/sys/queue.h>

#define BLK_SECTOR 512u

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_ZEROES, BLK_FETCH };

struct blk_seg {
    hpa_t addr;
    uint32_t bytes;
};

struct blkcache_queue;

/* On whose behalf a request is made; the cache counts there. All zero to begin with. */
struct blk_account {
    struct blkcache_queue *queue;      /* the cache's, for this account; NULL: the common one */
    uint16_t vm;                       /* from 1; requests without an account are nobody's */
    uint16_t group;                    /* its share group's id */
    uint64_t cache_hits, cache_misses; /* blocks of read requests */
};

/*
 * One request. The submitter owns it and its segments, fills the first group, and must leave all of
 * it alone until `done` has been called (exactly once; possibly from inside submit).
 */
struct blk_req {
    enum blk_op op;
    uint64_t sector;
    uint64_t sectors; /* READ/WRITE: the sum of the segments' bytes / 512. FLUSH: 0 */
    const struct blk_seg *segs;
    unsigned n_segs;
    void (*done)(struct blk_req *r, enum status s); /* OK, E_IO, E_RANGE, E_READONLY, ... */
    void *ctx;
    struct blk_account *account; /* may be NULL; who makes requests of a request hands it on */
    bool past_cache; /* READ: what is not in a cache need not be held there afterwards */
    /* READ, FETCH: nobody waits for it, so others go first. May be cleared while the device has it,
     * by whoever comes to wait after all. */
    bool ahead;
    /* Another request follows at once: the device need not begin before it has that, too. */
    bool more;
    /* FETCH: NULL, or room for so many frame numbers. Frames of blocks that were asked for go
     * there, pinned, so that they are not evicted before the submitter comes for them by blk_hold;
     * it unpins them when `done` has been called. */
    uint32_t *held;
    unsigned max_held, n_held;
    /* The device's own, while it has the request: a list, itself or one of its parts, a word. */
    STAILQ_ENTRY(blk_req) link;
    void *dev_priv;
    uint32_t dev_word;
};

STAILQ_HEAD(blk_req_list, blk_req);

struct blk_dev;

struct blk_ops {
    /* Takes the request; always answers by r->done. */
    void (*submit)(struct blk_dev *d, struct blk_req *r);
    /* blk_hold; NULL for a device without frames to give, which then never sees a BLK_FETCH. */
    enum status (*hold)(struct blk_dev *d, uint64_t sector, uint32_t group, mfn_t *out);
    /* blk_taken; a device has both or neither. */
    void (*taken)(struct blk_dev *d, uint64_t sector, struct blk_account *account);
    /* blk_keeps; NULL for a device that never does. */
    bool (*keeps)(struct blk_dev *d, uint64_t sector);
};

struct blk_dev {
    const struct blk_ops *ops;
    char name[16];    /* "ata0", "ata0p1", "module:root.img" is cut to fit */
    uint64_t sectors; /* capacity */
    bool read_only;
    bool can_discard, can_zero; /* BLK_DISCARD / BLK_ZEROES are worth sending */
    uint32_t id;                /* unique among leaf devices: the cache's key, with the sector */
    uint64_t start;             /* partitions: first sector on the leaf device with that id */
};

/*
 * The one entry for submitters: checks the range without overflow, read_only, and that the segments
 * add up; then hands the request on. A bad request is done at once with E_RANGE, E_READONLY or
 * E_INVAL.
 */
void blk_submit(struct blk_dev *d, struct blk_req *r);

/*
 * Instead of copying: the CACHE frame that holds BLK_FRAME_SECTORS sectors from `sector` on, for a
 * guest of share group `group` to map read-only (p2m_map_shared). It comes pinned; unpin it
 * afterwards. With `out` NULL nothing is looked up or given: OK if the device gives frames of that
 * place at all, else E_UNSUPPORTED. BLK_ZERO_FRAME instead of a frame: they are all zeroes, so the
 * group's zero page serves. Nothing is counted before the guest has it: blk_taken.
 *
 * E_NOTFOUND: not held now, but a BLK_FETCH of these sectors may bring it (a request without
 * segments, a hint: done with OK whatever came of it, and what it brought may be gone again by
 * then). E_BUSY: held, but not to be had by this group now. E_UNSUPPORTED: read it by copying.
 */
enum status blk_hold(struct blk_dev *d, uint64_t sector, uint32_t group, mfn_t *out) MUST_CHECK;
/* The guest maps what blk_hold has just given: that is a read like any other. `account` as in a
 * request. */
void blk_taken(struct blk_dev *d, uint64_t sector, struct blk_account *account);
#define BLK_FRAME_SECTORS (PAGE_SIZE / BLK_SECTOR)

/*
 * Whether a write of the BLK_FRAME_SECTORS sectors from `sector` on may keep the guest's frame as
 * the block's, if it is a whole one that cannot change: SHARED or a zero page, as p2m_share_for_io
 * makes it. Nothing in the request says so: the cache looks at the frame. So a device that hands
 * requests on hands on their segments as they are, and this question with the sector changed
 * likewise.
 */
bool blk_keeps(struct blk_dev *d, uint64_t sector);
#define BLK_ZERO_FRAME MFN(UINT64_MAX)

/*
 * Carries out one request on `sectors` sectors of the memory at `buf` (FLUSH: 0 sectors) and waits,
 * calling poll(ctx) until it is done (poll must drive the device and its timeouts). Only for
 * start-up.
 */
enum status blk_wait(struct blk_dev *d, enum blk_op op, uint64_t sector, hpa_t buf,
                     uint32_t sectors, void (*poll)(void *ctx), void *ctx) MUST_CHECK;
/* The same, for reading. */
enum status blk_read_wait(struct blk_dev *d, uint64_t sector, hpa_t buf, uint32_t sectors,
                          void (*poll)(void *ctx), void *ctx) MUST_CHECK;

#endif
