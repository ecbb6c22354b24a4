/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile driver of virtio-blk. Whatever the rings and registers hold, the device answers with an
 * error, says NEEDS_RESET or does nothing; after a reset it works again, the data on the disk and
 * the memory around the buffers being what they were.
 */
#include "virtio.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define RESET (-1)
#define OUTSIDE 0x80000000ul
#define ALL (VIRTIO_F_INDIRECT | VIRTIO_F_EVENT)

static struct virtio_disk disk;
static uint8_t good[4096] __attribute__((aligned(4096)));
static uint8_t buffer[8192] __attribute__((aligned(4096)));
static struct virtio_desc table[64] __attribute__((aligned(4096)));

/* After each misuse: a reset, and sector 8 to 15 read as they were written at first. */
static bool recovers(void)
{
    memset(buffer, 0x5a, sizeof(buffer));
    if (!virtio_start(&disk, ALL)) {
        return false;
    }
    return virtio_request(&disk, VIRTIO_BLK_T_IN, 8, buffer, 4096) == 0 &&
           memcmp(buffer, good, 4096) == 0 && buffer[4096] == 0x5a;
}

static void begin(uint32_t type, uint64_t sector)
{
    (void)virtio_start(&disk, VIRTIO_F_INDIRECT);
    *disk.request = (struct virtio_request){type, 0, sector};
    *disk.status = 0xee;
    memset(table, 0, sizeof(table));
}

static void desc(unsigned n, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
    disk.rings->desc[n] = (struct virtio_desc){addr, len, (uint16_t)flags, (uint16_t)next};
}

static void entry(unsigned n, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
    table[n] = (struct virtio_desc){addr, len, (uint16_t)flags, (uint16_t)next};
}

#define HEADER (uint64_t) disk.request, 16, NEXT, 1
#define DATA(n) (uint64_t) buffer, 512, NEXT | WRITE, n
#define STATUS (uint64_t) disk.status, 1, WRITE, 0

/* Offers chain 0. `want` is a status byte, or RESET. */
static void sent(int want, const char *what)
{
    virtio_offer(&disk, 0);
    virtio_kick(&disk);
    int got = virtio_wait(&disk);
    if (got == 0) {
        got = *disk.status;
    }
    bool ok = recovers();
    tap_ok(got == want && ok, "%s: %d%s", what, got, ok ? "" : ", does not recover");
}

static void chains(void)
{
    begin(0, 8);
    desc(0, (uint64_t)disk.request, 16, NEXT, 0);
    sent(RESET, "a descriptor that follows itself");
    begin(0, 8);
    desc(0, HEADER);
    desc(1, (uint64_t)buffer, 512, NEXT | WRITE, 2);
    desc(2, (uint64_t)buffer, 512, NEXT | WRITE, 1);
    sent(RESET, "a loop behind the header");
    begin(0, 8);
    desc(0, HEADER);
    desc(1, (uint64_t)buffer, 512, NEXT | WRITE, VIRTIO_QUEUE);
    sent(RESET, "a successor outside the table");
    begin(0, 8);
    desc(0, HEADER);
    desc(1, (uint64_t)buffer, 512, NEXT | WRITE, 0xffff);
    sent(RESET, "a successor far outside the table");
    begin(0, 8);
    desc(0, HEADER);
    sent(RESET, "no status byte");
    begin(0, 8);
    desc(0, (uint64_t)disk.request, 16, NEXT | WRITE, 1);
    desc(1, (uint64_t)buffer, 512, NEXT, 2);
    desc(2, STATUS);
    sent(RESET, "readable behind writable");
    begin(0, 8);
    desc(0, (uint64_t)disk.request, 0, NEXT, 1);
    desc(1, STATUS);
    sent(1, "an empty descriptor");
    begin(0, 8);
    desc(0, (uint64_t)disk.request, 8, NEXT, 1);
    desc(1, STATUS);
    sent(1, "half a header");
}

static void addresses(void)
{
    static const struct {
        uint64_t at;
        uint32_t len;
        const char *what;
    } bad[] = {{OUTSIDE, 512, "data outside of memory"},
               {0x700000000000ul, 512, "data far outside"},
               {0xfee00000, 4096, "data in the APIC's page"}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        begin(0, 8);
        desc(0, HEADER);
        desc(1, bad[i].at, bad[i].len, NEXT | WRITE, 2);
        desc(2, STATUS);
        sent(1, bad[i].what);
        begin(1, 100);
        desc(0, HEADER);
        desc(1, bad[i].at, bad[i].len, NEXT, 2);
        desc(2, STATUS);
        sent(1, "written from there");
    }
    begin(0, 8);
    desc(0, HEADER);
    desc(1, 0xfffffffffffff000ul, 0x2000, NEXT | WRITE, 2);
    desc(2, STATUS);
    sent(RESET, "data that wraps the address space");
    begin(0, 8);
    desc(0, HEADER);
    desc(1, (uint64_t)buffer, 0xffffffff, NEXT | WRITE, 2);
    desc(2, STATUS);
    sent(RESET, "4 GiB of data");
    begin(0, 8);
    desc(0, HEADER);
    desc(1, (uint64_t)buffer, 0xfffffe00, NEXT | WRITE, 2);
    desc(2, STATUS);
    sent(1, "4 GiB of whole sectors");
    begin(0, 8);
    desc(0, OUTSIDE, 16, NEXT, 1);
    desc(1, STATUS);
    sent(1, "the header outside of memory");
    begin(0, 8);
    desc(0, HEADER);
    desc(1, DATA(2));
    desc(2, OUTSIDE, 1, WRITE, 0);
    sent(RESET, "the status outside of memory");
}

static void requests(void)
{
    static const uint32_t unknown[] = {2, 3, 5, 7, 9, 10, 12, 14, 99, 0x80000000, 0xffffffff};

    for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        begin(unknown[i], 8);
        desc(0, HEADER);
        desc(1, DATA(2));
        desc(2, STATUS);
        sent(2, "an unknown request type");
    }
    static const uint64_t beyond[] = {
        0, 1, 0x100000000, 0xffffffffffffffff, 0x7fffffffffffffff, 0x0080000000000000};
    for (unsigned i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
        begin(i & 1, i < 2 ? disk.sectors + beyond[i] : beyond[i]);
        desc(0, HEADER);
        desc(1, (uint64_t)buffer, 512, NEXT | (i & 1 ? 0 : WRITE), 2);
        desc(2, STATUS);
        sent(1, "a sector beyond the disk");
    }
    begin(0, disk.sectors - 1);
    desc(0, HEADER);
    desc(1, (uint64_t)buffer, 1024, NEXT | WRITE, 2);
    desc(2, STATUS);
    sent(1, "the last sector and one more");
    begin(0, 8);
    desc(0, HEADER);
    desc(1, (uint64_t)buffer, 511, NEXT | WRITE, 2);
    desc(2, STATUS);
    sent(1, "a part of a sector");
    begin(1, 100);
    desc(0, HEADER);
    desc(1, (uint64_t)buffer, 512, NEXT | WRITE, 2);
    desc(2, STATUS);
    sent(0, "a writable buffer, so a write of nothing");
}

static void indirect(void)
{
    begin(0, 8);
    desc(0, (uint64_t)table, 3 * 16, INDIRECT, 0);
    entry(0, HEADER);
    entry(1, DATA(2));
    entry(2, STATUS);
    sent(0, "an indirect request in order");
    begin(0, 8);
    desc(0, (uint64_t)table, 0, INDIRECT, 0);
    sent(RESET, "an empty table");
    begin(0, 8);
    desc(0, (uint64_t)table, 40, INDIRECT, 0);
    sent(RESET, "a table of two and a half entries");
    begin(0, 8);
    desc(0, OUTSIDE, 48, INDIRECT, 0);
    sent(RESET, "a table outside of memory");
    begin(0, 8);
    desc(0, 0xfffffffffffffff0ul, 48, INDIRECT, 0);
    sent(RESET, "a table that wraps the address space");
    begin(0, 8);
    desc(0, (uint64_t)table, 0xfffffff0, INDIRECT, 0);
    entry(0, (uint64_t)disk.request, 16, NEXT, 0);
    sent(RESET, "a table of 4 GiB with a loop");
    begin(0, 8);
    desc(0, (uint64_t)table, 48, INDIRECT | NEXT, 1);
    entry(0, HEADER);
    entry(1, DATA(2));
    entry(2, STATUS);
    desc(1, STATUS);
    sent(RESET, "a table with a successor");
    begin(0, 8);
    desc(0, (uint64_t)table, 48, INDIRECT, 0);
    entry(0, (uint64_t)table, 48, INDIRECT, 0);
    sent(RESET, "a table in itself");
    begin(0, 8);
    desc(0, (uint64_t)table, 48, INDIRECT, 0);
    entry(0, HEADER);
    entry(1, DATA(3));
    sent(RESET, "a successor outside the table");
    (void)virtio_start(&disk, 0);
    desc(0, (uint64_t)table, 48, INDIRECT, 0);
    sent(RESET, "an indirect one that was not negotiated");
}

static void rings(void)
{
    begin(0, 8);
    virtio_offer(&disk, VIRTIO_QUEUE);
    virtio_kick(&disk);
    int got = virtio_wait(&disk);
    tap_ok(got == RESET && recovers(), "a head outside the table: %d", got);
    begin(0, 8);
    disk.rings->avail.idx = 0x8000;
    virtio_kick(&disk);
    got = virtio_wait(&disk);
    tap_ok(got == RESET && recovers(), "the available index jumps: %d", got);
    begin(0, 8);
    disk.rings->avail.idx = VIRTIO_QUEUE + 1;
    virtio_kick(&disk);
    got = virtio_wait(&disk);
    tap_ok(got == RESET && recovers(), "one more available than the ring has: %d", got);
    for (unsigned i = 0; i < 16; i++) { /* the same chain in every place */
        begin(0, 8);
        desc(0, HEADER);
        desc(1, DATA(2));
        desc(2, STATUS);
        for (unsigned k = 0; k <= i; k++) {
            virtio_offer(&disk, 0);
        }
        virtio_kick(&disk);
        unsigned n = 0;
        while (n <= i && virtio_wait(&disk) == 0) {
            n++;
        }
        if (n != i + 1) {
            tap_ok(false, "one chain offered %u times: %u done", i + 1, n);
        }
    }
    tap_ok(recovers(), "one chain offered many times over");

    uint64_t r = (uint64_t)disk.rings;
    const struct {
        uint16_t size;
        uint64_t desc, avail, used;
        const char *what;
    } bad[] = {{0, r, r + 256, r + 1024, "a queue of no entries"},
               {3, r, r + 256, r + 1024, "a queue of 3"},
               {0xffff, r, r + 256, r + 1024, "a queue of 65535"},
               {0x8000, r, r + 256, r + 1024, "a queue of 32768"},
               {16, r + 1, r + 256, r + 1024, "misaligned descriptors"},
               {16, r, r + 257, r + 1024, "a misaligned available ring"},
               {16, r, r + 256, r + 1026, "a misaligned used ring"},
               {16, OUTSIDE, r + 256, r + 1024, "descriptors outside of memory"},
               {16, r, OUTSIDE, r + 1024, "the available ring outside of memory"},
               {16, r, r + 256, OUTSIDE, "the used ring outside of memory"},
               {16, r, r + 256, 0xfee00000, "the used ring at the APIC"},
               {16, 0xfffffffffffffff0ul, r + 256, r + 1024, "descriptors that wrap"},
               {16, r, 0xfffffffffffffffeul, r + 1024, "an available ring that wraps"},
               {16, r, r + 256, 0xfffffffffffffffcul, "a used ring that wraps"},
               {16, r, r, r, "all rings in one place"},
               {256, r, r, r, "all rings in one place, large"}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)virtio_negotiate(&disk, ALL);
        virtio_set_queue(&disk, bad[i].size, bad[i].desc, bad[i].avail, bad[i].used);
        virtio_ready(&disk);
        for (unsigned k = 0; k < 64; k++) {
            ((volatile uint16_t *)disk.rings)[k * 3] = (uint16_t)(k * 257);
        }
        virtio_kick(&disk);
        virtio_kick(&disk);
        uint8_t status = virtio_status(&disk);
        tap_ok(recovers(), "%s: device status %x", bad[i].what, status);
    }
}

static uint64_t random_state = 88172645463325252ul;

static uint64_t random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Anything at all into the registers, then into the rings of a queue that works. No descriptor lies
 * in memory that matters, and only reads and unknown requests begin with them. */
static void noise(void)
{
    for (unsigned i = 0; i < 3000; i++) {
        uint16_t port = (uint16_t)(disk.common + random() % 0x100);
        uint64_t v = random();
        switch (random() % 6) {
        case 0:
            outb(port, (uint8_t)v);
            break;
        case 1:
            outw(port, (uint16_t)v);
            break;
        case 2:
            outl(port, (uint32_t)v);
            break;
        case 3:
            (void)inb(port);
            break;
        case 4:
            (void)inw(port);
            break;
        default:
            (void)inl(port);
        }
    }
    tap_ok(recovers(), "after 3000 random register accesses");
    for (unsigned i = 0; i < 150; i++) {
        begin(0, random() % 64);
        for (unsigned n = 0; n < VIRTIO_QUEUE; n++) {
            uint64_t at = random() % 4 ? (uint64_t)buffer + random() % 4096 : random();
            if (at - 0x100000 < 0x1000000 && at - (uint64_t)buffer >= sizeof(buffer)) {
                at = OUTSIDE;
            }
            uint32_t len = random() % 8 ? (uint32_t)(random() % 4096) : (uint32_t)random() << 16;
            desc(n, at, len, (unsigned)random() & 3, (unsigned)random() % (VIRTIO_QUEUE + 1));
        }
        desc(0, HEADER);
        for (unsigned n = 0; n < 4; n++) {
            virtio_offer(&disk, (uint16_t)(random() % (n ? VIRTIO_QUEUE + 1 : 1)));
        }
        virtio_kick(&disk);
        for (unsigned n = 0; n < random() % 30; n++) {
            (void)virtio_status(&disk);
        }
    }
    tap_ok(recovers(), "after 150 random rings");
    for (unsigned i = 0; i < 100; i++) { /* resets while it works */
        (void)virtio_start(&disk, 0);
        *disk.request = (struct virtio_request){VIRTIO_BLK_T_IN, 0, 100 + 8 * i};
        desc(0, HEADER);
        desc(1, (uint64_t)buffer, 8192, NEXT | WRITE, 2);
        desc(2, STATUS);
        virtio_offer(&disk, 0);
        virtio_kick(&disk);
    }
    tap_ok(recovers(), "after 100 resets with a request in flight");
}

void guest_main(const uint8_t *boot_params)
{
    (void)boot_params;
    if (!tap_ok(virtio_find(&disk, 0) && virtio_start(&disk, ALL), "a disk")) {
        return;
    }
    for (unsigned i = 0; i < sizeof(good); i++) {
        good[i] = (uint8_t)(i * 7 + i / 256);
    }
    tap_ok(virtio_request(&disk, VIRTIO_BLK_T_OUT, 8, good, sizeof(good)) == 0, "data for later");
    chains();
    addresses();
    requests();
    indirect();
    rings();
    noise();
    tap_ok(virtio_request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0) == 0 && recovers(),
           "in the end the data is there, and the disk flushes");
}
