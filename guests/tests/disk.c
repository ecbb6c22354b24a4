/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk by virtio-blk: data, flush, id, odd buffers, discard and write-zeroes, several in flight.
 */
#include "virtio.h"

static struct virtio_disk disk;
static uint8_t *const out = (uint8_t *)KIT_HEAP, *const in = (uint8_t *)(KIT_HEAP + (4ul << 20));

static void fill(uint8_t *p, uint64_t bytes, uint64_t seed)
{
    for (uint64_t i = 0; i < bytes / 8; i++) {
        ((uint64_t *)p)[i] = (seed * 1000 + i) * 0x9e3779b97f4a7c15ul;
    }
}

static int request(uint32_t type, uint64_t sector, void *data, uint32_t bytes)
{
    return virtio_request(&disk, type, sector, data, bytes);
}

static void data(void)
{
    static const uint32_t sizes[] = {512, 4096, 12288, 65536, 262144, 512 * 77};
    uint64_t at = 3;

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t n = sizes[i];
        fill(out, n, i + 1);
        memset(in, 0, n);
        bool ok = request(VIRTIO_BLK_T_OUT, at, out, n) == 0 &&
                  request(VIRTIO_BLK_T_IN, at, in, n) == 0 && memcmp(in, out, n) == 0;
        tap_ok(ok, "%u bytes at sector %lu", n, at);
        at += n / 512 + 1;
    }
    tap_ok(request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0) == 0, "flush");
    fill(out, 8192, 9);
    memcpy(out + 8192 + 3, out, 4096);
    memset(in, 0, 16384);
    bool ok = request(VIRTIO_BLK_T_OUT, 200, out + 8192 + 3, 4096) == 0 &&
              request(VIRTIO_BLK_T_IN, 200, in + 4093, 4096) == 0 &&
              memcmp(in + 4093, out, 4096) == 0 && in[4092] == 0 && in[4093 + 4096] == 0;
    tap_ok(ok, "buffers at odd addresses, over pages");
    fill(out, 512, 11);
    ok = request(VIRTIO_BLK_T_OUT, disk.sectors - 1, out, 512) == 0 &&
         request(VIRTIO_BLK_T_IN, disk.sectors - 1, in, 512) == 0 && memcmp(in, out, 512) == 0;
    tap_ok(ok, "the last sector, %lu", disk.sectors - 1);
    char id[21] = {0};
    tap_ok(request(VIRTIO_BLK_T_GET_ID, 0, id, 20) == 0 && id[0], "id: %s", id);
}

/* A read of 3 sectors into buffers of 1, 510, 513 and 512 bytes, by plain and indirect descriptors.
 */
static void scattered(bool indirect)
{
    static struct virtio_desc table[8] __attribute__((aligned(16)));
    static const uint32_t parts[] = {1, 510, 513, 512};
    volatile struct virtio_desc *desc = indirect ? table : disk.rings->desc;
    uint32_t at = 7;

    fill(out, 1536, 20);
    memset(in, 0, 4096);
    if (request(VIRTIO_BLK_T_OUT, 60, out, 1536) != 0) {
        tap_ok(false, "scattered: write");
        return;
    }
    *disk.request = (struct virtio_request){VIRTIO_BLK_T_IN, 0, 60};
    *disk.status = 0xee;
    desc[0] = (struct virtio_desc){(uint64_t)disk.request, 16, VRING_DESC_F_NEXT, 1};
    for (uint16_t i = 0; i < 4; i++) {
        desc[i + 1] = (struct virtio_desc){
            (uint64_t)in + at, parts[i], VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, (uint16_t)(i + 2)};
        at += parts[i];
    }
    desc[5] = (struct virtio_desc){(uint64_t)disk.status, 1, VRING_DESC_F_WRITE, 0};
    if (indirect) {
        disk.rings->desc[0] =
            (struct virtio_desc){(uint64_t)table, 6 * sizeof(table[0]), VRING_DESC_F_INDIRECT, 0};
    }
    virtio_offer(&disk, 0);
    virtio_kick(&disk);
    bool ok = virtio_wait(&disk) == 0 && *disk.status == 0 && memcmp(in + 7, out, 1536) == 0 &&
              in[6] == 0 && in[7 + 1536] == 0;
    tap_ok(ok, "scattered buffers%s", indirect ? ", indirect" : "");
}

static void many(void)
{
    static struct virtio_request requests[5];
    static volatile uint8_t statuses[5];
    unsigned done = 0, good = 0;

    fill(out, 5 * 4096, 30);
    if (request(VIRTIO_BLK_T_OUT, 1000, out, 5 * 4096) != 0) {
        tap_ok(false, "many: write");
        return;
    }
    memset(in, 0, 5 * 4096);
    for (uint16_t i = 0; i < 5; i++) {
        requests[i] = (struct virtio_request){VIRTIO_BLK_T_IN, 0, 1000 + 8ul * i};
        statuses[i] = 0xee;
        volatile struct virtio_desc *desc = disk.rings->desc + 3 * i;
        uint16_t first = (uint16_t)(3 * i);
        desc[0] = (struct virtio_desc){(uint64_t)&requests[i], 16, VRING_DESC_F_NEXT,
                                       (uint16_t)(first + 1)};
        desc[1] =
            (struct virtio_desc){(uint64_t)in + 4096ul * i, 4096,
                                 VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, (uint16_t)(first + 2)};
        desc[2] = (struct virtio_desc){(uint64_t)&statuses[i], 1, VRING_DESC_F_WRITE, 0};
        virtio_offer(&disk, first);
    }
    virtio_kick(&disk);
    while (done < 5 && virtio_wait(&disk) == 0) {
        done++;
    }
    for (unsigned i = 0; i < 5; i++) {
        good += statuses[i] == 0;
    }
    tap_ok(done == 5 && good == 5 && memcmp(in, out, 5 * 4096) == 0,
           "five at once: %u done, %u good", done, good);
}

static void zones(void)
{
    struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } zone = {3, 5, 0};
    bool zero = true;

    if (disk.features & VIRTIO_F_ZEROES) {
        fill(out, 4096, 40);
        (void)request(VIRTIO_BLK_T_OUT, 0, out, 4096);
        int s = request(VIRTIO_BLK_T_WRITE_ZEROES, 0, &zone, sizeof(zone));
        (void)request(VIRTIO_BLK_T_IN, 0, in, 4096);
        for (unsigned i = 3 * 512; i < 4096; i++) {
            zero &= in[i] == 0;
        }
        tap_ok(s == 0 && zero && memcmp(in, out, 3 * 512) == 0, "write-zeroes: status %d", s);
    } else {
        tap_ok(request(VIRTIO_BLK_T_WRITE_ZEROES, 0, &zone, sizeof(zone)) == 2,
               "write-zeroes is not offered");
    }
    if (disk.features & VIRTIO_F_DISCARD) {
        tap_ok(request(VIRTIO_BLK_T_DISCARD, 0, &zone, sizeof(zone)) == 0, "discard");
    } else {
        tap_ok(request(VIRTIO_BLK_T_DISCARD, 0, &zone, sizeof(zone)) == 2,
               "discard is not offered");
    }
}

void guest_main(const uint8_t *boot_params)
{
    (void)boot_params;
    bool ok = virtio_find(&disk, 0) && disk.sectors > 2000;
    if (!tap_ok(ok, "a disk of %lu sectors", disk.sectors)) {
        return;
    }
    ok = virtio_start(&disk, VIRTIO_F_INDIRECT | VIRTIO_F_ZEROES | VIRTIO_F_DISCARD);
    if (!tap_ok(ok, "it starts, status %x, features %lx", virtio_status(&disk), disk.features)) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        data();
        scattered(false);
        scattered(true);
        many();
        zones();
        tap_ok(virtio_start(&disk, VIRTIO_F_INDIRECT | VIRTIO_F_ZEROES | VIRTIO_F_DISCARD),
               "and starts again");
    }
}
