/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory for requests: pages that are taken at random, used again at once, and looked
 * at again later. A page that the hypervisor shares with its cache or with another guest must keep
 * what this guest has in it, whatever becomes of the disk's block.
 */
#include "verify.h"

#define POOL_PAGES 4096u

static uint8_t *pool;
static uint32_t n_pages;
static bool busy[POOL_PAGES];
static uint64_t hashes[POOL_PAGES];

uint64_t hash_bytes(const uint8_t *p, uint64_t n)
{
    uint64_t h = n;

    for (; n >= 8; n -= 8, p += 8) {
        h = (h ^ *(const uint64_t *)p) * 0x9e3779b97f4a7c15ul;
        h ^= h >> 32;
    }
    for (; n > 0; n--, p++) {
        h = (h ^ *p) * 0xbf58476d1ce4e5b9ul;
    }
    return h;
}

static uint32_t number(const uint8_t *page)
{
    return (uint32_t)((uint64_t)(page - pool) / PAGE);
}

static void look_at(uint32_t i)
{
    if (hash_bytes(pool + i * PAGE, PAGE) != hashes[i]) {
        wrong("page %u (at %lx) has changed by itself", i, (uint64_t)pool + i * PAGE);
        hashes[i] = hash_bytes(pool + i * PAGE, PAGE);
    }
}

void pool_init(uint64_t from, uint64_t to)
{
    pool = (uint8_t *)((from + PAGE - 1) & -PAGE);
    n_pages = (uint32_t)((to - (uint64_t)pool) / PAGE);
    if (n_pages > POOL_PAGES) {
        n_pages = POOL_PAGES;
    }
    for (uint32_t i = 0; i < n_pages; i++) {
        hashes[i] = hash_bytes(pool + i * PAGE, PAGE);
    }
}

static uint64_t edges(const struct buffer *b)
{
    uint32_t end = (b->offset + b->bytes) % PAGE;
    uint64_t h = hash_bytes(b->pages[0], b->offset);

    return end == 0 ? h : mix(h) + hash_bytes(b->pages[b->n_pages - 1] + end, PAGE - end);
}

static bool take_scattered(struct buffer *b)
{
    b->n_pages = b->bytes / PAGE;
    for (unsigned i = 0; i < b->n_pages; i++) {
        uint32_t p = below(n_pages);
        for (unsigned tries = 0; busy[p] && tries < 8; tries++) {
            p = below(n_pages);
        }
        if (busy[p]) {
            b->n_pages = i;
            return false;
        }
        b->pages[i] = pool + p * PAGE;
        busy[p] = true;
    }
    return true;
}

static bool take_in_a_row(struct buffer *b)
{
    uint32_t n = (uint32_t)((b->offset + b->bytes + PAGE - 1) / PAGE);
    uint32_t first = below(n_pages - n);

    b->n_pages = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (busy[first + i]) {
            return false;
        }
    }
    b->n_pages = n;
    for (uint32_t i = 0; i < n; i++) {
        b->pages[i] = pool + (first + i) * PAGE;
        busy[first + i] = true;
    }
    return true;
}

bool pool_take(struct buffer *b, uint32_t bytes)
{
    uint32_t kind = below(10);

    b->bytes = bytes;
    b->scattered = bytes % PAGE == 0 && bytes >= 2 * PAGE && kind < 4;
    b->offset = kind < 6 ? 0 : kind < 8 ? SECTOR * below(8) : below(PAGE);
    b->offset = b->scattered ? 0 : b->offset;
    bool ok = b->scattered ? take_scattered(b) : take_in_a_row(b);
    for (unsigned i = 0; i < b->n_pages; i++) {
        if (ok) {
            look_at(number(b->pages[i]));
        } else {
            busy[number(b->pages[i])] = false;
        }
    }
    if (ok) {
        b->edges = edges(b);
    }
    return ok;
}

void pool_give_back(struct buffer *b, bool spoil)
{
    if (edges(b) != b->edges) {
        wrong("memory around a buffer of %u bytes at %lx + %x has changed", b->bytes,
              (uint64_t)b->pages[0], b->offset);
    }
    for (unsigned i = 0; i < b->n_pages; i++) {
        uint32_t p = number(b->pages[i]);
        if (spoil && below(4) != 0) {
            uint64_t *at = (uint64_t *)b->pages[i];
            uint32_t from = below(PAGE / 8), n = 1 + below(64);
            for (uint32_t w = from; w < from + n && w < PAGE / 8; w++) {
                at[w] = rnd();
            }
        }
        hashes[p] = hash_bytes(b->pages[i], PAGE);
        busy[p] = false;
    }
}

uint8_t *buffer_sector(const struct buffer *b, uint32_t i)
{
    return b->scattered ? b->pages[i / BLOCK_SECTORS] + i % BLOCK_SECTORS * SECTOR
                        : b->pages[0] + b->offset + i * SECTOR;
}

void pool_churn(void)
{
    uint32_t p = below(n_pages), kind = below(16);
    uint64_t *words = (uint64_t *)(pool + p * PAGE);

    if (!busy[p]) {
        look_at(p);
        if (kind == 0) {
            memset(words, 0, PAGE);
        } else if (kind == 1) { /* one of a few contents that all guests have */
            for (unsigned i = 0; i < BLOCK_SECTORS; i++) {
                fill_twin((uint8_t *)words + i * SECTOR, below(4), i);
            }
        } else if (kind < 8) {
            words[below(PAGE / 8)] = rnd();
        }
        hashes[p] = hash_bytes(pool + p * PAGE, PAGE);
    }
    p = below(n_pages);
    if (!busy[p]) {
        look_at(p);
    }
}

void pool_check_all(void)
{
    for (uint32_t i = 0; i < n_pages; i++) {
        if (!busy[i]) {
            look_at(i);
        }
    }
}
