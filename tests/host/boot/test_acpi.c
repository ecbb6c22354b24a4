/* SPDX-License-Identifier: BSD-2-Clause */
/* boot/acpi.c: what it finds in sound tables, and that broken ones only leave fields empty. */
#include "base/bits.h"
#include "base/string.h"
#include "boot/acpi.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define BASE 0x1000u
#define BYTES 0x2000u
#define XSDT 0x1100u
#define RSDT 0x1200u
#define FADT 0x1300u
#define MADT 0x1500u
#define DSDT 0x1700u

/* A small physical memory with tables in it. Each view is a copy of its own size, so that the
 * sanitizer sees every byte read beyond it, and only the newest is alive. */
struct memory {
    uint8_t bytes[BYTES];
    uint8_t rsdp[36];
    void *view;
};

static const void *view(void *ctx, uint64_t at, uint64_t len)
{
    struct memory *m = ctx;

    free(m->view);
    m->view = NULL;
    if (len == 0 || at < BASE || !range_within(at - BASE, len, BYTES)) {
        return NULL;
    }
    m->view = malloc(len);
    assert_non_null(m->view);
    memcpy(m->view, m->bytes + (at - BASE), len);
    return m->view;
}

static uint8_t *at(struct memory *m, uint32_t a)
{
    return m->bytes + (a - BASE);
}

static uint8_t sum(const uint8_t *p, size_t n)
{
    uint8_t s = 0;
    while (n--) {
        s = (uint8_t)(s + *p++);
    }
    return s;
}

static void seal(struct memory *m, uint32_t a, const char *signature, uint32_t len)
{
    uint8_t *t = at(m, a);
    memcpy(t, signature, 4);
    store_le32(t + 4, len);
    t[9] = 0;
    t[9] = (uint8_t)-sum(t, len);
}

static void seal_rsdp(struct memory *m)
{
    m->rsdp[8] = m->rsdp[32] = 0;
    m->rsdp[8] = (uint8_t)-sum(m->rsdp, 20);
    m->rsdp[32] = (uint8_t)-sum(m->rsdp, 36);
}

static const uint8_t dsdt_s5[] = {
    0x08, '_', 'S', '4', '_', 0x12, 0x06, 0x04, 0x0a, 0x03, 0x0a, 0x03, 0x00, 0x00, /* S4 first */
    0x08, '_', 'S', '5', '_', 0x12, 0x0a, 0x04, 0x0a, 0x05, 0x0a, 0x06, 0x00, 0x00,
};

static void build(struct memory *m)
{
    memset(m, 0, sizeof(*m));
    memcpy(m->rsdp, "RSD PTR ", 8);
    m->rsdp[15] = 2;
    store_le32(m->rsdp + 16, RSDT);
    store_le32(m->rsdp + 20, 36);
    store_le64(m->rsdp + 24, XSDT);
    seal_rsdp(m);
    store_le64(at(m, XSDT) + 36, FADT);
    store_le64(at(m, XSDT) + 44, MADT);
    seal(m, XSDT, "XSDT", 52);
    store_le32(at(m, RSDT) + 36, FADT);
    store_le32(at(m, RSDT) + 40, MADT);
    seal(m, RSDT, "RSDT", 44);

    uint8_t *f = at(m, FADT);
    store_le32(f + 40, DSDT);
    store_le16(f + 46, 9);
    store_le32(f + 48, 0xb2);
    f[52] = 0xf1;
    store_le32(f + 64, 0x604);
    store_le32(f + 68, 0x704);
    store_le32(f + 112, BIT32(10));
    f[116] = 1;
    store_le64(f + 120, 0xcf9);
    f[128] = 0x0f;
    seal(m, FADT, "FACP", 244);

    memcpy(at(m, DSDT) + 40, dsdt_s5, sizeof(dsdt_s5));
    seal(m, DSDT, "DSDT", 40 + sizeof(dsdt_s5));

    uint8_t *d = at(m, MADT);
    store_le32(d + 36, 0xfee00000);
    store_le32(d + 40, 1);
    uint8_t entries[] = {0, 8,  0, 0, 1, 0, 0,    0, /* a CPU */
                         0, 8,  1, 1, 0, 0, 0,    0, /* a disabled one */
                         1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,
                         5, 12, 0, 0, 0, 0, 0xe0, 0xfd, 0, 0, 0, 0};
    memcpy(d + 44, entries, sizeof(entries));
    seal(m, MADT, "APIC", 44 + sizeof(entries));
}

static enum status parse(struct memory *m, size_t rsdp_len, struct acpi_info *out, const char **why)
{
    struct acpi_reader r = {view, m};
    enum status s = acpi_parse(m->rsdp, rsdp_len, &r, out, why);
    free(m->view);
    m->view = NULL;
    return s;
}

static void check_sound(const struct acpi_info *i)
{
    assert_int_equal(i->pm1a_cnt, 0x604);
    assert_int_equal(i->pm1b_cnt, 0x704);
    assert_int_equal(i->smi_cmd, 0xb2);
    assert_int_equal(i->acpi_enable, 0xf1);
    assert_int_equal(i->sci_irq, 9);
    assert_int_equal(i->reset_port, 0xcf9);
    assert_int_equal(i->reset_value, 0x0f);
    assert_true(i->has_s5);
    assert_int_equal(i->slp_typa, 5);
    assert_int_equal(i->slp_typb, 6);
    assert_true(i->has_madt && i->has_pic);
    assert_int_equal(i->lapic, 0xfde00000);
    assert_int_equal(i->n_cpus, 1);
    assert_int_equal(i->n_ioapics, 1);
    assert_int_equal(i->ioapic[0].address, 0xfec00000);
    assert_int_equal(i->ioapic[0].id, 2);
}

static void test_sound(void **state)
{
    struct memory m;
    struct acpi_info i;
    const char *why;

    (void)state;
    build(&m);
    assert_int_equal(parse(&m, 36, &i, &why), OK);
    assert_null(why);
    check_sound(&i);
    /* An old loader passes 20 bytes: the RSDT then. */
    memset(at(&m, XSDT), 0xff, 52);
    assert_int_equal(parse(&m, 20, &i, &why), OK);
    assert_null(why);
    check_sound(&i);
}

static void test_extended_fields(void **state)
{
    struct memory m;
    struct acpi_info i;
    const char *why;

    (void)state;
    build(&m);
    uint8_t *f = at(&m, FADT);
    f[172] = 1; /* X_PM1a_CNT in I/O space wins */
    store_le64(f + 176, 0x1804);
    f[184] = 0; /* X_PM1b_CNT in memory is not ours */
    store_le64(f + 188, 0xfed00000);
    f[116] = 0; /* reset register in memory */
    store_le64(f + 140, DSDT);
    store_le32(f + 40, 0x13); /* X_DSDT wins */
    seal(&m, FADT, "FACP", 244);
    assert_int_equal(parse(&m, 36, &i, &why), OK);
    assert_null(why);
    assert_int_equal(i.pm1a_cnt, 0x1804);
    assert_int_equal(i.pm1b_cnt, 0x704);
    assert_int_equal(i.reset_port, 0);
    assert_true(i.has_s5);
}

static void test_broken(void **state)
{
    struct memory m;
    struct acpi_info i;
    const char *why;

    (void)state;
    build(&m);
    m.rsdp[9] ^= 1;
    assert_int_equal(parse(&m, 36, &i, &why), E_INVAL);
    assert_non_null(why);

    build(&m);
    at(&m, XSDT)[40] ^= 1; /* checksum */
    assert_int_equal(parse(&m, 36, &i, &why), E_INVAL);

    build(&m);
    at(&m, FADT)[70] ^= 1;
    assert_int_equal(parse(&m, 36, &i, &why), OK);
    assert_non_null(why);
    assert_int_equal(i.pm1a_cnt, 0);
    assert_true(i.has_madt);

    build(&m);
    at(&m, DSDT)[40 + 15] = 'X'; /* no _S5_ */
    seal(&m, DSDT, "DSDT", 40 + sizeof(dsdt_s5));
    assert_int_equal(parse(&m, 36, &i, &why), OK);
    assert_non_null(why);
    assert_false(i.has_s5);
    assert_int_equal(i.pm1a_cnt, 0x604);

    build(&m); /* an entry of length 0 ends the MADT, it does not loop */
    at(&m, MADT)[44 + 8 + 1] = 0;
    seal(&m, MADT, "APIC", load_le32(at(&m, MADT) + 4));
    assert_int_equal(parse(&m, 36, &i, &why), OK);
    assert_int_equal(i.n_cpus, 1);
    assert_int_equal(i.n_ioapics, 0);

    static const uint32_t lengths[] = {0, 35, 36, 43, ACPI_MAX_TABLE + 1, UINT32_MAX};
    for (unsigned n = 0; n < ARRAY_LEN(lengths); n++) {
        build(&m);
        store_le32(at(&m, MADT) + 4, lengths[n]);
        assert_int_equal(parse(&m, 36, &i, &why), OK);
        assert_false(i.has_madt);
        assert_non_null(why);
    }
}

/* The S5 package cut off at every length: never read past the table's end. */
static void test_truncated_dsdt(void **state)
{
    struct memory m;
    struct acpi_info i;
    const char *why;

    (void)state;
    for (uint32_t len = 36; len <= 40 + sizeof(dsdt_s5); len++) {
        build(&m);
        seal(&m, DSDT, "DSDT", len);
        assert_int_equal(parse(&m, 36, &i, &why), OK);
        assert_int_equal(i.has_s5, why == NULL);
    }
    assert_true(i.has_s5);
}

/* Every single-byte change of a sound image: an answer, never a fault. */
static void test_flips(void **state)
{
    struct memory m;
    struct acpi_info i;
    const char *why;

    (void)state;
    build(&m);
    for (uint32_t n = 0x100; n < 0x800; n++) {
        uint8_t old = m.bytes[n];
        m.bytes[n] = (uint8_t)~old;
        if (n >= FADT - BASE && n < FADT - BASE + 244) {
            seal(&m, FADT, "FACP", 244); /* get past the checksum */
        }
        (void)!parse(&m, 36, &i, &why);
        build(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),  cmocka_unit_test(test_extended_fields),
        cmocka_unit_test(test_broken), cmocka_unit_test(test_truncated_dsdt),
        cmocka_unit_test(test_flips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
