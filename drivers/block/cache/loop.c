/* SPDX-License-Identifier: BSD-2-Clause */
/* The loop that does what there is to do for a queue, one thing after the other. */
#include "drivers/block/cache/internal.h"

static void step(struct blkcache_job *j)
{
    j->parked = false;
    if (j->r->op == BLK_READ || j->r->op == BLK_FETCH) {
        blkcache_read_step(j);
    } else {
        blkcache_write_step(j);
    }
}

/* Sees to the first io that has landed. */
static void finish(struct blkcache_queue *q)
{
    struct blkcache_io *io = STAILQ_FIRST(&q->finished);

    STAILQ_REMOVE_HEAD(&q->finished, link);
    if (!(io->kind == IO_PASS ? blkcache_write_finished(io) : blkcache_read_finished(io))) {
        STAILQ_INSERT_HEAD(&q->finished, io, link);
    }
}

/* What is the common queue's besides requests. */
static bool write_back_one(struct blkcache *bc)
{
    struct blkcache_out *o = STAILQ_FIRST(&bc->finished_outs);

    if (o == NULL) {
        return false;
    }
    STAILQ_REMOVE_HEAD(&bc->finished_outs, link);
    blkcache_charge(bc, o->account.vm);
    if (!blkcache_out_finished(o)) {
        STAILQ_INSERT_HEAD(&bc->finished_outs, o, link);
    }
    blkcache_charge(bc, 0);
    return true;
}

static bool can_admit(const struct blkcache_queue *q)
{
    return !STAILQ_EMPTY(&q->incoming) && q->n_jobs < q->max_jobs &&
           !STAILQ_EMPTY(&q->bc->free_jobs);
}

static bool can_have_io(const struct blkcache_queue *q)
{
    return !STAILQ_EMPTY(&q->want_io) && q->n_ios < q->max_ios && !STAILQ_EMPTY(&q->bc->free_ios);
}

/* Whether there is something to do for a queue that is not the common one. */
static bool has_work(const struct blkcache_queue *q)
{
    return !STAILQ_EMPTY(&q->finished) || !STAILQ_EMPTY(&q->ready) || can_have_io(q) ||
           can_admit(q);
}

/* The queue has less than its share, and the pool is empty: whatever comes back wakes it. */
static void note_starved(struct blkcache_queue *q)
{
    struct blkcache *bc = q->bc;
    bool job =
        !STAILQ_EMPTY(&q->incoming) && q->n_jobs < q->max_jobs && STAILQ_EMPTY(&bc->free_jobs);
    bool io = !STAILQ_EMPTY(&q->want_io) && q->n_ios < q->max_ios && STAILQ_EMPTY(&bc->free_ios);

    if ((job || io) && !q->starved) {
        q->starved = true;
        STAILQ_INSERT_TAIL(&bc->starved, q, starved_link);
    }
}

/* Does one thing; false when there is nothing that can go on. */
static bool run_one(struct blkcache_queue *q)
{
    struct blkcache *bc = q->bc;
    struct blkcache_job *j;

    if (!STAILQ_EMPTY(&q->finished)) {
        finish(q);
    } else if (q == &bc->common && write_back_one(bc)) {
        /* done */
    } else if ((j = STAILQ_FIRST(&q->ready)) != NULL) {
        STAILQ_REMOVE_HEAD(&q->ready, queue);
        step(j);
    } else if (can_have_io(q)) {
        /* Here and not where an io comes back: a job may need it no longer when it goes on, and
         * then the next one in the row gets it. */
        j = STAILQ_FIRST(&q->want_io);
        STAILQ_REMOVE_HEAD(&q->want_io, queue);
        blkcache_job_ready(j);
    } else if (can_admit(q)) {
        blkcache_admit(q);
    } else {
        return q == &bc->common && blkcache_flush_step(bc);
    }
    return true;
}

bool blkcache_run(struct blkcache_queue *q, const struct deadline *until)
{
    struct blkcache *bc = q->bc;
    bool more = true;

    if (bc->running != NULL) {
        return true;
    }
    bc->running = q;
    bc->until = until;
    while (more) {
        more = run_one(q) && (q == &bc->common || has_work(q));
        if (more && deadline_passed(until)) {
            break;
        }
    }
    bc->running = NULL;
    bc->until = NULL;
    note_starved(q);
    if (bc->stirred) {
        bc->stirred = false;
        (void)blkcache_run(&bc->common, NULL);
    }
    return more;
}

bool blkcache_work(struct blkcache *bc, uint64_t now_ns, const struct deadline *until)
{
    blkcache_flush_tick(bc, now_ns);
    return blkcache_run(&bc->common, until) || bc->more;
}

bool blkcache_queue_work(struct blkcache_queue *q, const struct deadline *until)
{
    if (!has_work(q)) {
        note_starved(q);
        return false;
    }
    return blkcache_run(q, until);
}
