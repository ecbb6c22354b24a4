/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks that are slow on purpose: when requests are done, what an elevator gathers meanwhile,
 * errors, batches, changes while it runs; delays as text. */
#include "base/bits.h"
#include "drivers/block/delay.h"
#include "drivers/block/elevator.h"
#include "kernel/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define CLIENTS 48u

static uint64_t now;
static unsigned changes;

static uint64_t fake_now(void)
{
    return now;
}

static void changed(void *ctx)
{
    (void)ctx;
    changes++;
}

/* The disk below: what it was given, in order, until it is answered. */
static struct blk_req *given[CLIENTS];
static unsigned n_given, n_ever;

static void disk_submit(struct blk_dev *d, struct blk_req *r)
{
    (void)d;
    assert_true(n_given < CLIENTS);
    given[n_given++] = r;
    n_ever++;
}

static const struct blk_ops disk_ops = {.submit = disk_submit};
static const struct delay_host host = {.now_ns = fake_now, .deadline_changed = changed};

static struct blk_dev disk;
static struct delay_dev slow;

static struct client {
    struct blk_req req;
    struct blk_seg seg;
    unsigned done;
    enum status status;
    uint64_t done_ns;
} clients[CLIENTS];

static void client_done(struct blk_req *r, enum status s)
{
    struct client *c = r->ctx;

    c->done++;
    c->status = s;
    c->done_ns = now;
}

static int set_up(void **state)
{
    (void)state;
    now = 1000 * MS;
    changes = n_given = n_ever = 0;
    memset(clients, 0, sizeof(clients));
    disk = (struct blk_dev){.ops = &disk_ops, .name = "disk", .sectors = 8192, .can_discard = true};
    delay_dev_init(&slow, &host, &disk);
    return 0;
}

static struct client *go_to(struct blk_dev *d, unsigned i, enum blk_op op, uint64_t sector,
                            uint32_t sectors, bool more)
{
    struct client *c = &clients[i];
    bool data = op == BLK_READ || op == BLK_WRITE;

    c->done = 0;
    c->seg = (struct blk_seg){HPA(UINT64_C(0x100000)), sectors * BLK_SECTOR};
    c->req = (struct blk_req){.op = op,
                              .sector = sector,
                              .sectors = sectors,
                              .segs = &c->seg,
                              .n_segs = data ? 1 : 0,
                              .done = client_done,
                              .ctx = c,
                              .more = more};
    blk_submit(d, &c->req);
    return c;
}

static struct client *go(unsigned i, enum blk_op op, uint64_t sector, uint32_t sectors)
{
    return go_to(&slow.dev, i, op, sector, sectors, false);
}

/* The disk answers the oldest of its requests, after so much time. */
static void disk_answers(uint64_t after_ns, enum status s)
{
    struct blk_req *r = given[0];

    now += after_ns;
    assert_true(n_given > 0);
    memmove(given, given + 1, --n_given * sizeof(given[0]));
    r->done(r, s);
}

/* Goes on to the deadline, which is in so much time, and not before. */
static void deadline_in(uint64_t ns)
{
    assert_int_equal(delay_next(&slow), now + ns);
    now += ns - 1;
    delay_tick(&slow, now);
    now++;
    delay_tick(&slow, now);
}

static void a_command_takes_its_time(void **state)
{
    (void)state;
    slow.times.command_ns = 6 * MS;
    struct client *c = go(0, BLK_WRITE, 8, 8);
    assert_true(delay_next(&slow) == UINT64_MAX);
    disk_answers(MS, OK);
    assert_int_equal(c->done, 0);
    assert_int_equal(changes, 1);
    deadline_in(5 * MS);
    assert_int_equal(c->done, 1);
    assert_int_equal(c->status, OK);
    assert_int_equal(slow.n_deferred, 1);
    assert_true(delay_next(&slow) == UINT64_MAX && changes == 1);

    /* A disk that is slower than that is kept waiting by nothing. */
    c = go(0, BLK_READ, 8, 8);
    disk_answers(6 * MS, OK);
    assert_int_equal(c->done, 1);
    assert_int_equal(slow.n_deferred, 1);
}

static void none_by_default(void **state)
{
    (void)state;
    struct client *c = go(0, BLK_READ, 0, 8);
    assert_ptr_equal(given[0], &c->req); /* the very request, nothing in between */
    disk_answers(0, E_IO);
    assert_true(c->done == 1 && c->status == E_IO && changes == 0);
}

static void each_block_costs(void **state)
{
    (void)state;
    slow.times = (struct delay_times){6 * MS, MS};
    go(0, BLK_READ, 0, 24);
    disk_answers(0, OK);
    deadline_in(9 * MS);
    go(0, BLK_READ, 0, 1);
    disk_answers(0, OK);
    deadline_in(7 * MS);
    go(0, BLK_DISCARD, 0, 4096);
    disk_answers(0, OK);
    deadline_in(6 * MS);
    assert_int_equal(clients[0].done, 1);
    slow.times = (struct delay_times){0, MS};
    go(0, BLK_FLUSH, 0, 0);
    disk_answers(0, OK);
    assert_int_equal(clients[0].done, 1);
}

/* The requests of a batch are done together, after the time of all of it. */
static void a_batch_is_one_command(void **state)
{
    (void)state;
    slow.times = (struct delay_times){6 * MS, MS};
    for (unsigned i = 0; i < 4; i++) {
        go_to(&slow.dev, i, BLK_READ, 8 * i, 8, i < 3);
    }
    disk_answers(MS, OK);
    disk_answers(MS, E_IO);
    disk_answers(MS, OK);
    deadline_in(7 * MS);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(clients[i].done, i < 3);
        assert_int_equal(clients[i].status, i == 1 ? E_IO : OK);
    }
    disk_answers(MS, OK); /* late by itself */
    assert_int_equal(clients[3].done, 1);
    assert_int_equal(slow.n_deferred, 1);
}

/* More requests than there are slots: none is lost. */
static void too_many(void **state)
{
    (void)state;
    slow.times.command_ns = 6 * MS;
    for (unsigned i = 0; i < CLIENTS; i++) {
        go(i, BLK_READ, 8 * i, 8);
    }
    while (n_given > 0) {
        disk_answers(0, OK);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(clients[i].done, i >= DELAY_REQUESTS);
    }
    deadline_in(6 * MS);
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(clients[i].done, 1);
    }
}

static void changed_at_any_time(void **state)
{
    (void)state;
    slow.times.command_ns = 6 * MS;
    go(0, BLK_READ, 0, 8);
    disk_answers(0, OK);
    slow.times.command_ns = 0;
    deadline_in(6 * MS); /* that one had begun */
    go(1, BLK_READ, 80, 8);
    disk_answers(0, OK);
    assert_int_equal(clients[1].done, 1);
    assert_int_equal(slow.n_deferred, 1);
}

static struct elevator_vm queue;
static struct elevator elevator;
static struct elevator_dev top;

/* Below an elevator, what comes while a batch is kept back is the next batch; and a flush comes
 * after the write. */
static void below_an_elevator(void **state)
{
    (void)state;
    slow.times.command_ns = 6 * MS;
    elevator_init(&elevator, fake_now, &queue, 1);
    elevator_dev_init(&top, &elevator, &slow.dev);
    go_to(&top.dev, 0, BLK_WRITE, 0, 8, false);
    disk_answers(0, OK);
    for (unsigned i = 1; i < 9; i++) {
        go_to(&top.dev, i, BLK_READ, 800 + 8 * i, 8, false);
    }
    go_to(&top.dev, 9, BLK_FLUSH, 0, 0, false);
    assert_int_equal(n_ever, 1);
    deadline_in(6 * MS);
    assert_int_equal(clients[0].done, 1);
    assert_int_equal(n_given, 8);
    while (n_given > 0) {
        disk_answers(0, OK);
    }
    deadline_in(6 * MS);
    for (unsigned i = 1; i < 9; i++) {
        assert_int_equal(clients[i].done, 1);
        assert_int_equal(clients[i].done_ns, 1012 * MS);
    }
    assert_true(n_given == 1 && given[0]->op == BLK_FLUSH && clients[9].done == 0);
    disk_answers(0, OK);
    deadline_in(6 * MS);
    assert_int_equal(clients[9].done, 1);
}

static void as_text(void **state)
{
    static const char *const good[] = {"ata0 6ms", "ata3 100us", "ata1 1s 10ms", "ata2 6ms 20us",
                                       "ata0 off"};
    static const char *const bad[] = {
        "",          "ata0",          "6ms",           "ata0 6",         "ata0 6m",
        "ata4 6ms",  "ata 6ms",       "ata0p1 6ms",    "module:x 6ms",   "ata00 6ms",
        "ata0 -6ms", "ata0 1001ms",   "ata0 6ms 11ms", "ata0 6ms 1ms 1", "ata0 off 1ms",
        "ata0 ms",   "ata0 6ms off",  "ata0 6ms x",    "ata0 6ms\t1us",  "atax 1ms",
        "Ata0 6ms",  "ata0 6ms; 1us", "ata0 6 ms",     "ata0 0x",        "off"};
    struct config_delay d;
    char text[80];

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(config_parse_delay(good[i], &d));
        config_print_delay(&d, text, sizeof(text));
        assert_string_equal(text, good[i]);
    }
    assert_true(config_parse_delay("  ata0   0  5us ", &d));
    assert_true(d.command_ns == 0 && d.block_ns == 5000);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        if (config_parse_delay(bad[i], &d)) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
    memset(text, ' ', sizeof(text));
    memcpy(text + sizeof(text) - 9, "ata0 6ms", 9);
    assert_false(config_parse_delay(text, &d)); /* longer than any that makes sense */
    assert_true(d.command_ns == 0 && d.block_ns == 5000);
}

static void refused(const char *text, enum status status, const char *words)
{
    static struct config c;
    char why[200];

    assert_int_equal(config_parse(text, strlen(text), &c, why, sizeof(why)), status);
    if (status != OK) {
        assert_non_null(strstr(why, words));
        assert_null(strchr(why, '\n'));
        return;
    }
    assert_int_equal(c.host.n_delays, 4);
    assert_string_equal(c.host.delays[3].disk, "ata1");
    assert_int_equal(c.host.delays[3].block_ns, 20000);
    assert_int_equal(config_host_set(&c.host, "disk.delay", "ata0 6ms", why, sizeof(why)),
                     E_UNSUPPORTED);
}

static void in_a_configuration(void **state)
{
    (void)state;
    refused("[host]\ndisk.delay = ata0 6ms\ndisk.delay = ata3 0\ndisk.delay = ata2 1s 10ms\n"
            "disk.delay = ata1 6ms 20us\n",
            OK, "");
    refused("[host]\ndisk.delay = ata0p1 6ms\n", E_INVAL,
            "config:2: disk.delay = 'ata0p1 6ms': it must be DISK TIME [BLOCK-TIME]: ata0 to ata3, "
            "at most 1s a command and 10ms for 4 KiB of it");
    refused("[host]\ndisk.delay = ata0 6ms\ndisk.delay = ata0 7ms\n", E_EXISTS,
            "config:3: disk.delay is set twice for ata0; remove one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_command_takes_its_time, set_up),
        cmocka_unit_test_setup(none_by_default, set_up),
        cmocka_unit_test_setup(each_block_costs, set_up),
        cmocka_unit_test_setup(a_batch_is_one_command, set_up),
        cmocka_unit_test_setup(too_many, set_up),
        cmocka_unit_test_setup(changed_at_any_time, set_up),
        cmocka_unit_test_setup(below_an_elevator, set_up),
        cmocka_unit_test(as_text),
        cmocka_unit_test(in_a_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
