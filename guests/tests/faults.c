/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk that fails by rules (disk.fault), seen from inside. The rules, in this disk's sectors:
 *
 *     read 2048+8 error                read 6001+2 error       read 10000+1 error x3
 *     write 4096+64 timeout 300ms x2   write 8192+8 lost x1    read 12288+8 slow 300ms
 *
 * Exactly the requests that have such a sector fail, and all others have the right data. fill=1:
 * the disk is only made ready; flush=1: only flushes are tried, of a disk with `flush error x1`;
 * back=1: the cache completes writes before they are on the disk, and look=1: what that wrote is
 * looked at.
 */
#include "virtio.h"

#define SECTOR 512u
#define FROM 768u /* what is written and known */
#define TO 13312u
#define SHORTEST_MS 250u

static struct virtio_disk disk;
static uint8_t *const out = (uint8_t *)KIT_HEAP, *const in = (uint8_t *)(KIT_HEAP + (4ul << 20));

static void fill(uint8_t *p, uint64_t sector, uint32_t sectors, uint64_t version)
{
    for (uint64_t i = 0; i < sectors * SECTOR / 8; i++) {
        ((uint64_t *)p)[i] = (sector * 64 + i + (version << 40)) * 0x9e3779b97f4a7c15ul;
    }
}

static int request(uint32_t type, uint64_t sector, void *data, uint32_t bytes)
{
    return virtio_request(&disk, type, sector, data, bytes);
}

/* Reads, and says whether that failed; what came must be right. */
static bool fails(uint64_t sector, uint32_t sectors, uint64_t version)
{
    memset(in, 0xa5, sectors * SECTOR);
    int s = request(VIRTIO_BLK_T_IN, sector, in, sectors * SECTOR);
    fill(out, sector, sectors, version);
    if (s == 0 && memcmp(in, out, sectors * SECTOR) != 0) {
        tap_ok(false, "%u sectors at %lu are wrong", sectors, sector);
    } else if (s != 0 && s != 1) {
        tap_ok(false, "%u sectors at %lu: status %d", sectors, sector, s);
    }
    return s != 0;
}

static void exactly(uint64_t bad, uint32_t n, const char *what)
{
    static const uint32_t sizes[] = {1, 2, 5, 8, 16, 64, 512};
    unsigned wrong = 0, asked = 0;

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t size = sizes[i], step = size > 16 ? 16 : size < 4 ? 1 : size;
        for (uint64_t at = bad - 2 * size - 16; at < bad + n + size + 16; at += step) {
            bool must = at < bad + n && bad < at + size;
            wrong += fails(at, size, 1) != must;
            asked++;
        }
    }
    tap_ok(wrong == 0, "%s: %u of %u requests failed, or did not, by mistake", what, wrong, asked);
}

static bool write(uint64_t sector, uint32_t sectors, uint64_t version)
{
    fill(out, sector, sectors, version);
    return request(VIRTIO_BLK_T_OUT, sector, out, sectors * SECTOR) == 0;
}

static bool flush(void)
{
    return request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0) == 0;
}

static uint64_t ms_since(uint64_t tsc)
{
    return (rdtsc() - tsc) * 1000 / kit_tsc_hz();
}

static void written_through(void)
{
    uint64_t began = rdtsc();

    (void)fails(4096, 8, 1); /* the cache has it */
    bool ok = !write(4096, 8, 2);
    uint64_t ms = ms_since(began);
    ok &= ms >= SHORTEST_MS && !fails(4096, 8, 1);
    tap_ok(ok, "a write that timed out: after %lu ms, nothing is written", ms);
    began = rdtsc();
    ok = !write(4159, 2, 2);
    ms = ms_since(began);
    ok &= ms >= SHORTEST_MS && !fails(4159, 2, 1);
    tap_ok(ok, "one that has only its first sector there: after %lu ms", ms);
    tap_ok(write(4096, 65, 2) && !fails(4096, 65, 2), "and then it is written");
    (void)fails(8192, 8, 1);
    tap_ok(!write(8192, 8, 2) && !fails(8192, 8, 2),
           "the answer to a write is lost: what is there now is read");
}

/* Flushes until one does not fail, and how many did; what was written is read all the while. */
static unsigned flushes_failed(uint64_t sector, uint32_t sectors, uint64_t version, bool *good)
{
    unsigned n = 0;

    for (*good = !fails(sector, sectors, version); n < 6 && !flush(); n++) {
        *good &= !fails(sector, sectors, version);
    }
    *good &= !fails(sector, sectors, version);
    return n;
}

/* Who hears of an error is the flush; the data stays, and is written in the end. */
static void written_back(void)
{
    bool good, wrote = write(4096, 8, 2);
    unsigned n = flushes_failed(4096, 8, 2, &good);

    tap_ok(wrote && good && n >= 1 && n <= 2, "a write that times out twice: %u flushes failed", n);
    wrote = write(8192, 8, 2);
    n = flushes_failed(8192, 8, 2, &good);
    tap_ok(wrote && good && n == 1, "the answer to a write is lost: %u flushes failed", n);
}

static void in_time(void)
{
    uint64_t began = rdtsc();
    bool ok = !fails(12288, 8, 1);
    uint64_t ms = ms_since(began);

    tap_ok(ok && ms >= SHORTEST_MS, "a slow read takes %lu ms", ms);
    unsigned failed = 0;
    for (unsigned i = 0; i < 8; i++) {
        failed += fails(10000, 1, 1);
    }
    /* The block is read, and then the sector alone, so strikes come in twos. */
    tap_ok(failed >= 1 && failed <= 3, "three strikes: %u of 8 reads failed", failed);
}

void guest_main(const uint8_t *boot_params)
{
    bool ok = virtio_find(&disk, 0) && disk.sectors >= TO && virtio_start(&disk, VIRTIO_F_FLUSH);

    if (!tap_ok(ok, "a disk of %lu sectors", disk.sectors)) {
        return;
    }
    if (kit_option(boot_params, "fill", 0)) {
        for (uint64_t s = FROM; s < TO; s += 256) {
            ok &= write(s, 256, 1);
        }
        tap_ok(ok && flush(), "sectors %u to %u are filled", FROM, TO);
        return;
    }
    if (kit_option(boot_params, "look", 0)) {
        tap_ok(!fails(2048, 8, 1) && !fails(4096, 8, 2) && !fails(4104, 56, 1) &&
                   !fails(8192, 8, 2),
               "what was written is there");
        return;
    }
    if (kit_option(boot_params, "flush", 0)) {
        tap_ok(!flush() && flush(), "a flush fails, and the next one does not");
        return;
    }
    exactly(2048, 8, "a bad block");
    exactly(6001, 2, "two bad sectors in a block");
    in_time();
    if (kit_option(boot_params, "back", 0)) {
        written_back();
    } else {
        written_through();
    }
}
