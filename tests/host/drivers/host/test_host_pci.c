/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's PCI configuration space: enumeration through bridges, hostile ones too, and BARs. */
#include "base/bits.h"
#include "drivers/host/disk/ata.h"
#include "drivers/host/pci.h"
#include "fake_portio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct func {
    struct pci_addr at;
    uint32_t regs[64];
    uint32_t bar_mask[6]; /* bits that can be written */
};

static struct func funcs[8];
static unsigned n_funcs;
static uint32_t address;

static struct func *addressed(void)
{
    for (unsigned i = 0; i < n_funcs; i++) {
        struct pci_addr a = funcs[i].at;
        if (((uint32_t)a.bus << 16 | (uint32_t)a.dev << 11 | (uint32_t)a.fn << 8) ==
                (address & 0x00ffff00) &&
            (address >> 31) != 0) {
            return &funcs[i];
        }
    }
    return NULL;
}

static uint32_t config_in(void *ctx, uint16_t off, unsigned size)
{
    const struct func *f = addressed();

    (void)ctx;
    if (off < 4) {
        return address;
    }
    if (f == NULL) {
        return UINT32_MAX;
    }
    uint32_t v = f->regs[(address & 0xff) / 4] >> (8 * (off & 3));
    return size == 4 ? v : v & (BIT32(8 * size) - 1);
}

static void config_out(void *ctx, uint16_t off, unsigned size, uint32_t v)
{
    struct func *f = addressed();
    unsigned reg = (address & 0xff) / 4;

    (void)ctx;
    if (off < 4) {
        address = v;
        return;
    }
    assert_non_null(f);
    if (reg >= 4 && reg < 10) {
        assert_true(size == 4 && (f->regs[1] & 3) == 0); /* not while it decodes */
        uint32_t mask = f->bar_mask[reg - 4];
        f->regs[reg] = (f->regs[reg] & ~mask) | (v & mask);
    } else {
        uint32_t mask = (size == 4 ? UINT32_MAX : BIT32(8 * size) - 1) << (8 * (off & 3));
        f->regs[reg] = (f->regs[reg] & ~mask) | ((v << (8 * (off & 3))) & mask);
    }
}

static const struct fake_ports config = {0xcf8, 8, config_in, config_out, NULL};

static struct func *add(uint8_t bus, uint8_t dev, uint8_t fn, uint32_t cls, uint8_t header)
{
    struct func *f = &funcs[n_funcs++];

    *f = (struct func){.at = {bus, dev, fn}};
    f->regs[0] = 0x12340000 + n_funcs + 0x8086;
    f->regs[2] = cls << 8;
    f->regs[3] = (uint32_t)header << 16;
    return f;
}

static void set_up(void)
{
    n_funcs = 0;
    fake_ports_clear();
    fake_ports_add(&config);
    add(0, 0, 0, 0x060000, 0);
}

static bool count(void *ctx, const struct pci_func *f)
{
    (void)f;
    ++*(unsigned *)ctx;
    return true;
}

static void test_scan(void **state)
{
    unsigned n = 0;
    struct pci_func f;

    (void)state;
    set_up();
    add(0, 1, 0, 0x060100, 0x80);
    add(0, 1, 3, 0x010180, 0);
    add(0, 2, 0, 0x060400, 1)->regs[6] = 5u << 8;
    add(5, 0, 0, 0x060400, 1)->regs[6] = 2u << 8; /* a lower bus behind a higher */
    add(2, 31, 0, 0x010180, 0);
    add(2, 31, 1, 0x020000, 0);                   /* not seen: function 0 says that it is alone */
    add(2, 7, 0, 0x060400, 1)->regs[6] = 5u << 8; /* leads back up */
    pci_scan(count, &n);
    assert_int_equal(n, 7);
    assert_int_equal(pci_find_class(1, 1, 0, &f), OK);
    assert_true(f.at.bus == 0 && f.at.dev == 1 && f.at.fn == 3 && f.prog_if == 0x80);
    assert_int_equal(pci_find_class(1, 1, 1, &f), OK);
    assert_true(f.at.bus == 2 && f.at.dev == 31);
    assert_int_equal(pci_find_class(1, 1, 2, &f), E_NOTFOUND);
    fake_ports_clear(); /* no PCI at all */
    assert_int_equal(pci_find_class(1, 1, 0, &f), E_NOTFOUND);
}

static void test_bars(void **state)
{
    struct vpci_bar b;

    (void)state;
    set_up();
    struct func *f = add(0, 1, 0, 0x020000, 0);
    f->regs[1] = 7;
    f->regs[4] = 0xfebc0000;
    f->bar_mask[0] = 0xfffe0000;
    f->regs[5] = 0xc001;
    f->bar_mask[1] = 0x0000fff0;
    f->regs[6] = 0xc;
    f->bar_mask[2] = 0xc0000000;
    f->regs[7] = 0x80;
    f->bar_mask[3] = 0xffffffff;
    assert_int_equal(pci_read_bar(f->at, 0, &b), OK);
    assert_true(b.base == 0xfebc0000 && b.size == 0x20000 && !b.io && !b.is_64);
    assert_int_equal(pci_read_bar(f->at, 1, &b), OK);
    assert_true(b.base == 0xc000 && b.size == 16 && b.io);
    assert_int_equal(pci_read_bar(f->at, 2, &b), OK);
    assert_true(b.base == UINT64_C(0x8000000000) && b.size == 0x40000000 && b.is_64);
    assert_int_equal(pci_read_bar(f->at, 4, &b), E_NOTFOUND);
    assert_int_equal(pci_read_bar(f->at, 6, &b), E_RANGE);
    assert_true(f->regs[1] == 7 && f->regs[4] == 0xfebc0000 && f->regs[7] == 0x80);
}

static void test_find_ide(void **state)
{
    static uint8_t dma[2][3 * 4096];
    static const struct ata_host host;
    struct ata_dma_mem mem[2] = {{dma[0], HPA(0x10000), sizeof(dma[0])},
                                 {dma[1], HPA(0x20000), sizeof(dma[1])}};
    static struct ata_channel ch[2];

    (void)state;
    set_up();
    assert_int_equal(ata_find_pci(ch, &host, mem), E_NOTFOUND);
    struct func *f = add(0, 1, 1, 0x010180, 0);
    add(0, 1, 0, 0x060100, 0x80);
    assert_int_equal(ata_find_pci(ch, &host, mem), E_NOTFOUND); /* no BAR 4 */
    f->regs[8] = 0xc001;
    f->bar_mask[4] = 0xfff0;
    assert_int_equal(ata_find_pci(ch, &host, mem), OK);
    assert_true(ch[0].cmd == 0x1f0 && ch[0].ctl == 0x3f6 && ch[0].bm == 0xc000 && ch[0].irq == 14);
    assert_true(ch[1].cmd == 0x170 && ch[1].ctl == 0x376 && ch[1].bm == 0xc008 && ch[1].irq == 15);
    assert_int_equal(f->regs[1] & 5, 5);
    /* Native mode: ports and line are where PCI says. */
    f->regs[2] = 0x01018500;
    f->regs[15] = 11;
    for (unsigned i = 0; i < 4; i++) {
        f->regs[4 + i] = 0xd001 + 0x10 * i;
        f->bar_mask[i] = i % 2 == 0 ? 0xfff8 : 0xfffc;
    }
    assert_int_equal(ata_find_pci(ch, &host, mem), OK);
    assert_true(ch[1].cmd == 0xd020 && ch[1].ctl == 0xd032 && ch[1].irq == 11);
    mem[1].bytes = 4096;
    assert_int_equal(ata_find_pci(ch, &host, mem), E_INVAL);
    fake_ports_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_bars),
        cmocka_unit_test(test_find_ide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
