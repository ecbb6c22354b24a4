/* SPDX-License-Identifier: BSD-2-Clause */
/* Zipf by its sums and a binary search; scans and loops by counting. */
#include "tools/host/synth.h"

#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COLD_AREA 4u /* times the popular blocks */

/* Steele, Lea and Flood's SplitMix64. */
static uint64_t random_next(struct synth *s)
{
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void make_zipf(struct synth *s, double exponent)
{
    double sum = 0;

    s->sums = malloc(s->blocks * sizeof(*s->sums));
    if (!s->sums) {
        err(2, "memory");
    }
    for (uint32_t i = 0; i < s->blocks; i++) {
        sum += pow((double)i + 1, -exponent);
        s->sums[i] = sum;
    }
}

bool synth_make(struct synth *s, const char *name, uint32_t blocks, uint64_t seed)
{
    *s = (struct synth){.blocks = blocks, .random = seed};
    if (strncmp(name, "zipf:", 5) == 0) {
        char *end;
        double exponent = strtod(name + 5, &end);
        if (end == name + 5 || *end || !(exponent >= 0 && exponent <= 10)) {
            return false;
        }
        make_zipf(s, exponent);
        return true;
    }
    if (strcmp(name, "scan") == 0) {
        s->scans = true;
        make_zipf(s, 1.0);
        return true;
    }
    return strcmp(name, "loop") == 0;
}

static uint32_t zipf_next(struct synth *s)
{
    double x = (double)(random_next(s) >> 11) * 0x1p-53 * s->sums[s->blocks - 1];
    uint32_t low = 0, high = s->blocks - 1; /* the first whose sum is above x */

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (s->sums[mid] > x) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low;
}

uint32_t synth_next(struct synth *s)
{
    if (s->scan_left > 0) {
        s->scan_left--;
        uint32_t id = s->blocks + s->scan_at;
        s->scan_at = (s->scan_at + 1) % (COLD_AREA * s->blocks);
        return id;
    }
    uint64_t step = s->step++;
    if (!s->sums) {
        return (uint32_t)(step % s->blocks);
    }
    if (s->scans && s->step % s->blocks == 0) {
        s->scan_left = s->blocks / 2;
    }
    return zipf_next(s);
}

uint32_t synth_blocks(const struct synth *s)
{
    return s->scans ? (1 + COLD_AREA) * s->blocks : s->blocks;
}

void synth_free(struct synth *s)
{
    free(s->sums);
}
