/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts by vector: which handlers a vector has, and which chip it comes through. */
#include "arch/x86_64/irq.h"

#include "base/bits.h"
#include "base/log.h"

#define HANDLERS 4

static struct vector {
    struct {
        void (*fn)(void *ctx);
        void *ctx;
    } handler[HANDLERS];
    unsigned n;
    bool waits; /* it came while it was held; masked */
    const struct irq_chip *chip;
} vectors[IRQ_VECTORS - IRQ_FIRST_VECTOR]; /* the machine's; changed at start-up */

static const struct irq_chip *line_chip; /* the machine's */
static bool holding;
static unsigned not_held; /* but this vector */

/* NULL: a vector that can have no handler. */
static struct vector *vector_of(unsigned vector)
{
    bool known = vector >= IRQ_FIRST_VECTOR && vector < IRQ_VECTORS;

    return known && vectors[vector - IRQ_FIRST_VECTOR].chip ? &vectors[vector - IRQ_FIRST_VECTOR]
                                                            : NULL;
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
    v->handler[v->n].fn = fn;
    v->handler[v->n].ctx = ctx;
    v->n++;
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
    for (unsigned i = 0; i < v->n; i++) {
        v->handler[i].fn(v->handler[i].ctx);
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

void irq_dispatch(unsigned vector)
{
    const struct vector *known = vector_of(vector);

    if (!known || (known->chip->is_spurious && known->chip->is_spurious(vector))) {
        return; /* no EOI: for the local APIC's spurious vector, SDM vol. 3, 11.9 */
    }
    struct vector *v = &vectors[vector - IRQ_FIRST_VECTOR];
    if (!v->chip->mask) {
        call_handlers(v);
    } else if (v->n == 0) {
        v->chip->mask(vector); /* nothing could ever quieten it */
    } else if (holding && vector != not_held) {
        v->waits = true;
        v->chip->mask(vector);
    } else {
        call_handlers(v);
    }
    /* After the handlers: a level-triggered line is quiet by then. */
    v->chip->eoi(vector);
}
