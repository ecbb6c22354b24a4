/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looks at the image of a disk that the guests of guests/verify wrote until the power went:
 *
 *   build/host/verify-image IMAGE LOG [--through] [--start=SECTOR] [--sectors=N]
 *
 * LOG is the console's output, in which the guests tell of their writes and flushes (report=1).
 * Every sector of theirs must be one whole version, written by who may write it, and at least as
 * new as the last flush that was told as completed; with --through, as the last write that was.
 * Prints one line; ends with 1 when anything is wrong.
 */
#include "guests/verify/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUESTS WRITERS
#define LINE 512
#define WRONG_SHOWN 10

struct write {
    uint32_t seq, sectors;
    uint64_t sector;
};

struct guest {
    char name[40];
    uint32_t writer;
    struct write *writes; /* in order of their numbers, which have gaps */
    size_t n, room;
    size_t flushed; /* of writes, by flushes */
};

static struct guest guests[GUESTS];
static unsigned n_guests, n_wrong;
static uint32_t writers;
static uint64_t sectors, n_flushes, n_writes;
static uint32_t *floors; /* by sector: the least number that must be there */

_Noreturn static void die(const char *what, const char *name)
{
    fprintf(stderr, "verify-image: %s: %s\n", name, what);
    exit(2);
}

static void complain(uint64_t sector, struct version v, const char *why)
{
    static const char *const names[] = {"nothing whole", "zeroes", "version", "twin", "board"};

    if (n_wrong++ < WRONG_SHOWN) {
        printf("sector %llu: %s %u of writer %u: %s; floor %u\n", (unsigned long long)sector,
               names[v.what], v.seq, v.writer, why, floors[sector]);
    }
}

/* ---- the log ---- */

static struct guest *guest_of(const char *line, const char **rest)
{
    const char *end = line[0] == '[' ? strstr(line, "] ") : NULL;
    char name[40];

    if (end == NULL || (size_t)(end - line) >= sizeof(name)) {
        return NULL;
    }
    memcpy(name, line + 1, (size_t)(end - line - 1));
    name[end - line - 1] = '\0';
    *rest = end + 2;
    for (unsigned i = 0; i < n_guests; i++) {
        if (strcmp(guests[i].name, name) == 0) {
            return &guests[i];
        }
    }
    uint32_t number, of;
    unsigned long long n;
    if (n_guests == GUESTS ||
        sscanf(*rest, "ok 1 - writer %u of %u, %llu sectors", &number, &of, &n) != 3 ||
        number >= WRITERS || of == 0 || of > WRITERS) {
        return NULL;
    }
    writers = of;
    sectors = n;
    memcpy(guests[n_guests].name, name, sizeof(name));
    guests[n_guests].writer = number;
    return &guests[n_guests++];
}

static void raise_floors(const struct write *w, uint32_t writer)
{
    for (uint64_t s = w->sector; s < w->sector + w->sectors && s < sectors; s++) {
        if (s >= FINE_AT && owner_of(s, writers) == writer && floors[s] < w->seq) {
            floors[s] = w->seq;
        }
    }
}

static void write_begins(struct guest *g, const struct write *w)
{
    if (g->n == g->room) {
        g->room = g->room == 0 ? 1024 : 2 * g->room;
        g->writes = realloc(g->writes, g->room * sizeof(*g->writes));
        if (g->writes == NULL) {
            die("out of memory", "writes");
        }
    }
    g->writes[g->n++] = *w;
    n_writes++;
}

static void write_done(const struct guest *g, uint32_t seq)
{
    for (size_t i = g->n; i-- > 0;) {
        if (g->writes[i].seq == seq) {
            raise_floors(&g->writes[i], g->writer);
            return;
        }
    }
}

static void flush_done(struct guest *g, uint32_t seq)
{
    n_flushes++;
    for (size_t i = g->flushed; i < g->n && g->writes[i].seq <= seq; i++) {
        raise_floors(&g->writes[i], g->writer);
        g->flushed = i + 1;
    }
}

static void read_log(FILE *log, bool through)
{
    char line[LINE];

    while (fgets(line, sizeof(line), log) != NULL) {
        const char *rest;
        struct guest *g = strchr(line, '\n') != NULL ? guest_of(line, &rest) : NULL;
        struct write w;
        unsigned long long sector;
        if (g == NULL) {
            continue;
        }
        if (floors == NULL) {
            floors = calloc(sectors, sizeof(*floors));
            if (floors == NULL) {
                die("out of memory", "floors");
            }
        }
        if (sscanf(rest, "w %u %llu %u", &w.seq, &sector, &w.sectors) == 3) {
            w.sector = sector;
            write_begins(g, &w);
        } else if (through && sscanf(rest, "d %u", &w.seq) == 1) {
            write_done(g, w.seq);
        } else if (sscanf(rest, "f %u", &w.seq) == 1) {
            flush_done(g, w.seq);
        } else if (strstr(rest, "not ok") == rest) {
            printf("%s: %s", g->name, rest);
            n_wrong++;
        }
    }
}

/* ---- the image ---- */

/* A version whose number was told must be of a write that has this sector. */
static bool was_written(uint64_t sector, struct version v)
{
    for (unsigned i = 0; i < n_guests; i++) {
        const struct guest *g = &guests[i];
        size_t lo = 0, hi = g->n;
        if (g->writer != v.writer) {
            continue;
        }
        while (lo < hi) {
            size_t mid = lo + (hi - lo) / 2;
            if (g->writes[mid].seq < v.seq) {
                lo = mid + 1;
            } else {
                hi = mid;
            }
        }
        if (lo == g->n) {
            return true; /* newer than the last line that came through */
        }
        const struct write *w = &g->writes[lo];
        return w->seq == v.seq && sector >= w->sector && sector < w->sector + w->sectors;
    }
    return false;
}

static void look_at(const void *bytes, uint64_t sector)
{
    struct version v = what_is(bytes, sector);

    if (v.what == ZEROES) {
        if (floors[sector] > 0) {
            complain(sector, v, "too old");
        }
    } else if (sector < COMMON_AT) {
        if (v.what != BOARD) {
            complain(sector, v, "not a board");
        }
    } else if (v.what != VERSION) {
        complain(sector, v, "not a version");
    } else if (sector >= FINE_AT && v.writer != owner_of(sector, writers)) {
        complain(sector, v, "another's");
    } else if (v.seq < floors[sector]) {
        complain(sector, v, "too old");
    } else if (!was_written(sector, v)) {
        complain(sector, v, "nobody wrote this here");
    }
}

int main(int argc, char **argv)
{
    static uint64_t bytes[SECTOR_WORDS];
    unsigned long long start = 0, n = 0;
    bool through = false;
    uint64_t newer = 0;

    if (argc < 3) {
        die("usage: verify-image IMAGE LOG [--through] [--start=SECTOR] [--sectors=N]", "options");
    }
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--through") == 0) {
            through = true;
        } else if (sscanf(argv[i], "--start=%llu", &start) != 1 &&
                   sscanf(argv[i], "--sectors=%llu", &n) != 1) {
            die("not an option", argv[i]);
        }
    }
    FILE *log = fopen(argv[2], "r"), *image = fopen(argv[1], "rb");
    if (log == NULL || image == NULL) {
        die("cannot be opened", log == NULL ? argv[2] : argv[1]);
    }
    read_log(log, through);
    if (floors == NULL) {
        die("no verifying guest has begun in it", argv[2]);
    }
    sectors = n != 0 && n < sectors ? n : sectors;
    if (fseek(image, (long)((start + BOARD_AT) * SECTOR), SEEK_SET) != 0) {
        die("cannot be read", argv[1]);
    }
    for (uint64_t s = BOARD_AT; s < sectors; s++) {
        if (fread(bytes, SECTOR, 1, image) != 1) {
            die("is too short", argv[1]);
        }
        if (s < TORN_AT || s >= FINE_AT) {
            look_at(bytes, s);
            newer += floors[s] > 0;
        }
    }
    printf("%s: %llu sectors, %llu of them with a floor, %llu writes and %llu flushes told, %u "
           "wrong\n",
           n_wrong == 0 ? "ok" : "WRONG", (unsigned long long)sectors, (unsigned long long)newer,
           (unsigned long long)n_writes, (unsigned long long)n_flushes, n_wrong);
    return n_wrong == 0 ? 0 : 1;
}
