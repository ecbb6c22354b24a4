/* SPDX-License-Identifier: BSD-2-Clause */
/* The accounts' queues: their shares of the pools, and the loop that does what there is to do. */
#include "base/log.h"
#include "drivers/block/cache/internal.h"

void blkcache_queue_make(struct blkcache_queue *q, struct blkcache *bc, uint32_t max_jobs,
                         uint32_t max_ios)
{
    *q = (struct blkcache_queue){.bc = bc, .max_jobs = max_jobs, .max_ios = max_ios};
    STAILQ_INIT(&q->incoming);
    STAILQ_INIT(&q->ready);
    STAILQ_INIT(&q->want_io);
    STAILQ_INIT(&q->finished);
}

enum status blkcache_queue_init(struct blkcache_queue *q, struct blkcache *bc, uint32_t max_jobs,
                                uint32_t max_ios, void (*wake)(void *ctx), void *ctx)
{
    struct blkcache_queue *rest = &bc->common;

    /* One of each stays with the common queue. */
    if (max_jobs == 0 || max_ios == 0 || max_jobs >= rest->max_jobs || max_ios >= rest->max_ios) {
        return E_NOMEM;
    }
    rest->max_jobs -= max_jobs;
    rest->max_ios -= max_ios;
    blkcache_queue_make(q, bc, max_jobs, max_ios);
    q->wake = wake;
    q->ctx = ctx;
    return OK;
}

bool blkcache_queue_is_idle(const struct blkcache_queue *q)
{
    return q->n_jobs == 0 && STAILQ_EMPTY(&q->incoming);
}

void blkcache_queue_fini(struct blkcache_queue *q)
{
    ASSERT(blkcache_queue_is_idle(q) && !q->starved);
    q->bc->common.max_jobs += q->max_jobs;
    q->bc->common.max_ios += q->max_ios;
}

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

void blkcache_pool_grew(struct blkcache *bc)
{
    struct blkcache_queue *q;

    while ((q = STAILQ_FIRST(&bc->starved)) != NULL) {
        STAILQ_REMOVE_HEAD(&bc->starved, starved_link);
        q->starved = false;
        blkcache_stir(q);
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

/* Works until nothing can go on, or the time is up: true then. */
static bool run(struct blkcache_queue *q, const struct deadline *until)
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
        (void)run(&bc->common, NULL);
    }
    return more;
}

/* While some queue's work is done this only leaves word, so the stack stays flat however the
 * devices complete. */
void blkcache_stir(struct blkcache_queue *q)
{
    struct blkcache *bc = q->bc;

    if (bc->running == q) {
        return; /* it will see */
    }
    if (q->wake != NULL) {
        q->wake(q->ctx);
    } else if (bc->running == NULL) {
        (void)run(q, NULL);
    } else {
        bc->stirred = true; /* only the common queue has no wake */
    }
}

bool blkcache_common_work(struct blkcache *bc, const struct deadline *until)
{
    return run(&bc->common, until);
}

bool blkcache_queue_work(struct blkcache_queue *q, const struct deadline *until)
{
    if (!has_work(q)) {
        note_starved(q);
        return false;
    }
    return run(q, until);
}
