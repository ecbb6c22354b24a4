/* SPDX-License-Identifier: BSD-2-Clause */
/* Entropy from RDSEED or RDRAND (SDM vol. 1, 7.3.17), and from clocks that do not run in step. */
#include "arch/x86_64/entropy.h"

#include <cpuid.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"

/* Reads of the clocks where there is nothing better: the low bits of what each read takes in TSC
 * ticks are worth a bit at least on a real bus, which runs by another crystal than the core. */
#define CLOCK_READS 512u
#define PIT_CH0 0x40
#define PIT_COMMAND 0x43
#define PIT_LATCH_CH0 0x00
#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define CMOS_CLOCK_BYTES 10u

static bool rdseed(uint64_t *word)
{
    bool ok;

    __asm__ volatile("rdseed %0" : "=r"(*word), "=@ccc"(ok));
    return ok;
}

static bool rdrand(uint64_t *word)
{
    bool ok;

    __asm__ volatile("rdrand %0" : "=r"(*word), "=@ccc"(ok));
    return ok;
}

static void stir_clocks(struct random *r, unsigned reads)
{
    for (unsigned i = 0; i < reads; i++) {
        out8(PIT_COMMAND, PIT_LATCH_CH0);
        uint64_t count = in8(PIT_CH0);
        count |= (uint64_t)in8(PIT_CH0) << 8;
        random_stir(r, rdtsc() ^ count << 48);
    }
    for (uint8_t i = 0; i < CMOS_CLOCK_BYTES; i++) {
        out8(CMOS_INDEX, i);
        uint64_t value = in8(CMOS_DATA);
        random_stir(r, rdtsc() ^ value << 56);
    }
}

bool entropy_stir(struct random *r, const char **source)
{
    uint32_t features = cpuid(0, 0).eax >= 7 ? cpuid(7, 0).ebx : 0;

    stir_clocks(r, 1);
    if ((features & bit_RDSEED) && random_stir_from(r, rdseed)) {
        *source = "RDSEED";
        return true;
    }
    if ((cpuid(1, 0).ecx & bit_RDRND) && random_stir_from(r, rdrand)) {
        *source = "RDRAND";
        return true;
    }
    stir_clocks(r, CLOCK_READS);
    *source = "the machine's clocks";
    return false;
}
