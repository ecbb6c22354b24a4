/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-blk device under fire: register and configuration accesses, guest memory, requests
 * both well-made and mangled, completions in any order, frames running out, resets. Whatever
 * happened, the device must work again after a reset, and no frame may be left pinned.
 */
#include "base/bits.h"
#include "steps.h"
#include "tests/fuzz/input.h"
#include "work.h"
#include "world_vblk.h"

#include <stdlib.h>
#include <string.h>

#define RAM_PAGES 48u
#define SECTORS 160u
#define RING 0x0000u   /* up to 0x4000 */
#define HEADER 0x4000u /* requests' headers and status bytes */
#define TABLE 0x5000u
#define DATA 0x6000u

/* The guest's write; when frames are out the guest would wait, here the write is left out. */
static bool put(struct tvblk *r, uint64_t gpa, const void *from, size_t n)
{
    return p2m_write(&r->g.p2m, GPA(gpa), from, n) == OK;
}

static bool put_desc(struct tvblk *r, uint64_t at, uint64_t addr, uint32_t len, uint16_t flags,
                     uint16_t next)
{
    uint8_t d[16];

    store_le64(d, addr);
    store_le32(d + 8, len);
    store_le16(d + 12, flags);
    store_le16(d + 14, next);
    return put(r, at, d, sizeof(d));
}

/* A request as drivers make them, with numbers from the input. */
static void request(struct tvblk *r, struct input *in)
{
    static const uint8_t types[] = {0, 0, 0, 1, 1, 4, 8, 11, 13, 2};
    uint8_t header[16] = {types[take(in, 1) % sizeof(types)]};
    uint32_t id = take(in, 1) % 16;
    uint64_t base = r->t.desc;
    unsigned n = 1 + take(in, 1) % 4;
    bool table = take(in, 1) % 2 == 0;
    uint16_t head = (uint16_t)(id * 4 % r->t.size);
    uint64_t at = table ? TABLE + id * 128 : base + 16 * head;
    uint16_t first = table ? 0 : head;
    uint16_t idx = (uint16_t)(r->t.avail_idx + 1);
    bool write = header[0] == 0 || header[0] == 8;
    bool ok;

    store_le64(header + 8, take(in, 1));
    if (header[0] >= 11) {
        uint8_t zone[16] = {(uint8_t)take(in, 1), 0, 0, 0, 0, 0, 0, 0, (uint8_t)take(in, 1)};

        (void)put(r, DATA, zone, sizeof(zone));
    }
    ok = put(r, HEADER + id * 32, header, sizeof(header)) &&
         put_desc(r, at, HEADER + id * 32, 16, TD_NEXT, (uint16_t)(first + 1));
    for (unsigned i = 1; ok && i <= n; i++) {
        uint32_t v = take(in, 3);
        uint64_t addr = (v & 1) != 0 ? DATA + (v >> 4) % 0x28000 : DATA + (v >> 4) % 0x140 * 512;
        uint32_t len = (v & 2) != 0 ? take(in, 2) : 512 * (take(in, 1) % 128);

        ok = put_desc(r, at + 16 * i, addr, header[0] >= 11 ? 16 : len,
                      (uint16_t)((write ? TD_WRITE : 0) | TD_NEXT), (uint16_t)(first + i + 1));
    }
    ok = ok && put_desc(r, at + 16 * (n + 1), HEADER + id * 32 + 16, 1, TD_WRITE, 0);
    if (table) {
        ok = ok && put_desc(r, base + 16 * head, at, 16 * (n + 2), TD_INDIRECT, 0);
    }
    if (ok && put(r, r->t.avail + 4 + 2u * (r->t.avail_idx % r->t.size), &head, 2) &&
        put(r, r->t.avail + 2, &idx, 2)) {
        r->t.avail_idx = idx;
    }
}

static void start(struct tvblk *r, struct input *in)
{
    if (r->d.n_busy == 0 && r->g.n_hoard == 0) {
        uint64_t f = (uint64_t)(take(in, 1) & 3) << VIRTIO_RING_F_INDIRECT_DESC |
                     (take(in, 1) % 2 != 0 ? BIT(9) : 0) | BIT(13) | BIT(14);

        tvblk_start(r, f, (uint16_t)BIT32(2 + take(in, 1) % 7), RING);
    }
}

/* Looks at the clock on the way out of a step: each loop around the one that ends has one. */
#define LOOKS_OUT 4u

static void one_step(struct tvblk *r, struct input *in)
{
    static const uint8_t sizes[] = {1, 2, 4, 4};
    uint32_t dev = TVBLK_SLOT << 11, v = take(in, 1);
    unsigned op = v % 20, a, b;
    struct looks looks;

    /* What the step may do until it is to end: little, or all there is. */
    r->until = v / 20 < 10 ? looks_begin(&looks, 1 + v / 20) : NULL;

    switch (op) {
    case 0:
        start(r, in);
        break;
    case 1:
        a = take(in, 1);
        b = sizes[take(in, 1) % 4];
        tvblk_out(r, a, b, take(in, b));
        break;
    case 2:
        a = take(in, 1);
        (void)tvblk_in(r, a, sizes[take(in, 1) % 4]);
        break;
    case 3: /* configuration space behind the header, where the window is */
        a = 0x40 + take(in, 1) % 0xc0;
        b = sizes[take(in, 1) % 4];
        vpci_config_write(&r->bus, dev | a, b, take(in, b));
        break;
    case 4:
        (void)vpci_config_read(&r->bus, dev | take(in, 1), sizes[take(in, 1) % 4]);
        break;
    case 5:
        tvblk_kick(r);
        break;
    case 6: { /* memory */
        uint32_t at = take(in, 2);
        uint8_t bytes[16];

        for (unsigned i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (uint8_t)take(in, 1);
        }
        (void)put(r, at, bytes, 1 + take(in, 1) % sizeof(bytes));
        break;
    }
    case 7:
        tguest_starve(&r->g, take(in, 1) % 8);
        break;
    case 8:
        tguest_feed(&r->g);
        break;
    case 9:
        tvblk_out(r, 0x14, 1, take(in, 1) % 4 == 0 ? 0 : take(in, 1));
        break;
    case 10:
    case 11:
        (void)virtio_blk_work(&r->d, r->until);
        break;
    case 12:
    case 13:
    case 14:
        if (r->disk.n > 0) {
            a = take(in, 1);
            tdisk_complete(&r->disk, a % r->disk.n, a >= 0xf0 ? E_IO : OK);
        }
        break;
    case 15:
        r->disk.immediate = take(in, 1) % 2 == 0;
        break;
    default:
        request(r, in);
        break;
    }
    require(r->until == NULL || looks.n <= looks.deadline.end_ns + LOOKS_OUT);
    r->until = NULL;
    require(r->d.n_in_flight == r->disk.n && r->d.n_busy <= r->n_slots);
    require(r->d.n_pins <= VIRTIO_BLK_PINS && r->d.n_held <= VIRTIO_BLK_HELD);
}

static int one_input(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct tvblk *r = calloc(1, sizeof(*r));
    struct tdesc d[3] = {{HEADER, 16, false}, {DATA, 512, true}, {HEADER + 16, 1, true}};
    static const uint8_t header[17] = {[16] = 0xee};
    uint8_t status;
    uint32_t len;

    tvblk_init(r, RAM_PAGES + 4, RAM_PAGES, SECTORS, 3);
    tvblk_start(r, BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(9), 64,
                RING);
    while (in.n > 0) {
        one_step(r, &in);
    }
    /* However it was left: a reset completes, and then it reads. */
    tguest_feed(&r->g);
    tvblk_out(r, 0x14, 1, 0);
    while (r->disk.n > 0) {
        tdisk_complete(&r->disk, 0, OK);
    }
    tvblk_work(r);
    tvblk_start(r, 0, 16, RING);
    r->disk.immediate = true;
    tguest_put(&r->g, HEADER, header, sizeof(header));
    require(tdriver_add(&r->t, d, 3, 0) >= 0);
    tvblk_kick(r);
    tvblk_work(r);
    require(tdriver_take(&r->t, &len) >= 0 && len == 513);
    tguest_get(&r->g, HEADER + 16, &status, 1);
    require(status == 0);
    tvblk_fini(r);
    free(r);
    return 0;
}

FUZZ_ENTRY(one_input, 20000, 800)
