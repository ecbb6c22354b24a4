/* SPDX-License-Identifier: BSD-2-Clause */
/* Collects a series of samples and prints its figures. */
#include "bench.h"

static uint64_t samples[SAMPLES_MAX];
static unsigned n;

void bench_add(uint64_t ticks)
{
    if (n < SAMPLES_MAX) {
        samples[n++] = ticks;
    }
}

/* Heap sort: no recursion, no worst case. */
static void sift(uint64_t *a, unsigned root, unsigned end)
{
    for (unsigned child = 2 * root + 1; child < end; child = 2 * root + 1) {
        if (child + 1 < end && a[child] < a[child + 1]) {
            child++;
        }
        if (a[root] >= a[child]) {
            return;
        }
        uint64_t t = a[root];
        a[root] = a[child];
        a[child] = t;
        root = child;
    }
}

static void sort(uint64_t *a, unsigned count)
{
    for (unsigned i = count / 2; i-- > 0;) {
        sift(a, i, count);
    }
    for (unsigned end = count; end-- > 1;) {
        uint64_t t = a[0];
        a[0] = a[end];
        a[end] = t;
        sift(a, 0, end);
    }
}

void bench_report(const char *name)
{
    uint64_t sum = 0;

    if (n == 0) {
        print("BENCH %s 0 0 0 0 0\n", name);
        return;
    }
    sort(samples, n);
    for (unsigned i = 0; i < n; i++) {
        sum += samples[i];
    }
    print("BENCH %s %u %lu %lu %lu %lu\n", name, n, (sum + n / 2) / n, samples[n / 2], samples[0],
          samples[n - 1 - n / 100]);
    n = 0;
}
