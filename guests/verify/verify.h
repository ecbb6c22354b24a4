/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that verifies its disk as fio does: a seeded mix of reads, writes, zeroes, discards and
 * flushes, many in flight, of 512 bytes to 256 KiB, in memory that is used again at once. Several
 * such guests may have one disk; each writes what is its own and reads everything.
 *
 *   main.c    options, what is asked next, and what is done when it has come
 *   model.c   what each sector may hold: never half a version, never an old one, never another's
 *   pool.c    the memory: what was read must not change by itself afterwards
 *   queue.c   requests in flight
 */
#ifndef GUESTS_VERIFY_VERIFY_H
#define GUESTS_VERIFY_VERIFY_H

#include "format.h"
#include "virtio.h"

#define DEPTH 15u /* requests in flight, at most */
#define MOST_SECTORS 512u
#define MOST_PAGES 66u

struct options {
    uint32_t me, writers, depth;
    uint64_t requests, sectors;
    bool known;   /* the disk is all zeroes at first; otherwise it holds anything */
    bool flush;   /* there are flushes; otherwise each write is on the disk when it is done */
    bool errors;  /* requests may fail */
    bool report;  /* print each write and flush, for those who look at the disk after a power cut */
    bool zeroes;  /* somebody may zero sectors */
    bool private; /* nobody else sees what this guest writes, and so it may discard */
};
extern struct options options;

uint64_t rnd(void);             /* seeded */
uint32_t below(uint32_t limit); /* 0 .. limit - 1 */

/* One thing that is wrong; the first ones are printed. */
void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- pool.c ---- */
struct buffer {
    uint8_t *pages[MOST_PAGES]; /* one after the other, if not scattered */
    unsigned n_pages;
    uint32_t offset, bytes; /* scattered: offset 0, whole pages */
    bool scattered;
    uint64_t edges; /* of what lies around it in its pages */
};
void pool_init(uint64_t from, uint64_t to);
/* False: too much of it is in use. */
bool pool_take(struct buffer *b, uint32_t bytes);
/* Looks at the bytes around it. `spoil`: and overwrites some of it at once. */
void pool_give_back(struct buffer *b, bool spoil);
uint8_t *buffer_sector(const struct buffer *b, uint32_t i);
/* Writes into some page, and looks whether another is as it was. */
void pool_churn(void);
void pool_check_all(void);
uint64_t hash_bytes(const uint8_t *p, uint64_t n);

/* ---- queue.c ---- */
enum op { READ, WRITE, FLUSH, ZERO, DISCARD };
struct slot {
    bool busy;
    enum op op;
    uint64_t sector;
    uint32_t sectors;
    struct buffer buffer;
    uint8_t status;
    /* main.c's */
    uint32_t seq;
    bool twin, torn, board;
    /* model.c's: what may be read at least, as it was known when the read began */
    unsigned races;
    uint64_t began;
    uint32_t floors[MOST_SECTORS];
    uint32_t common[COMMON_SECTORS][WRITERS];
};
extern struct slot slots[DEPTH];
bool queue_start(void);
uint64_t queue_features(void);
struct slot *queue_free(void);
unsigned queue_in_flight(void);
/* Offers what the slot says. */
void queue_offer(struct slot *s);
void queue_kick(void);
/* One that is done, or NULL. Ends the test when nothing comes for a minute. */
struct slot *queue_poll(void);

/* ---- model.c ---- */
bool model_init(uint64_t from);
/* Where the model's tables end, from model_init on. */
uint64_t model_end(void);
/* Whether a request may be in flight together with those that are. */
bool model_may_begin(const struct slot *s);
void model_begin(struct slot *s);
/* Looks at what was read, or notes what was written. */
void model_end_of(struct slot *s);
/* Fills a board's sector with what this guest has completed. */
void model_board(struct board *b, uint32_t index);
/* The block `b` of this guest's torn part. */
uint64_t torn_sector(uint32_t b);

#endif
