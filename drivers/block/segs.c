/* SPDX-License-Identifier: BSD-2-Clause */
/* Walking a request's segments. */
#include "drivers/block/segs.h"

#include "base/bits.h"
#include "base/string.h"

/* The part of segment `s` that byte *off of the rest begins in, at most n bytes; 0: none of it. */
static size_t part_at(const struct blk_seg *s, uint64_t *off, size_t n)
{
    if (*off >= s->bytes) {
        *off -= s->bytes;
        return 0;
    }
    return (size_t)MIN((uint64_t)n, s->bytes - *off);
}

void blk_segs_put(uint8_t *window, const struct blk_req *r, uint64_t off, const void *bytes,
                  size_t n)
{
    const uint8_t *p = bytes;

    for (unsigned i = 0; i < r->n_segs && n != 0; i++) {
        size_t part = part_at(&r->segs[i], &off, n);
        if (part != 0) {
            memcpy(window + r->segs[i].addr.a + off, p, part);
            p += part;
            n -= part;
            off = 0;
        }
    }
}

void blk_segs_get(const uint8_t *window, const struct blk_req *r, uint64_t off, void *bytes,
                  size_t n)
{
    uint8_t *p = bytes;

    for (unsigned i = 0; i < r->n_segs && n != 0; i++) {
        size_t part = part_at(&r->segs[i], &off, n);
        if (part != 0) {
            memcpy(p, window + r->segs[i].addr.a + off, part);
            p += part;
            n -= part;
            off = 0;
        }
    }
}

void blk_segs_zero(uint8_t *window, const struct blk_req *r, uint64_t off, size_t n)
{
    for (unsigned i = 0; i < r->n_segs && n != 0; i++) {
        const struct blk_seg *s = &r->segs[i];
        if (off >= s->bytes) {
            off -= s->bytes;
            continue;
        }
        size_t part = (size_t)MIN((uint64_t)n, s->bytes - off);
        memset(window + s->addr.a + off, 0, part);
        n -= part;
        off = 0;
    }
}

uint64_t blk_segs_slice(const struct blk_req *r, uint64_t off, uint64_t n, struct blk_seg *segs,
                        unsigned *n_segs, unsigned max)
{
    uint64_t covered = 0;

    for (unsigned i = 0; i < r->n_segs && covered < n && *n_segs < max; i++) {
        const struct blk_seg *s = &r->segs[i];
        if (off >= s->bytes) {
            off -= s->bytes;
            continue;
        }
        /* Segments are whole sectors, and so are off and n: what is covered is, too. */
        uint64_t part = MIN(n - covered, s->bytes - off);
        segs[(*n_segs)++] = (struct blk_seg){HPA(s->addr.a + off), (uint32_t)part};
        covered += part;
        off = 0;
    }
    return covered;
}
