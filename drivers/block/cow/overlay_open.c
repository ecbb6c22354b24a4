/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening an overlay's store: what it holds is checked in full before it is used, or it is made. */
#include "base/bits.h"
#include "base/format.h"
#include "base/page.h"
#include "base/string.h"
#include "drivers/block/cow/internal.h"
#include "drivers/block/cow/overlay_format.h"

#define XXH_INLINE_ALL
#define XXH_NO_STDLIB
#define XXH_NO_STREAM
#include <xxhash.h>

/* The base's fingerprint: its first chunks and others, evenly spread. */
#define PRINT_FIRST 16u
#define PRINT_SPREAD 48u

struct opening {
    struct overlay *o;
    const struct overlay_cfg *cfg;
    uint8_t *buf; /* o->writing's bytes */
    char *why;
    size_t why_size;
};

#define REFUSE(p, s, ...) (format((p)->why, (p)->why_size, __VA_ARGS__), (s))

static unsigned long long ull(uint64_t n)
{
    return n;
}

static enum status io(struct opening *p, struct blk_dev *d, enum blk_op op, uint64_t chunk,
                      mfn_t mfn)
{
    enum status s =
        blk_wait(d, op, op == BLK_FLUSH ? 0 : chunk * COW_CHUNK_SECTORS, mfn_to_hpa(mfn),
                 op == BLK_FLUSH ? 0 : COW_CHUNK_SECTORS, p->cfg->poll, p->cfg->ctx);

    return s == OK ? OK
                   : REFUSE(p, s, "%s %s: %s",
                            op == BLK_READ    ? "reading"
                            : op == BLK_WRITE ? "writing"
                                              : "flushing",
                            d->name, status_name(s));
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    uint8_t any = 0;

    for (size_t i = 0; i < n; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

/* ---- the base's identity ---- */

static enum status print_base(struct opening *p, uint64_t *print)
{
    struct blk_dev *base = p->cfg->base;
    uint64_t whole = base->sectors / COW_CHUNK_SECTORS, last = UINT64_MAX;

    *print = 0;
    for (unsigned i = 0; i < PRINT_FIRST + PRINT_SPREAD; i++) {
        /* Without overflow: the base has less than 2^40 chunks (cow_init). */
        uint64_t chunk =
            i < PRINT_FIRST ? i : PRINT_FIRST + (whole * (i - PRINT_FIRST)) / PRINT_SPREAD;
        if (chunk >= whole || chunk == last) {
            continue;
        }
        enum status s = io(p, base, BLK_READ, chunk, p->o->writing);
        if (s != OK) {
            return s;
        }
        *print = XXH64(p->buf, PAGE_SIZE, *print);
        last = chunk;
    }
    return OK;
}

static void make_ident(const struct opening *p, uint64_t print, uint8_t *ident)
{
    memset(ident, 0, IDENT_BYTES);
    memcpy(ident, IDENT_MAGIC, 8);
    store_le32(ident + 8, IDENT_VERSION);
    store_le64(ident + IDENT_SECTORS, p->cfg->base->sectors);
    store_le64(ident + IDENT_PRINT, print);
    store_le64(ident + IDENT_SUM, XXH64(ident, IDENT_SUM, 0));
}

/* buf holds chunk 0. */
static enum status check_header(struct opening *p, const uint8_t *ident)
{
    const uint8_t *h = p->buf, *theirs = p->buf + IDENT_AT;
    const char *name = p->cfg->base->name;

    if (load_le32(h) != HEADER_MAGIC) {
        return REFUSE(p, E_INVAL,
                      "it holds something else than an overlay; to make it one, clear its first "
                      "128 KiB");
    }
    if (load_le32(h + 8) != HEADER_VERSION || load_le32(h + 12) != COW_CHUNK_SECTORS) {
        return REFUSE(p, E_INVAL, "version %u with %u sectors a chunk; only 1 with 8 is known",
                      load_le32(h + 8), load_le32(h + 12));
    }
    if (load_le32(h + 4) != 1) {
        return REFUSE(p, E_INVAL, "it is marked as invalid");
    }
    if (memcmp(theirs, IDENT_MAGIC, 8) != 0 || load_le32(theirs + 8) != IDENT_VERSION ||
        load_le64(theirs + IDENT_SUM) != XXH64(theirs, IDENT_SUM, 0)) {
        return REFUSE(p, E_INVAL, "it does not say which base it belongs to");
    }
    if (load_le64(theirs + IDENT_SECTORS) != p->cfg->base->sectors) {
        return REFUSE(p, E_EXISTS, "it belongs to a base of %llu sectors; %s has %llu",
                      ull(load_le64(theirs + IDENT_SECTORS)), name, ull(p->cfg->base->sectors));
    }
    if (memcmp(theirs, ident, IDENT_BYTES) != 0) {
        return REFUSE(p, E_EXISTS, "it belongs to another base, or %s was written since", name);
    }
    return OK;
}

/* ---- a new one ---- */

/* Whether nothing is there. buf holds chunk 0, in which an interrupted make_new may have left our
 * identification. */
static enum status is_blank(struct opening *p, bool *blank)
{
    *blank =
        is_zero(p->buf, IDENT_AT) &&
        is_zero(p->buf + IDENT_AT + IDENT_BYTES, PAGE_SIZE - IDENT_AT - IDENT_BYTES) &&
        (is_zero(p->buf + IDENT_AT, IDENT_BYTES) || memcmp(p->buf + IDENT_AT, IDENT_MAGIC, 8) == 0);
    for (uint64_t c = 1; *blank && c < MIN(BLANK_CHUNKS, p->o->n_chunks); c++) {
        enum status s = io(p, p->cfg->store, BLK_READ, c, p->o->writing);
        if (s != OK) {
            return s;
        }
        *blank = is_zero(p->buf, PAGE_SIZE);
    }
    return io(p, p->cfg->store, BLK_READ, 0, p->o->writing);
}

/* The magic comes last, in a sector of its own: until it is there, the store is blank. */
static enum status make_new(struct opening *p, const uint8_t *ident)
{
    struct blk_dev *d = p->cfg->store;
    mfn_t m = p->o->writing;

    memset(p->buf, 0, PAGE_SIZE);
    enum status s = io(p, d, BLK_WRITE, overlay_table_chunk(0), m);
    if (s == OK) {
        memcpy(p->buf + IDENT_AT, ident, IDENT_BYTES);
        s = io(p, d, BLK_WRITE, 0, m);
    }
    if (s == OK) {
        s = io(p, d, BLK_FLUSH, 0, m);
    }
    if (s == OK) {
        store_le32(p->buf, HEADER_MAGIC);
        store_le32(p->buf + 4, 1);
        store_le32(p->buf + 8, HEADER_VERSION);
        store_le32(p->buf + 12, COW_CHUNK_SECTORS);
        s = io(p, d, BLK_WRITE, 0, m);
    }
    return s == OK ? io(p, d, BLK_FLUSH, 0, m) : s;
}

/* ---- its tables ---- */

static enum status add_entry(struct opening *p, uint64_t chunk, uint64_t place)
{
    struct overlay *o = p->o;
    struct cow *c = &o->cow;
    uint64_t first = overlay_table_chunk(o->area) + 1;

    if (chunk >= cow_chunks(c) || place < first || place - first >= o->room) {
        return REFUSE(p, E_INVAL, "damaged: entry %u of area %llu leads from chunk %llu to %llu",
                      o->n_entries, ull(o->area), ull(chunk), ull(place));
    }
    unsigned slot = (unsigned)(place - first);
    if (overlay_slot_taken(o, slot) || chunkmap_get(&c->map, chunk) != COW_NONE) {
        return REFUSE(p, E_INVAL, "damaged: area %llu has chunk %llu or %llu twice", ull(o->area),
                      ull(chunk), ull(place));
    }
    enum status s = chunkmap_reserve(&c->map, chunk);
    if (s != OK) {
        return REFUSE(p, s, "no memory for the map of its %llu chunks", ull(c->stats.chunks));
    }
    chunkmap_set(&c->map, chunk, (uint32_t)place);
    overlay_take_slot(o, slot);
    c->stats.chunks++;
    o->n_entries++;
    return OK;
}

/* Reads the current area's table into o->table. *torn: something stands behind its end. */
static enum status load_area(struct opening *p, bool *torn)
{
    struct overlay *o = p->o;
    uint8_t *table = frame_bytes(p->cfg->frames, o->table);
    enum status s = io(p, p->cfg->store, BLK_READ, overlay_table_chunk(o->area), o->table);

    for (unsigned i = 0; s == OK && i < OVERLAY_SLOTS; i++) {
        uint64_t place = load_le64(table + i * ENTRY_BYTES + 8);
        if (place == 0) {
            break;
        }
        s = add_entry(p, load_le64(table + i * ENTRY_BYTES), place);
    }
    o->n_committed = o->n_entries;
    size_t used = o->n_entries * ENTRY_BYTES;
    *torn = !is_zero(table + used, PAGE_SIZE - used);
    memset(table + used, 0, PAGE_SIZE - used);
    return s;
}

static enum status load_tables(struct opening *p)
{
    struct overlay *o = p->o;
    bool torn;

    overlay_enter_area(o, 0);
    enum status s = load_area(p, &torn);
    while (s == OK && o->n_entries == OVERLAY_SLOTS) {
        /* A table of 256 entries had room for them, and so there is a next area. */
        overlay_enter_area(o, o->area + 1);
        s = load_area(p, &torn);
    }
    if (s == OK && torn) {
        /* What a torn write left must not come to count when the table grows up to it. */
        s = io(p, p->cfg->store, BLK_WRITE, overlay_table_chunk(o->area), o->table);
        if (s == OK) {
            s = io(p, p->cfg->store, BLK_FLUSH, 0, o->table);
        }
    }
    return s;
}

enum status overlay_load(struct overlay *o, const struct overlay_cfg *cfg, char *why,
                         size_t why_size)
{
    struct opening p = {.o = o,
                        .cfg = cfg,
                        .buf = frame_bytes(cfg->frames, o->writing),
                        .why = why,
                        .why_size = why_size};
    uint8_t ident[IDENT_BYTES];
    uint64_t print;
    bool blank;

    if (cfg->store->read_only) {
        return REFUSE(&p, E_READONLY, "it is read-only");
    }
    if (o->n_chunks < 1 + 2) {
        return REFUSE(&p, E_RANGE, "it is too small");
    }
    enum status s = print_base(&p, &print);
    if (s != OK) {
        return s;
    }
    make_ident(&p, print, ident);
    s = io(&p, cfg->store, BLK_READ, 0, o->writing);
    if (s != OK) {
        return s;
    }
    if (load_le32(p.buf) != HEADER_MAGIC) {
        s = is_blank(&p, &blank);
        if (s == OK && blank) {
            s = make_new(&p, ident);
        }
        if (s != OK) {
            return s;
        }
    }
    s = check_header(&p, ident);
    return s == OK ? load_tables(&p) : s;
}
