/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk that is slow on purpose (disk.delay), seen from inside: how long reads, writes and flushes
 * take at least, and at most. Options: ms= and block_us=, the delay; cached=1: what was read is
 * read again without the disk; forever=1: only reads, of another block each time.
 */
#include "virtio.h"

#define SECTOR 512u
#define BLOCK_SECTORS 8u
#define STEP 1000u /* sectors from one block to the next: nothing is read ahead */
#define READS 12u
#define LARGE 16u       /* blocks in a request */
#define OWN_US 4000u    /* what the disk itself may take */
#define CACHED_US 2000u /* and a block that the cache has */

static struct virtio_disk disk;
static uint8_t *const buffer = (uint8_t *)KIT_HEAP;
static uint64_t failed;

/* Microseconds that a request took. */
static uint64_t took(uint32_t type, uint64_t sector, uint32_t blocks)
{
    uint64_t began = rdtsc();

    failed += virtio_request(&disk, type, sector, buffer, blocks * BLOCK_SECTORS * SECTOR) != 0;
    return (rdtsc() - began) * 1000000 / kit_tsc_hz();
}

static void within(const char *what, uint64_t us, uint64_t from, uint64_t to)
{
    tap_ok(us >= from && us <= to, "%s: %lu us, must be %lu to %lu", what, us, from, to);
}

static void timed(uint64_t us, uint64_t block_us, bool cached)
{
    uint64_t one = us + block_us, large = us + LARGE * block_us, sum = 0, least = one, again = 0;

    for (uint64_t i = 0; i < READS; i++) {
        uint64_t t = took(VIRTIO_BLK_T_IN, i * STEP, 1);
        least = t < least ? t : least;
        sum += t;
    }
    within("the shortest read", least, one, one);
    within("all reads", sum, READS * one, READS * (one + OWN_US));
    for (uint64_t i = 0; i < READS && cached; i++) {
        again += took(VIRTIO_BLK_T_IN, i * STEP, 1);
    }
    within("once more, from the cache", again, 0, READS * CACHED_US);
    within("a large read", took(VIRTIO_BLK_T_IN, READS * STEP, LARGE), large, large + 2 * OWN_US);
    within("a large write", took(VIRTIO_BLK_T_OUT, 0, LARGE), large, large + 2 * OWN_US);
    within("a flush", took(VIRTIO_BLK_T_FLUSH, 0, 0), us, us + 2 * OWN_US);
    tap_ok(failed == 0, "%lu requests failed", failed);
}

static void read_on(void)
{
    for (uint64_t n = 0, at = 0; failed == 0; n++, at += STEP + BLOCK_SECTORS) {
        (void)took(VIRTIO_BLK_T_IN, at % (disk.sectors - BLOCK_SECTORS), 1);
        if (n == 0) {
            print("slow: reading\n");
        }
    }
    tap_ok(false, "a read failed");
}

void guest_main(const uint8_t *boot_params)
{
    bool ok = virtio_find(&disk, 0) && disk.sectors >= (READS + 1) * STEP &&
              virtio_start(&disk, VIRTIO_F_FLUSH);

    if (!tap_ok(ok, "a disk of %lu sectors", disk.sectors)) {
        return;
    }
    if (kit_option(boot_params, "forever", 0)) {
        read_on();
        return;
    }
    timed(1000 * kit_option(boot_params, "ms", 0), kit_option(boot_params, "block_us", 0),
          kit_option(boot_params, "cached", 0) != 0);
}
