/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that this VM does not have. Reads are all ones, writes vanish, nothing of its own changes.
 * `how`: 0 that; 1 executes there, 2 pushes there, 3 has page tables there: each stops the VM.
 */
#include "paging.h"

#define HIGH 0x200000000ul /* a linear address for guest-physical addresses above 4 GiB */

static uint64_t checksum(uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (uint64_t at = from; at < to; at += 8) {
        sum = (sum << 7 | sum >> 57) ^ *(uint64_t *)at;
    }
    return sum;
}

static void at(uint64_t linear, const char *what)
{
    volatile uint8_t *b = (uint8_t *)linear;

    bool ok = *b == 0xff && *(volatile uint16_t *)b == 0xffff &&
              *(volatile uint32_t *)b == 0xffffffff && *(volatile uint64_t *)b == ~0ul;
    tap_ok(ok, "%s (%lx) reads all ones in every size", what, linear);
    *b = 1;
    *(volatile uint16_t *)b = 2;
    *(volatile uint32_t *)b = 3;
    *(volatile uint64_t *)b = 4;
    tap_ok(*(volatile uint64_t *)b == ~0ul, "%s swallows writes", what);
}

static void map_high(uint64_t physical)
{
    *kit_pte(HIGH) = physical | PTE_P | PTE_W;
    kit_flush();
}

static void everywhere(uint64_t end)
{
    for (uint64_t p = KIT_HEAP; p < end; p += 8) {
        *(uint64_t *)p = p * 0x9e3779b97f4a7c15ul;
    }
    uint64_t before = checksum(KIT_HEAP, end);
    at(end, "just past RAM");
    at(end + PAGE - 8, "the end of that page");
    at(0x40000000, "1 GiB");
    at(0xd0000000, "the PCI hole");
    at(0xfed40000, "an absent device");
    at(0xff000000, "where firmware would be");
    at(0xfffffff8, "the last bytes below 4 GiB");
    map_high(0x100000000);
    at(HIGH, "4 GiB");
    map_high(0x700000000);
    at(HIGH, "28 GiB");
    /* The seam of RAM and nothing: both halves behave. */
    volatile uint32_t *seam = (uint32_t *)(end - 4);
    *seam = 0x12345678;
    at(end, "past RAM again");
    tap_ok(*seam == 0x12345678, "the last word of RAM");
    *(volatile uint64_t *)(end - 8) = (end - 8) * 0x9e3779b97f4a7c15ul;
    tap_ok(checksum(KIT_HEAP, end) == before, "its own memory is as it was");
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t end = kit_ram_end(boot_params);

    print("outside: RAM ends at %lx\n", end);
    switch (kit_option(boot_params, "how", 0)) {
    case 0:
        everywhere(end);
        return;
    case 1:
        ((void (*)(void))(end + 0x1000))();
        break;
    case 2:
        __asm__ volatile("mov %0, %%rsp; push %%rax" ::"r"(end + 0x2000) : "memory");
        break;
    case 3:
        __asm__ volatile("mov %0, %%cr3" ::"r"(end + 0x3000) : "memory");
        break;
    }
    print("outside: still here\n");
}
