/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that was never touched reads zero, what is written stays, over all of RAM. */
#include "kit.h"

static uint64_t value(uint64_t at)
{
    return (at ^ 0x5bd1e995) * 0x9e3779b97f4a7c15ul;
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t end = kit_ram_end(boot_params), wrong = 0;
    volatile uint8_t *bytes = (uint8_t *)KIT_HEAP;

    tap_ok(end > KIT_HEAP + (8ul << 20), "RAM ends at %lx", end);
    /* The first page by stores of every size at its edges, before any read. */
    *(volatile uint16_t *)(KIT_HEAP + PAGE - 1) = 0x1234; /* two new pages at once */
    tap_ok(bytes[PAGE - 1] == 0x34 && bytes[PAGE] == 0x12 && bytes[PAGE - 2] == 0 &&
               bytes[PAGE + 1] == 0,
           "a store across two untouched pages");
    bytes[PAGE - 1] = bytes[PAGE] = 0;
    for (uint64_t at = KIT_HEAP; at < end; at += 8) {
        wrong += *(uint64_t *)at != 0;
    }
    tap_ok(wrong == 0, "untouched memory is zero: %lu words are not", wrong);
    for (uint64_t at = KIT_HEAP; at < end; at += 8) {
        *(uint64_t *)at = value(at);
    }
    for (uint64_t at = KIT_HEAP; at < end; at += 8) {
        wrong += *(uint64_t *)at != value(at);
    }
    tap_ok(wrong == 0, "what was written stays: %lu words do not", wrong);
    for (uint64_t at = end; at > KIT_HEAP;) {
        at -= 8;
        *(uint64_t *)at = ~value(at);
    }
    for (uint64_t at = KIT_HEAP; at < end; at += 8) {
        wrong += *(uint64_t *)at != ~value(at);
    }
    tap_ok(wrong == 0, "written downwards, inverted: %lu words are wrong", wrong);
    wrong = 0;
    for (uint64_t at = 0x20000; at < 0x90000; at += 8) { /* conventional memory */
        uint64_t old = *(uint64_t *)at;
        *(volatile uint64_t *)at = value(at);
        wrong += *(volatile uint64_t *)at != value(at);
        *(volatile uint64_t *)at = old;
    }
    tap_ok(wrong == 0, "memory below 640 KiB");
}
