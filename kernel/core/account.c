/* SPDX-License-Identifier: BSD-2-Clause */
/* Accounts of CPU time: see account.h. */
#include "kernel/core/account.h"

static uint64_t pending_ns(const struct accounts *a, uint64_t now_ns)
{
    return now_ns > a->since_ns ? now_ns - a->since_ns : 0;
}

void accounts_init(struct accounts *a, struct account *first, uint64_t now_ns)
{
    *a = (struct accounts){.open = first, .since_ns = now_ns};
}

struct account *account_switch(struct accounts *a, struct account *to, uint64_t now_ns)
{
    struct account *before = a->open;
    uint64_t ns = pending_ns(a, now_ns);

    before->ns += ns;
    a->since_ns += ns; /* not behind a clock that went back: no time is charged twice */
    a->open = to;
    return before;
}

uint64_t account_ns(const struct accounts *a, const struct account *of, uint64_t now_ns)
{
    return of->ns + (of == a->open ? pending_ns(a, now_ns) : 0);
}
