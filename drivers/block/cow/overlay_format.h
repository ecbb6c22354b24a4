/* SPDX-License-Identifier: BSD-2-Clause */
/* The overlay store's layout, between the files of overlay; the contract is in overlay.h. */
#ifndef DRIVERS_BLOCK_COW_OVERLAY_FORMAT_H
#define DRIVERS_BLOCK_COW_OVERLAY_FORMAT_H

#include "base/bits.h"
#include "drivers/block/cow/overlay.h"

/* dm-snapshot's header, at byte 0 of chunk 0 (struct disk_header in Linux's
 * drivers/md/dm-snap-persistent.c). */
#define HEADER_MAGIC 0x70416e53u /* "SnAp" */
#define HEADER_VERSION 1u
#define HEADER_BYTES 16u

/* Ours, at byte 512: magic, version, sectors and fingerprint of the base, XXH64 of all that. */
#define IDENT_AT 512u
#define IDENT_MAGIC "Pagefold"
#define IDENT_VERSION 1u
#define IDENT_SECTORS 16u
#define IDENT_PRINT 24u
#define IDENT_SUM 32u
#define IDENT_BYTES 40u

#define ENTRY_BYTES 16u
#define STRIDE (OVERLAY_SLOTS + 1u) /* from one area's table to the next one's */
#define BLANK_CHUNKS 32u            /* a store whose first 128 KiB are zeroes holds nothing */

_Static_assert(OVERLAY_SLOTS *ENTRY_BYTES == PAGE_SIZE, "a table is one chunk");

static inline uint64_t overlay_table_chunk(uint64_t area)
{
    return 1 + area * STRIDE;
}

static inline bool overlay_has_area(const struct overlay *o, uint64_t area)
{
    return overlay_table_chunk(area) < o->n_chunks;
}

/*
 * Chunks of data that an area has. A last area is never filled: a full table would make readers go
 * on to a next one that is not there.
 */
static inline unsigned overlay_room(const struct overlay *o, uint64_t area)
{
    uint64_t left = o->n_chunks - overlay_table_chunk(area) - 1;

    return (unsigned)(overlay_has_area(o, area + 1) ? OVERLAY_SLOTS
                                                    : MIN(left, OVERLAY_SLOTS - UINT64_C(1)));
}

static inline void overlay_take_slot(struct overlay *o, unsigned slot)
{
    o->taken[slot / 64] |= BIT(slot % 64);
    o->n_taken++;
}

static inline bool overlay_slot_taken(const struct overlay *o, unsigned slot)
{
    return (o->taken[slot / 64] & BIT(slot % 64)) != 0;
}

/* Begins with an area nobody has written to. */
static inline void overlay_enter_area(struct overlay *o, uint64_t area)
{
    o->area = area;
    o->room = overlay_room(o, area);
    o->n_entries = o->n_committed = o->n_taken = 0;
    for (unsigned i = 0; i < ARRAY_LEN(o->taken); i++) {
        o->taken[i] = 0;
    }
}

/* overlay_open.c, of a store that stands in o with nothing read yet. */
enum status overlay_load(struct overlay *o, const struct overlay_cfg *cfg, char *why,
                         size_t why_size) MUST_CHECK;

#endif
