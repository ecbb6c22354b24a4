/* SPDX-License-Identifier: BSD-2-Clause */
/* Admission, order and completion of the cached block devices' requests. */
#include "base/bits.h"
#include "drivers/block/cache/internal.h"
#include "drivers/block/segs.h"

/* ---- helpers of the readers and writers ---- */

void blkcache_copy_to_request(struct blkcache *bc, const struct blk_req *r, uint64_t off,
                              const void *bytes, size_t n)
{
    bc->cache->stats.copied_bytes += n;
    blk_segs_put(bc->cache->frames->window, r, off, bytes, n);
}

void blkcache_copy_from_request(struct blkcache *bc, const struct blk_req *r, uint64_t off,
                                void *bytes, size_t n)
{
    bc->cache->stats.copied_bytes += n;
    blk_segs_get(bc->cache->frames->window, r, off, bytes, n);
}

uint64_t blkcache_slice(const struct blk_req *r, uint64_t off, uint64_t n, struct blk_seg *segs,
                        unsigned *n_segs)
{
    return blk_segs_slice(r, off, n, segs, n_segs, IO_SEGS);
}

uint8_t blkcache_mask(uint64_t block, uint64_t from, uint64_t end)
{
    uint64_t first = block * CACHE_BLOCK_SECTORS;
    uint64_t lo = from > first ? from - first : 0;
    uint64_t hi = MIN(end - first, (uint64_t)CACHE_BLOCK_SECTORS);

    return (uint8_t)((BIT32(hi) - 1) & ~(BIT32(lo) - 1));
}

struct blkcache_io *blkcache_io_get(struct blkcache_job *j)
{
    struct blkcache *bc = j->d->bc;
    struct blkcache_queue *q = j->q;
    struct blkcache_io *io = STAILQ_FIRST(&bc->free_ios);

    /* The common queue may have promised more to others than it has left. */
    if (q->n_ios >= q->max_ios || io == NULL) {
        j->parked = true;
        STAILQ_INSERT_TAIL(&q->want_io, j, queue);
        return NULL;
    }
    STAILQ_REMOVE_HEAD(&bc->free_ios, link);
    q->n_ios++;
    io->job = j;
    io->n_entries = 0;
    io->given = false;
    io->landed = false;
    io->next = 0;
    io->released = 0;
    STAILQ_INIT(&io->waiters);
    j->pending++;
    return io;
}

void blkcache_io_put(struct blkcache_io *io)
{
    io->job->pending--;
    io->job->q->n_ios--;
    io->job = NULL;
    STAILQ_INSERT_HEAD(&io->bc->free_ios, io, link);
    blkcache_pool_grew(io->bc);
}

/* Maybe from inside submit: only noted here. Those who wait for the fill may see to it themselves,
 * should its owner come later than they. */
static void io_done(struct blk_req *r, enum status s)
{
    struct blkcache_io *io = r->ctx;
    struct blkcache_queue *q = io->job->q;
    struct blkcache_job_list waiters = STAILQ_HEAD_INITIALIZER(waiters);
    struct blkcache_job *w;

    io->status = s;
    io->landed = true;
    STAILQ_INSERT_TAIL(&q->finished, io, link);
    STAILQ_CONCAT(&waiters, &io->waiters);
    while ((w = STAILQ_FIRST(&waiters)) != NULL) {
        STAILQ_REMOVE_HEAD(&waiters, queue);
        STAILQ_INSERT_TAIL(&w->q->ready, w, queue);
        if (w->q->wake != NULL) {
            w->q->wake(w->q->ctx);
        } else {
            q = w->q; /* the common one: whichever of the two has no wake is stirred last */
        }
    }
    if (q != io->job->q) {
        blkcache_stir(io->job->q);
    }
    blkcache_stir(q);
}

void blkcache_io_submit(struct blkcache_io *io, enum blk_op op, const struct blk_seg *segs,
                        unsigned n_segs)
{
    io->req = (struct blk_req){
        .op = op,
        .sector = op == BLK_FLUSH ? 0 : io->from - io->job->d->dev.start,
        .sectors = io->sectors,
        .segs = segs,
        .n_segs = n_segs,
        .done = io_done,
        .ctx = io,
        .account = io->job->r->account,
        .ahead = io->job->r->ahead,
    };
    blk_submit(io->job->d->lower, &io->req);
}

/* ---- jobs ---- */

void blkcache_job_ready(struct blkcache_job *j)
{
    j->parked = true;
    STAILQ_INSERT_TAIL(&j->q->ready, j, queue);
    blkcache_stir(j->q);
}

void blkcache_job_again(struct blkcache_job *j)
{
    j->parked = true;
    STAILQ_INSERT_HEAD(&j->q->ready, j, queue);
}

static bool is_read(const struct blkcache_job *j)
{
    return j->r->op == BLK_READ || j->r->op == BLK_FETCH;
}

/* Whether two jobs of one leaf share a block and may not be in flight together. */
static bool conflicts(const struct blkcache_job *a, const struct blkcache_job *b)
{
    if ((is_read(a) && is_read(b)) || a->r->op == BLK_FLUSH || b->r->op == BLK_FLUSH) {
        return false;
    }
    return job_start(a) / CACHE_BLOCK_SECTORS <= (b->end - 1) / CACHE_BLOCK_SECTORS &&
           job_start(b) / CACHE_BLOCK_SECTORS <= (a->end - 1) / CACHE_BLOCK_SECTORS;
}

void blkcache_count_hit(struct blkcache_job *j)
{
    j->d->stats.hits++;
    if (j->r->account != NULL) {
        j->r->account->cache_hits++;
    }
}

void blkcache_count_misses(struct blkcache_job *j, uint64_t blocks)
{
    j->d->stats.misses += blocks;
    if (j->r->account != NULL) {
        j->r->account->cache_misses += blocks;
    }
}

void blkcache_observe(const struct blkcache_dev *d, const struct blk_account *account,
                      enum blk_op op, uint64_t first, uint64_t last)
{
    const struct blkcache *bc = d->bc;

    if (bc->trace != NULL) {
        blktrace_add(bc->trace, (struct blktrace_record){
                                    .block = first,
                                    .blocks = (uint32_t)MIN(last - first + 1, UINT32_MAX),
                                    .disk = d->dev.id,
                                    .vm = account != NULL ? account->vm : 0,
                                    .op = op == BLK_READ    ? BLKTRACE_READ
                                          : op == BLK_WRITE ? BLKTRACE_WRITE
                                                            : BLKTRACE_DROP,
                                });
    }
}

/* Blocks that the curve is told of in one piece of work. */
#define CURVE_BLOCKS 8u

/* Tells the curve of some more blocks that the queue's first request reads. True: of all of them.
 */
static bool tell_curve(struct blkcache_queue *q)
{
    struct blk_req *r = STAILQ_FIRST(&q->incoming);
    const struct blkcache_job j = {.d = r->dev_priv, .r = r};

    if (q->bc->curve == NULL || r->op != BLK_READ) {
        return true;
    }
    uint64_t at = job_start(&j), b = at / CACHE_BLOCK_SECTORS + q->told;
    const uint64_t last = (at + r->sectors - 1) / CACHE_BLOCK_SECTORS;
    for (unsigned n = 0; n < CURVE_BLOCKS && b <= last; n++, b++) {
        mrc_read_block(q->bc->curve, j.d->dev.id, b);
        q->told++;
    }
    if (b <= last) {
        return false;
    }
    q->told = 0;
    return true;
}

void blkcache_admit(struct blkcache_queue *q)
{
    if (!tell_curve(q)) {
        return;
    }
    struct blkcache *bc = q->bc;
    struct blk_req *r = STAILQ_FIRST(&q->incoming);
    struct blkcache_job *j = STAILQ_FIRST(&bc->free_jobs), *earlier;

    STAILQ_REMOVE_HEAD(&q->incoming, link);
    STAILQ_REMOVE_HEAD(&bc->free_jobs, queue);
    q->n_jobs++;
    *j = (struct blkcache_job){.d = r->dev_priv, .q = q, .r = r, .is_ahead = r->ahead};
    if (q->errors_told == 0) {
        q->errors_told = bc->errors; /* what happened before its time is not its own */
    }
    j->at = job_start(j);
    j->end = j->at + r->sectors;
    uint64_t first = j->at / CACHE_BLOCK_SECTORS, last = (j->end - 1) / CACHE_BLOCK_SECTORS;
    if (r->op != BLK_FLUSH &&
        r->op != BLK_FETCH) { /* who fetches comes for the blocks one by one */
        blkcache_observe(j->d, r->account, r->op, first, last);
    }
    if (is_read(j) && !r->ahead) {
        blkcache_ahead_note(j->d, r->account, first, last, true);
    }
    TAILQ_FOREACH(earlier, &j->d->leaf->active, active)
    {
        if (conflicts(earlier, j)) {
            j->blockers++;
            blkcache_ahead_hurry(earlier);
        }
    }
    TAILQ_INSERT_TAIL(&j->d->leaf->active, j, active);
    if (j->blockers == 0) {
        blkcache_job_ready(j);
    }
}

static void count(struct blkcache_dev *d, const struct blk_req *r, enum status s)
{
    if (s != OK) {
        d->stats.errors++;
    }
    switch (r->op) {
    case BLK_READ:
        d->stats.reads++;
        d->stats.read_sectors += r->sectors;
        break;
    case BLK_FETCH: /* the reads that it is for come one by one, by blkcache_hold */
        break;
    case BLK_WRITE:
        d->stats.writes++;
        d->stats.written_sectors += r->sectors;
        break;
    case BLK_FLUSH:
        d->stats.flushes++;
        break;
    default:
        d->stats.discards++;
        break;
    }
}

void blkcache_job_end(struct blkcache_job *j)
{
    struct blkcache_dev *d = j->d;
    struct blk_req *r = j->r;
    enum status s = j->status;

    for (struct blkcache_job *later = TAILQ_NEXT(j, active); later != NULL;
         later = TAILQ_NEXT(later, active)) {
        if (conflicts(j, later) && --later->blockers == 0) {
            blkcache_job_ready(later);
        }
    }
    TAILQ_REMOVE(&d->leaf->active, j, active);
    STAILQ_INSERT_HEAD(&d->bc->free_jobs, j, queue);
    j->q->n_jobs--;
    blkcache_pool_grew(d->bc);
    count(d, r, s);
    d->in_flight--;
    r->done(r, s);
}

uint32_t blkcache_group(const struct blkcache_job *j)
{
    if (j->d->readers == FRAME_COMMON) {
        return FRAME_COMMON;
    }
    return j->r->account != NULL ? j->r->account->group : FRAME_NO_GROUP;
}

uint16_t blkcache_vm(const struct blkcache_job *j)
{
    return j->r->account != NULL ? j->r->account->vm : 0;
}
