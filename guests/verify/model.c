/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each sector may hold. Of every sector there is a floor: the sequence number that a read
 * which begins now must find at least, because this guest has seen it, has written it, or has read
 * on its writer's board that it was completed. A read keeps the floors as they were when it began.
 * Of this guest's own sectors the content is known exactly, but for one write that may be in
 * flight.
 */
#include "verify.h"

struct own {
    uint32_t seq;
    enum what what; /* BAD: anything */
};

static uint64_t end_of_tables;
static uint32_t *floors;        /* by sector */
static struct own *now, *older; /* by sector; of this guest's own */
static uint32_t common[COMMON_SECTORS][WRITERS];
static struct {
    uint32_t writer, seq;
    uint64_t when; /* 0: never */
} last[COMMON_SECTORS];
static uint64_t clock = 1; /* counts begins and ends, to order them */

bool model_init(uint64_t from)
{
    uint64_t n = options.sectors;

    floors = (uint32_t *)from;
    now = (struct own *)(from + n * sizeof(*floors));
    older = now + n;
    end_of_tables = (uint64_t)(older + n);
    for (uint64_t i = 0; i < n; i++) {
        floors[i] = 0;
        now[i] = older[i] = (struct own){0, options.known ? ZEROES : BAD};
    }
    return true;
}

uint64_t model_end(void)
{
    return end_of_tables;
}

uint64_t torn_sector(uint32_t b)
{
    return TORN_AT + (options.me * TORN_BLOCKS + b) * (uint64_t)BLOCK_SECTORS;
}

static bool is_common(uint64_t sector)
{
    return sector >= COMMON_AT && sector < COMMON_AT + COMMON_SECTORS;
}

static bool is_own(uint64_t sector)
{
    return sector >= FINE_AT && owner_of(sector, options.writers) == options.me;
}

static bool overlap(const struct slot *a, const struct slot *b)
{
    return a->op != FLUSH && b->op != FLUSH && a->sector < b->sector + b->sectors &&
           b->sector < a->sector + a->sectors;
}

/* Requests that change something never overlap each other here, and a read overlaps one at most:
 * what it may find stays known. */
bool model_may_begin(const struct slot *s)
{
    unsigned races = 0;

    for (unsigned i = 0; i < DEPTH; i++) {
        const struct slot *o = &slots[i];
        if (!o->busy || o == s || !overlap(s, o)) {
            continue;
        }
        if (s->torn || o->torn || (s->op != READ && (o->op != READ || o->races > 0))) {
            return false;
        }
        races += o->op != READ;
    }
    return s->op != READ || races <= 1;
}

/* What its sectors hold once it is done. */
static struct own content(const struct slot *s)
{
    return (struct own){s->seq, s->op == DISCARD ? BAD
                                : s->op == ZERO  ? ZEROES
                                : s->twin        ? TWIN
                                                 : VERSION};
}

void model_begin(struct slot *s)
{
    s->began = clock++;
    s->races = 0;
    for (unsigned i = 0; i < DEPTH; i++) {
        struct slot *o = &slots[i];
        if (o->busy && o != s && overlap(s, o)) {
            s->races += o->op != READ;
            o->races += s->op != READ;
        }
    }
    if (s->op == READ) {
        for (uint32_t i = 0; i < s->sectors; i++) {
            s->floors[i] = floors[s->sector + i];
        }
        memcpy(s->common, common, sizeof(common));
        return;
    }
    for (uint32_t i = 0; i < s->sectors && s->op != FLUSH; i++) {
        uint64_t at = s->sector + i;
        if (is_own(at)) {
            /* A write that failed, before this one: then nobody knows what is there. */
            older[at] = floors[at] < now[at].seq ? (struct own){floors[at], BAD} : now[at];
            now[at] = content(s);
        }
    }
}

static void raise_floor(uint64_t sector, uint32_t seq)
{
    if (floors[sector] < seq) {
        floors[sector] = seq;
    }
}

/* ---- reads ---- */

static bool is_that(struct version v, struct own o)
{
    switch (o.what) {
    case BAD:
        return true;
    case ZEROES:
        return v.what == ZEROES;
    case TWIN:
        return v.what == TWIN && v.seq == o.seq / TWIN_ROUND;
    default:
        return v.what == VERSION && v.writer == options.me && v.seq == o.seq;
    }
}

static bool good_own(struct version v, uint64_t sector, uint32_t floor)
{
    const struct own *candidates[] = {&now[sector], &older[sector]};

    for (unsigned i = 0; i < 2; i++) {
        if (candidates[i]->seq >= floor && is_that(v, *candidates[i])) {
            if (candidates[i]->what != BAD) {
                raise_floor(sector, candidates[i]->seq);
            }
            return true;
        }
    }
    return false;
}

static bool good_other(struct version v, uint64_t sector, uint32_t floor)
{
    switch (v.what) {
    case ZEROES:
        return floor == 0 || options.zeroes;
    case TWIN:
        raise_floor(sector, v.seq * TWIN_ROUND);
        return v.seq * TWIN_ROUND + TWIN_ROUND - 1 >= floor;
    case VERSION:
        raise_floor(sector, v.seq);
        return v.writer == owner_of(sector, options.writers) && v.seq >= floor;
    default:
        return false;
    }
}

/* A version of the common part was on the disk after `began`: what was there before is gone for
 * good. */
static void observe(uint32_t place, uint32_t writer, uint32_t seq, uint64_t began)
{
    if (last[place].when != 0 && last[place].when < began &&
        (last[place].writer != writer || last[place].seq != seq)) {
        uint32_t *floor = &common[place][last[place].writer];
        *floor = *floor > last[place].seq ? *floor : last[place].seq + 1;
    }
    if (common[place][writer] < seq) {
        common[place][writer] = seq;
    }
    if (last[place].when < began) {
        last[place].writer = writer;
        last[place].seq = seq;
        last[place].when = clock - 1; /* as it was when this request ended */
    }
}

static bool good_common(const struct slot *s, struct version v, uint64_t sector)
{
    uint32_t place = (uint32_t)(sector - COMMON_AT);

    if (v.what == ZEROES) {
        for (unsigned w = 0; w < WRITERS; w++) {
            if (s->common[place][w] > 0) {
                return false;
            }
        }
        return true;
    }
    if (v.what != VERSION || v.writer >= options.writers || v.seq < s->common[place][v.writer]) {
        return false;
    }
    observe(place, v.writer, v.seq, s->began);
    return true;
}

/* What a board says of its writer's chunks raises the floors. */
static void learn(const struct board *b)
{
    for (uint32_t f = 0; f < BOARD_FLOORS; f++) {
        uint32_t run = b->index * BOARD_FLOORS + f, in_chunk = CHUNK_SECTORS / BOARD_RUN;
        uint64_t chunk = (uint64_t)(run / in_chunk) * options.writers + b->writer;
        uint64_t at = COARSE_AT + chunk * CHUNK_SECTORS + run % in_chunk * BOARD_RUN;
        if (at + BOARD_RUN > options.sectors || floors[at] >= b->floors[f]) {
            continue;
        }
        for (uint32_t i = 0; i < BOARD_RUN; i++) {
            raise_floor(at + i, b->floors[f]);
        }
    }
}

static bool good_board(struct version v, const void *bytes, uint64_t sector, uint32_t floor)
{
    if (v.what == ZEROES) {
        return floor == 0;
    }
    if (v.what != BOARD || v.seq < floor || v.writer >= options.writers) {
        return false;
    }
    raise_floor(sector, v.seq);
    if (v.writer != options.me) {
        learn(bytes);
    }
    return true;
}

static void look_at(const struct slot *s, uint32_t i)
{
    static const char *const names[] = {"nothing whole", "zeroes", "version", "twin", "board"};
    static uint64_t bytes[SECTOR_WORDS];
    uint64_t sector = s->sector + i;
    bool good;

    if (sector < BOARD_AT || (sector >= TORN_AT && sector < FINE_AT)) {
        return;
    }
    memcpy(bytes, buffer_sector(&s->buffer, i), SECTOR);
    struct version v = what_is(bytes, sector);
    if (is_common(sector)) {
        good = good_common(s, v, sector);
    } else if (sector < COMMON_AT) {
        good = good_board(v, bytes, sector, s->floors[i]);
    } else if (is_own(sector)) {
        good = good_own(v, sector, s->floors[i]);
    } else {
        good = good_other(v, sector, s->floors[i]);
    }
    if (!good && (options.known || v.what == VERSION || v.what == TWIN)) {
        wrong("sector %lu (%u of a read of %u at %lu): %s %u of writer %u, words %lx %lx %lx; "
              "at least %u; own now %u %u, before %u %u",
              sector, i, s->sectors, s->sector, names[v.what], v.seq, v.writer, bytes[0], bytes[1],
              bytes[2], s->floors[i], now[sector].what, now[sector].seq, older[sector].what,
              older[sector].seq);
    }
}

void model_end_of(struct slot *s)
{
    clock++;
    if (s->status != 0 || s->op == FLUSH || s->torn) {
        return;
    }
    for (uint32_t i = 0; i < s->sectors; i++) {
        uint64_t at = s->sector + i;
        if (s->op == READ) {
            look_at(s, i);
        } else if (is_common(at)) {
            observe((uint32_t)(at - COMMON_AT), options.me, s->seq, s->began);
        } else {
            raise_floor(at, s->seq);
        }
    }
}

void model_board(struct board *b, uint32_t index)
{
    memset(b, 0, sizeof(*b));
    b->magic = MAGIC_BOARD;
    b->writer = options.me;
    b->index = index;
    for (uint32_t f = 0; f < BOARD_FLOORS; f++) {
        uint32_t run = index * BOARD_FLOORS + f, in_chunk = CHUNK_SECTORS / BOARD_RUN;
        uint64_t chunk = (uint64_t)(run / in_chunk) * options.writers + options.me;
        uint64_t at = COARSE_AT + chunk * CHUNK_SECTORS + run % in_chunk * BOARD_RUN;
        if (at + BOARD_RUN > options.sectors) {
            break;
        }
        b->floors[f] = floors[at];
        for (uint32_t i = 1; i < BOARD_RUN; i++) {
            b->floors[f] = b->floors[f] < floors[at + i] ? b->floors[f] : floors[at + i];
        }
    }
}
