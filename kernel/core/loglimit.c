/* SPDX-License-Identifier: BSD-2-Clause */
/* A bucket that leaks a line's worth each LOGLIMIT_LINE_NS: see loglimit.h. */
#include "kernel/core/loglimit.h"

#include "base/bits.h"

#define FULL_NS (LOGLIMIT_BURST * LOGLIMIT_LINE_NS)

static void age(struct loglimit *l, uint64_t now_ns)
{
    uint64_t passed = now_ns > l->last_ns ? now_ns - l->last_ns : 0;

    l->used_ns -= MIN(l->used_ns, passed);
    l->last_ns = MAX(l->last_ns, now_ns);
}

static bool pay(struct loglimit *l, unsigned lines)
{
    uint64_t price = lines * LOGLIMIT_LINE_NS;

    if (l->used_ns + price > FULL_NS) {
        return false;
    }
    l->used_ns += price;
    return true;
}

bool loglimit_take(struct loglimit *l, uint64_t now_ns, uint64_t *suppressed)
{
    age(l, now_ns);
    if (!pay(l, l->suppressed > 0 ? 2 : 1)) {
        l->suppressed++;
        return false;
    }
    *suppressed = l->suppressed;
    l->suppressed = 0;
    return true;
}

uint64_t loglimit_tell(struct loglimit *l, uint64_t now_ns)
{
    uint64_t n = l->suppressed;

    age(l, now_ns);
    if (n == 0 || !pay(l, 2)) { /* the price of the line that is missing, too */
        return 0;
    }
    l->suppressed = 0;
    return n;
}
