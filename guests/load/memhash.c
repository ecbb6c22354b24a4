/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fills a Linux guest's free memory with pages that fold, keeps changing them, and verifies them:
 *
 *     memhash NAME SEED SECONDS PERCENT
 *
 * Takes PERCENT of the free memory. A page holds zeroes, one of a few contents (equal pages inside
 * the guest), one of many that other guests hold too, or its own; and at most one byte of it
 * differs from that. What each page must hold is computed anew from a few bytes of notes, never
 * taken from the page. The changes are those that break sharing: single bytes, whole pages, copies
 * of other pages, and going back to what others have, so that it folds again. They move through the
 * memory from window to window, so that the rest has time to be folded; in between everything is
 * verified, word by word. SECONDS later the last line tells `VERDICT=OK` or `VERDICT=WRONG`.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <time.h>

#define PAGE 4096u
#define WORDS (PAGE / 8)
#define WINDOWS 16u /* one of them is written to at a time */
#define FEW 40u     /* contents that many pages of each guest have */
#define MANY 20000u /* contents that a guest has once or twice, and others too */
#define SHOWN 5     /* wrong pages that are told in full */
#define NO_BYTE UINT16_MAX
#define OWN UINT32_C(0x80000000)

/* What a page must hold. */
struct note {
    uint32_t content; /* 0: zeroes; from OWN on: this guest's alone */
    uint16_t at;      /* the byte that differs, or NO_BYTE */
    uint8_t byte;     /* what it is */
};

static struct {
    const char *name;
    uint64_t seed, random, next_own;
    uint32_t pages;
    uint8_t *memory;
    struct note *notes;
    uint64_t changes, verified, wrong;
    uint64_t is, must; /* digests of what was read, and of what it must have been */
} g;

static uint64_t rnd(uint64_t limit)
{
    g.random ^= g.random << 13;
    g.random ^= g.random >> 7;
    g.random ^= g.random << 17;
    return g.random % limit;
}

static uint64_t *page(uint32_t n)
{
    return (uint64_t *)(g.memory + (size_t)n * PAGE);
}

/* A content's words are this, plus 0, step, 2 * step, ... */
static uint64_t first_word(uint32_t content)
{
    uint64_t x = content >= OWN ? ((uint64_t)content << 24) ^ (g.seed << 48) : content;

    x *= UINT64_C(0x9e3779b97f4a7c15);
    return content == 0 ? 0 : (x ^ x >> 29) | 1;
}

static uint64_t step_of(uint32_t content)
{
    return content == 0 ? 0 : UINT64_C(0xbf58476d1ce4e5b9);
}

/* Verifies one page against its note, and tells what is wrong. */
static int check(uint32_t n)
{
    const uint64_t *words = page(n);
    const struct note *note = &g.notes[n];
    uint64_t want = first_word(note->content), step = step_of(note->content);
    uint32_t odd = note->at == NO_BYTE ? WORDS : note->at / 8u;
    int bad = 0;

    g.verified++;
    for (uint32_t i = 0; i < WORDS; i++, want += step) {
        uint64_t expect = want;

        if (i == odd) {
            unsigned shift = note->at % 8 * 8;
            expect = (want & ~(UINT64_C(0xff) << shift)) | (uint64_t)note->byte << shift;
        }
        g.is = (g.is ^ words[i]) * UINT64_C(0x100000001b3);
        g.must = (g.must ^ expect) * UINT64_C(0x100000001b3);
        if (words[i] != expect) {
            if (!bad && g.wrong < SHOWN) {
                printf("MEMHASH vm=%s WRONG page=%u word=%u is=%016" PRIx64 " not=%016" PRIx64
                       " content=%#x\n",
                       g.name, n, i, words[i], expect, note->content);
            }
            bad = 1;
        }
    }
    g.wrong += (unsigned)bad;
    return bad;
}

/* Everything, once; leaves the digests. */
static void check_all(void)
{
    g.is = g.must = g.seed;
    for (uint32_t n = 0; n < g.pages; n++) {
        check(n);
    }
}

static void tell(const char *when, uint64_t ms, const char *verdict)
{
    printf("MEMHASH vm=%s %s ms=%" PRIu64 " digest=%016" PRIx64 "/%016" PRIx64 " changes=%" PRIu64
           " verified=%" PRIu64 " wrong=%" PRIu64 "%s\n",
           g.name, when, ms, g.is, g.must, g.changes, g.verified, g.wrong, verdict);
}

static uint32_t new_content(void)
{
    uint64_t dice = rnd(100);

    if (dice < 25) {
        return 0;
    }
    if (dice < 50) {
        return 1 + (uint32_t)rnd(FEW);
    }
    if (dice < 80) {
        return 1 + FEW + (uint32_t)rnd(MANY);
    }
    return OWN + (uint32_t)g.next_own++;
}

static void fill(uint32_t n, uint32_t content)
{
    uint64_t *words = page(n), want = first_word(content), step = step_of(content);

    for (uint32_t i = 0; i < WORDS; i++, want += step) {
        words[i] = want;
    }
    g.notes[n] = (struct note){content, NO_BYTE, 0};
}

/* One change of page n, which must be what its note says. */
static void change(uint32_t n)
{
    struct note *note = &g.notes[n];

    check(n);
    switch (rnd(4)) {
    case 0: /* a single byte; if one differs already, that one again */
        if (note->at == NO_BYTE) {
            note->at = (uint16_t)rnd(PAGE);
        }
        note->byte = (uint8_t)rnd(256);
        ((volatile uint8_t *)page(n))[note->at] = note->byte;
        break;
    case 1: /* back to what others have: only the byte is written */
        if (note->at != NO_BYTE) {
            uint64_t want = first_word(note->content) + note->at / 8u * step_of(note->content);
            ((volatile uint8_t *)page(n))[note->at] = (uint8_t)(want >> note->at % 8 * 8);
            note->at = NO_BYTE;
        }
        break;
    case 2: /* another page's copy */
    {
        uint32_t from = (uint32_t)rnd(g.pages);
        if (from != n) {
            memcpy(page(n), page(from), PAGE);
            *note = g.notes[from];
        }
        break;
    }
    default:
        fill(n, new_content());
        break;
    }
    g.changes++;
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void take_memory(unsigned percent)
{
    struct sysinfo info;

    if (sysinfo(&info) != 0) {
        perror("memhash: sysinfo");
        exit(2);
    }
    uint64_t bytes = (uint64_t)info.freeram * info.mem_unit / 100 * percent;
    g.pages = (uint32_t)(bytes / (PAGE + sizeof(struct note)));
    g.memory = mmap(NULL, (size_t)g.pages * PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g.notes = calloc(g.pages, sizeof(*g.notes));
    if (g.memory == MAP_FAILED || !g.notes || g.pages < WINDOWS) {
        printf("MEMHASH vm=%s VERDICT=WRONG: no memory for %u pages\n", g.name, g.pages);
        exit(2);
    }
    printf("MEMHASH vm=%s pages=%u free_pages=%lu\n", g.name, g.pages,
           info.freeram / PAGE * info.mem_unit);
}

/* For a time one window is written to, with pauses, and pages anywhere are read. */
static void round_of_changes(uint32_t window, uint64_t end, uint64_t ms)
{
    uint32_t size = g.pages / WINDOWS, first = window * size;
    const struct timespec pause = {0, 5000000};
    uint64_t stop = now_ms() + ms;

    while (now_ms() < stop && now_ms() < end) {
        for (unsigned i = 0; i < 100; i++) {
            change(first + (uint32_t)rnd(size));
        }
        check((uint32_t)rnd(g.pages));
        if (rnd(4) == 0) {
            nanosleep(&pause, NULL);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: memhash NAME SEED SECONDS PERCENT\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    g.name = argv[1];
    g.seed = strtoull(argv[2], NULL, 10);
    g.random = (g.seed + 1) * UINT64_C(0x2545f4914f6cdd1d);
    uint64_t seconds = strtoull(argv[3], NULL, 10);
    take_memory((unsigned)strtoul(argv[4], NULL, 10));

    uint64_t start = now_ms(), end = start + seconds * 1000;
    for (uint32_t n = 0; n < g.pages; n++) {
        fill(n, new_content());
    }
    for (unsigned round = 0; round == 0 || now_ms() < end; round++) {
        uint64_t began = now_ms();
        check_all();
        tell("round", now_ms() - start, "");
        round_of_changes(round % WINDOWS, end, now_ms() - began);
    }
    check_all();
    int bad = g.wrong != 0 || g.is != g.must;
    tell("end", now_ms() - start, bad ? " VERDICT=WRONG" : " VERDICT=OK");
    return bad;
}
