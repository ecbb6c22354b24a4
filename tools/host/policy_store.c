/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's own block store, mm/cache: S3-FIFO with ghosts that are fingerprints; with
 * frames that have no bytes. */
#include "base/bits.h"
#include "base/log.h"
#include "mm/cache/store.h"
#include "tools/host/policy.h"

#include <err.h>
#include <stdlib.h>

#define SEED 1 /* any: a trace does not fight back */
#define DISK 0

struct policy {
    struct frames frames;
    struct frame *table;
    void *mem;
    struct cache cache;
};

static struct policy *store_make(uint32_t size, uint32_t n_ids)
{
    struct policy *p = calloc(1, sizeof(*p));

    (void)n_ids;
    if (!p || !(p->table = calloc(size, sizeof(*p->table))) ||
        !(p->mem = malloc(cache_bytes(size)))) {
        err(2, "memory");
    }
    frames_init(&p->frames, p->table, size, NULL); /* nobody looks into a frame here */
    frames_add_free(&p->frames, MFN(0), size);
    enum status s = cache_init(&p->cache, &p->frames, p->mem, size, SEED);
    ASSERT(s == OK);
    cache_set_mode(&p->cache, CACHE_INCLUSIVE);
    return p;
}

static bool store_read(struct policy *p, uint32_t id)
{
    uint32_t e = cache_find(&p->cache, DISK, id);

    if (e != CACHE_NIL) {
        cache_touch(&p->cache, e);
        return true;
    }
    enum status s = cache_insert(&p->cache, DISK, id, &e);
    ASSERT(s == OK);
    cache_publish(&p->cache, e, CACHE_MASK_ALL);
    return false;
}

/* As drivers/block/cache/write.c does it. */
static void store_write(struct policy *p, uint32_t id)
{
    uint32_t e = cache_find(&p->cache, DISK, id);

    if (e != CACHE_NIL) {
        cache_lock(&p->cache, e);
        cache_publish(&p->cache, e, CACHE_MASK_ALL);
    }
}

static void store_drop(struct policy *p, uint32_t id)
{
    cache_invalidate(&p->cache, DISK, id, 1);
}

static void store_free(struct policy *p)
{
    free(p->mem);
    free(p->table);
    free(p);
}

const struct policy_ops policy_store = {"pagefold",  store_make, store_read,
                                        store_write, store_drop, store_free};
