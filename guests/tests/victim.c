/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Measures from inside what the other VMs leave of the CPU: for `ms` milliseconds, from `wait`
 * milliseconds after its start.
 *
 * `mode` 0 reads the TSC in a loop; the share of the CPU is what the rounds would have taken
 * without an interruption, and a gap is the time between two RDTSCs. Mode 1 polls likewise, with a
 * PAUSE in each round. Mode 2 sleeps for `every` microseconds again and again and measures how late
 * it wakes up. Mode 3 reads 4 KiB blocks from its disk and measures how long each takes. Mode 4 is
 * mode 0 under its own timers, all as fast as they can be set: what interrupts and their handlers
 * take is not in the share. It fails with a share under `share` thousandths, or a gap, delay or
 * read over `most` microseconds.
 */
#include "timers.h"
#include "virtio.h"

#define BATCH 64u /* rounds; an uninterrupted one is the measure of the others */

static uint64_t us(uint64_t ticks)
{
    return ticks * 1000000 / kit_tsc_hz();
}

/* The least that a batch took is what it takes alone: most are not interrupted. */
static void computes(bool pause, uint64_t ticks, uint64_t share, uint64_t most)
{
    uint64_t start = rdtsc(), end = start + ticks, last = start, gap = 0, batches = 0;
    uint64_t least = UINT64_MAX;

    while (last < end) {
        uint64_t begin = last;
        for (unsigned i = 0; i < BATCH; i++) {
            if (pause) {
                __asm__ volatile("pause");
            }
            uint64_t now = rdtsc();
            if (now - last > gap) {
                gap = now - last;
            }
            last = now;
        }
        if (last - begin < least) {
            least = last - begin;
        }
        batches++;
    }
    uint64_t had = batches * least * 1000 / (last - start);
    print("victim: share %lu gap %lu us, %lu batches of %lu ticks in %lu us\n", had, us(gap),
          batches, least, us(last - start));
    tap_ok(had >= share, "it had %lu thousandths of the CPU, of %lu", had, share);
    tap_ok(us(gap) <= most, "away for %lu us at most, of %lu", us(gap), most);
}

static void sleeps(uint64_t ticks, uint64_t every_us, uint64_t most)
{
    uint64_t end = rdtsc() + ticks, worst = 0, sum = 0, n = 0;

    apic_init();
    __asm__ volatile("cli");
    while (rdtsc() < end) {
        uint64_t at = rdtsc() + every_us * (kit_tsc_hz() / 1000) / 1000;
        apic_timer_deadline(at, 0xef);
        while (rdtsc() < at) {
            __asm__ volatile("sti; hlt; cli" ::: "memory");
        }
        uint64_t late = rdtsc() - at;
        worst = late > worst ? late : worst;
        sum += late;
        n++;
    }
    print("victim: late %lu us at most, %lu us in the mean of %lu\n", us(worst), us(sum / n), n);
    tap_ok(us(worst) <= most, "it wakes %lu us late at most, of %lu", us(worst), most);
}

static void reads(uint64_t ticks, uint64_t most)
{
    static uint8_t block[PAGE] __attribute__((aligned(4096)));
    struct virtio_disk disk;
    uint64_t worst = 0, sum = 0, n = 0, end, seed = 1;

    if (!tap_ok(virtio_find(&disk, 0) && virtio_start(&disk, 0), "it has a disk")) {
        return;
    }
    for (end = rdtsc() + ticks; rdtsc() < end; n++) {
        seed = seed * 6364136223846793005ul + 1442695040888963407ul;
        uint64_t before = rdtsc(), sector = seed % (disk.sectors / 8) * 8;
        if (virtio_request(&disk, VIRTIO_BLK_T_IN, sector, block, PAGE) != 0) {
            tap_ok(false, "read %lu fails", n);
            return;
        }
        uint64_t took = rdtsc() - before;
        worst = took > worst ? took : worst;
        sum += took;
    }
    print("victim: a read takes %lu us at most, %lu us in the mean of %lu\n", us(worst),
          us(sum / n), n);
    tap_ok(us(worst) <= most, "a read takes %lu us at most, of %lu", us(worst), most);
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t ms = kit_tsc_hz() / 1000, mode = kit_option(boot_params, "mode", 0);
    uint64_t ticks = kit_option(boot_params, "ms", 1000) * ms;
    uint64_t share = kit_option(boot_params, "share", 0);
    uint64_t most = kit_option(boot_params, "most", 1000000);

    apic_init();
    kit_sleep_ms(kit_option(boot_params, "wait", 300));
    switch (mode) {
    case 0:
    case 1:
        computes(mode == 1, ticks, share, most);
        break;
    case 2:
        sleeps(ticks, kit_option(boot_params, "every", 3000), most);
        break;
    case 3:
        reads(ticks, most);
        break;
    case 4:
        timers_fastest();
        __asm__ volatile("sti");
        computes(false, ticks, share, most);
        __asm__ volatile("cli");
        break;
    default:
        tap_ok(false, "mode %lu is known", mode);
    }
}
