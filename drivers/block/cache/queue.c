/* SPDX-License-Identifier: BSD-2-Clause */
/* The accounts' queues: their shares of the pools, and who is told that there is work. */
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

void blkcache_pool_grew(struct blkcache *bc)
{
    struct blkcache_queue *q;

    while ((q = STAILQ_FIRST(&bc->starved)) != NULL) {
        STAILQ_REMOVE_HEAD(&bc->starved, starved_link);
        q->starved = false;
        blkcache_stir(q);
    }
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
        (void)bc->run(q, NULL);
    } else {
        bc->stirred = true; /* only the common queue has no wake */
    }
}
