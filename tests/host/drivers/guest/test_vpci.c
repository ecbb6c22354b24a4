/* SPDX-License-Identifier: BSD-2-Clause */
/* The PCI bus: enumeration, BAR sizing and moving, capabilities, MSI-X and INTx. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/string.h"
#include "drivers/guest/vpci.h"
#include "world_platform.h"

static struct iobus ports, mmio;
static struct vpci_bus bus;
static struct vpci_dev a, b;
static struct fake_irqs irqs;
static uint64_t seen_offset, seen_value;

static uint64_t bar_read(void *ctx, uint64_t off, unsigned size)
{
    (void)size;
    return off + (uintptr_t)ctx;
}

static void bar_write(void *ctx, uint64_t off, unsigned size, uint64_t value)
{
    (void)ctx;
    (void)size;
    seen_offset = off;
    seen_value = value;
}

static uint32_t get(unsigned slot, unsigned off, unsigned size)
{
    iobus_write(&ports, 0xcf8, 4, 0x80000000u | slot << 11 | (off & 0xfc));
    return (uint32_t)iobus_read(&ports, 0xcfc + (off & 3), size);
}

static void put(unsigned slot, unsigned off, unsigned size, uint32_t value)
{
    iobus_write(&ports, 0xcf8, 4, 0x80000000u | slot << 11 | (off & 0xfc));
    iobus_write(&ports, 0xcfc + (off & 3), size, value);
}

static int setup(void **state)
{
    static const struct vpci_ids ids = {0x1af4, 0x1042, 0x1af4, 2, 0x018000, 1};
    static const uint8_t body[14] = {14 + 2, 1};
    struct irq_sink sink = fake_sink(&irqs);
    unsigned off;

    (void)state;
    memset(&irqs, 0, sizeof(irqs));
    iobus_init(&ports);
    iobus_init(&mmio);
    vpci_bus_init(&bus, &ports, &mmio, &sink);
    assert_int_equal(vpci_attach(&bus), OK);
    vpci_dev_init(&a, &ids, NULL, NULL);
    assert_int_equal(vpci_add_bar(&a, 0, true, 64, bar_read, bar_write, (void *)0x1000), OK);
    assert_int_equal(vpci_add_bar(&a, 1, false, 0x4000, bar_read, bar_write, (void *)0x2000), OK);
    assert_int_equal(vpci_add_capability(&a, VPCI_CAP_ID_VENDOR, body, 16, &off), OK);
    assert_int_equal(off, 0x40);
    assert_int_equal(vpci_add_msix(&a, 2, 5), OK);
    assert_int_equal(vpci_add(&bus, &a, 3), OK);
    vpci_dev_init(&b, &ids, NULL, NULL);
    assert_int_equal(vpci_add_bar(&b, 0, false, 16, bar_read, bar_write, (void *)0x3000), OK);
    assert_int_equal(vpci_add(&bus, &b, 5), OK);
    return 0;
}

static void test_misuse(void **state)
{
    struct vpci_dev d = {0};
    unsigned off;

    (void)state;
    assert_int_equal(vpci_add_bar(&d, 6, true, 4, NULL, NULL, NULL), E_INVAL);
    assert_int_equal(vpci_add_bar(&d, 0, true, 12, NULL, NULL, NULL), E_INVAL);
    assert_int_equal(vpci_add_bar(&d, 0, true, 512, NULL, NULL, NULL), E_INVAL);
    assert_int_equal(vpci_add_bar(&d, 0, false, 8, NULL, NULL, NULL), E_INVAL);
    assert_int_equal(vpci_add_bar(&a, 0, true, 64, NULL, NULL, NULL), E_EXISTS);
    assert_int_equal(vpci_add(&bus, &a, 32), E_RANGE);
    assert_int_equal(vpci_add(&bus, &d, 3), E_EXISTS);
    assert_int_equal(vpci_add_msix(&d, 0, VPCI_MSIX_MAX + 1), E_INVAL);
    assert_int_equal(vpci_add_capability(&a, 9, NULL, 200, &off), E_NOMEM);
    assert_int_equal(vpci_add_capability(&a, 9, NULL, UINT32_MAX, &off), E_NOMEM);
}

static void test_enumeration(void **state)
{
    (void)state;
    assert_int_equal(get(0, 0, 4), 0x12378086);
    assert_int_equal(get(0, 0x0b, 1), 0x06);
    assert_int_equal(get(3, 0, 4), 0x10421af4);
    assert_int_equal(get(3, 2, 2), 0x1042);
    assert_int_equal(get(3, 8, 4), 0x01800001);
    assert_int_equal(get(3, 0x2c, 4), 0x00021af4);
    assert_int_equal(get(4, 0, 4), 0xffffffff);
    assert_int_equal(vpci_config_read(&bus, 0x80010000u, 4), 0xffffffff);      /* bus 1 */
    assert_int_equal(vpci_config_read(&bus, 3 << 11 | 1 << 8, 4), 0xffffffff); /* function 1 */
    assert_int_equal(get(3, 0x34, 1), 0x40);
    assert_int_equal(get(3, 0x40, 4), 0x01105009);
    assert_int_equal(get(3, 0x50, 4), 0x00040011);
    assert_int_equal(get(3, 0x54, 4), 2);
    assert_int_equal(get(3, 0x58, 4), 0x802);
    assert_int_equal(get(3, 0x3c, 2), 0x010b);
    put(3, 0, 4, 0);
    put(3, 0x40, 4, 0);
    put(3, 0x3c, 1, 0x55);
    assert_int_equal(get(3, 0, 4), 0x10421af4); /* read-only */
    assert_int_equal(get(3, 0x40, 4), 0x01105009);
    assert_int_equal(get(3, 0x3c, 1), 0x55);
    assert_int_equal(get(3, 2, 4) & 0xffff, 0x1042); /* past the dword: ones, no other register */
    iobus_write(&ports, 0xcf8, 4, 3 << 11);          /* not enabled */
    assert_int_equal(iobus_read(&ports, 0xcfc, 4), 0xffffffff);
    iobus_write(&ports, 0xcf8, 1, 0x80);
    assert_int_equal(iobus_read(&ports, 0xcf8, 4), 3 << 11);
    assert_false(iobus_has(&ports, 0xcf9)); /* somebody else's */
}

static void test_bars(void **state)
{
    (void)state;
    assert_int_equal(get(3, 0x10, 4), 0xc001);
    assert_int_equal(get(3, 0x14, 4), 0xe0000000);
    assert_int_equal(get(3, 0x18, 4), 0xe0004000);
    assert_int_equal(get(5, 0x10, 4), 0xe0005000);
    assert_int_equal(get(3, 4, 2), 3);
    assert_int_equal(iobus_read(&ports, 0xc005, 4), 0x1005);
    assert_int_equal(iobus_read(&mmio, 0xe0003ffc, 4), 0x5ffc);
    /* Sizing, with decoding on as many systems do it. */
    put(3, 0x10, 4, 0xffffffff);
    assert_int_equal(get(3, 0x10, 4), 0xffffffc1);
    put(3, 0x10, 4, 0xd001);
    assert_false(iobus_has(&ports, 0xc005));
    assert_int_equal(iobus_read(&ports, 0xd005, 4), 0x1005);
    put(3, 0x14, 4, 0xffffffff);
    assert_int_equal(get(3, 0x14, 4), 0xffffc000);
    put(3, 0x14, 4, 0x1000); /* onto RAM: not decoded */
    assert_false(iobus_has(&mmio, 0x1000));
    put(3, 0x14, 4, 0xfee00000); /* onto the APIC: neither */
    assert_false(iobus_has(&mmio, 0xfee00000));
    put(3, 0x14, 4, 0xe8000123);
    iobus_write(&mmio, 0xe8000010, 4, 77);
    assert_int_equal(seen_offset, 0x10);
    assert_int_equal(seen_value, 77);
    put(3, 4, 2, 1);
    assert_false(iobus_has(&mmio, 0xe8000010));
    assert_true(iobus_has(&ports, 0xd000));
    put(3, 4, 2, 0);
    assert_false(iobus_has(&ports, 0xd000));
    put(3, 4, 2, 7);
    assert_true(iobus_has(&mmio, 0xe8000010));
    /* On top of each other: the first stays, the second comes when there is room. */
    put(5, 0x10, 4, 0xe8000000);
    assert_int_equal(iobus_read(&mmio, 0xe8000000, 4), 0x2000);
    put(3, 0x14, 4, 0xe9000000);
    assert_int_equal(iobus_read(&mmio, 0xe8000000, 4), 0x3000);
    put(3, 0x24, 4, 0xffffffff); /* no such BAR */
    assert_int_equal(get(3, 0x24, 4), 0);
    vpci_bus_reset(&bus);
    assert_int_equal(get(3, 0x14, 4), 0xe0000000);
    assert_int_equal(iobus_read(&mmio, 0xe0000000, 4), 0x2000);
    assert_int_equal(iobus_read(&mmio, 0xe0005000, 4), 0x3000);
    assert_int_equal(ports.n, 3);
    assert_int_equal(mmio.n, 3);
}

static void test_msix(void **state)
{
    const uint64_t table = 0xe0004000, pba = table + 0x800;

    (void)state;
    put(3, 4, 2, 7);
    assert_false(vpci_msix_notify(&a, 1));
    put(3, 0x52, 2, 0x8000);
    assert_int_equal(get(3, 0x52, 2), 0x8004);
    assert_true(vpci_msix_notify(&a, 1)); /* entries begin masked */
    assert_int_equal(irqs.messages, 0);
    assert_int_equal(iobus_read(&mmio, pba, 4), 2);
    iobus_write(&mmio, table + 16, 8, 0xfee01000);
    iobus_write(&mmio, table + 24, 4, 0x41);
    put(3, 0x52, 2, 0xc000);
    iobus_write(&mmio, table + 28, 4, 0);
    assert_int_equal(irqs.messages, 0); /* the function is masked */
    put(3, 0x52, 2, 0x8000);
    assert_int_equal(irqs.messages, 1);
    assert_int_equal(irqs.addr, 0xfee01000);
    assert_int_equal(irqs.data, 0x41);
    assert_int_equal(iobus_read(&mmio, pba, 8), 0);
    vpci_msix_notify(&a, 1);
    assert_int_equal(irqs.messages, 2);
    put(3, 4, 2, 3); /* no bus master: no writes */
    vpci_msix_notify(&a, 1);
    assert_int_equal(irqs.messages, 2);
    put(3, 4, 2, 7);
    assert_int_equal(irqs.messages, 3);
    assert_true(vpci_msix_notify(&a, 5));
    assert_true(vpci_msix_notify(&a, 0xffff));
    iobus_write(&mmio, table + 5 * 16, 4, 1); /* past the table */
    assert_int_equal(iobus_read(&mmio, table + 5 * 16, 4), 0);
    iobus_write(&mmio, table + 0xffc, 8, 1);
    iobus_write(&mmio, pba, 8, UINT64_MAX);
    assert_int_equal(iobus_read(&mmio, pba, 8), 0);
    assert_int_equal(iobus_read(&mmio, table + 0xffc, 8), 0);
    assert_int_equal(irqs.messages, 3);
}

static void test_intx(void **state)
{
    (void)state;
    assert_int_equal(vpci_slot_irq(3), 11);
    assert_int_equal(vpci_slot_irq(4), 10);
    vpci_set_intx(&a, true);
    vpci_set_intx(&b, true); /* the same line */
    assert_true(irqs.level[11]);
    assert_int_equal(get(3, 6, 2) & 8, 8);
    vpci_set_intx(&a, false);
    assert_true(irqs.level[11]);
    put(5, 4, 2, 0x402);
    assert_false(irqs.level[11]);
    assert_int_equal(get(5, 6, 2) & 8, 8);
    put(5, 4, 2, 2);
    assert_true(irqs.level[11]);
    vpci_set_intx(&b, false);
    assert_false(irqs.level[11]);
    vpci_set_intx(&a, true);
    put(3, 0x52, 2, 0x8000);
    assert_false(irqs.level[11]);
    put(3, 0x52, 2, 0);
    assert_true(irqs.level[11]);
    vpci_bus_reset(&bus);
    assert_false(irqs.level[11]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_misuse, setup), cmocka_unit_test_setup(test_enumeration, setup),
        cmocka_unit_test_setup(test_bars, setup),   cmocka_unit_test_setup(test_msix, setup),
        cmocka_unit_test_setup(test_intx, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
