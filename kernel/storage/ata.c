/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's ATA disks: finding them, their interrupts and deadlines, their delays and counts. */
#include "kernel/storage/ata.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/irq.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/block/delay.h"
#include "drivers/block/elevator.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"

static struct ata_channel channels[2];
/* What is above them. Disks of one channel share its time. */
static struct elevator elevators[2];
static struct delay_dev delays[4];
static struct elevator_dev tops[4];
static unsigned n_channels;
static struct timer timer;

static void *bytes_at(void *ctx, hpa_t a)
{
    (void)ctx;
    return machine_frames.window + a.a;
}

static void arm_timer(void)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < n_channels; i++) {
        next = MIN(next, channels[i].deadline_ns);
        next = MIN(next, MIN(delay_next(&delays[2 * i]), delay_next(&delays[2 * i + 1])));
    }
    if (next != UINT64_MAX) {
        sched_arm(&timer, next);
    } else {
        timerq_cancel(&sched_timers, &timer);
    }
}

static void deadline_changed(void *ctx)
{
    (void)ctx;
    arm_timer();
}

/* What a channel has to say is about the batch that it has, and that VM's cost. */
static struct account *charge_channel(const struct ata_channel *ch)
{
    return charge_vm_number(elevator_served(&elevators[ch - channels]));
}

static void ata_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    for (unsigned i = 0; i < n_channels; i++) {
        struct account *before = charge_channel(&channels[i]);
        (void)ata_tick(&channels[i], now_ns);
        delay_tick(&delays[2 * i], now_ns);
        delay_tick(&delays[2 * i + 1], now_ns);
        charge(before);
    }
    arm_timer();
}

static void on_irq(void *ctx)
{
    struct account *before = charge_channel(ctx);

    (void)ata_irq(ctx); /* the line may be shared: not ours is no error */
    charge(before);
}

static const struct ata_host ata_host = {
    .now_ns = clock_now_ns,
    .bytes_at = bytes_at,
    .deadline_changed = deadline_changed,
};
static const struct delay_host delay_host = {
    .now_ns = clock_now_ns,
    .deadline_changed = deadline_changed,
};

void disks_ata_poll(uint64_t now_ns)
{
    ata_due(NULL, now_ns);
}

/* Number 0 is what belongs to no VM. */
static void add_elevator(unsigned channel, unsigned n_vms)
{
    struct elevator_vm *queues = boot_alloc((n_vms + 1) * sizeof(*queues), 64);

    elevator_init(&elevators[channel], clock_now_ns, queues, n_vms + 1);
    for (unsigned i = 0; i < 2; i++) {
        struct ata_disk *d = &channels[channel].disks[i];
        unsigned n = 2 * channel + i;
        if (d->present) {
            delay_dev_init(&delays[n], &delay_host, &d->dev);
            elevator_dev_init(&tops[n], &elevators[channel], &delays[n].dev);
        }
    }
}

void disks_ata_find(unsigned n_vms)
{
    struct ata_dma_mem mem[2];

    timer_init(&timer, ata_due, NULL);
    for (unsigned i = 0; i < 2; i++) {
        mem[i].va = boot_alloc(ATA_DMA_BYTES, PAGE_SIZE);
        mem[i].pa = HPA((uint64_t)((uint8_t *)mem[i].va - machine_frames.window));
        mem[i].bytes = ATA_DMA_BYTES;
    }
    enum status s = ata_find_pci(channels, &ata_host, mem);
    if (s != OK) {
        log_info("no IDE controller with bus-master DMA: %s", status_name(s));
        return;
    }
    for (n_channels = 0; n_channels < 2; n_channels++) {
        struct ata_channel *ch = &channels[n_channels];
        s = irq_register_line(ch->irq, on_irq, ch);
        if (s != OK) {
            log_error("ata: interrupt line %u: %s; its disks are left out", ch->irq,
                      status_name(s));
            return;
        }
        (void)ata_probe(ch, 2 * n_channels, 0);
        add_elevator(n_channels, n_vms);
    }
}

static unsigned number_of(const struct ata_disk *d)
{
    return (unsigned)(2 * (d->ch - channels)) + d->drive;
}

struct blk_dev *disks_ata_top(const struct ata_disk *d)
{
    return &tops[number_of(d)].dev;
}

struct ata_disk *disks_ata_next(unsigned *i)
{
    for (; *i < 2 * n_channels; (*i)++) {
        struct ata_disk *d = &channels[*i / 2].disks[*i % 2];
        if (d->present) {
            return d;
        }
    }
    return NULL;
}

enum status disks_set_delay(const struct config_delay *delay)
{
    struct ata_disk *d;

    for (unsigned i = 0; (d = disks_ata_next(&i)) != NULL; i++) {
        if (strcmp(d->dev.name, delay->disk) == 0) {
            delays[number_of(d)].times = (struct delay_times){delay->command_ns, delay->block_ns};
            return OK;
        }
    }
    return E_NOTFOUND;
}

bool disks_delay(unsigned i, struct config_delay *out, uint64_t *held)
{
    struct ata_disk *d;

    for (unsigned at = 0; (d = disks_ata_next(&at)) != NULL; at++) {
        if (i-- == 0) {
            const struct delay_dev *slow = &delays[number_of(d)];
            *out = (struct config_delay){.command_ns = slow->times.command_ns,
                                         .block_ns = slow->times.block_ns};
            format(out->disk, sizeof(out->disk), "%s", d->dev.name);
            *held = slow->n_deferred;
            return true;
        }
    }
    return false;
}

void disks_ata_slow(const struct config *config)
{
    for (unsigned i = 0; i < config->host.n_delays; i++) {
        const struct config_delay *d = &config->host.delays[i];
        char text[CONFIG_VALUE];
        config_print_delay(d, text, sizeof(text));
        if (disks_set_delay(d) == OK) {
            log_warn("disk.delay: %s", text);
        } else {
            log_error("disk.delay = %s: there is no such disk", text);
        }
    }
}

void disks_ata_count(struct disks_counts *all)
{
    for (unsigned i = 0; i < n_channels; i++) {
        all->commands += channels[i].n_commands;
        all->merged += channels[i].n_merged;
        all->errors += channels[i].n_errors;
        all->timeouts += channels[i].n_timeouts;
        all->read_sectors += channels[i].n_read_sectors;
        all->written_sectors += channels[i].n_written_sectors;
    }
}
