/* SPDX-License-Identifier: BSD-2-Clause */
/* The disks of the IDE controller: its two channels are ports. */
#include "kernel/storage/ata.h"

#include "arch/x86_64/clock.h"
#include "base/log.h"
#include "drivers/host/disk/ata.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/machine.h"

#define CHANNELS 2u
#define CHANNEL_DISKS 2u

static struct ata_channel channels[CHANNELS]; /* the machine's */

static const struct ata_host host = {
    .now_ns = clock_now_ns,
    .bytes_at = diskport_bytes_at,
    .deadline_changed = diskport_deadline_changed,
};

static void find(const struct disk_driver *self, uint32_t first_id)
{
    struct ata_dma_mem mem[CHANNELS];

    for (unsigned i = 0; i < CHANNELS; i++) {
        mem[i].va = boot_alloc(ATA_DMA_BYTES, PAGE_SIZE);
        mem[i].pa = HPA((uint64_t)((uint8_t *)mem[i].va - machine_frames.window));
        mem[i].bytes = ATA_DMA_BYTES;
    }
    enum status s = ata_find_pci(channels, &host, mem);
    if (s != OK) {
        log_info("no IDE controller with bus-master DMA: %s", status_name(s));
        return;
    }
    for (unsigned n = 0; n < CHANNELS; n++) {
        struct ata_channel *ch = &channels[n];
        struct diskport *port;
        s = diskport_add(self, ch, ch->irq, &port);
        if (s != OK) {
            log_error("ata: interrupt line %u: %s; its disks are left out", ch->irq,
                      status_name(s));
            return;
        }
        (void)ata_probe(ch, CHANNEL_DISKS * n, first_id);
        for (unsigned i = 0; i < CHANNEL_DISKS; i++) {
            if (ch->disks[i].present) {
                disk_add(port, &ch->disks[i].dev, ch->disks[i].model);
            }
        }
    }
}

static void irq(void *port)
{
    (void)ata_irq(port); /* the line may be shared: not ours is no error */
}

static void tick(void *port, uint64_t now_ns)
{
    (void)ata_tick(port, now_ns);
}

static uint64_t next_ns(const void *port)
{
    return ((const struct ata_channel *)port)->deadline_ns;
}

static void count(const void *port, struct disks_counts *all)
{
    const struct ata_channel *ch = port;

    all->commands += ch->n_commands;
    all->merged += ch->n_merged;
    all->errors += ch->n_errors;
    all->timeouts += ch->n_timeouts;
    all->read_sectors += ch->n_read_sectors;
    all->written_sectors += ch->n_written_sectors;
}

const struct disk_driver ata_driver = {
    .name = "ata",
    .n_ids = CHANNELS * CHANNEL_DISKS,
    .find = find,
    .irq = irq,
    .tick = tick,
    .next_ns = next_ns,
    .count = count,
};
