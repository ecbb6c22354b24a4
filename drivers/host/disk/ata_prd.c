/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables by which the bus master finds memory, and the bounce buffer below 4 GiB. */
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/host/disk/ata_internal.h"

#define DMA_LIMIT BIT(32)

struct prd_table {
    uint8_t *next;
    unsigned n;
};

static uint8_t *bounce_va(const struct ata_channel *ch)
{
    return (uint8_t *)ch->mem.va + 2 * PAGE_SIZE;
}

static uint64_t bounce_pa(const struct ata_channel *ch)
{
    return ch->mem.pa.a + 2 * PAGE_SIZE;
}

static uint32_t bounce_bytes(const struct ata_channel *ch)
{
    return ch->mem.bytes - 2 * PAGE_SIZE;
}

/* Entries for [addr, addr + bytes), cut where 64 KiB end: an entry may not cross. */
static void prd_add(struct prd_table *t, uint64_t addr, uint32_t bytes)
{
    while (bytes != 0) {
        uint32_t part = MIN(bytes, (uint32_t)(0x10000 - (addr & 0xffff)));
        ASSERT(t->n < PRD_ENTRIES);
        store_le32(t->next, (uint32_t)addr);
        store_le32(t->next + 4, part & 0xffff); /* 0 stands for 64 KiB */
        t->next += 8;
        t->n++;
        addr += part;
        bytes -= part;
    }
}

static void prd_end(struct prd_table *t)
{
    store_le32(t->next - 4, load_le32(t->next - 4) | PRD_LAST);
}

/*
 * One piece of a command: a part of one segment, of a line's length at most, so that it has two
 * entries at most. Building and copying back walk the same pieces by the same rules, so nothing
 * about them needs to be remembered.
 */
#define PIECE_MAX 0x10000u

struct walk {
    const struct blk_req *r; /* NULL: the batch is used up */
    unsigned seg;
    uint32_t off;     /* into the segment */
    uint32_t bounced; /* bytes of the bounce buffer handed out */
};

static void walk_begin(struct walk *w, const struct blk_req *r, uint64_t skip)
{
    uint64_t bytes = skip * BLK_SECTOR;

    *w = (struct walk){.r = r};
    while (w->seg < r->n_segs && bytes >= r->segs[w->seg].bytes) {
        bytes -= r->segs[w->seg].bytes;
        w->seg++;
    }
    w->off = (uint32_t)bytes;
}

/* The next piece of at most max bytes; 0 when the batch or the bounce buffer is used up. */
static uint32_t walk_next(struct walk *w, const struct ata_channel *ch, uint32_t max,
                          uint64_t *addr, bool *bounce)
{
    while (w->seg >= w->r->n_segs) {
        if ((w->r = STAILQ_NEXT(w->r, link)) == NULL) {
            return 0;
        }
        w->seg = 0;
    }
    const struct blk_seg *s = &w->r->segs[w->seg];
    uint32_t n = MIN(MIN(max, PIECE_MAX), s->bytes - w->off);
    *addr = s->addr.a + w->off;
    *bounce = s->addr.a + s->bytes > DMA_LIMIT; /* all of the segment, so that max plays no part */
    if (*bounce) {
        n = MIN(n, bounce_bytes(ch) - w->bounced); /* both whole sectors */
        w->bounced += n;
    }
    w->off += n;
    if (w->off == s->bytes) {
        w->seg++;
        w->off = 0;
    }
    return n;
}

/* A page of zeroes as often as it takes: an entry for each. */
static uint32_t build_zeroes(struct ata_channel *ch, struct prd_table *t, uint32_t max)
{
    max = MIN(max, PRD_ENTRIES * (PAGE_SIZE / BLK_SECTOR));
    for (uint32_t left = max * BLK_SECTOR; left != 0;) {
        uint32_t n = MIN(left, PAGE_SIZE);
        prd_add(t, ch->mem.pa.a + PAGE_SIZE, n);
        left -= n;
    }
    prd_end(t);
    return max;
}

uint32_t ata_prd_build(struct ata_channel *ch, uint64_t skip, uint32_t max)
{
    const struct blk_req *r = STAILQ_FIRST(&ch->batch);
    struct prd_table t = {.next = ch->mem.va};
    uint32_t left = max * BLK_SECTOR, n;
    struct walk w;
    uint64_t addr;
    bool bounce;

    if (r->op == BLK_ZEROES) {
        return build_zeroes(ch, &t, max);
    }
    walk_begin(&w, r, skip);
    while (left != 0 && t.n + 2 <= PRD_ENTRIES &&
           (n = walk_next(&w, ch, left, &addr, &bounce)) != 0) {
        if (bounce) {
            uint32_t at = w.bounced - n;
            if (r->op == BLK_WRITE) {
                memcpy(bounce_va(ch) + at, ch->host->bytes_at(ch->host->ctx, HPA(addr)), n);
            }
            addr = bounce_pa(ch) + at;
            ch->n_bounced++;
        }
        prd_add(&t, addr, n);
        left -= n;
    }
    prd_end(&t);
    return max - left / BLK_SECTOR;
}

void ata_prd_unbounce(struct ata_channel *ch, uint64_t skip, uint32_t sectors)
{
    uint32_t left = sectors * BLK_SECTOR, n;
    struct walk w;
    uint64_t addr;
    bool bounce;

    walk_begin(&w, STAILQ_FIRST(&ch->batch), skip);
    while (left != 0 && (n = walk_next(&w, ch, left, &addr, &bounce)) != 0) {
        if (bounce) {
            memcpy(ch->host->bytes_at(ch->host->ctx, HPA(addr)), bounce_va(ch) + w.bounced - n, n);
        }
        left -= n;
    }
}

/* Up to 64 ranges of up to 65535 sectors; ACS-2, 7.10 (DATA SET MANAGEMENT). */
uint64_t ata_prd_trim(struct ata_channel *ch, const struct blk_req *r, uint64_t skip)
{
    struct prd_table t = {.next = ch->mem.va};
    uint8_t *p = bounce_va(ch);
    uint64_t at = skip;

    memset(p, 0, BLK_SECTOR);
    for (unsigned i = 0; i < BLK_SECTOR / 8 && at < r->sectors; i++) {
        uint64_t n = MIN(r->sectors - at, UINT64_C(65535));
        store_le64(p + (size_t)i * 8, (r->sector + at) | n << 48);
        at += n;
    }
    prd_add(&t, bounce_pa(ch), BLK_SECTOR);
    prd_end(&t);
    return at - skip;
}
