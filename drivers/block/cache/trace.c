/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring of requests, and one of them as text. */
#include "drivers/block/cache/trace.h"

#include "base/format.h"

void blktrace_init(struct blktrace *t, void *mem, uint32_t n_max, uint64_t (*now_ns)(void))
{
    *t = (struct blktrace){.ring = mem, .n_max = n_max, .now_ns = now_ns};
}

void blktrace_add(struct blktrace *t, struct blktrace_record r)
{
    if (t->n == t->n_max) {
        t->lost++;
        return;
    }
    r.t_us = t->now_ns() / 1000;
    t->ring[((uint64_t)t->first + t->n) % t->n_max] = r;
    t->n++;
}

bool blktrace_take(struct blktrace *t, struct blktrace_record *out)
{
    if (t->n == 0) {
        return false;
    }
    *out = t->ring[t->first];
    t->first = t->first + 1 == t->n_max ? 0 : t->first + 1;
    t->n--;
    return true;
}

size_t blktrace_text(const struct blktrace_record *r, char *buf, size_t size)
{
    static const char ops[] = {
        [BLKTRACE_READ] = 'r', [BLKTRACE_WRITE] = 'w', [BLKTRACE_DROP] = 'd'};

    return format(buf, size, "%llu %u %u %llu %u %c", (unsigned long long)r->t_us, r->vm, r->disk,
                  (unsigned long long)r->block, r->blocks, r->op < sizeof(ops) ? ops[r->op] : '?');
}
