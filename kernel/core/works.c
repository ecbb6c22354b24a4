/* SPDX-License-Identifier: BSD-2-Clause */
/* Work for the loop that belongs to no VM: see sched.h. */
#include "kernel/core/works.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/ksyms.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/tsc.h"
#include "base/log.h"
#include "kernel/core/charge.h"
#include "kernel/core/sched.h"
#include "kernel/core/step.h"

#define WORKS 12

static struct work {
    sched_work_fn *fn;
    void *ctx;
} works[WORKS], console_work;
static unsigned n_works;

void sched_add_work(sched_work_fn *fn, void *ctx)
{
    ASSERT(n_works < WORKS);
    works[n_works].fn = fn;
    works[n_works++].ctx = ctx;
}

void sched_set_console_work(sched_work_fn *fn, void *ctx)
{
    console_work = (struct work){fn, ctx};
}

static PERCPU struct works_cpu {
    uint64_t longest; /* in ticks: the conversion of each would cost more than most works */
} works_cpu;

/* What a work finds to do it charges itself; the look is charged to `looker`. *begin, in ticks, is
 * when it begins, and then when it has ended. */
static bool do_work(const struct work *w, struct account *looker, uint64_t *begin)
{
    struct works_cpu *cpu = this_cpu(works_cpu);
    bool more = w->fn(w->ctx);
    uint64_t offset;

    charge_back(looker);
    uint64_t end = rdtsc();
    if (end - *begin > cpu->longest) {
        cpu->longest = end - *begin;
        step_note(ksyms_find((uint64_t)w->fn, &offset), NULL, clock_ticks_to_ns(cpu->longest));
    }
    *begin = end;
    return more;
}

bool works_do(struct account *looker)
{
    uint64_t begin = rdtsc();
    bool more = do_work(&console_work, looker, &begin);

    for (unsigned i = 0; i < n_works; i++) {
        more |= do_work(&works[i], looker, &begin);
    }
    return more;
}

void works_do_console(struct account *looker)
{
    uint64_t begin = rdtsc();

    (void)do_work(&console_work, looker, &begin);
}
