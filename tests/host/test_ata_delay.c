/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks that are slow on purpose: when a command ends, what comes together meanwhile, what errors,
 * time-outs and flushes become; delays as text. */
#include "base/bits.h"
#include "kernel/config/config.h"
#include "support_ata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STORED 4096u
#define MS UINT64_C(1000000)
#define CLIENTS 16u

static struct ata_fake fake;
static struct ata_channel ch;
static unsigned changes;

static uint64_t fake_now(void)
{
    return fake.now_ns;
}

static void *fake_bytes(void *ctx, hpa_t a)
{
    (void)ctx;
    return ata_fake_mem(&fake, a, 512);
}

static void changed(void *ctx)
{
    (void)ctx;
    changes++;
}

static const struct ata_host host = {
    .now_ns = fake_now, .bytes_at = fake_bytes, .deadline_changed = changed};

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
    c->done_ns = fake.now_ns;
}

static int set_up(void **state)
{
    (void)state;
    ata_fake_init(&fake);
    for (unsigned i = 0; i < 2; i++) {
        fake.drive[i] = (struct ata_fake_drive){.present = true,
                                                .lba48 = true,
                                                .trim = true,
                                                .sectors = STORED,
                                                .stored = STORED,
                                                .data = calloc(STORED, 512)};
    }
    struct ata_dma_mem mem = {fake.low, HPA(ATA_FAKE_LOW), ATA_DMA_BYTES};
    assert_int_equal(
        ata_channel_init(&ch, &host, &mem, ATA_FAKE_CMD, ATA_FAKE_CTL, ATA_FAKE_BM, 14), OK);
    assert_int_equal(ata_probe(&ch, 0, 0), 2);
    memset(clients, 0, sizeof(clients));
    changes = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ata_fake_free(&fake);
    return 0;
}

static void *memory_of(unsigned i)
{
    return ata_fake_mem(&fake, HPA(ATA_FAKE_LOW + 0x40000 + i * UINT64_C(0x10000)), 0x10000);
}

static struct client *go(unsigned i, unsigned disk, enum blk_op op, uint64_t sector,
                         uint32_t sectors)
{
    struct client *c = &clients[i];
    bool data = op == BLK_READ || op == BLK_WRITE;

    c->done = 0;
    c->seg = (struct blk_seg){HPA(ATA_FAKE_LOW + 0x40000 + i * UINT64_C(0x10000)), sectors * 512};
    c->req = (struct blk_req){.op = op,
                              .sector = sector,
                              .sectors = sectors,
                              .segs = &c->seg,
                              .n_segs = data ? 1 : 0,
                              .done = client_done,
                              .ctx = c};
    blk_submit(&ch.disks[disk].dev, &c->req);
    return c;
}

/* The drive ends its command, after so much time, and says so. */
static void drive_ends(uint64_t after_ns)
{
    fake.now_ns += after_ns;
    assert_true(ata_fake_complete(&fake));
    assert_true(ata_irq(&ch));
}

/* Goes on to the channel's deadline, which is in so much time. */
static void deadline_in(uint64_t ns)
{
    assert_int_equal(ch.deadline_ns, fake.now_ns + ns);
    fake.now_ns += ns - 1;
    ata_tick(&ch, fake.now_ns);
    fake.now_ns++;
    ata_tick(&ch, fake.now_ns);
}

static void a_command_takes_its_time(void **state)
{
    (void)state;
    ch.disks[0].delay.command_ns = 6 * MS;
    memset(memory_of(0), 0x5a, 4096);
    struct client *c = go(0, 0, BLK_WRITE, 8, 8);
    drive_ends(MS);
    assert_int_equal(fake.drive[0].data[8 * 512], 0x5a); /* the drive itself does not wait */
    assert_int_equal(c->done, 0);
    assert_int_equal(ch.n_written_sectors, 0);
    unsigned before = changes;
    assert_false(ata_irq(&ch)); /* nothing new */
    deadline_in(5 * MS);
    assert_int_equal(c->done, 1);
    assert_int_equal(c->status, OK);
    assert_int_equal(ch.disks[0].n_held, 1);
    assert_int_equal(ch.state, ATA_IDLE);
    assert_true(ch.deadline_ns == UINT64_MAX && before == changes);

    /* A drive that is slower than that is kept waiting by nothing. */
    c = go(0, 0, BLK_READ, 8, 8);
    drive_ends(6 * MS);
    assert_int_equal(c->done, 1);
    assert_int_equal(ch.disks[0].n_held, 1);

    /* Nor is the other drive of the channel. */
    c = go(0, 1, BLK_READ, 8, 8);
    drive_ends(1);
    assert_int_equal(c->done, 1);
    assert_int_equal(ch.disks[1].n_held, 0);
}

static void one_after_the_other(void **state)
{
    uint64_t start;

    (void)state;
    ch.disks[0].delay.command_ns = 6 * MS;
    start = fake.now_ns;
    for (unsigned i = 0; i < 3; i++) {
        go(i, 0, BLK_READ, 1000 * i, 8);
    }
    go(3, 1, BLK_READ, 0, 8); /* the other drive has the same cable */
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(ch.n_commands, i + 1);
        drive_ends(i == 3 ? 100 : MS);
        if (i < 3) {
            assert_int_equal(clients[i].done, 0);
            assert_int_equal(ch.n_commands, i + 1);
            deadline_in(5 * MS);
        }
        assert_int_equal(clients[i].done, 1);
        assert_int_equal(clients[i].done_ns, start + (i == 3 ? 18 * MS + 100 : (i + 1) * 6 * MS));
    }
}

static void each_block_costs(void **state)
{
    (void)state;
    ch.disks[0].delay = (struct ata_delay){6 * MS, MS};
    go(0, 0, BLK_READ, 0, 24);
    drive_ends(0);
    deadline_in(9 * MS);
    go(0, 0, BLK_READ, 0, 1);
    drive_ends(0);
    deadline_in(7 * MS);
    go(0, 0, BLK_DISCARD, 0, 4096);
    drive_ends(0);
    deadline_in(6 * MS);
    assert_int_equal(clients[0].done, 1);
    ch.disks[0].delay = (struct ata_delay){0, MS};
    go(0, 0, BLK_FLUSH, 0, 0);
    drive_ends(0);
    assert_int_equal(clients[0].done, 1);
}

static void those_that_wait_come_together(void **state)
{
    (void)state;
    ch.disks[0].delay.command_ns = 6 * MS;
    go(0, 0, BLK_READ, 0, 8);
    drive_ends(0);
    for (unsigned i = 1; i < 9; i++) {
        go(i, 0, BLK_READ, 800 + 8 * i, 8); /* while the first is kept back */
    }
    assert_int_equal(ch.n_commands, 1);
    deadline_in(6 * MS);
    drive_ends(0);
    deadline_in(6 * MS);
    assert_int_equal(ch.n_commands, 2);
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(clients[i].done, 1);
    }
    assert_int_equal(ch.n_merged, 7);
}

static void a_flush_comes_after_the_write(void **state)
{
    (void)state;
    ch.disks[0].delay.command_ns = 6 * MS;
    struct client *write = go(0, 0, BLK_WRITE, 0, 8), *flush = go(1, 0, BLK_FLUSH, 0, 0);
    drive_ends(0);
    assert_int_equal(fake.n_flushes, 0);
    deadline_in(6 * MS);
    assert_int_equal(write->done, 1);
    drive_ends(0);
    assert_int_equal(fake.n_flushes, 1);
    assert_int_equal(flush->done, 0);
    deadline_in(6 * MS);
    assert_int_equal(flush->done, 1);
}

/* An error is one only when its time has come; then it is tried again as ever. */
static void errors(void **state)
{
    (void)state;
    ch.disks[0].delay.command_ns = 6 * MS;
    fake.fail = 1;
    struct client *c = go(0, 0, BLK_READ, 0, 8);
    drive_ends(MS);
    assert_int_equal(ch.n_errors, 0);
    deadline_in(5 * MS);
    assert_int_equal(ch.n_errors, 1);
    assert_int_equal(ch.n_resets, 1);
    while (ch.state != ATA_RUNNING) {
        fake.now_ns = ch.deadline_ns;
        ata_tick(&ch, fake.now_ns);
    }
    drive_ends(0);
    assert_int_equal(c->done, 0);
    deadline_in(6 * MS);
    assert_int_equal(c->done, 1);
    assert_int_equal(c->status, OK);
}

/* The drive's time-out is its own; an end whose interrupt was lost is found then, and is late. */
static void time_outs(void **state)
{
    (void)state;
    ch.disks[0].delay.command_ns = 6 * MS;
    fake.hang = 1;
    struct client *c = go(0, 0, BLK_READ, 0, 8);
    assert_false(ata_fake_complete(&fake));
    deadline_in(ATA_TIMEOUT_NS);
    assert_int_equal(ch.n_timeouts, 1);
    while (ch.state != ATA_RUNNING) {
        fake.now_ns = ch.deadline_ns;
        ata_tick(&ch, fake.now_ns);
    }
    fake.lose_irq = 1;
    (void)ata_fake_complete(&fake);
    deadline_in(ATA_TIMEOUT_NS);
    assert_int_equal(c->done, 1);
    assert_int_equal(c->status, OK);
    assert_int_equal(ch.n_timeouts, 1);
}

static void changed_at_any_time(void **state)
{
    (void)state;
    ch.disks[0].delay.command_ns = 6 * MS;
    go(0, 0, BLK_READ, 0, 8);
    go(1, 0, BLK_READ, 80, 8);
    drive_ends(0);
    ch.disks[0].delay.command_ns = 0;
    deadline_in(6 * MS); /* that one had begun */
    drive_ends(0);
    assert_int_equal(clients[1].done, 1);
    assert_int_equal(ch.disks[0].n_held, 1);
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
        cmocka_unit_test_setup_teardown(a_command_takes_its_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_after_the_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_block_costs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_that_wait_come_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flush_comes_after_the_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(time_outs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(changed_at_any_time, set_up, tear_down),
        cmocka_unit_test(as_text),
        cmocka_unit_test(in_a_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
