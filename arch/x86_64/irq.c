/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts by vector: which handlers a vector has, and which chip it comes through. */
#include "arch/x86_64/irq.h"

#include "base/bits.h"
#include "base/log.h"

#define HANDLERS 4

struct handler {
    void (*fn)(void *ctx);
    void *ctx;
};

static struct vector {
    struct handler handlers[HANDLERS];
    unsigned n;
    bool waits; /* it came while it was held; masked */
    const struct irq_chip *chip;
} vectors[IRQ_VECTORS - IRQ_FIRST_VECTOR]; /* the machine's; changed at start-up */

static const struct irq_chip *line_chip; /* the machine's */
static bool holding;                     /* the machine's: it stands still then */
static unsigned not_held;                /* but this vector */

/* NULL: nothing comes by this vector. */
static struct vector *vector_of(unsigned vector)
{
    unsigned i = vector - IRQ_FIRST_VECTOR; /* huge for one below */

    return i < ARRAY_LEN(vectors) && vectors[i].chip ? &vectors[i] : NULL;
}

static unsigned number_of(const struct vector *v)
{
    return (unsigned)(v - vectors) + IRQ_FIRST_VECTOR;
}

void irq_add_chip(const struct irq_chip *chip, unsigned first, unsigned n)
{
    ASSERT(first >= IRQ_FIRST_VECTOR && first + n <= IRQ_VECTORS);
    for (unsigned i = 0; i < n; i++) {
        vectors[first + i - IRQ_FIRST_VECTOR].chip = chip;
    }
    if (chip->route) {
        line_chip = chip;
    }
}

enum status irq_route(unsigned line, unsigned *vector)
{
    return line_chip ? line_chip->route(line, vector) : E_RANGE;
}

enum status irq_register(unsigned vector, void (*fn)(void *ctx), void *ctx)
{
    struct vector *v = vector_of(vector);

    if (!v) {
        return E_RANGE;
    }
    if (v->n == HANDLERS) {
        return E_NOMEM;
    }
    v->handlers[v->n++] = (struct handler){fn, ctx};
    if (v->chip->unmask) {
        v->chip->unmask(vector);
    }
    return OK;
}

enum status irq_register_line(unsigned line, void (*fn)(void *ctx), void *ctx)
{
    unsigned vector;
    enum status s = irq_route(line, &vector);

    return s == OK ? irq_register(vector, fn, ctx) : s;
}

static void call_handlers(const struct vector *v)
{
    for (const struct handler *h = v->handlers, *end = h + v->n; h < end; h++) {
        h->fn(h->ctx);
    }
}

void irq_hold(unsigned vector)
{
    ASSERT(!holding);
    not_held = vector;
    holding = true;
}

void irq_release(void)
{
    holding = false;
    for (unsigned i = 0; i < ARRAY_LEN(vectors); i++) {
        struct vector *v = &vectors[i];
        if (v->waits) {
            v->waits = false;
            call_handlers(v); /* first: a level-triggered line is quiet by then */
            v->chip->unmask(number_of(v));
        }
    }
}

/* Of a chip with masks: may be held, and is masked when it has no handler. */
static __attribute__((noinline)) void dispatch_maskable(struct vector *v)
{
    const struct irq_chip *chip = v->chip;
    unsigned vector = number_of(v);

    if (chip->is_spurious && chip->is_spurious(vector)) {
        return;
    }
    if (v->n == 0) {
        chip->mask(vector); /* nothing could ever quieten it */
    } else if (holding && vector != not_held) {
        v->waits = true;
        chip->mask(vector);
    } else {
        call_handlers(v);
    }
    /* After the handlers: a level-triggered line is quiet by then. */
    chip->eoi(vector);
}

void irq_dispatch(unsigned vector)
{
    struct vector *v = vector_of(vector);

    if (!v) {
        return; /* no EOI: the local APIC's spurious vector wants none (SDM vol. 3, 11.9) */
    }
    if (v->chip->mask) {
        dispatch_maskable(v);
    } else {
        call_handlers(v); /* the timer: this path is short */
        v->chip->eoi(vector);
    }
}
