/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake clock and interrupt listener of the device model tests. */
#include "world_platform.h"

uint64_t fake_ns;

uint64_t fake_now(void)
{
    return fake_ns;
}

void fake_advance(struct timerq *q, uint64_t ns)
{
    uint64_t end = fake_ns + ns;

    while (timerq_next(q) <= end) {
        fake_ns = timerq_next(q) > fake_ns ? timerq_next(q) : fake_ns;
        timerq_run(q, fake_ns);
    }
    fake_ns = end;
}

static void set_line(void *ctx, unsigned line, bool level)
{
    struct fake_irqs *f = ctx;

    if (line < 16) {
        f->rises[line] += level && !f->level[line];
        f->level[line] = level;
    }
}

static void message(void *ctx, uint64_t addr, uint32_t data)
{
    struct fake_irqs *f = ctx;

    f->messages++;
    f->addr = addr;
    f->data = data;
}

struct irq_sink fake_sink(struct fake_irqs *f)
{
    return (struct irq_sink){.set_line = set_line, .message = message, .ctx = f};
}
