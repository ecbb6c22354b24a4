/* SPDX-License-Identifier: BSD-2-Clause */
/* Admission, order, waiting and completion of a copy-on-write disk's requests. */
#include "drivers/block/cow/cow.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/page.h"
#include "base/string.h"
#include "drivers/block/cow/internal.h"

/* ---- jobs ---- */

static void make_ready(struct cow_job *j)
{
    STAILQ_INSERT_TAIL(&j->c->ready, j, queue);
}

/* Whether two jobs share a chunk and may not be in flight together. */
static bool conflicts(const struct cow_job *a, const struct cow_job *b)
{
    const struct blk_req *r = b->r;

    return !(cow_is_read(a->r) && cow_is_read(r)) && r->op != BLK_FLUSH &&
           cow_touches(a->r, r->sector / COW_CHUNK_SECTORS, (b->end - 1) / COW_CHUNK_SECTORS);
}

static void admit(struct cow *c)
{
    struct blk_req *r = STAILQ_FIRST(&c->incoming);
    struct cow_job *j = STAILQ_FIRST(&c->free_jobs), *earlier;

    STAILQ_REMOVE_HEAD(&c->incoming, link);
    STAILQ_REMOVE_HEAD(&c->free_jobs, queue);
    j->r = r;
    j->at = r->sector;
    j->end = r->sector + r->sectors;
    j->blockers = 0;
    j->status = OK;
    j->n_new = 0;
    TAILQ_FOREACH(earlier, &c->active, active)
    {
        j->blockers += conflicts(earlier, j);
    }
    TAILQ_INSERT_TAIL(&c->active, j, active);
    if (j->blockers == 0) {
        make_ready(j);
    }
}

static void end(struct cow_job *j)
{
    struct cow *c = j->c;
    struct blk_req *r = j->r;
    enum status s = j->status;

    for (struct cow_job *later = TAILQ_NEXT(j, active); later != NULL;
         later = TAILQ_NEXT(later, active)) {
        if (conflicts(j, later) && --later->blockers == 0) {
            make_ready(later);
        }
    }
    TAILQ_REMOVE(&c->active, j, active);
    STAILQ_INSERT_HEAD(&c->free_jobs, j, queue);
    c->in_flight--;
    r->done(r, s);
}

static enum cow_next piece(struct cow_job *j)
{
    switch (j->r->op) {
    case BLK_READ:
        return cow_read_piece(j);
    case BLK_FETCH:
        return cow_fetch_piece(j);
    case BLK_DISCARD:
        return cow_discard_piece(j);
    default:
        return cow_write_piece(j);
    }
}

/* Goes on until something is in flight or waited for, the job has ended, or the time is up. */
static void step(struct cow_job *j)
{
    struct cow *c = j->c;

    if (j->r->op == BLK_FLUSH && j->status == OK && c->ops->flush != NULL) {
        c->ops->flush(c, j);
        return;
    }
    while (j->status == OK && j->at < j->end) {
        if (piece(j) == COW_AWAY) {
            return;
        }
        if (deadline_passed(c->until) && j->status == OK && j->at < j->end) {
            STAILQ_INSERT_HEAD(&c->ready, j, queue);
            return;
        }
    }
    end(j);
}

static bool has_work(const struct cow *c)
{
    return !STAILQ_EMPTY(&c->landed) || !STAILQ_EMPTY(&c->ready) ||
           (!STAILQ_EMPTY(&c->incoming) && !STAILQ_EMPTY(&c->free_jobs));
}

/* Does one thing that can go on. */
static void run_one(struct cow *c)
{
    struct cow_job *j;

    if ((j = STAILQ_FIRST(&c->landed)) != NULL) {
        STAILQ_REMOVE_HEAD(&c->landed, queue);
        if (j->r->op == BLK_FLUSH) {
            end(j);
        } else if (cow_piece_landed(j) == COW_GO) {
            step(j);
        }
    } else if ((j = STAILQ_FIRST(&c->ready)) != NULL) {
        STAILQ_REMOVE_HEAD(&c->ready, queue);
        step(j);
    } else {
        admit(c);
    }
}

/* Works until nothing can go on, or the time is up: true then. Called again from below or above it
 * only leaves word, so the stack stays flat however the devices complete. */
static bool run(struct cow *c, const struct deadline *until)
{
    if (c->running) {
        return true;
    }
    if (!has_work(c)) {
        return false;
    }
    c->running = true;
    c->until = until;
    while (has_work(c)) {
        run_one(c);
        if (deadline_passed(until)) {
            break;
        }
    }
    c->until = NULL;
    c->running = false;
    return has_work(c);
}

/* Something can go on. */
static void kick(struct cow *c)
{
    if (c->wake != NULL) {
        c->wake(c->wake_ctx);
    } else {
        (void)run(c, NULL);
    }
}

bool cow_work(struct cow *c, const struct deadline *until)
{
    return run(c, until);
}

static void cow_submit_req(struct blk_dev *d, struct blk_req *r)
{
    struct cow *c = (struct cow *)d;

    c->in_flight++;
    STAILQ_INSERT_TAIL(&c->incoming, r, link);
    kick(c);
}

static const struct blk_ops cow_blk_ops = {
    .submit = cow_submit_req, .hold = cow_hold, .taken = cow_taken, .keeps = cow_keeps};

/* ---- the lower devices ---- */

static void lower_done(struct blk_req *r, enum status s)
{
    struct cow_job *j = r->ctx;

    j->result = s;
    STAILQ_INSERT_TAIL(&j->c->landed, j, queue);
    kick(j->c);
}

enum cow_next cow_submit(struct cow_job *j, struct blk_dev *d, enum blk_op op, uint64_t sector,
                         uint64_t sectors, unsigned n_segs)
{
    const struct blk_req *r = j->r;

    j->req = (struct blk_req){
        .op = op,
        .sector = sector,
        .sectors = sectors,
        .segs = j->segs,
        .n_segs = n_segs,
        .done = lower_done,
        .ctx = j,
        .account = r->account,
        .past_cache = r->past_cache && op == BLK_READ,
        .ahead = r->ahead,
        .held = op == BLK_FETCH && r->held != NULL ? r->held + r->n_held : NULL,
        .max_held = op == BLK_FETCH ? r->max_held - r->n_held : 0,
    };
    blk_submit(d, &j->req);
    return COW_AWAY;
}

/* ---- waiting ---- */

bool cow_is_starved(const struct cow *c)
{
    return !STAILQ_EMPTY(&c->starved);
}

/* All of a queue go on; those that are to fail have it written on them. */
static void release(struct cow *c, struct cow_job_list *queue, enum status s)
{
    struct cow_job *j;

    if (s != OK) {
        STAILQ_FOREACH(j, queue, queue)
        {
            j->status = s;
        }
    }
    STAILQ_CONCAT(&c->ready, queue);
    kick(c);
}

void cow_retry(struct cow *c)
{
    release(c, &c->starved, OK);
}

void cow_cancel(struct cow *c)
{
    /* Those that waited behind them may want a frame in their turn. */
    while (cow_is_starved(c)) {
        release(c, &c->starved, E_IO);
    }
}

void cow_places_changed(struct cow *c, enum status s)
{
    release(c, &c->blocked, s);
}

void cow_flushed(struct cow_job *j, enum status s)
{
    j->status = s;
    STAILQ_INSERT_TAIL(&j->c->landed, j, queue);
    kick(j->c);
}

/* ---- making and ending ---- */

static void free_frames(struct cow *c)
{
    while (c->n_frames > 0) {
        frames_free(c->frames, c->job_frames[--c->n_frames]);
    }
    frames_free(c->frames, c->zeroes);
}

static enum status alloc_frames(struct cow *c)
{
    enum status s = frames_alloc(c->frames, FRAME_HYP, &c->zeroes);

    if (s != OK) {
        return s;
    }
    page_zero(frame_bytes(c->frames, c->zeroes));
    while (c->n_frames < ARRAY_LEN(c->job_frames)) {
        s = frames_alloc(c->frames, FRAME_HYP, &c->job_frames[c->n_frames]);
        if (s != OK) {
            free_frames(c);
            return s;
        }
        c->n_frames++;
    }
    return OK;
}

enum status cow_init(struct cow *c, const struct cow_ops *ops, struct frames *frames,
                     struct blk_dev *base, struct blk_dev *store, bool reuses)
{
    *c = (struct cow){
        .dev = {.ops = &cow_blk_ops,
                .sectors = base->sectors,
                .can_discard = reuses,
                .can_zero = true,
                .id = UINT32_MAX}, /* no cache lies above, and its chunks begin at its sector 0 */
        .base = base,
        .store = store,
        .ops = ops,
        .frames = frames,
        .reuses = reuses,
        .store_run = COW_RUN,
    };
    format(c->dev.name, sizeof(c->dev.name), "%s", base->name);
    STAILQ_INIT(&c->free_jobs);
    STAILQ_INIT(&c->ready);
    STAILQ_INIT(&c->landed);
    STAILQ_INIT(&c->starved);
    STAILQ_INIT(&c->blocked);
    STAILQ_INIT(&c->incoming);
    TAILQ_INIT(&c->active);
    enum status s = chunkmap_init(&c->map, frames, cow_chunks(c));
    if (s == OK) {
        s = alloc_frames(c);
    }
    for (unsigned i = 0; s == OK && i < c->n_frames; i += 2) {
        struct cow_job *j = frame_bytes(frames, c->job_frames[i]);
        memset(j, 0, sizeof(*j));
        j->c = c;
        j->bounce = c->job_frames[i + 1];
        STAILQ_INSERT_TAIL(&c->free_jobs, j, queue);
    }
    return s;
}

void cow_fini(struct cow *c)
{
    ASSERT(c->in_flight == 0 && c->map.nodes == 0);
    free_frames(c);
}

uint64_t cow_frames(const struct cow *c)
{
    return c->map.nodes + c->n_frames + 1;
}
