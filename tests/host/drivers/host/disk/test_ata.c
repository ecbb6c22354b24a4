/* SPDX-License-Identifier: BSD-2-Clause */
/* The ATA driver against a fake channel: data, limits, errors, lost interrupts, resets. */
#include "base/bits.h"
#include "fake_ata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STORED 4096u

static struct ata_fake fake;
static struct ata_channel ch;

struct client {
    struct blk_req req;
    struct blk_seg segs[300];
    unsigned done;
    enum status status;
};

static void client_done(struct blk_req *r, enum status s)
{
    struct client *c = r->ctx;

    c->done++;
    c->status = s;
}

static unsigned set_up(bool lba48, uint64_t sectors, uint64_t base)
{
    ata_fake_init(&fake);
    ata_fake_insert(&fake, &(struct ata_fake_drive){.present = true,
                                                    .lba48 = lba48,
                                                    .trim = lba48,
                                                    .sectors = sectors,
                                                    .base = base,
                                                    .stored = STORED});
    assert_int_equal(ata_fake_start(&fake, &ch), OK);
    return ata_probe(&ch, 0, 10);
}

static void go(struct client *c, unsigned disk, enum blk_op op, uint64_t sector, uint64_t sectors)
{
    c->done = 0;
    c->req = (struct blk_req){.op = op,
                              .sector = sector,
                              .sectors = sectors,
                              .segs = c->segs,
                              .n_segs = c->req.n_segs,
                              .done = client_done,
                              .ctx = c};
    blk_submit(&ch.disks[disk].dev, &c->req);
}

/* Time and interrupts until the client's request is done. */
static void drive(struct client *c)
{
    for (unsigned i = 0; i < 100000 && c->done == 0; i++) {
        if (ata_fake_complete(&fake)) {
            assert_true(ata_irq(&ch));
        }
        fake.now_ns += 1000000;
        ata_tick(&ch, fake.now_ns);
    }
    assert_int_equal(c->done, 1);
}

static void one_seg(struct client *c, uint64_t addr, uint64_t sectors)
{
    c->segs[0] = (struct blk_seg){HPA(addr), (uint32_t)(sectors * 512)};
    c->req.n_segs = 1;
}

static void test_probe(void **state)
{
    (void)state;
    assert_int_equal(set_up(true, 4096, 0), 2);
    assert_string_equal(ch.disks[0].dev.name, "ata0");
    assert_string_equal(ch.disks[1].dev.name, "ata1");
    assert_string_equal(ch.disks[0].model, "Fake");
    assert_true(ch.disks[1].dev.sectors == 4096 && ch.disks[1].dev.id == 11);
    assert_true(ch.disks[0].lba48 && ch.disks[0].flush_ext && ch.disks[0].dev.can_discard);
    fake.drive[0].atapi = true;
    assert_int_equal(ata_probe(&ch, 2, 0), 1);
    assert_false(ch.disks[0].present);
    /* No two disks of a machine have one id, or the cache would take one for the other. */
    assert_string_equal(ch.disks[1].dev.name, "ata3");
    assert_int_equal(ch.disks[1].dev.id, 3);
    fake.drive[1].present = false;
    assert_int_equal(ata_probe(&ch, 2, 0), 0);
    fake.drive[0].present = false;
    assert_int_equal(ata_probe(&ch, 2, 0), 0);
    ata_fake_free(&fake);

    struct ata_dma_mem bad = {&fake, HPA(UINT64_C(0xffffe000)), 3 * 4096};
    assert_int_equal(ata_channel_init(&ch, ch.host, &bad, 0, 0, 0, 14), E_INVAL);
}

/* Random requests to both disks, everywhere in memory, against a plain copy of the disks. */
static void transfers(bool lba48, uint64_t sectors, uint64_t base)
{
    static struct client c;
    static uint8_t model[2][STORED * 512];
    uint64_t moved[2] = {0, 0}; /* read, written */

    assert_int_equal(set_up(lba48, sectors, base), 2);
    srand(1);
    for (unsigned i = 0; i < 2; i++) {
        memcpy(model[i], fake.drive[i].data, STORED * 512);
    }
    for (unsigned round = 0; round < 400; round++) {
        unsigned disk = (unsigned)rand() % 2, n_segs = 1 + (unsigned)rand() % 20;
        enum blk_op op = rand() % 2 != 0 ? BLK_READ : BLK_WRITE;
        uint64_t addr = (rand() % 2 != 0 ? ATA_FAKE_HIGH : ATA_FAKE_LOW + 0x30000), total = 0;
        if (rand() % 20 == 0) {
            n_segs = 256; /* the most PRDs: each segment across a 64 KiB line */
        }
        addr += 2 * ((uint64_t)rand() % 20000);
        for (unsigned i = 0; i < n_segs; i++) {
            uint32_t n = n_segs == 256 ? 1 : 1 + (uint32_t)rand() % (rand() % 8 != 0 ? 8 : 160);
            c.segs[i] = (struct blk_seg){HPA(addr), n * 512};
            addr += n * 512 + 2 * ((uint64_t)rand() % 3);
            total += n;
        }
        c.req.n_segs = n_segs;
        uint64_t at = (uint64_t)rand() % (STORED - total + 1);
        uint8_t *m = &model[disk][at * 512];
        for (unsigned i = 0; i < n_segs; i++) {
            uint8_t *p = ata_fake_mem(&fake, c.segs[i].addr, c.segs[i].bytes);
            for (uint32_t b = 0; b < c.segs[i].bytes && op == BLK_WRITE; b++) {
                p[b] = (uint8_t)rand();
            }
            if (op == BLK_WRITE) {
                memcpy(m, p, c.segs[i].bytes);
                m += c.segs[i].bytes;
            }
        }
        moved[op == BLK_WRITE] += total;
        if (rand() % 8 == 0) {
            fake.fail = 1;
        } else if (rand() % 8 == 0) {
            fake.lose_irq = 1;
        } else if (rand() % 16 == 0) {
            fake.hang = 1;
        }
        go(&c, disk, op, base + at, total);
        drive(&c);
        assert_int_equal(c.status, OK);
        m = &model[disk][at * 512];
        for (unsigned i = 0; i < n_segs; i++) {
            assert_memory_equal(ata_fake_mem(&fake, c.segs[i].addr, c.segs[i].bytes), m,
                                c.segs[i].bytes);
            m += c.segs[i].bytes;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_memory_equal(model[i], fake.drive[i].data, STORED * 512);
    }
    assert_true(ch.n_read_sectors == moved[0] && ch.n_written_sectors == moved[1]);
    assert_true(ch.n_errors > 0 && ch.n_timeouts > 0 && ch.n_bounced > 0 && ch.n_resets > 0);
    ata_fake_free(&fake);
}

static void test_transfers(void **state)
{
    (void)state;
    transfers(false, 4096, 0);
    /* 48-bit addresses, and the line where 28 bits end. */
    transfers(true, UINT64_C(0x123456789a), UINT64_C(0x1234560000));
    transfers(true, UINT64_C(0x20000000), UINT64_C(0x0fffffff) - 2000);
}

/* Every one of 256 segments lies across a 64 KiB line: the fullest PRD table. */
static void test_full_table(void **state)
{
    static struct client c;

    (void)state;
    assert_int_equal(set_up(false, 4096, 0), 2);
    for (unsigned i = 0; i < 256; i++) {
        c.segs[i] = (struct blk_seg){HPA(ATA_FAKE_LOW + 0x100000 - 256), 512};
    }
    c.req.n_segs = 256;
    go(&c, 0, BLK_READ, 0, 256);
    drive(&c);
    assert_int_equal(c.status, OK);
    ata_fake_free(&fake);
}

static void test_errors(void **state)
{
    static struct client c, d;

    (void)state;
    set_up(true, 4096, 0);
    one_seg(&c, ATA_FAKE_LOW + 0x100000, 8);
    one_seg(&d, ATA_FAKE_LOW + 0x110000, 8);
    fake.fail = 100;
    go(&c, 0, BLK_READ, 0, 8);
    drive(&c);
    assert_int_equal(c.status, E_IO);
    assert_int_equal(fake.n_resets, ATA_RETRIES + 1);
    fake.fail = 0;
    go(&c, 1, BLK_READ, 0, 8); /* the channel lives on */
    go(&d, 0, BLK_READ, 8, 8);
    assert_int_equal(d.done, 0);
    drive(&c);
    drive(&d);
    assert_true(c.status == OK && d.status == OK);
    assert_memory_equal(ata_fake_mem(&fake, d.segs[0].addr, 4096), fake.drive[0].data + 4096, 4096);

    /* A drive that never comes back: all that waits fails, and at once what follows. */
    fake.hang = 1;
    fake.dead = true;
    go(&c, 0, BLK_READ, 0, 8);
    go(&d, 1, BLK_READ, 0, 8);
    drive(&c);
    assert_true(c.status == E_IO && d.done == 1 && d.status == E_IO);
    assert_int_equal(ch.state, ATA_DEAD);
    go(&c, 0, BLK_READ, 0, 8);
    assert_true(c.done == 1 && c.status == E_IO);
    assert_true(ata_tick(&ch, fake.now_ns) == UINT64_MAX);
    ata_fake_free(&fake);
}

/* A drive that is busy before a command is not waited for in place; one that stays so is reset. */
static void test_busy_before(void **state)
{
    static struct client c;

    (void)state;
    set_up(true, 4096, 0);
    one_seg(&c, ATA_FAKE_LOW + 0x100000, 8);
    unsigned commands = fake.n_commands, looks = fake.n_looks;
    fake.status = 0x80;
    go(&c, 0, BLK_READ, 0, 8);
    assert_in_range(fake.n_looks - looks, 1, 100);
    for (unsigned i = 0; i < 20; i++) {
        looks = fake.n_looks;
        fake.now_ns += 1000000;
        assert_true(ata_tick(&ch, fake.now_ns) != UINT64_MAX);
        assert_in_range(fake.n_looks - looks, 1, 100);
    }
    fake.bm_status |= 4; /* what comes now is not the command's end */
    assert_true(ata_irq(&ch));
    assert_true(c.done == 0 && fake.n_commands == commands && fake.n_resets == 0);
    fake.status = 0x50;
    drive(&c);
    assert_int_equal(c.status, OK);
    assert_memory_equal(ata_fake_mem(&fake, c.segs[0].addr, 4096), fake.drive[0].data, 4096);
    assert_true(fake.n_resets == 0 && ch.n_timeouts == 0);

    fake.status = 0x80;
    go(&c, 1, BLK_READ, 16, 8);
    drive(&c);
    assert_int_equal(c.status, OK);
    assert_memory_equal(ata_fake_mem(&fake, c.segs[0].addr, 4096), fake.drive[1].data + 8192, 4096);
    assert_true(fake.n_resets == 1 && ch.n_timeouts == 1);
    ata_fake_free(&fake);
}

static void test_other_commands(void **state)
{
    static struct client c;

    (void)state;
    set_up(true, 4096, 0);
    c.req.n_segs = 0;
    go(&c, 0, BLK_FLUSH, 0, 0);
    drive(&c);
    assert_true(c.status == OK && fake.n_flushes == 1);
    go(&c, 0, BLK_ZEROES, 100, 1000);
    drive(&c);
    assert_int_equal(c.status, OK);
    for (size_t i = 0; i < 1000 * 512; i++) {
        assert_int_equal(fake.drive[0].data[100 * 512 + i], 0);
    }
    assert_int_not_equal(fake.drive[0].data[1100 * 512 + 1], 0);
    go(&c, 1, BLK_DISCARD, 7, 3000);
    drive(&c);
    assert_int_equal(c.status, OK);
    assert_true(fake.drive[1].data[7 * 512] == 0xdd && fake.drive[1].data[3007 * 512 - 1] == 0xdd);
    assert_int_equal(fake.drive[1].data[3007 * 512], (uint8_t)(3007 * 512 * 7 + 3007 + 1));
    assert_false(ata_irq(&ch)); /* a neighbour's interrupt */
    ata_fake_free(&fake);
}

/* blk_read_wait with nobody but poll to move things. */
static void poll_once(void *ctx)
{
    (void)ctx;
    if (ata_fake_complete(&fake)) {
        ata_irq(&ch);
    }
    fake.now_ns += 1000000;
    ata_tick(&ch, fake.now_ns);
}

static void test_read_wait(void **state)
{
    (void)state;
    set_up(false, 4096, 0);
    hpa_t buf = HPA(ATA_FAKE_LOW + 0x100000);
    assert_int_equal(blk_read_wait(&ch.disks[0].dev, 5, buf, 2, poll_once, NULL), OK);
    assert_memory_equal(ata_fake_mem(&fake, buf, 1024), fake.drive[0].data + 5 * 512, 1024);
    assert_int_equal(blk_read_wait(&ch.disks[0].dev, 4096, buf, 1, poll_once, NULL), E_RANGE);
    fake.fail = 50;
    assert_int_equal(blk_read_wait(&ch.disks[0].dev, 5, buf, 2, poll_once, NULL), E_IO);
    ata_fake_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe),          cmocka_unit_test(test_transfers),
        cmocka_unit_test(test_full_table),     cmocka_unit_test(test_errors),
        cmocka_unit_test(test_other_commands), cmocka_unit_test(test_read_wait),
        cmocka_unit_test(test_busy_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
