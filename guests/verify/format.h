/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the verifying guests write: every sector says who wrote it, when, and where it belongs, and
 * all of its 512 bytes follow from that. So whoever reads a sector knows whether it is one whole
 * version of the right place, and which. Shared by the guest and by the program that looks at a
 * disk's image after a power cut; needs nothing but the integers.
 */
#ifndef GUESTS_VERIFY_FORMAT_H
#define GUESTS_VERIFY_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#define SECTOR 512u
#define SECTOR_WORDS (SECTOR / 8)
#define BLOCK_SECTORS 8u
#define WRITERS 4u /* at most; numbered from 0 */

#define MAGIC_VERSION 0x56657273696f6e31ul
#define MAGIC_TWIN 0x5477696e5477696eul
#define MAGIC_BOARD 0x426f6172642d2d31ul

/* Twins: whole blocks whose content does not tell writer or place, so that equal ones are found and
 * shared. They tell a round: the writer's sequence number / this. */
#define TWIN_ROUND 64u

/* What a sector can be. */
enum what { BAD, ZEROES, VERSION, TWIN, BOARD };

struct version {
    enum what what;
    uint32_t writer; /* VERSION, BOARD */
    uint32_t seq;    /* VERSION: the writer's sequence number; TWIN: the round */
};

/*
 * Where things are, by sector. Writers share the disk's 4 KiB blocks in the fine part, each with
 * three sectors in a row; the coarse part is theirs in chunks; in the common part all write the
 * same sectors; in the torn part each changes its buffer while it is being written.
 */
#define BOARD_AT 64u /* what is before it is left alone: a partition table has its place there */
#define BOARD_SECTORS 8u
#define COMMON_AT (BOARD_AT + WRITERS * BOARD_SECTORS)
#define COMMON_SECTORS 128u
#define TORN_AT (COMMON_AT + COMMON_SECTORS)
#define TORN_BLOCKS 8u /* each */
#define FINE_AT (TORN_AT + WRITERS * TORN_BLOCKS * BLOCK_SECTORS)
#define FINE_SECTORS 1536u
#define FINE_RUN 3u
#define COARSE_AT (FINE_AT + FINE_SECTORS)
#define CHUNK_SECTORS 512u

_Static_assert(COARSE_AT % BLOCK_SECTORS == 0, "the coarse part begins with a block");

/* The board: a writer tells the others how far it is. One floor is the least sequence number that
 * any sector of a run of sectors of its coarse chunks has had completed. */
#define BOARD_FLOORS 112u /* in one sector */
#define BOARD_RUN 32u     /* sectors for each floor */

struct board {
    uint64_t magic, sum;
    uint32_t writer, index, number, unused[9];
    uint32_t floors[BOARD_FLOORS];
};
_Static_assert(sizeof(struct board) == SECTOR, "one sector");

static inline uint64_t mix(uint64_t v)
{
    v ^= v >> 31;
    v *= 0x9e3779b97f4a7c15ul;
    v ^= v >> 29;
    v *= 0xbf58476d1ce4e5b9ul;
    return v ^ v >> 32;
}

/* Who may write a sector of the fine and coarse parts. */
static inline uint32_t owner_of(uint64_t sector, uint32_t writers)
{
    return (uint32_t)((sector < COARSE_AT ? (sector - FINE_AT) / FINE_RUN
                                          : (sector - COARSE_AT) / CHUNK_SECTORS) %
                      writers);
}

static inline void fill_words(uint64_t *p, uint64_t magic, uint64_t a, uint64_t b)
{
    uint64_t v = mix(magic ^ mix(a + mix(b)));

    p[0] = magic;
    p[1] = a;
    p[2] = b;
    for (unsigned i = 3; i < SECTOR_WORDS; i++) {
        p[i] = v;
        v += 0x9e3779b97f4a7c15ul;
    }
}

static inline bool words_agree(const uint64_t *p)
{
    uint64_t v = mix(p[0] ^ mix(p[1] + mix(p[2]))), wrong = 0;

    for (unsigned i = 3; i < SECTOR_WORDS; i++) {
        wrong |= p[i] ^ v;
        v += 0x9e3779b97f4a7c15ul;
    }
    return wrong == 0;
}

static inline void fill_version(void *sector_bytes, uint32_t writer, uint32_t seq, uint64_t sector)
{
    fill_words(sector_bytes, MAGIC_VERSION, (uint64_t)writer << 32 | seq, sector);
}

/* `place`: which sector of its block. */
static inline void fill_twin(void *sector_bytes, uint32_t round, uint32_t place)
{
    fill_words(sector_bytes, MAGIC_TWIN, round, place);
}

static inline uint64_t board_sum(const struct board *b)
{
    uint64_t v = mix(b->magic + b->writer + ((uint64_t)b->index << 32)) + b->number;

    for (unsigned i = 0; i < BOARD_FLOORS; i++) {
        v = mix(v + b->floors[i]);
    }
    return v;
}

/* What these 512 bytes (aligned to 8) are, read from `sector`; BAD when they are nothing whole, or
 * belong somewhere else. */
static inline struct version what_is(const void *bytes, uint64_t sector)
{
    const uint64_t *p = bytes;
    struct version v = {BAD, 0, 0};

    if (p[0] == MAGIC_VERSION && p[2] == sector && words_agree(p)) {
        v = (struct version){VERSION, (uint32_t)(p[1] >> 32), (uint32_t)p[1]};
    } else if (p[0] == MAGIC_TWIN && p[2] == sector % BLOCK_SECTORS && words_agree(p)) {
        v = (struct version){TWIN, 0, (uint32_t)p[1]};
    } else if (p[0] == MAGIC_BOARD) {
        const struct board *b = bytes;
        if (board_sum(b) == b->sum && sector == BOARD_AT + b->writer * BOARD_SECTORS + b->index) {
            v = (struct version){BOARD, b->writer, b->number};
        }
    } else if (p[0] == 0) {
        uint64_t any = 0;
        for (unsigned i = 0; i < SECTOR_WORDS; i++) {
            any |= p[i];
        }
        v.what = any == 0 ? ZEROES : BAD;
    }
    return v;
}

#endif
