/* SPDX-License-Identifier: BSD-2-Clause */
/* Work for which the machine stands still: see still.h. */
#include "kernel/core/still.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/irq.h"
#include "base/log.h"
#include "drivers/host/uart.h"
#include "kernel/core/charge.h"
#include "kernel/core/sched.h"
#include "kernel/core/step.h"

static still_clocks_fn *guests_clocks;
static unsigned console_vector; /* 0: its line has none, and it is polled */
static still_fn *asked;         /* NULL: nothing is */
static bool ended;

static struct deadline step;
static uint64_t step_ns; /* when the step began */

static void begin_step(void)
{
    (void)charge(&charge_console);
    step = step_begin();
    step_ns = clock_now_ns();
}

static void end_step(void)
{
    step_note("work on a machine that stands still", NULL, clock_now_ns() - step_ns);
}

static bool between(void *ctx)
{
    (void)ctx;
    if (deadline_passed(&step)) {
        end_step();
        sched_serve_console();
        begin_step();
    }
    return !ended;
}

/* Between the clocks of two guests: all have to be done. */
static bool between_clocks(void *ctx)
{
    (void)between(ctx);
    return true;
}

static void set_clocks(bool stop)
{
    struct yield y = {.fn = between_clocks};

    guests_clocks(stop, &y);
}

void still_init(still_clocks_fn *clocks)
{
    guests_clocks = clocks;
    if (irq_route(HOST_UART_COM1_IRQ, &console_vector) != OK) {
        console_vector = 0;
    }
}

void still_ask(still_fn *fn)
{
    ASSERT(!asked);
    asked = fn;
    ended = false;
}

bool still_is_asked(void)
{
    return asked != NULL;
}

void still_end(void)
{
    ended = true;
}

bool still_run(void)
{
    struct yield y = {.fn = between};

    if (!asked) {
        return false;
    }
    if (!ended) {
        irq_hold(console_vector);
        begin_step();
        set_clocks(true);
        asked(&y);
        set_clocks(false);
        end_step();
        (void)charge(&charge_hypervisor);
        irq_release();
    }
    asked = NULL;
    return true;
}
