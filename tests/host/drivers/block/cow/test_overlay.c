/* SPDX-License-Identifier: BSD-2-Clause */
/* The overlay's format, byte by byte, and stores that are not what they should be. */
#include "arena.h"
#include "fake_lossy.h"

#include "base/bits.h"
#include "drivers/block/cow/overlay.h"
#include "rnd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define FRAMES 61u
#define BUFFER ARENA_SINGLES(FRAMES) /* the tests' own frame, behind those */
#define BASE_CHUNKS 600u
#define BASE_SECTORS (BASE_CHUNKS * 8u - 3)
#define STORE_CHUNKS 600u

struct bench {
    struct frames frames;
    struct frame table[BUFFER + 1];
    uint8_t *window;
    struct picks picks;
    struct rnd random;
    struct lossy base, store;
    struct overlay o;
    char why[160];
};

static void reset_frames(struct bench *b)
{
    frames_init(&b->frames, b->table, BUFFER + 1, b->window);
    arena_add(&b->frames, 0, FRAMES, 1);
}

static struct bench *bench_new(void)
{
    struct bench *b = calloc(1, sizeof(*b));

    b->window = aligned_alloc(PAGE_SIZE, (BUFFER + 1) * PAGE_SIZE);
    b->random.state = 7;
    b->picks = (struct picks){.next = rnd_pick, .ctx = &b->random};
    lossy_init(&b->base, "base", BASE_SECTORS, b->window, &b->picks);
    lossy_init(&b->store, "store", STORE_CHUNKS * 8, b->window, &b->picks);
    b->base.sync = b->store.sync = true;
    for (unsigned s = 0; s < BASE_SECTORS; s++) {
        memset(b->base.now + s * BLK_SECTOR, (int)(s % 251 + 1), BLK_SECTOR);
    }
    reset_frames(b);
    return b;
}

static void bench_free(struct bench *b)
{
    lossy_free(&b->base);
    lossy_free(&b->store);
    arena_end(&b->frames);
    free(b->window);
    free(b);
}

static void poll(void *ctx)
{
    (void)ctx;
}

static enum status open_store(struct bench *b)
{
    const struct overlay_cfg cfg = {
        .frames = &b->frames, .base = &b->base.dev, .store = &b->store.dev, .poll = poll};

    memset(b->why, 0, sizeof(b->why));
    return overlay_open(&b->o, &cfg, b->why, sizeof(b->why));
}

static uint8_t *buffer(struct bench *b)
{
    return b->window + BUFFER * PAGE_SIZE;
}

/* Nothing here is ever put off. */
static void never(void *ctx)
{
    (void)ctx;
    fail_msg("a request was put off");
}

static enum status go(struct bench *b, enum blk_op op, uint64_t sector, uint32_t sectors)
{
    hpa_t buf = HPA(BUFFER * PAGE_SIZE);

    return blk_wait(&b->o.cow.dev, op, sector, buf, sectors, never, NULL);
}

static void write_byte(struct bench *b, uint64_t sector, uint32_t sectors, int byte)
{
    memset(buffer(b), byte, sectors * BLK_SECTOR);
    assert_int_equal(go(b, BLK_WRITE, sector, sectors), OK);
}

static int read_byte(struct bench *b, uint64_t sector)
{
    assert_int_equal(go(b, BLK_READ, sector, 1), OK);
    for (unsigned i = 1; i < BLK_SECTOR; i++) {
        assert_int_equal(buffer(b)[i], buffer(b)[0]);
    }
    return buffer(b)[0];
}

static uint8_t *chunk(struct bench *b, uint64_t n)
{
    return b->store.now + n * PAGE_SIZE;
}

static void put_entry(struct bench *b, uint64_t table, unsigned i, uint64_t from, uint64_t to)
{
    store_le64(chunk(b, table) + i * 16, from);
    store_le64(chunk(b, table) + i * 16 + 8, to);
}

/* A fresh, closed overlay in the store. */
static struct bench *made(void)
{
    struct bench *b = bench_new();

    assert_int_equal(open_store(b), OK);
    overlay_close(&b->o);
    return b;
}

static void refused(struct bench *b, enum status s, const char *why)
{
    uint8_t *before = malloc(STORE_CHUNKS * PAGE_SIZE);

    memcpy(before, b->store.now, STORE_CHUNKS * PAGE_SIZE);
    assert_int_equal(open_store(b), s);
    if (strstr(b->why, why) == NULL) {
        fail_msg("wanted: %s\ngot:    %s", why, b->why);
    }
    assert_true(b->frames.by_state[FRAME_HYP] == 0);
    assert_memory_equal(before, b->store.now, STORE_CHUNKS * PAGE_SIZE);
    free(before);
    bench_free(b);
}

/* ---- the format ---- */

static void test_bytes(void **state)
{
    struct bench *b = bench_new();
    static const uint8_t header[16] = {'S', 'n', 'A', 'p', 1, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0};

    (void)state;
    assert_int_equal(open_store(b), OK);
    assert_memory_equal(chunk(b, 0), header, 16);
    write_byte(b, 80, 8, 0xab);               /* chunk 10, whole */
    write_byte(b, 41, 1, 0xcd);               /* chunk 5, in part */
    write_byte(b, BASE_SECTORS - 1, 1, 0xef); /* the last, cut chunk */
    assert_true(overlay_is_dirty(&b->o));
    assert_int_equal(load_le64(chunk(b, 1) + 8), 0); /* not before a flush */
    assert_int_equal(go(b, BLK_FLUSH, 0, 0), OK);
    assert_false(overlay_is_dirty(&b->o));
    static const uint64_t entries[4][2] = {{10, 2}, {5, 3}, {BASE_CHUNKS - 1, 4}, {0, 0}};
    for (unsigned i = 0; i < 4; i++) {
        assert_true(load_le64(chunk(b, 1) + i * 16) == entries[i][0]);
        assert_true(load_le64(chunk(b, 1) + i * 16 + 8) == entries[i][1]);
    }
    assert_int_equal(chunk(b, 2)[0], 0xab);
    assert_int_equal(chunk(b, 3)[0], 40 + 1);
    assert_int_equal(chunk(b, 3)[512], 0xcd);
    assert_int_equal(chunk(b, 3)[1024], 42 + 1);
    overlay_close(&b->o);
    assert_int_equal(open_store(b), OK);
    assert_int_equal(b->o.cow.stats.chunks, 3);
    assert_int_equal(read_byte(b, 87), 0xab);
    assert_int_equal(read_byte(b, 41), 0xcd);
    assert_int_equal(read_byte(b, 42), 43);
    assert_int_equal(read_byte(b, 88), 88 + 1);
    assert_int_equal(read_byte(b, BASE_SECTORS - 1), 0xef);
    assert_int_equal(b->base.n_writes, 0);
    overlay_close(&b->o);
    bench_free(b);
}

/* Discards are not offered; zeroes are written, and survive. */
static void test_zeroes(void **state)
{
    struct bench *b = bench_new();

    (void)state;
    assert_int_equal(open_store(b), OK);
    assert_int_equal(go(b, BLK_DISCARD, 0, 8), E_UNSUPPORTED);
    assert_int_equal(go(b, BLK_ZEROES, 4, 8), OK);
    write_byte(b, 16, 8, 0x77);
    assert_int_equal(go(b, BLK_ZEROES, 17, 1), OK);
    assert_int_equal(go(b, BLK_FLUSH, 0, 0), OK);
    overlay_close(&b->o);
    assert_int_equal(open_store(b), OK);
    assert_int_equal(read_byte(b, 3), 4);
    assert_int_equal(read_byte(b, 4), 0);
    assert_int_equal(read_byte(b, 11), 0);
    assert_int_equal(read_byte(b, 12), 13);
    assert_int_equal(read_byte(b, 16), 0x77);
    assert_int_equal(read_byte(b, 17), 0);
    overlay_close(&b->o);
    bench_free(b);
}

/* What a torn table write left behind the first hole does not come back when the hole is filled. */
static void test_torn_table(void **state)
{
    struct bench *b = made();

    (void)state;
    for (unsigned i = 0; i < 33; i++) {
        if (i != 31) {
            put_entry(b, 1, i, i, 2 + i);
        }
    }
    memcpy(b->store.safe, b->store.now, STORE_CHUNKS * PAGE_SIZE);
    assert_int_equal(open_store(b), OK);
    assert_int_equal(b->o.cow.stats.chunks, 31);
    assert_int_equal(read_byte(b, 32 * 8), 32 * 8 % 251 + 1);
    /* Gone from the disk for certain, before anything is appended. */
    assert_int_equal(load_le64(b->store.safe + PAGE_SIZE + 32 * 16 + 8), 0);
    overlay_close(&b->o);
    bench_free(b);
}

/* Without memory nothing is kept back, at whichever allocation it ends. */
static void test_no_memory(void **state)
{
    struct bench *b = made();

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        put_entry(b, 1, i, i * 20, 2 + i);
    }
    for (unsigned n = 0;; n++) {
        frames_init(&b->frames, b->table, BUFFER + 1, b->window);
        arena_add(&b->frames, 0, n, 1);
        enum status s = open_store(b);
        if (s == OK) {
            assert_true(n > 17);
            assert_true(overlay_frames(&b->o) == n);
            break;
        }
        assert_int_equal(s, E_NOMEM);
        assert_true(b->why[0] != '\0' && b->frames.by_state[FRAME_HYP] == 0);
    }
    overlay_close(&b->o);
    bench_free(b);
}

/* ---- what is refused ---- */

static void test_foreign(void **state)
{
    struct bench *b = bench_new();

    (void)state;
    memcpy(chunk(b, 0) + 1080, "\x53\xef", 2); /* ext's superblock, in a first KiB of zeroes */
    refused(b, E_INVAL, "something else than an overlay");
    b = bench_new();
    memcpy(chunk(b, 16) + 64, "_BHRfS_M", 8); /* btrfs, at 64 KiB */
    refused(b, E_INVAL, "something else than an overlay");
    b = bench_new();
    b->store.dev.read_only = true;
    refused(b, E_READONLY, "read-only");
    b = bench_new();
    b->store.dev.sectors = 23;
    refused(b, E_RANGE, "too small");
}

static void test_header(void **state)
{
    struct bench *b = made();

    (void)state;
    store_le32(chunk(b, 0) + 4, 0);
    refused(b, E_INVAL, "marked as invalid");
    b = made();
    store_le32(chunk(b, 0) + 8, 2);
    refused(b, E_INVAL, "version 2 with 8 sectors");
    b = made();
    store_le32(chunk(b, 0) + 12, 32);
    refused(b, E_INVAL, "version 1 with 32 sectors");
    b = made();
    chunk(b, 0)[512 + 17] ^= 1;
    refused(b, E_INVAL, "does not say which base");
    b = made();
    memset(chunk(b, 0) + 512, 0, 40); /* one that Linux made */
    refused(b, E_INVAL, "does not say which base");
}

static void test_other_base(void **state)
{
    struct bench *b = made();

    (void)state;
    b->base.dev.sectors -= 8;
    refused(b, E_EXISTS, "belongs to a base of 4797 sectors; base has 4789");
    b = made();
    b->base.now[1024 + 56] ^= 1; /* where a mounted ext4 counts its mounts */
    refused(b, E_EXISTS, "another base, or base was written since");
}

static void test_damaged(void **state)
{
    static const struct {
        uint64_t from, to;
    } bad[] = {{BASE_CHUNKS, 3}, {UINT64_MAX, 3},        {1, 1},         {1, 2 + 256},
               {1, UINT64_MAX},  {1, UINT64_C(1) << 32}, {0, 3},         {1, 2},
               {1, 259},         {1, STORE_CHUNKS},      {1ull << 61, 3}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct bench *b = made();
        put_entry(b, 1, 0, 0, 2);
        put_entry(b, 1, 1, bad[i].from, bad[i].to);
        refused(b, E_INVAL, "damaged: ");
    }
    /* A full table whose next one is rubbish. */
    struct bench *b = made();
    for (unsigned i = 0; i < 256; i++) {
        put_entry(b, 1, i, i, 2 + i);
    }
    memset(chunk(b, 258), 0x5a, PAGE_SIZE);
    refused(b, E_INVAL, "damaged: entry 0 of area 1");
}

static void test_errors(void **state)
{
    struct bench *b = made();

    (void)state;
    b->store.fail_percent = 100;
    refused(b, E_IO, "reading store");
    b = bench_new();
    b->base.fail_percent = 100;
    refused(b, E_IO, "reading base");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_zeroes),
        cmocka_unit_test(test_torn_table), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_foreign),    cmocka_unit_test(test_header),
        cmocka_unit_test(test_other_base), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
