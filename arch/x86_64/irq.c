/* SPDX-License-Identifier: BSD-2-Clause */
/* Dispatch of host interrupts to their handlers. */
#include "arch/x86_64/irq.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/pic.h"
#include "arch/x86_64/trap.h"
#include "base/log.h"

#define HANDLERS 4

static struct line {
    struct {
        void (*fn)(void *ctx);
        void *ctx;
    } handler[HANDLERS];
    unsigned n;
    bool waits; /* it came while it was held; masked */
} lines[IRQ_LINES];

static bool holding;
static unsigned not_held; /* but this line */

void irq_init(void)
{
    host_pic_init();
    host_lapic_init();
}

enum status irq_register(unsigned line, void (*fn)(void *ctx), void *ctx)
{
    if (line >= IRQ_LINES || line == PIC_CASCADE) {
        return E_RANGE;
    }
    struct line *l = &lines[line];
    if (l->n == HANDLERS) {
        return E_NOMEM;
    }
    l->handler[l->n].fn = fn;
    l->handler[l->n].ctx = ctx;
    l->n++;
    host_pic_unmask(line);
    return OK;
}

static void call_handlers(const struct line *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        l->handler[i].fn(l->handler[i].ctx);
    }
}

void irq_hold(unsigned line)
{
    ASSERT(!holding);
    not_held = line;
    holding = true;
}

void irq_release(void)
{
    holding = false;
    for (unsigned i = 0; i < IRQ_LINES; i++) {
        if (lines[i].waits) {
            lines[i].waits = false;
            call_handlers(&lines[i]); /* first: a level-triggered line is quiet by then */
            host_pic_unmask(i);
        }
    }
}

static void line_dispatch(unsigned line)
{
    struct line *l = &lines[line];

    if (host_pic_is_spurious(line)) {
        return;
    }
    if (holding && line != not_held && l->n > 0) {
        l->waits = true;
        host_pic_mask(line);
        host_pic_eoi(line);
        return;
    }
    call_handlers(l);
    if (l->n == 0) {
        host_pic_mask(line); /* nobody could ever quieten it */
    }
    /* After the handlers: a level-triggered line is quiet by then. */
    host_pic_eoi(line);
}

void irq_dispatch(unsigned vector)
{
    if (vector - VECTOR_IRQ_BASE < IRQ_LINES) {
        line_dispatch(vector - VECTOR_IRQ_BASE);
    } else if (vector == VECTOR_TIMER) {
        clock_fired();
        host_lapic_eoi();
    } else if (vector != VECTOR_SPURIOUS) { /* which wants no EOI: SDM vol. 3, 11.9 */
        host_lapic_eoi();
    }
}

void irq_window(void)
{
    __asm__ volatile("sti; nop; cli" : : : "memory");
}

void irq_idle(void)
{
    /* STI holds interrupts off for one instruction, so none is lost between it and HLT. */
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}
