/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a block is among the entries: a hash table with chains. */
#include "mm/cache/queue.h"

/* Multiply and shift, twice; every bit of the key reaches all but the lowest bits. */
uint64_t cache_hash(const struct cache *c, uint32_t disk, uint64_t block)
{
    uint64_t h = block ^ c->seed;

    h = (h ^ (h >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= (uint64_t)disk << 32 | disk;
    return (h ^ (h >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
}

uint32_t *cache_bucket(const struct cache *c, uint32_t disk, uint64_t block)
{
    return &c->buckets[(uint32_t)(cache_hash(c, disk, block) >> 32) & c->bucket_mask];
}

uint32_t cache_find(const struct cache *c, uint32_t disk, uint64_t block)
{
    uint32_t e = *cache_bucket(c, disk, block);

    while (e != CACHE_NIL && (c->entries[e].block != block || c->entries[e].disk != disk)) {
        e = c->entries[e].hash_next;
    }
    return e;
}
