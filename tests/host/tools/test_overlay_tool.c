/* SPDX-License-Identifier: BSD-2-Clause */
/* tools/overlay reads what the hypervisor has written: a second opinion on the format; and it
 * refuses what the hypervisor would. */
#include "arena.h"
#include "fake_lossy.h"
#include "program.h"

#include "base/bits.h"
#include "drivers/block/cow/overlay.h"
#include "rnd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FRAMES 61u
#define BUFFER ARENA_SINGLES(FRAMES) /* the tests' own frame, behind those */
#define BASE_SECTORS (700u * 8 - 3)  /* the last chunk is cut */
#define STORE_CHUNKS 600u
#define BASE_BYTES (BASE_SECTORS * BLK_SECTOR)
#define STORE_BYTES (STORE_CHUNKS * PAGE_SIZE)

struct pair {
    struct frames frames;
    struct frame table[BUFFER + 1];
    uint8_t *window;
    struct rnd random;
    struct picks picks;
    struct lossy base, store;
    struct overlay o;
    char folder[64], base_file[96], store_file[96], out_file[96];
    char said[512]; /* by the tool */
};

static void poll(void *ctx)
{
    (void)ctx;
}

/* Nothing here is ever put off. */
static void never(void *ctx)
{
    (void)ctx;
    fail_msg("a request was put off");
}

static void go(struct pair *p, enum blk_op op, uint64_t sector, uint32_t sectors)
{
    hpa_t buf = HPA(BUFFER * PAGE_SIZE);

    assert_int_equal(blk_wait(&p->o.cow.dev, op, sector, buf, sectors, never, NULL), OK);
}

static uint8_t *buffer(struct pair *p)
{
    return p->window + BUFFER * PAGE_SIZE;
}

static void open_overlay(struct pair *p)
{
    char why[160];
    const struct overlay_cfg cfg = {
        .frames = &p->frames, .base = &p->base.dev, .store = &p->store.dev, .poll = poll};

    assert_int_equal(overlay_open(&p->o, &cfg, why, sizeof(why)), OK);
}

/* A base, and an overlay of it with `writes` random writes in it. */
static struct pair *pair_new(unsigned writes)
{
    struct pair *p = calloc(1, sizeof(*p));

    p->window = aligned_alloc(PAGE_SIZE, (BUFFER + 1) * PAGE_SIZE);
    p->random.state = 7;
    p->picks = (struct picks){.next = rnd_pick, .ctx = &p->random};
    frames_init(&p->frames, p->table, BUFFER + 1, p->window);
    arena_add(&p->frames, 0, FRAMES, 1);
    lossy_init(&p->base, "base", BASE_SECTORS, p->window, &p->picks);
    lossy_init(&p->store, "store", STORE_CHUNKS * 8, p->window, &p->picks);
    p->base.sync = p->store.sync = true;
    for (size_t i = 0; i < BASE_BYTES; i += 4) {
        store_le32(p->base.now + i, pick(&p->picks, UINT32_MAX));
    }
    open_overlay(p);
    for (unsigned n = 0; n < writes; n++) {
        uint32_t sectors = 1 + pick(&p->picks, 8), at = pick(&p->picks, BASE_SECTORS - sectors + 1);
        memset(buffer(p), (int)pick(&p->picks, 256), PAGE_SIZE);
        go(p, BLK_WRITE, at, sectors);
    }
    go(p, BLK_FLUSH, 0, 0);
    strcpy(p->folder, "/tmp/overlay-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->base_file, sizeof(p->base_file), "%s/base", p->folder);
    snprintf(p->store_file, sizeof(p->store_file), "%s/store", p->folder);
    snprintf(p->out_file, sizeof(p->out_file), "%s/out", p->folder);
    return p;
}

static void pair_free(struct pair *p)
{
    overlay_close(&p->o);
    unlink(p->base_file);
    unlink(p->store_file);
    unlink(p->out_file);
    assert_int_equal(rmdir(p->folder), 0);
    lossy_free(&p->base);
    lossy_free(&p->store);
    arena_end(&p->frames);
    free(p->window);
    free(p);
}

static void save(const char *path, const uint8_t *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Runs `tools/overlay ARGUMENTS`; its exit status. */
static int tool(struct pair *p, const char *arguments)
{
    save(p->base_file, p->base.now, BASE_BYTES);
    save(p->store_file, p->store.now, STORE_BYTES);
    return program_run(p->said, sizeof(p->said), "cd %s && %s/tools/overlay %s", p->folder,
                       getcwd((char[256]){0}, 256), arguments);
}

static void refused(struct pair *p, const char *why)
{
    assert_int_equal(tool(p, "merge base store out"), 1);
    if (strstr(p->said, why) == NULL) {
        fail_msg("wanted: %s\ngot:    %s", why, p->said);
    }
    assert_int_not_equal(access(p->out_file, F_OK), 0); /* nothing half done is left */
}

static void test_merge(void **state)
{
    struct pair *p = pair_new(450);
    uint8_t *out = malloc(BASE_BYTES + 1);
    char line[128];

    (void)state;
    assert_true(p->o.area == 1); /* both tables are used */
    assert_int_equal(tool(p, "info store"), 0);
    snprintf(line, sizeof(line), "store: %llu chunks of 4 KiB, of a base of %u sectors\n",
             (unsigned long long)p->o.cow.stats.chunks, BASE_SECTORS);
    assert_string_equal(p->said, line);
    if (tool(p, "merge base store out") != 0) {
        fail_msg("%s", p->said);
    }
    FILE *f = fopen(p->out_file, "rb");
    assert_non_null(f);
    assert_int_equal(fread(out, 1, BASE_BYTES + 1, f), BASE_BYTES);
    fclose(f);
    for (uint64_t s = 0; s < BASE_SECTORS; s++) {
        go(p, BLK_READ, s, 1);
        assert_memory_equal(buffer(p), out + s * BLK_SECTOR, BLK_SECTOR);
    }
    free(out);
    pair_free(p);
}

static void test_refused(void **state)
{
    struct pair *p = pair_new(20);
    uint8_t *sound = malloc(STORE_BYTES);

    (void)state;
    memcpy(sound, p->store.now, STORE_BYTES);
    /* Any byte that the fingerprint sees: of the first chunks, of one of the others. */
    static const size_t changes[] = {1080, 16 * PAGE_SIZE - 1, (16 + 699 * 30 / 48) * PAGE_SIZE};
    for (unsigned i = 0; i < ARRAY_LEN(changes); i++) {
        p->base.now[changes[i]] ^= 1;
        refused(p, "belongs to another base, or base was written since");
        p->base.now[changes[i]] ^= 1;
    }
    p->store.now[512 + 24] ^= 1;
    refused(p, "damaged: what it says of its base has another checksum");
    memcpy(p->store.now, sound, STORE_BYTES);
    store_le64(p->store.now + PAGE_SIZE, 700); /* behind the base's end */
    refused(p, "base: has no chunk 700");
    memcpy(p->store.now, sound, STORE_BYTES);
    store_le64(p->store.now + PAGE_SIZE + 8, UINT64_C(1) << 60);
    refused(p, "store: has no chunk 1152921504606846976");
    memset(p->store.now, 0, STORE_BYTES);
    refused(p, "store: no overlay; it is blank");
    memset(p->store.now, 0xee, STORE_BYTES);
    refused(p, "store: no overlay\n");
    assert_int_equal(tool(p, "merge base#1 store out"), 1);
    assert_non_null(strstr(p->said, "base#1: no such partition"));
    assert_int_equal(tool(p, "info nothing"), 1);
    assert_non_null(strstr(p->said, "overlay: "));
    free(sound);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
