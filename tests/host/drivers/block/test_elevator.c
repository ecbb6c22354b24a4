/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The elevator over a fake disk whose commands take time: how that is shared between VMs, how long
 * a lone request waits, and that requests keep their order where they must.
 */
#include "base/bits.h"
#include "drivers/block/elevator.h"
#include "rnd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DISKS 2u
#define SECTORS (UINT64_C(1) << 24)
#define VMS 6u
#define CLIENTS 64u

#define MS UINT64_C(1000000)
/* A command, and each 4 KiB of it. */
#define COMMAND_NS (8 * MS)
#define BLOCK_NS (MS / 10)

struct client {
    struct blk_req req;
    struct blk_seg seg;
    struct blk_account account;
    uint64_t submitted_ns, done_ns;
    uint32_t arrival, begun; /* the how manieth to arrive; the command that did it */
    enum status status;
    bool busy;
};

/* The disk: what it has got, and since when it does that. Requests that came with `more` are one
 * command with those behind them. */
struct rig {
    struct elevator e;
    struct elevator_vm vms[VMS];
    struct elevator_dev devs[DISKS];
    struct blk_dev leaves[DISKS];
    struct blk_req *got[ELEVATOR_BATCH];
    unsigned n_got;
    bool begun, sync;
    uint64_t end_ns;
    uint64_t busy_ns[VMS]; /* of the disk's time, by VM */
    unsigned commands, requests;
    uint32_t arrivals;
    struct client clients[CLIENTS];
};

static struct rig rig;
static uint64_t clock_ns;

static uint64_t now_ns(void)
{
    return clock_ns;
}

static void begin(void)
{
    uint64_t sectors = 0;

    for (unsigned i = 0; i < rig.n_got; i++) {
        const struct blk_req *r = rig.got[i];
        assert_ptr_equal(r->dev_priv, rig.got[0]->dev_priv);
        assert_int_equal(r->op, rig.got[0]->op);
        assert_true(i == 0 || r->op == BLK_FLUSH ||
                    r->sector == rig.got[i - 1]->sector + rig.got[i - 1]->sectors);
        sectors += r->sectors;
    }
    assert_true(rig.n_got == 1 || sectors <= ELEVATOR_SECTORS);
    rig.begun = true;
    rig.commands++;
    rig.requests += rig.n_got;
    rig.end_ns = clock_ns + COMMAND_NS + (sectors + 7) / 8 * BLOCK_NS;
}

static void leaf_submit(struct blk_dev *d, struct blk_req *r)
{
    (void)d;
    if (rig.sync) {
        r->done(r, OK);
        return;
    }
    assert_false(rig.begun); /* one batch at a time */
    assert_true(rig.n_got < ELEVATOR_BATCH);
    rig.got[rig.n_got++] = r;
    if (!r->more) {
        begin();
    }
}

static const struct blk_ops leaf_ops = {.submit = leaf_submit};

/* The command ends. */
static void complete(enum status s)
{
    struct blk_req *got[ELEVATOR_BATCH];
    unsigned n = rig.n_got;

    assert_true(rig.begun);
    clock_ns = MAX(clock_ns, rig.end_ns);
    memcpy(got, rig.got, sizeof(got));
    rig.n_got = 0;
    rig.begun = false;
    for (unsigned i = 0; i < n; i++) {
        got[i]->done(got[i], s);
    }
}

static void done(struct blk_req *r, enum status s)
{
    struct client *c = r->ctx;

    assert_true(c->busy);
    c->busy = false;
    c->status = s;
    c->done_ns = clock_ns;
    c->begun = rig.commands;
}

static void set_up(void)
{
    memset(&rig, 0, sizeof(rig));
    clock_ns = 0;
    elevator_init(&rig.e, now_ns, rig.vms, VMS);
    for (unsigned i = 0; i < DISKS; i++) {
        rig.leaves[i] =
            (struct blk_dev){.ops = &leaf_ops, .sectors = SECTORS, .can_discard = true, .id = i};
        elevator_dev_init(&rig.devs[i], &rig.e, &rig.leaves[i]);
    }
}

static void submit(unsigned i, unsigned vm, unsigned disk, enum blk_op op, uint64_t sector,
                   uint64_t sectors)
{
    struct client *c = &rig.clients[i];
    bool ahead = c->req.ahead;

    assert_false(c->busy);
    c->account.vm = (uint16_t)vm;
    c->busy = true;
    c->submitted_ns = clock_ns;
    c->arrival = ++rig.arrivals;
    c->seg = (struct blk_seg){HPA(0), (uint32_t)(sectors * BLK_SECTOR)}; /* nobody looks there */
    bool moves = op == BLK_READ || op == BLK_WRITE;
    c->req = (struct blk_req){.op = op,
                              .sector = sector,
                              .sectors = sectors,
                              .segs = moves ? &c->seg : NULL,
                              .n_segs = moves,
                              .done = done,
                              .ctx = c,
                              .account = vm != 0 ? &c->account : NULL,
                              .ahead = ahead};
    blk_submit(&rig.devs[disk].dev, &c->req);
}

static void drain(void)
{
    while (rig.begun) {
        complete(OK);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_false(rig.clients[i].busy);
    }
    assert_int_equal(rig.e.n_changes, 0);
}

/* ---- shares -------------------------------------------------------------------------------------
 */

/* A load: `depth` requests of a VM in flight, of so many sectors each, in a row or anywhere. */
struct load {
    unsigned vm, first, depth;
    uint64_t sectors, at;
    bool row;
    uint64_t used_ns, requests;
};

static struct rnd random_places = {88172645463325252u};

static void feed(struct load *l)
{
    for (unsigned i = l->first; i < l->first + l->depth; i++) {
        if (rig.clients[i].busy) {
            continue;
        }
        uint64_t sector = l->at;
        if (l->row) {
            l->at = (l->at + l->sectors) % (SECTORS / 2);
        } else {
            sector = rnd_next(&random_places) % (SECTORS / 8) * 8;
        }
        submit(i, l->vm, 0, BLK_READ, sector, l->sectors);
        l->requests++;
    }
}

/* Runs them side by side for some time; the disk's time goes to the VM of the command. */
static void play(struct load *loads, unsigned n, uint64_t until_ns)
{
    for (unsigned i = 0; i < n; i++) {
        loads[i].used_ns = loads[i].requests = 0;
        feed(&loads[i]);
    }
    while (clock_ns < until_ns) {
        uint64_t began = clock_ns;
        unsigned vm = rig.got[0]->account->vm;
        complete(OK);
        for (unsigned i = 0; i < n; i++) {
            loads[i].used_ns += loads[i].vm == vm ? clock_ns - began : 0;
            feed(&loads[i]);
        }
    }
}

/* VMs get the same time, whatever the size, the number and the order of their requests. */
static void time_is_shared_evenly(void **state)
{
    (void)state;
    struct load loads[] = {{.vm = 1, .first = 0, .depth = 32, .sectors = 128, .row = true},
                           {.vm = 2, .first = 32, .depth = 16, .sectors = 2048},
                           {.vm = 3, .first = 48, .depth = 2, .sectors = 8},
                           {.vm = 4, .first = 50, .depth = 8, .sectors = 8, .row = true}};

    set_up();
    play(loads, ARRAY_LEN(loads), 20000 * MS);
    for (unsigned i = 0; i < ARRAY_LEN(loads); i++) {
        assert_in_range(loads[i].used_ns, 20000 * MS * 24 / 100, 20000 * MS * 26 / 100);
    }
    drain();
}

/* One request at a time beside three VMs that keep the disk full: mostly it waits for the batch
 * that is under way, and at most for one of each. */
static void a_lone_reader_is_next(void **state)
{
    (void)state;
    struct load loads[] = {{.vm = 1, .first = 0, .depth = 16, .sectors = 512, .row = true},
                           {.vm = 2, .first = 16, .depth = 16, .sectors = 512},
                           {.vm = 3, .first = 32, .depth = 16, .sectors = 8}};
    uint64_t alone = COMMAND_NS + BLOCK_NS, longest = 0, sum = 0;

    set_up();
    play(loads, 3, 1000 * MS);
    for (unsigned i = 0; i < 50; i++) {
        /* It thinks between two requests, so that it saves up if that is possible. */
        play(loads, 3, clock_ns + rnd_next(&random_places) % 100 * MS);
        submit(60, 4, 0, BLK_READ, rnd_next(&random_places) % (SECTORS / 8) * 8, 8);
        while (rig.clients[60].busy) {
            complete(OK);
            for (unsigned k = 0; k < 3; k++) {
                feed(&loads[k]);
            }
        }
        uint64_t took = rig.clients[60].done_ns - rig.clients[60].submitted_ns;
        longest = MAX(longest, took);
        sum += took;
    }
    uint64_t batch = COMMAND_NS + ELEVATOR_SHARED_SECTORS / 8 * BLOCK_NS;
    assert_true(longest <= 4 * batch + alone);
    assert_true(sum / 50 <= 4 * alone);
    drain();
}

/* Who comes back after a while has no more than who was there, and no less. */
static void idle_time_is_not_saved_up(void **state)
{
    (void)state;
    struct load loads[] = {{.vm = 1, .first = 0, .depth = 8, .sectors = 8},
                           {.vm = 2, .first = 8, .depth = 8, .sectors = 8}};

    set_up();
    play(loads, 1, 10000 * MS); /* VM 1 alone */
    play(loads, 2, 12000 * MS);
    assert_in_range(loads[0].used_ns, 950 * MS, 1050 * MS);
    assert_in_range(loads[1].used_ns, 950 * MS, 1050 * MS);
    drain();
}

/* One VM alone reads in a row: its requests become long commands, and the disk stands still for
 * none of them. */
static void a_row_becomes_long_commands(void **state)
{
    (void)state;
    struct load load = {.vm = 1, .first = 0, .depth = 32, .sectors = 128, .row = true};

    set_up();
    play(&load, 1, 5000 * MS);
    assert_true(rig.requests >= 7 * rig.commands); /* 8 fit */
    assert_int_equal(load.used_ns, clock_ns);
    drain();
}

static void reading_ahead_comes_last(void **state)
{
    (void)state;
    struct load load = {.vm = 1, .first = 0, .depth = 4, .sectors = 8};

    set_up();
    feed(&load);
    for (unsigned i = 0; i < 2; i++) {
        rig.clients[60 + i].req.ahead = true;
        submit(60 + i, 2, 0, BLK_READ, 1000 + 8 * i, 8);
    }
    for (unsigned i = 0; i < 50; i++) {
        complete(OK);
        feed(&load);
    }
    assert_true(rig.clients[60].busy && rig.clients[61].busy);
    rig.clients[60].req.ahead = false; /* somebody waits for it now */
    complete(OK);
    feed(&load);
    complete(OK);
    assert_true(!rig.clients[60].busy && rig.clients[61].busy);
    for (unsigned i = 0; rig.clients[61].busy; i++) {
        assert_true(i < ELEVATOR_AHEAD_PATIENCE);
        feed(&load);
        complete(OK);
    }
    drain();
}

/* ---- order --------------------------------------------------------------------------------------
 */

static bool must_keep_order(const struct blk_req *a, const struct blk_req *b)
{
    bool reads = a->op == BLK_READ && b->op == BLK_READ;

    if (reads) {
        return false;
    }
    if (a->op == BLK_FLUSH || b->op == BLK_FLUSH) {
        return a->op != BLK_READ && b->op != BLK_READ && a->op != b->op;
    }
    return a->sector < b->sector + b->sectors && b->sector < a->sector + a->sectors;
}

/* Requests of any kind by all VMs in a small place: none that is begun has an earlier one waiting
 * that it must not pass. */
static void order_is_kept(void **state)
{
    static const enum blk_op ops[] = {BLK_READ,  BLK_READ,    BLK_WRITE,
                                      BLK_WRITE, BLK_DISCARD, BLK_FLUSH};
    static unsigned disk_of[CLIENTS];
    uint64_t merged = 0;

    (void)state;
    set_up();
    for (unsigned step = 0; step < 40000; step++) {
        unsigned i = (unsigned)(rnd_next(&random_places) % CLIENTS);
        struct client *c = &rig.clients[i];
        if (!c->busy && rnd_next(&random_places) % 4 != 0) {
            enum blk_op op = ops[rnd_next(&random_places) % ARRAY_LEN(ops)];
            c->req.ahead = op == BLK_READ && rnd_next(&random_places) % 8 == 0;
            disk_of[i] = (unsigned)(rnd_next(&random_places) % DISKS);
            submit(i, (unsigned)(rnd_next(&random_places) % (VMS + 1)), disk_of[i], op,
                   op == BLK_FLUSH ? 0 : rnd_next(&random_places) % 64,
                   op == BLK_FLUSH ? 0 : 1 + rnd_next(&random_places) % 16);
        } else if (rig.begun) {
            for (unsigned k = 0; k < rig.n_got; k++) {
                const struct elevator_slot *s = rig.got[k]->ctx;
                const struct client *mine = s->orig->ctx;
                for (unsigned o = 0; o < CLIENTS; o++) {
                    const struct client *other = &rig.clients[o];
                    bool at_disk = false;
                    for (unsigned g = 0; g < rig.n_got; g++) {
                        const struct elevator_slot *gs = rig.got[g]->ctx;
                        at_disk |= gs->orig == &other->req;
                    }
                    if (other->busy && !at_disk && other->arrival < mine->arrival &&
                        disk_of[o] == disk_of[mine - rig.clients]) {
                        assert_false(must_keep_order(&other->req, &mine->req));
                    }
                    assert_false(at_disk && other != mine &&
                                 disk_of[o] == disk_of[mine - rig.clients] &&
                                 must_keep_order(&other->req, &mine->req));
                }
            }
            merged += rig.n_got > 1;
            complete(rnd_next(&random_places) % 16 == 0 ? E_IO : OK);
        }
    }
    assert_true(merged > 100);
    drain();
}

/* Flushes of all VMs are one; none is done before the writes that came before it. */
static void one_flush_serves_all(void **state)
{
    (void)state;
    set_up();
    submit(0, 1, 0, BLK_READ, 0, 8);
    for (unsigned vm = 1; vm < 5; vm++) {
        submit(vm, vm, 0, BLK_FLUSH, 0, 0);
    }
    submit(5, 1, 0, BLK_WRITE, 100, 8);
    submit(6, 5, 0, BLK_FLUSH, 0, 0); /* behind the write */
    complete(OK);
    complete(OK);
    for (unsigned vm = 1; vm < 5; vm++) {
        assert_false(rig.clients[vm].busy);
    }
    assert_true(rig.clients[5].busy && rig.clients[6].busy);
    complete(OK);
    assert_true(!rig.clients[5].busy && rig.clients[6].busy);
    drain();
    assert_int_equal(rig.commands, 4);
}

/* A disk that answers inside submit: a gone one does. */
static void answers_may_come_at_once(void **state)
{
    (void)state;
    set_up();
    submit(0, 1, 0, BLK_READ, 0, 8);
    for (unsigned i = 1; i < CLIENTS; i++) {
        submit(i, 1 + i % 4, i % 2, i % 5 == 0 ? BLK_WRITE : BLK_READ, 8 * i, 8);
    }
    rig.sync = true;
    complete(OK);
    drain();
}

/* The driver's interrupt is the cost of the VM whose batch it has. */
static void test_served(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(elevator_served(&rig.e), 0);
    submit(0, 2, 0, BLK_READ, 0, 8);
    submit(1, 1, 0, BLK_READ, 800, 8);
    assert_int_equal(elevator_served(&rig.e), 2);
    complete(OK);
    assert_int_equal(elevator_served(&rig.e), 1);
    complete(OK);
    submit(0, 0, 0, BLK_READ, 0, 8);
    assert_int_equal(elevator_served(&rig.e), 0);
    drain();
    assert_int_equal(elevator_served(&rig.e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_served),
        cmocka_unit_test(time_is_shared_evenly),
        cmocka_unit_test(a_lone_reader_is_next),
        cmocka_unit_test(idle_time_is_not_saved_up),
        cmocka_unit_test(a_row_becomes_long_commands),
        cmocka_unit_test(reading_ahead_comes_last),
        cmocka_unit_test(order_is_kept),
        cmocka_unit_test(one_flush_serves_all),
        cmocka_unit_test(answers_may_come_at_once),
    };

    return cmocka_run_group_tests_name("elevator", tests, NULL, NULL);
}
