/* SPDX-License-Identifier: BSD-2-Clause */
/* Disk drivers in a list: what is put over the disks of any of them, and when a driver is called.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86_64/irq.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"
#include "fake_log.h"
#include "fake_machine.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/charge.h"
#include "kernel/storage/hostdisk.h"

#define VMS 2u
#define BAD_LINE 99u

/* A device with one port: it keeps what it is given until its interrupt, or its time-out. */
struct device {
    unsigned line, n_disks;
    struct blk_dev disks[2];
    struct blk_req *given[8];
    unsigned n_given, ticks, irqs;
    uint64_t due_ns;
    struct account *charged; /* at its last interrupt */
};

static struct device one = {.line = 3, .n_disks = 2}, two = {.line = 5, .n_disks = 1},
                     broken = {.line = BAD_LINE, .n_disks = 1};
static struct account vm_accounts[VMS];

static struct {
    unsigned line;
    void (*fn)(void *ctx);
    void *ctx;
} handlers[4];
static unsigned n_handlers;

/* ---- what hostdisk.c finds around it ------------------------------------------------------- */

enum status irq_register_line(unsigned line, void (*fn)(void *ctx), void *ctx)
{
    if (line == BAD_LINE) {
        return E_RANGE;
    }
    handlers[n_handlers].line = line;
    handlers[n_handlers].fn = fn;
    handlers[n_handlers++].ctx = ctx;
    return OK;
}

void *boot_alloc(size_t bytes, size_t align)
{
    static _Alignas(64) uint8_t room[256 * 1024];
    static size_t used;

    used = (used + align - 1) & ~(align - 1);
    assert_true(used + bytes <= sizeof(room));
    used += bytes;
    return room + used - bytes;
}

static void interrupt(unsigned line)
{
    for (unsigned i = 0; i < n_handlers; i++) {
        if (handlers[i].line == line) {
            handlers[i].fn(handlers[i].ctx);
            return;
        }
    }
    fail_msg("line %u has no handler", line);
}

/* ---- two drivers --------------------------------------------------------------------------- */

static struct device *device_of(const struct blk_dev *d)
{
    return d == &one.disks[0] || d == &one.disks[1] ? &one : &two;
}

static void submit(struct blk_dev *d, struct blk_req *r)
{
    struct device *dev = device_of(d);

    assert_true(dev->n_given < ARRAY_LEN(dev->given));
    dev->given[dev->n_given++] = r;
    if (dev->due_ns == UINT64_MAX) {
        dev->due_ns = machine.now_ns + 50 * MS;
        diskport_deadline_changed(NULL);
    }
}

static void answer(struct device *dev)
{
    dev->due_ns = UINT64_MAX;
    for (unsigned n = dev->n_given; n > 0; n--) {
        struct blk_req *r = dev->given[0];
        memmove(dev->given, dev->given + 1, --dev->n_given * sizeof(dev->given[0]));
        r->done(r, OK);
    }
}

static void add_device(const struct disk_driver *self, struct device *dev, uint32_t id)
{
    static const struct blk_ops ops = {.submit = submit};
    struct diskport *p;

    dev->due_ns = UINT64_MAX;
    if (diskport_add(self, dev, dev->line, &p) != OK) {
        return;
    }
    for (unsigned i = 0; i < dev->n_disks; i++) {
        dev->disks[i] = (struct blk_dev){.ops = &ops, .sectors = 1000, .id = id + i};
        format(dev->disks[i].name, sizeof(dev->disks[i].name), "%s%u", self->name, i);
        disk_add(p, &dev->disks[i], self->name);
    }
}

static void find_first(const struct disk_driver *self, uint32_t first_id)
{
    add_device(self, &broken, first_id);
    add_device(self, &one, first_id);
}

static void find_second(const struct disk_driver *self, uint32_t first_id)
{
    add_device(self, &two, first_id);
}

static void irq(void *port)
{
    struct device *dev = port;

    dev->irqs++;
    dev->charged = charge(&charge_hypervisor);
    (void)charge(dev->charged);
    answer(dev);
}

static void tick(void *port, uint64_t now_ns)
{
    struct device *dev = port;

    dev->ticks++;
    if (now_ns >= dev->due_ns) {
        answer(dev);
    }
}

static uint64_t next_ns(const void *port)
{
    return ((const struct device *)port)->due_ns;
}

static void count(const void *port, struct disks_counts *all)
{
    const struct device *dev = port;

    all->commands += dev->irqs;
}

#define DRIVER(NAME, IDS, FIND)                                                                    \
    {                                                                                              \
        .name = NAME, .n_ids = (IDS), .find = (FIND), .irq = irq, .tick = tick,                    \
        .next_ns = next_ns, .count = count                                                         \
    }
static const struct disk_driver first = DRIVER("first", 4, find_first);
static const struct disk_driver second = DRIVER("second", 16, find_second);

/* ---- requests ------------------------------------------------------------------------------ */

static struct client {
    struct blk_req req;
    struct blk_seg seg;
    struct blk_account account;
    unsigned done;
    uint64_t done_ns;
} clients[4];

static void client_done(struct blk_req *r, enum status s)
{
    struct client *c = r->ctx;

    assert_int_equal(s, OK);
    c->done++;
    c->done_ns = machine.now_ns;
}

static struct hostdisk *disk(const char *name)
{
    for (struct hostdisk *d = NULL; (d = hostdisks_next(d)) != NULL;) {
        if (strcmp(d->top.dev.name, name) == 0) {
            return d;
        }
    }
    fail_msg("no disk %s", name);
    return NULL;
}

static struct client *ask(unsigned i, const char *name, uint64_t sector, uint16_t vm)
{
    struct client *c = &clients[i];

    *c = (struct client){.account = {.vm = vm}};
    c->seg = (struct blk_seg){.addr = HPA(PAGE_SIZE), .bytes = PAGE_SIZE};
    c->req = (struct blk_req){.op = BLK_READ,
                              .sector = sector,
                              .sectors = PAGE_SIZE / BLK_SECTOR,
                              .segs = &c->seg,
                              .n_segs = 1,
                              .done = client_done,
                              .ctx = c,
                              .account = &c->account};
    blk_submit(&disk(name)->top.dev, &c->req);
    return c;
}

/* ---- tests --------------------------------------------------------------------------------- */

/* The state is the machine's and is found once. */
static void test_found_in_order(void **state)
{
    static const struct disk_driver *const drivers[] = {&first, &second};
    static struct account *const by_number[VMS] = {&vm_accounts[0], &vm_accounts[1]};
    static const char *const names[] = {"first0", "first1", "second0"};
    static const uint32_t ids[] = {0, 1, 4};
    unsigned n = 0;

    (void)state;
    machine_init();
    charge_set_vms(by_number, VMS);
    assert_null(hostdisks_next(NULL));
    hostdisks_find(drivers, 2, VMS);
    for (struct hostdisk *d = NULL; (d = hostdisks_next(d)) != NULL; n++) {
        assert_true(n < 3);
        assert_string_equal(d->top.dev.name, names[n]);
        assert_string_equal(d->model, n < 2 ? "first" : "second");
        assert_int_equal(d->top.dev.id, ids[n]); /* none is another driver's */
        assert_int_equal(d->top.dev.sectors, 1000);
    }
    assert_int_equal(n, 3); /* the port without an interrupt is left out */
    assert_int_equal(n_handlers, 2);
}

static void test_a_port_does_one_batch(void **state)
{
    (void)state;
    struct client *a = ask(0, "first0", 0, 1), *b = ask(1, "first1", 0, 2);
    struct client *c = ask(2, "second0", 0, 2);

    assert_int_equal(one.n_given, 1); /* the other disk shares its time */
    assert_int_equal(two.n_given, 1); /* the other port does not */
    interrupt(3);
    assert_int_equal(a->done, 1);
    assert_int_equal(b->done, 0);
    assert_int_equal(one.n_given, 1);
    assert_ptr_equal(one.charged, &vm_accounts[0]); /* whose batch it was */
    interrupt(5);
    assert_int_equal(c->done, 1);
    assert_ptr_equal(two.charged, &vm_accounts[1]);
    interrupt(3);
    assert_int_equal(b->done, 1);
    assert_ptr_equal(one.charged, &vm_accounts[1]);
}

static void test_deadlines_of_all_ports(void **state)
{
    uint64_t begin = machine.now_ns;

    (void)state;
    struct client *a = ask(0, "second0", 8, 0);
    machine_run(begin + 40 * MS);
    assert_int_equal(a->done, 0);
    struct client *b = ask(1, "first0", 8, 0);
    machine_run(begin + 60 * MS);
    assert_int_equal(a->done, 1); /* its interrupt was lost */
    assert_int_equal(b->done, 0);
    machine_run(begin + 110 * MS);
    assert_int_equal(b->done, 1);
    assert_true(b->done_ns >= begin + 90 * MS);
}

static void test_delay_over_any_driver(void **state)
{
    struct config_delay delay = {.disk = "none", .command_ns = 7 * MS};
    uint64_t held, begin = machine.now_ns;

    (void)state;
    assert_int_equal(hostdisk_set_delay(&delay), E_NOTFOUND);
    disk("second0")->delay.times.command_ns = 7 * MS; /* a name of more than disk.delay takes */
    assert_true(hostdisk_delay(2, &delay, &held));
    assert_int_equal(delay.command_ns, 7 * MS);
    assert_int_equal(held, 0);
    assert_false(hostdisk_delay(3, &delay, &held));
    struct client *a = ask(0, "second0", 16, 1);
    interrupt(5);
    assert_int_equal(a->done, 0);
    machine_run(begin + 8 * MS);
    assert_int_equal(a->done, 1);
    assert_true(a->done_ns >= begin + 7 * MS);
    assert_true(hostdisk_delay(2, &delay, &held));
    assert_int_equal(held, 1);
}

static void test_counts_of_all_ports(void **state)
{
    struct disks_counts all = {.errors = 5};

    (void)state;
    hostdisks_count(&all);
    assert_int_equal(all.commands, one.irqs + two.irqs);
    assert_true(one.irqs > 0 && two.irqs > 0);
    assert_int_equal(all.errors, 5);
}

static void test_poll_looks_at_all(void **state)
{
    unsigned before[2] = {one.ticks, two.ticks};

    (void)state;
    struct client *a = ask(0, "first0", 24, 1), *b = ask(1, "second0", 24, 1);
    hostdisks_poll(machine.now_ns + 60 * MS);
    assert_int_equal(one.ticks, before[0] + 1);
    assert_int_equal(two.ticks, before[1] + 1);
    assert_int_equal(a->done, 1);
    assert_int_equal(b->done, 1); /* its delay is over by then, too */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_in_order),         cmocka_unit_test(test_a_port_does_one_batch),
        cmocka_unit_test(test_deadlines_of_all_ports), cmocka_unit_test(test_delay_over_any_driver),
        cmocka_unit_test(test_counts_of_all_ports),    cmocka_unit_test(test_poll_looks_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
