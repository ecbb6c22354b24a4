/* SPDX-License-Identifier: BSD-2-Clause */
/* The ATA driver's queue: what is merged, in which order, and which requests fail alone. */
#include "base/bits.h"
#include "fake_ata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STORED 8192u
#define CLIENTS 48u
#define CLIENT_BYTES 0x8000u /* each has so much memory, half of them across the 4 GiB line */
#define CLIENT_SECTORS (CLIENT_BYTES / 512)

static struct ata_fake fake;
static struct ata_channel ch;

struct client {
    struct blk_req req;
    struct blk_seg segs[4];
    unsigned disk;
    bool busy;
    enum status status;
    unsigned when; /* the how manieth to be done */
    uint8_t expected[CLIENT_BYTES];
};

static struct client clients[CLIENTS];
static unsigned n_done;

static void client_done(struct blk_req *r, enum status s)
{
    struct client *c = r->ctx;

    assert_true(c->busy);
    c->busy = false;
    c->status = s;
    c->when = ++n_done;
}

static void set_up(bool lba48)
{
    ata_fake_init(&fake);
    ata_fake_insert(&fake,
                    &(struct ata_fake_drive){
                        .present = true, .lba48 = lba48, .sectors = STORED, .stored = STORED});
    assert_int_equal(ata_fake_start(&fake, &ch), OK);
    assert_int_equal(ata_probe(&ch, 0, 0), 2);
    memset(clients, 0, sizeof(clients));
    n_done = 0;
}

static uint64_t client_addr(unsigned i)
{
    uint64_t base = i % 2 == 0 ? ATA_FAKE_LOW + 0x40000 : ATA_FAKE_HIGH;

    return base + (uint64_t)(i / 2) * CLIENT_BYTES;
}

static void submit(unsigned i, unsigned disk, enum blk_op op, uint64_t sector, uint64_t sectors,
                   bool ahead)
{
    struct client *c = &clients[i];
    unsigned n = 0;

    assert_false(c->busy);
    c->busy = true;
    c->disk = disk;
    for (uint64_t at = 0; at < sectors; n++) {
        uint64_t part = n == ARRAY_LEN(c->segs) - 1 ? sectors - at : MIN(sectors - at, UINT64_C(8));
        c->segs[n] = (struct blk_seg){HPA(client_addr(i) + at * 512), (uint32_t)part * 512};
        at += part;
    }
    c->req = (struct blk_req){.op = op,
                              .sector = sector,
                              .sectors = sectors,
                              .segs = c->segs,
                              .n_segs = n,
                              .done = client_done,
                              .ctx = c,
                              .ahead = ahead};
    blk_submit(&ch.disks[disk].dev, &c->req);
}

/* One command to its end, or time going on. */
static void advance(void)
{
    if (ata_fake_complete(&fake)) {
        assert_true(ata_irq(&ch));
    }
    fake.now_ns += fake.running ? 1000000 : 1000000000;
    ata_tick(&ch, fake.now_ns);
}

static void drain(void)
{
    for (unsigned i = 0; i < 1000000; i++) {
        bool busy = false;
        for (unsigned k = 0; k < CLIENTS; k++) {
            busy |= clients[k].busy;
        }
        if (!busy) {
            return;
        }
        advance();
    }
    fail_msg("a request is never done");
}

static void check_data(unsigned i)
{
    const struct client *c = &clients[i];

    assert_memory_equal(ata_fake_mem(&fake, HPA(client_addr(i)), c->req.sectors * 512),
                        fake.drive[c->disk].data + c->req.sector * 512, c->req.sectors * 512);
}

static void test_rows_merge(void **state)
{
    (void)state;
    set_up(false);
    submit(0, 0, BLK_READ, 0, 8, false); /* runs, and the others gather behind it */
    static const uint64_t at[] = {100, 108, 116, 124, 132, 140};
    for (unsigned i = 0; i < ARRAY_LEN(at); i++) {
        submit(1 + i, 0, BLK_READ, at[i], 8, false);
    }
    submit(7, 1, BLK_READ, 148, 8, false);  /* another disk */
    submit(8, 0, BLK_WRITE, 148, 8, false); /* another kind */
    submit(9, 0, BLK_READ, 92, 7, false);   /* a hole between */
    uint64_t before = ch.n_commands;
    drain();
    assert_int_equal(ch.n_commands - before, 4); /* the row, the write, the two others */
    assert_int_equal(ch.n_merged, 5);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(clients[i].status, OK);
        check_data(i);
    }
    ata_fake_free(&fake);
}

/* No command is longer than the disk's kind allows. */
static void test_limits(void **state)
{
    (void)state;
    for (unsigned lba48 = 0; lba48 < 2; lba48++) {
        uint32_t most = 0, max = lba48 != 0 ? 1024 : 256, n = 0;
        set_up(lba48 != 0);
        submit(0, 1, BLK_READ, 0, 8, false);
        for (unsigned i = 1; i < CLIENTS; i++) {
            submit(i, 0, BLK_READ, (i - 1) * 64, 64, false);
        }
        drain();
        for (unsigned i = 1; i < CLIENTS; i++) {
            check_data(i);
        }
        for (unsigned i = 0; i < fake.n_moves; i++) {
            most = MAX(most, fake.moves[i].sectors);
            n++;
        }
        assert_true(most <= max && most > max / 8);
        assert_int_equal(n, ch.n_commands);
        assert_true(ch.n_bounced != 0);
        ata_fake_free(&fake);
    }
}

static void test_order_is_kept(void **state)
{
    (void)state;
    set_up(true);
    submit(0, 0, BLK_READ, 4000, 8, false);
    submit(1, 0, BLK_WRITE, 100, 16, false);
    submit(2, 0, BLK_FLUSH, 0, 0, false);
    submit(3, 0, BLK_FLUSH, 0, 0, false);
    submit(4, 0, BLK_WRITE, 4108, 16, false);
    submit(5, 0, BLK_WRITE, 4100, 16, false); /* the later one's bytes stay */
    submit(6, 0, BLK_READ, 4110, 8, false);   /* and this reads them */
    submit(7, 1, BLK_FLUSH, 0, 0, false);
    memset(ata_fake_mem(&fake, HPA(client_addr(4)), 8192), 0x44, 8192);
    memset(ata_fake_mem(&fake, HPA(client_addr(5)), 8192), 0x55, 8192);
    drain();
    assert_true(clients[1].when < clients[2].when && clients[1].when < clients[3].when);
    assert_int_equal(fake.n_flushes, 2); /* one for each disk */
    assert_true(clients[4].when < clients[5].when && clients[5].when < clients[6].when);
    assert_int_equal(fake.drive[0].data[4115 * 512], 0x55);
    assert_int_equal(fake.drive[0].data[4116 * 512], 0x44);
    check_data(6);
    ata_fake_free(&fake);
}

/* Of a row that is one command, one sector is bad (or its transfer never ends). */
static void one_fails(bool hangs, enum blk_op op)
{
    set_up(true);
    submit(0, 1, BLK_READ, 0, 8, false);
    for (unsigned i = 1; i <= 6; i++) {
        submit(i, 0, op, 100 + i * 8, 8, i == 3);
    }
    *(hangs ? &fake.lost_lba : &fake.bad_lba) = 100 + 4 * 8 + 5;
    drain();
    assert_true(ch.n_merged >= 5);
    for (unsigned i = 0; i <= 6; i++) {
        assert_int_equal(clients[i].status, i == 4 ? E_IO : OK);
        if (i != 4) {
            check_data(i);
        }
    }
    assert_true(hangs ? ch.n_timeouts != 0 : ch.n_errors != 0);
    submit(0, 1, BLK_READ, 50, 8, false);
    drain();
    assert_int_equal(clients[0].status, OK);
    ata_fake_free(&fake);
}

static void test_one_fails(void **state)
{
    (void)state;
    one_fails(false, BLK_READ);
    one_fails(false, BLK_WRITE);
    one_fails(true, BLK_READ);
    one_fails(true, BLK_WRITE);
}

/* A channel that dies takes along what is merged, what waits, and what comes. */
static void test_death(void **state)
{
    (void)state;
    set_up(true);
    submit(0, 1, BLK_READ, 0, 8, false);
    for (unsigned i = 1; i <= 4; i++) {
        submit(i, 0, BLK_READ, 100 + i * 8, 8, false);
    }
    submit(5, 0, BLK_WRITE, 5000, 8, false);
    submit(6, 1, BLK_READ, 0, 8, false);
    fake.lost_lba = 120;
    fake.dead = true;
    drain();
    assert_int_equal(clients[0].status, OK);
    for (unsigned i = 1; i <= 6; i++) {
        assert_int_equal(clients[i].status, E_IO);
    }
    submit(0, 1, BLK_READ, 0, 8, false);
    assert_int_equal(clients[0].status, E_IO);
    ata_fake_free(&fake);
}

/*
 * Many requests at a time, on a few sectors, spread, and in rows, with faults that pass. They keep
 * their order, so what a read brings is known when it is submitted.
 */
static void test_random(void **state)
{
    static uint8_t model[2][STORED * 512];
    uint64_t row = 0; /* behind the request before */

    (void)state;
    set_up(true);
    srand(3);
    for (unsigned i = 0; i < 2; i++) {
        memcpy(model[i], fake.drive[i].data, STORED * 512);
    }
    for (unsigned round = 0; round < 20000; round++) {
        unsigned i = (unsigned)rand() % CLIENTS, disk = (unsigned)rand() % 8 == 0;
        struct client *c = &clients[i];
        if (rand() % 3 == 0) {
            advance();
        }
        if (ch.retries != 0) {
            /* not so many faults that a request fails for good */
        } else if (rand() % 200 == 0) {
            *(rand() % 2 != 0 ? &fake.fail : &fake.lose_irq) = 1;
        } else if (rand() % 500 == 0) {
            fake.hang = 1;
        }
        if (c->busy) {
            continue;
        }
        assert_int_equal(c->status, OK);
        if (c->req.op == BLK_READ) {
            assert_memory_equal(ata_fake_mem(&fake, HPA(client_addr(i)), c->req.sectors * 512),
                                c->expected, c->req.sectors * 512);
        }
        uint64_t n = 1 + (uint64_t)rand() % (rand() % 4 == 0 ? CLIENT_SECTORS : 9);
        uint64_t at = rand() % 2 == 0 ? (uint64_t)rand() % 300 : (uint64_t)rand() % (STORED - 64);
        at = rand() % 2 == 0 && row + n <= STORED ? row : at;
        row = at + n;
        uint8_t *p = ata_fake_mem(&fake, HPA(client_addr(i)), n * 512);
        enum blk_op op = rand() % 3 != 0 ? BLK_READ : rand() % 20 == 0 ? BLK_FLUSH : BLK_WRITE;
        if (op == BLK_FLUSH) {
            submit(i, disk, op, 0, 0, false);
            continue;
        }
        if (op == BLK_WRITE) {
            memset(p, rand(), n * 512);
            memcpy(model[disk] + at * 512, p, n * 512);
        } else {
            memcpy(c->expected, model[disk] + at * 512, n * 512);
        }
        submit(i, disk, op, at, n, rand() % 4 == 0);
    }
    drain();
    for (unsigned i = 0; i < 2; i++) {
        assert_memory_equal(model[i], fake.drive[i].data, STORED * 512);
    }
    assert_true(ch.n_merged > 100 && ch.n_errors > 0 && ch.n_timeouts > 0 && ch.n_bounced > 0);
    ata_fake_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_merge),    cmocka_unit_test(test_limits),
        cmocka_unit_test(test_order_is_kept), cmocka_unit_test(test_one_fails),
        cmocka_unit_test(test_death),         cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
