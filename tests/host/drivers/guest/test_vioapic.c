/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O APIC: its registers, edges and levels, remote IRR, and a plain oracle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bits.h"
#include "base/string.h"
#include "drivers/guest/vioapic.h"
#include "rnd.h"
#include "world_platform.h"

#define MASKED 0x10000u
#define LEVEL 0x8000u
#define LOGICAL 0x800u
#define REMOTE_IRR 0x4000u

static struct vioapic chip;
static struct iobus mmio;
static struct fake_irqs irqs;

static int begin(void **state)
{
    struct irq_sink sink = fake_sink(&irqs);

    (void)state;
    memset(&irqs, 0, sizeof(irqs));
    iobus_init(&mmio);
    vioapic_init(&chip, &sink);
    return vioapic_attach(&chip, &mmio) != OK;
}

static uint32_t get(uint8_t index)
{
    iobus_write(&mmio, VIOAPIC_BASE, 4, index);
    return (uint32_t)iobus_read(&mmio, VIOAPIC_BASE + 0x10, 4);
}

static void set(uint8_t index, uint32_t value)
{
    iobus_write(&mmio, VIOAPIC_BASE, 4, index);
    iobus_write(&mmio, VIOAPIC_BASE + 0x10, 4, value);
}

static void set_entry(unsigned input, uint32_t low, uint8_t dest)
{
    set((uint8_t)(0x11 + 2 * input), (uint32_t)dest << 24);
    set((uint8_t)(0x10 + 2 * input), low);
}

static void pulse(unsigned line)
{
    vioapic_set_line(&chip, line, true);
    vioapic_set_line(&chip, line, false);
}

static void test_registers(void **state)
{
    (void)state;
    assert_int_equal(get(1), 0x170020); /* 24 inputs, with an EOI register */
    for (unsigned i = 0; i < VIOAPIC_INPUTS; i++) {
        assert_int_equal(get((uint8_t)(0x10 + 2 * i)), MASKED);
        assert_int_equal(get((uint8_t)(0x11 + 2 * i)), 0);
    }
    set(0, 0xffffffff);
    assert_int_equal(get(0), 0x0f000000);
    assert_int_equal(get(2), 0x0f000000);
    set(1, 0);
    assert_int_equal(get(1), 0x170020);
    /* Delivery status and remote IRR are not to be written, nor is what is reserved. */
    set_entry(5, 0xffffffff, 0xff);
    assert_int_equal(get(0x1a), 0x1afff);
    assert_int_equal(get(0x1b), 0xff000000);
    assert_int_equal(irqs.messages, 0);
}

/* Indexes and offsets where there is nothing: zeroes, and nothing changes. */
static void test_holes(void **state)
{
    struct vioapic before;

    (void)state;
    set(0, 0);
    before = chip;
    for (unsigned i = 0; i < 256; i++) {
        if (i < 0x10 ? i > 2 : i >= 0x10 + 2 * VIOAPIC_INPUTS) {
            set((uint8_t)i, 0xffffffff);
            assert_int_equal(get((uint8_t)i), 0);
        }
    }
    for (uint64_t at = 0x11; at < PAGE_SIZE; at++) {
        iobus_write(&mmio, VIOAPIC_BASE + at, 4, 0xffffffff);
        assert_int_equal(iobus_read(&mmio, VIOAPIC_BASE + at, 4), 0);
    }
    chip.select = before.select;
    assert_memory_equal(&chip, &before, sizeof(chip));
    vioapic_set_line(&chip, 16, true);
    vioapic_set_line(&chip, UINT32_MAX, true);
    assert_memory_equal(&chip, &before, sizeof(chip));
}

static void test_edge(void **state)
{
    (void)state;
    set_entry(4, 0x34, 3);
    vioapic_set_line(&chip, 4, true);
    assert_int_equal(irqs.messages, 1);
    assert_int_equal(irqs.addr, 0xfee03000);
    assert_int_equal(irqs.data, 0x34);
    vioapic_set_line(&chip, 4, true); /* no edge */
    vioapic_set_line(&chip, 4, false);
    assert_int_equal(irqs.messages, 1);
    pulse(4); /* nobody has to end the first */
    assert_int_equal(irqs.messages, 2);
    set_entry(4, 0x34 | MASKED, 3);
    pulse(4);
    set_entry(4, 0x34 | LOGICAL | 0x100, 0x81); /* an edge while masked is lost */
    assert_int_equal(irqs.messages, 2);
    pulse(4);
    assert_int_equal(irqs.messages, 3);
    assert_int_equal(irqs.addr, 0xfee81004);
    assert_int_equal(irqs.data, 0x134);
}

/* ISA line 0 is input 2; nothing is wired to input 0. */
static void test_timer_input(void **state)
{
    (void)state;
    set_entry(0, 0x20, 0);
    pulse(0);
    assert_int_equal(irqs.messages, 0);
    set_entry(VIOAPIC_TIMER_INPUT, 0x22, 0);
    pulse(0);
    assert_int_equal(irqs.messages, 1);
    assert_int_equal(irqs.data, 0x22);
}

static void test_level(void **state)
{
    (void)state;
    set_entry(9, 0x49 | LEVEL | MASKED, 0);
    vioapic_set_line(&chip, 9, true);
    assert_int_equal(irqs.messages, 0);
    set_entry(9, 0x49 | LEVEL, 0); /* the level waited */
    assert_int_equal(irqs.messages, 1);
    assert_int_equal(irqs.data, 0x49 | 0xc000);
    assert_true(get(0x22) & REMOTE_IRR);
    vioapic_set_line(&chip, 9, false);
    vioapic_set_line(&chip, 9, true);
    assert_int_equal(irqs.messages, 1); /* not before its end */
    vioapic_eoi(&chip, 0x48);
    assert_int_equal(irqs.messages, 1); /* another's */
    vioapic_eoi(&chip, 0x49);
    assert_int_equal(irqs.messages, 2); /* still high: again */
    vioapic_set_line(&chip, 9, false);
    iobus_write(&mmio, VIOAPIC_BASE + 0x40, 4, 0x49); /* the chip's own EOI register */
    assert_int_equal(irqs.messages, 2);
    assert_false(get(0x22) & REMOTE_IRR);
}

/* Linux ends a stuck interrupt by making its entry edge-triggered, masked, and level again. */
static void test_turn_to_edge(void **state)
{
    (void)state;
    set_entry(9, 0x49 | LEVEL, 0);
    vioapic_set_line(&chip, 9, true);
    assert_int_equal(irqs.messages, 1);
    set_entry(9, 0x49 | MASKED, 0);
    assert_false(get(0x22) & REMOTE_IRR);
    set_entry(9, 0x49 | LEVEL, 0);
    assert_int_equal(irqs.messages, 2);
}

/* Several level inputs with one vector: one EOI looks at all of them again. */
static void test_shared_vector(void **state)
{
    (void)state;
    for (unsigned line = 9; line < 12; line++) {
        set_entry(line, 0x55 | LEVEL, 0);
        vioapic_set_line(&chip, line, true);
    }
    assert_int_equal(irqs.messages, 3);
    vioapic_set_line(&chip, 10, false);
    vioapic_eoi(&chip, 0x55);
    assert_int_equal(irqs.messages, 5);
}

/* One input as the data sheet tells it, in single facts instead of in sets of bits. */
struct oracle {
    bool level, masked, high, waiting;
    uint8_t vector;
    unsigned messages;
};

static void oracle_look(struct oracle *o)
{
    if (o->level && o->high && !o->masked && !o->waiting) {
        o->waiting = true;
        o->messages++;
    }
}

static void test_oracle(void **state)
{
    struct oracle o[16];
    struct rnd seed = {11};

    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        o[i] = (struct oracle){.masked = true};
    }
    for (unsigned step = 0; step < 200000; step++) {
        uint64_t r = rnd_next(&seed);
        unsigned i = r % 16, n = i == 0 ? 2 : i, messages = 0;
        uint8_t vector = (uint8_t)(0x30 + (r >> 8) % 4);
        if (i == 2) {
            continue; /* input 2 is line 0's; line 2 is the cascade */
        }
        switch (r >> 16 & 3) {
        case 0:
        case 1:
            if (!o[i].high && !(r >> 18 & 1) && !o[i].level && !o[i].masked) {
                o[i].messages++;
            }
            o[i].high = !(r >> 18 & 1);
            vioapic_set_line(&chip, i, o[i].high);
            oracle_look(&o[i]);
            break;
        case 2:
            o[i].masked = r >> 18 & 1;
            o[i].level = r >> 19 & 1;
            o[i].vector = vector;
            o[i].waiting &= o[i].level;
            set((uint8_t)(0x10 + 2 * n),
                vector | (o[i].masked ? MASKED : 0) | (o[i].level ? LEVEL : 0));
            oracle_look(&o[i]);
            break;
        default:
            vioapic_eoi(&chip, vector);
            for (unsigned k = 0; k < 16; k++) {
                if (o[k].waiting && o[k].vector == vector) {
                    o[k].waiting = false;
                    oracle_look(&o[k]);
                }
            }
        }
        for (unsigned k = 0; k < 16; k++) {
            messages += o[k].messages;
        }
        assert_int_equal(irqs.messages, messages);
        assert_int_equal((chip.entries[n] & REMOTE_IRR) != 0, o[i].waiting);
    }
}

/* Input 0: the PIC's output, as ExtINT or as anything else. */
static void test_intr(void **state)
{
    uint32_t dest;
    bool logical;

    (void)state;
    vioapic_set_intr(&chip, true);
    assert_int_equal(irqs.messages, 0);
    assert_false(vioapic_passes_intr(&chip, &dest, &logical));
    /* It waits for the acknowledge, so opening the entry lets it through. */
    set_entry(0, 0x700, 3);
    assert_int_equal(irqs.messages, 1);
    assert_int_equal(irqs.data >> 8 & 7, 7);
    assert_true(vioapic_passes_intr(&chip, &dest, &logical));
    assert_int_equal(dest, 3);
    assert_false(logical);
    vioapic_set_intr(&chip, false);
    vioapic_set_intr(&chip, true);
    assert_int_equal(irqs.messages, 2);
    set_entry(0, 0x700 | LOGICAL, 0xff);
    assert_true(vioapic_passes_intr(&chip, &dest, &logical));
    assert_int_equal(dest, UINT32_MAX);
    assert_true(logical);
    set_entry(0, 0x700 | MASKED, 3);
    assert_false(vioapic_passes_intr(&chip, &dest, &logical));
    /* A fixed vector by the edge: one that came while it was masked is lost. */
    irqs.messages = 0;
    set_entry(0, 0x55, 0);
    assert_int_equal(irqs.messages, 0);
    assert_false(vioapic_passes_intr(&chip, &dest, &logical));
    vioapic_set_intr(&chip, false);
    vioapic_set_intr(&chip, true);
    assert_int_equal(irqs.messages, 1);
    assert_int_equal(irqs.data, 0x55);
    pulse(0); /* the timer's line is not this input */
    assert_int_equal(irqs.messages, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_registers, begin),
        cmocka_unit_test_setup(test_holes, begin),
        cmocka_unit_test_setup(test_edge, begin),
        cmocka_unit_test_setup(test_timer_input, begin),
        cmocka_unit_test_setup(test_level, begin),
        cmocka_unit_test_setup(test_turn_to_edge, begin),
        cmocka_unit_test_setup(test_shared_vector, begin),
        cmocka_unit_test_setup(test_intr, begin),
        cmocka_unit_test_setup(test_oracle, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
