/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks that fail on purpose: which requests a rule meets, and what becomes of them; rules as text.
 */
#include "drivers/block/fault.h"
#include "drivers/block/partition/partition.h"
#include "drivers/block/ramdisk.h"
#include "kernel/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define SECTORS 64u
#define DISK_AT 4096u
#define MEMORY (DISK_AT + SECTORS * BLK_SECTOR + 4096u)
#define BUFFER_AT (DISK_AT + SECTORS * BLK_SECTOR)

static uint8_t memory[MEMORY];
static struct ramdisk ram;
static struct faulty faulty;
static struct faulty_dev disk;
static uint64_t now_ns;
static unsigned changes;

static uint64_t now(void)
{
    return now_ns;
}

static void changed(void *ctx)
{
    (void)ctx;
    changes++;
}

static int setup(void **state)
{
    (void)state;
    memset(memory, 0, sizeof(memory));
    now_ns = 1000;
    changes = 0;
    assert_int_equal(ramdisk_init(&ram, "ram", 7, memory, sizeof(memory), HPA(DISK_AT),
                                  SECTORS * BLK_SECTOR, false),
                     OK);
    faulty_init(&faulty, now, changed, NULL);
    faulty_dev_init(&disk, &faulty, &ram.dev, "ata0");
    return 0;
}

struct asked {
    struct blk_req r;
    struct blk_seg seg;
    int done;
    enum status status;
};

static void asked_done(struct blk_req *r, enum status s)
{
    struct asked *a = r->ctx;

    assert_ptr_equal(r, &a->r);
    a->done++;
    a->status = s;
}

static void ask(struct asked *a, struct blk_dev *d, enum blk_op op, uint64_t sector, uint32_t n)
{
    a->seg = (struct blk_seg){HPA(BUFFER_AT), n * BLK_SECTOR};
    a->done = 0;
    bool data = op == BLK_READ || op == BLK_WRITE;
    a->r = (struct blk_req){.op = op,
                            .sector = sector,
                            .sectors = n,
                            .segs = &a->seg,
                            .n_segs = data ? 1 : 0,
                            .done = asked_done,
                            .ctx = a};
    blk_submit(d, &a->r);
}

/* What comes of it at once; -1: nothing. */
static int at_once(enum blk_op op, uint64_t sector, uint32_t n)
{
    static struct asked a;

    ask(&a, &disk.dev, op, sector, n);
    return a.done ? (int)a.status : -1;
}

static void add(const char *text)
{
    struct faulty_rule rule;

    assert_true(config_parse_fault(text, &rule));
    assert_int_equal(faulty_add(&faulty, &rule), OK);
}

static void exactly_those_sectors(void **state)
{
    (void)state;
    add("ata0 read 8+4 error");
    add("ata1 any 0+64 error");
    for (uint64_t s = 0; s < SECTORS; s++) {
        for (uint32_t n = 1; n <= 8 && s + n <= SECTORS; n++) {
            bool in = s < 12 && s + n > 8;
            assert_int_equal(at_once(BLK_READ, s, n), in ? E_IO : OK);
            assert_int_equal(at_once(BLK_WRITE, s, n), OK);
        }
    }
    assert_int_equal(at_once(BLK_FLUSH, 0, 0), OK);
    assert_int_equal(at_once(BLK_ZEROES, 8, 4), OK);
    assert_int_equal(faulty.rules[1].hits, 0);
    assert_int_equal(faulty.struck, faulty.rules[0].hits);
    faulty_clear(&faulty);
    assert_int_equal(at_once(BLK_READ, 8, 4), OK);
}

static void an_error_does_nothing(void **state)
{
    (void)state;
    add("ata0 write 8+4 error x2");
    memset(memory + BUFFER_AT, 0x5a, 4096);
    assert_int_equal(at_once(BLK_WRITE, 9, 1), E_IO);
    assert_int_equal(at_once(BLK_ZEROES, 8, 1), E_IO); /* a write too */
    assert_int_equal(memory[DISK_AT + 9 * BLK_SECTOR], 0);
    assert_int_equal(at_once(BLK_WRITE, 9, 1), OK); /* two strikes are over */
    assert_int_equal(memory[DISK_AT + 9 * BLK_SECTOR], 0x5a);
    assert_int_equal(faulty.rules[0].hits, 2);
}

static void a_lost_answer(void **state)
{
    (void)state;
    add("ata0 any 8+1 lost x1");
    add("ata0 flush lost x1");
    memset(memory + BUFFER_AT, 0x5a, 4096);
    assert_int_equal(at_once(BLK_WRITE, 4, 8), E_IO);
    for (unsigned i = 4 * BLK_SECTOR; i < 12 * BLK_SECTOR; i++) {
        assert_int_equal(memory[DISK_AT + i], 0x5a);
    }
    assert_int_equal(at_once(BLK_FLUSH, 0, 0), E_IO);
    assert_int_equal(at_once(BLK_FLUSH, 0, 0), OK);
    assert_int_equal(faulty_next(&faulty), UINT64_MAX);
}

static void late(void **state)
{
    struct asked out, slow, other;

    (void)state;
    add("ata0 read 8+1 timeout 5us");
    add("ata0 write 8+1 slow 3us");
    ask(&out, &disk.dev, BLK_READ, 8, 1);
    assert_int_equal(faulty_next(&faulty), 6000);
    memset(memory + BUFFER_AT, 0x5a, 4096);
    ask(&slow, &disk.dev, BLK_WRITE, 8, 1);
    ask(&other, &disk.dev, BLK_READ, 9, 1); /* which nothing holds up */
    assert_int_equal(other.done, 1);
    assert_int_equal(changes, 2);
    assert_int_equal(faulty_next(&faulty), 4000);
    faulty_tick(&faulty, 3999);
    assert_int_equal(slow.done + out.done, 0);
    assert_int_equal(memory[DISK_AT + 8 * BLK_SECTOR], 0);
    memset(memory + BUFFER_AT, 0x77, 4096);
    faulty_tick(&faulty, 4000);
    assert_int_equal(slow.done, 1);
    assert_int_equal(slow.status, OK);
    assert_int_equal(memory[DISK_AT + 8 * BLK_SECTOR], 0x77); /* written then, and not before */
    assert_int_equal(out.done, 0);
    faulty_clear(&faulty); /* does not touch those that wait */
    faulty_tick(&faulty, 7000);
    assert_int_equal(out.done, 1);
    assert_int_equal(out.status, E_IO);
    assert_int_equal(faulty_next(&faulty), UINT64_MAX);
}

static void more_than_can_wait(void **state)
{
    static struct asked a[FAULTY_PENDING + 2];

    (void)state;
    add("ata0 read 8+1 timeout 1s");
    add("ata0 write 8+1 slow 1s");
    for (unsigned i = 0; i < FAULTY_PENDING; i++) {
        ask(&a[i], &disk.dev, BLK_READ, 8, 1);
        assert_int_equal(a[i].done, 0);
    }
    assert_int_equal(at_once(BLK_READ, 8, 1), E_IO);
    assert_int_equal(at_once(BLK_WRITE, 8, 1), OK);
    faulty_tick(&faulty, UINT64_MAX - 1);
    for (unsigned i = 0; i < FAULTY_PENDING; i++) {
        assert_int_equal(a[i].done, 1);
    }
    assert_int_equal(at_once(BLK_READ, 8, 1), -1);
}

static void partitions_meet_the_disks_sectors(void **state)
{
    static struct partition_dev part;
    static struct asked a;
    const struct partition p = {1, 16, 32};

    (void)state;
    assert_int_equal(partition_dev_init(&part, &disk.dev, &p), OK);
    add("ata0 read 20+1 error");
    ask(&a, &part.dev, BLK_READ, 4, 1);
    assert_int_equal(a.status, E_IO);
    ask(&a, &part.dev, BLK_READ, 20, 1);
    assert_int_equal(a.status, OK);
}

static void rules_are_bounded(void **state)
{
    struct faulty_rule rule = {.disk = "ata0", .ops = FAULTY_READ, .sectors = 1};

    (void)state;
    for (unsigned i = 0; i < FAULTY_RULES; i++) {
        assert_int_equal(faulty_add(&faulty, &rule), OK);
    }
    assert_int_equal(faulty_add(&faulty, &rule), E_NOMEM);
    faulty_clear(&faulty);
    rule.sector = UINT64_MAX;
    assert_int_equal(faulty_add(&faulty, &rule), E_INVAL);
    rule.sector = 0;
    rule.ops = 0;
    assert_int_equal(faulty_add(&faulty, &rule), E_INVAL);
    rule.ops = FAULTY_READ;
    memset(rule.disk, 'x', sizeof(rule.disk));
    assert_int_equal(faulty_add(&faulty, &rule), E_INVAL);
    rule.disk[0] = '\0';
    assert_int_equal(faulty_add(&faulty, &rule), E_INVAL);
}

static void as_text(void **state)
{
    static const char *const good[] = {"ata0 read 2048+8 error", "ata0 write 0+1 timeout 3s x2",
                                       "module:root any 7+99 slow 50ms", "ata3 flush lost x1",
                                       "ata1 flush timeout 1us"};
    static const char *const bad[] = {"",
                                      "ata0",
                                      "ata0 read",
                                      "ata0 read error",
                                      "ata0 read 1 error",
                                      "ata0 read 1+ error",
                                      "ata0 read +1 error",
                                      "ata0 read 1+0 error",
                                      "ata0 read 18446744073709551615+1 error",
                                      "ata0 read 1+1",
                                      "ata0 read 1+1 err",
                                      "ata0 reads 1+1 error",
                                      "ata0 read 1+1 error x0",
                                      "ata0 read 1+1 error x",
                                      "ata0 read 1+1 error 5",
                                      "ata0 read 1+1 error x1 x1",
                                      "ata0 read 1+1 error 3s",
                                      "ata0 read 1+1 timeout",
                                      "ata0 read 1+1 timeout x1",
                                      "ata0 read 1+1 slow 3601s",
                                      "ata0 flush 1+1 error",
                                      "ata0 read 1+1 slow 1s x4294967296",
                                      "a b c d e f g h i j k"};
    struct faulty_rule rule;
    char text[160];

    (void)state;
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(config_parse_fault(good[i], &rule));
        config_print_fault(&rule, text, sizeof(text));
        assert_string_equal(text, good[i]);
    }
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (config_parse_fault(bad[i], &rule)) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
    memset(text, 'a', sizeof(text));
    memcpy(text + sizeof(text) - 16, " flush error x1", 16);
    assert_false(config_parse_fault(text, &rule)); /* a disk's name that is too long */
}

static void in_a_configuration(void **state)
{
    static struct config c;
    char text[1024] = "[host]\n", why[200];

    (void)state;
    for (unsigned i = 0; i < FAULTY_RULES; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 "disk.fault = ata0 read %u+1 error\n", i);
    }
    assert_int_equal(config_parse(text, strlen(text), &c, why, sizeof(why)), OK);
    assert_int_equal(c.host.n_faults, FAULTY_RULES);
    assert_int_equal(c.host.faults[FAULTY_RULES - 1].sector, FAULTY_RULES - 1);
    strcat(text, "disk.fault = ata0 flush error\n");
    assert_int_equal(config_parse(text, strlen(text), &c, why, sizeof(why)), E_NOMEM);
    assert_non_null(strstr(why, "config:18: there are at most 16"));
    assert_int_equal(config_host_set(&c.host, "disk.fault", "ata0 flush error", why, sizeof(why)),
                     E_UNSUPPORTED);
    strcpy(text, "[host]\ndisk.fault = ata0 often\n");
    assert_int_equal(config_parse(text, strlen(text), &c, why, sizeof(why)), E_INVAL);
    assert_non_null(strstr(why, "config:2: disk.fault = 'ata0 often': it must be DISK read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(exactly_those_sectors, setup),
        cmocka_unit_test_setup(an_error_does_nothing, setup),
        cmocka_unit_test_setup(a_lost_answer, setup),
        cmocka_unit_test_setup(late, setup),
        cmocka_unit_test_setup(more_than_can_wait, setup),
        cmocka_unit_test_setup(partitions_meet_the_disks_sectors, setup),
        cmocka_unit_test_setup(rules_are_bounded, setup),
        cmocka_unit_test_setup(as_text, setup),
        cmocka_unit_test_setup(in_a_configuration, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
