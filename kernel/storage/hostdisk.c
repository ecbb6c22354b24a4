/* SPDX-License-Identifier: BSD-2-Clause */
/* The ports of all disk drivers: interrupts, deadlines, and what lies above each disk. */
#include "kernel/storage/hostdisk.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/irq.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"

struct diskport {
    const struct disk_driver *driver;
    void *port;
    struct elevator elevator;
    STAILQ_HEAD(, hostdisk) disks;
    STAILQ_ENTRY(diskport) link;
};

/* The machine's; changed at start-up only. */
static STAILQ_HEAD(, diskport) ports = STAILQ_HEAD_INITIALIZER(ports);
static STAILQ_HEAD(, hostdisk) disks = STAILQ_HEAD_INITIALIZER(disks);
static unsigned n_queues; /* of an elevator: number 0 is what belongs to no VM */
static struct timer timer;

/* ---- deadlines and interrupts -------------------------------------------------------------- */

static void arm_timer(void)
{
    uint64_t next = UINT64_MAX;
    const struct diskport *p;
    const struct hostdisk *d;

    STAILQ_FOREACH(p, &ports, link)
    {
        next = MIN(next, p->driver->next_ns(p->port));
        STAILQ_FOREACH(d, &p->disks, port_link)
        {
            next = MIN(next, delay_next(&d->delay));
        }
    }
    if (next != UINT64_MAX) {
        sched_arm(&timer, next);
    } else {
        sched_disarm(&timer);
    }
}

void diskport_deadline_changed(void *ctx)
{
    (void)ctx;
    arm_timer();
}

/* What a port has to say is about the batch that it has, and that VM's cost. */
static struct account *charge_port(const struct diskport *p)
{
    return charge_vm_number(elevator_served(&p->elevator));
}

static void port_due(struct diskport *p, uint64_t now_ns)
{
    struct account *before = charge_port(p);
    struct hostdisk *d;

    p->driver->tick(p->port, now_ns);
    STAILQ_FOREACH(d, &p->disks, port_link)
    {
        delay_tick(&d->delay, now_ns);
    }
    charge(before);
}

void hostdisks_poll(uint64_t now_ns)
{
    struct diskport *p;

    STAILQ_FOREACH(p, &ports, link)
    {
        port_due(p, now_ns);
    }
    arm_timer();
}

static void due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    hostdisks_poll(now_ns);
}

static void on_irq(void *ctx)
{
    struct diskport *p = ctx;
    struct account *before = charge_port(p);

    p->driver->irq(p->port);
    charge(before);
}

/* ---- what drivers ask for ------------------------------------------------------------------ */

void *diskport_bytes_at(void *ctx, hpa_t a)
{
    (void)ctx;
    return machine_frames.window + a.a;
}

enum status diskport_add(const struct disk_driver *driver, void *port, unsigned line,
                         struct diskport **out)
{
    struct diskport *p = boot_alloc(sizeof(*p), 64);
    struct elevator_vm *queues = boot_alloc(n_queues * sizeof(*queues), 64);

    p->driver = driver;
    p->port = port;
    STAILQ_INIT(&p->disks);
    elevator_init(&p->elevator, clock_now_ns, queues, n_queues);
    enum status s = irq_register_line(line, on_irq, p);
    if (s != OK) {
        return s;
    }
    STAILQ_INSERT_TAIL(&ports, p, link);
    *out = p;
    return OK;
}

void disk_add(struct diskport *p, struct blk_dev *dev, const char *model)
{
    static const struct delay_host delay_host = {
        .now_ns = clock_now_ns,
        .deadline_changed = diskport_deadline_changed,
    };
    struct hostdisk *d = boot_alloc(sizeof(*d), 64);

    d->model = model;
    delay_dev_init(&d->delay, &delay_host, dev);
    elevator_dev_init(&d->top, &p->elevator, &d->delay.dev);
    STAILQ_INSERT_TAIL(&p->disks, d, port_link);
    STAILQ_INSERT_TAIL(&disks, d, link);
}

/* ---- what disks.c asks for ----------------------------------------------------------------- */

void hostdisks_find(const struct disk_driver *const *drivers, unsigned n, unsigned n_vms)
{
    uint32_t id = 0;

    n_queues = n_vms + 1;
    timer_init(&timer, due, NULL);
    for (unsigned i = 0; i < n; i++) {
        drivers[i]->find(drivers[i], id);
        id += drivers[i]->n_ids;
    }
}

struct hostdisk *hostdisks_next(const struct hostdisk *d)
{
    return d ? STAILQ_NEXT(d, link) : STAILQ_FIRST(&disks);
}

void hostdisks_count(struct disks_counts *all)
{
    const struct diskport *p;

    STAILQ_FOREACH(p, &ports, link)
    {
        p->driver->count(p->port, all);
    }
}

/* ---- disk.delay ---------------------------------------------------------------------------- */

enum status hostdisk_set_delay(const struct config_delay *delay)
{
    for (struct hostdisk *d = NULL; (d = hostdisks_next(d)) != NULL;) {
        if (strcmp(d->top.dev.name, delay->disk) == 0) {
            d->delay.times = (struct delay_times){delay->command_ns, delay->block_ns};
            return OK;
        }
    }
    return E_NOTFOUND;
}

bool hostdisk_delay(unsigned i, struct config_delay *out, uint64_t *held)
{
    const struct hostdisk *d = hostdisks_next(NULL);

    for (; d && i > 0; i--) {
        d = hostdisks_next(d);
    }
    if (!d) {
        return false;
    }
    *out = (struct config_delay){.command_ns = d->delay.times.command_ns,
                                 .block_ns = d->delay.times.block_ns};
    format(out->disk, sizeof(out->disk), "%s", d->top.dev.name);
    *held = d->delay.n_deferred;
    return true;
}

void hostdisks_slow(const struct config *config)
{
    for (unsigned i = 0; i < config->host.n_delays; i++) {
        const struct config_delay *d = &config->host.delays[i];
        char text[CONFIG_VALUE];
        config_print_delay(d, text, sizeof(text));
        if (hostdisk_set_delay(d) == OK) {
            log_warn("disk.delay: %s", text);
        } else {
            log_error("disk.delay = %s: there is no such disk", text);
        }
    }
}
