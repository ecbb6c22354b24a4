/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's rig. */
#include "world_vblk.h"

#include "base/bits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void set_line(void *ctx, unsigned line, bool level)
{
    struct tvblk *r = ctx;

    (void)line;
    r->line_raised += level && !r->line;
    r->line = level;
}

static void message(void *ctx, uint64_t addr, uint32_t data)
{
    struct tvblk *r = ctx;

    (void)addr;
    r->messages++;
    r->last_message = data;
}

static void wake(void *ctx)
{
    struct tvblk *r = ctx;

    r->wakes++;
}

/* As the VM's loop does it: at once, and what is left later. */
static void kicked(void *ctx)
{
    struct tvblk *r = ctx;

    if (!r->marks && (virtio_blk_work(&r->d, r->until) || r->d.wants_memory)) {
        wake(r);
    }
}

static void arrived(void *ctx, gfn_t gfn)
{
    struct tvblk *r = ctx;

    r->arrived |= UINT64_C(1) << gfn.n % 64;
}

void tvblk_init(struct tvblk *r, uint64_t n_frames, uint64_t ram_pages, uint64_t sectors,
                unsigned n_slots)
{
    struct irq_sink sink = {.set_line = set_line, .message = message, .ctx = r};
    struct virtio_blk_cfg cfg;
    enum status s;

    memset(r, 0, sizeof(*r));
    tguest_init(&r->g, n_frames, ram_pages);
    tdisk_init(&r->disk, &r->g, sectors);
    s = frames_alloc(&r->g.frames, FRAME_HYP, &r->bounce);
    assert(s == OK);
    iobus_init(&r->ports);
    iobus_init(&r->mmio);
    vpci_bus_init(&r->bus, &r->ports, &r->mmio, &sink);
    cfg = (struct virtio_blk_cfg){.p2m = &r->g.p2m,
                                  .disk = &r->disk.dev,
                                  .serial = "web1-disk0",
                                  .bounce = r->bounce,
                                  .wake = wake,
                                  .kick = kicked,
                                  .wake_ctx = r,
                                  .arrived = arrived,
                                  .arrived_ctx = r};
    virtio_blk_init(&r->d, &cfg);
    for (unsigned i = 0; i < n_slots; i++) {
        r->slots[i] = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
        assert(r->slots[i]);
        s = virtio_blk_add_slot(&r->d, r->slots[i]);
        assert(s == OK);
    }
    r->n_slots = n_slots;
    s = vpci_add(&r->bus, &r->d.pci.pci, TVBLK_SLOT);
    assert(s == OK);
    (void)s;
}

void tvblk_fini(struct tvblk *r)
{
    while (!virtio_blk_quiesce(&r->d)) {
        bool dropped = r->d.n_busy > r->d.n_in_flight;

        while (virtio_blk_work(&r->d, NULL)) {
        }
        assert(r->disk.n > 0 || dropped);
        while (r->disk.n > 0) {
            tdisk_complete(&r->disk, 0, OK);
        }
    }
    for (unsigned i = 0; i < r->n_slots; i++) {
        free(r->slots[i]);
    }
    frames_free(&r->g.frames, r->bounce);
    tdisk_fini(&r->disk);
    tguest_fini(&r->g);
}

uint32_t tvblk_in(struct tvblk *r, unsigned off, unsigned size)
{
    const struct vpci_bar *b = &r->d.pci.pci.bars[VIRTIO_PCI_BAR];

    return (uint32_t)b->read(b->ctx, off, size);
}

void tvblk_out(struct tvblk *r, unsigned off, unsigned size, uint32_t value)
{
    const struct vpci_bar *b = &r->d.pci.pci.bars[VIRTIO_PCI_BAR];

    b->write(b->ctx, off, size, value);
}

static void out64(struct tvblk *r, unsigned off, uint64_t value)
{
    tvblk_out(r, off, 4, (uint32_t)value);
    tvblk_out(r, off + 4, 4, (uint32_t)(value >> 32));
}

void tvblk_start(struct tvblk *r, uint64_t features, uint16_t size, uint64_t base)
{
    features |= BIT(VIRTIO_F_VERSION_1);
    tvblk_out(r, 0x14, 1, 0);
    assert(tvblk_in(r, 0x14, 1) == 0);
    tvblk_out(r, 0x14, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    tvblk_out(r, 0x14, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    for (unsigned i = 0; i < 2; i++) {
        tvblk_out(r, 0x08, 4, i);
        tvblk_out(r, 0x0c, 4, (uint32_t)(features >> (32 * i)));
    }
    tvblk_out(r, 0x14, 1, 0x0b);
    assert(tvblk_in(r, 0x14, 1) == 0x0b);
    tdriver_init(&r->t, &r->g, size, base);
    tvblk_out(r, 0x16, 2, 0);
    tvblk_out(r, 0x18, 2, size);
    out64(r, 0x20, r->t.desc);
    out64(r, 0x28, r->t.avail);
    out64(r, 0x30, r->t.used);
    tvblk_out(r, 0x1a, 2, 0);
    tvblk_out(r, 0x1c, 2, 1);
    tvblk_out(r, 0x14, 1, 0x0f);
    assert(tvblk_in(r, 0x14, 1) == 0x0f);
}

void tvblk_kick(struct tvblk *r)
{
    tvblk_out(r, VIRTIO_PCI_NOTIFY_AT, 2, 0);
}

void tvblk_work(struct tvblk *r)
{
    for (unsigned i = 0; virtio_blk_work(&r->d, r->until); i++) {
        assert(i < 100000);
    }
}

void tvblk_put_header(struct tvblk *r, uint64_t at, uint32_t type, uint64_t sector)
{
    static const uint8_t none = TVBLK_STATUS_NONE;

    tguest_put32(&r->g, at, type);
    tguest_put32(&r->g, at + 4, 0);
    tguest_put64(&r->g, at + 8, sector);
    tguest_put(&r->g, at + TVBLK_STATUS, &none, 1);
}

uint8_t tvblk_status(struct tvblk *r, uint64_t at)
{
    uint8_t status;

    tguest_get(&r->g, at + TVBLK_STATUS, &status, 1);
    return status;
}

int tvblk_send(struct tvblk *r, uint64_t at, uint32_t type, uint64_t sector,
               const struct tdesc *data, unsigned n, uint64_t table)
{
    struct tdesc d[80];

    assert(n + 2 <= ARRAY_LEN(d));
    tvblk_put_header(r, at, type, sector);
    d[0] = (struct tdesc){at, 16, false};
    for (unsigned i = 0; i < n; i++) {
        d[i + 1] = data[i];
    }
    d[n + 1] = (struct tdesc){at + TVBLK_STATUS, 1, true};
    return tdriver_add(&r->t, d, n + 2, table);
}

uint8_t tvblk_ask(struct tvblk *r, uint64_t at, uint32_t type, uint64_t sector,
                  const struct tdesc *data, unsigned n)
{
    uint32_t len;
    int head = tvblk_send(r, at, type, sector, data, n, 0);

    assert(head >= 0);
    tvblk_kick(r);
    tvblk_work(r);
    while (r->disk.n > 0) {
        assert(tdriver_take(&r->t, &len) == -1);
        tdisk_complete(&r->disk, 0, OK);
        tvblk_work(r);
    }
    assert(tdriver_take(&r->t, &len) == head);
    return tvblk_status(r, at);
}
