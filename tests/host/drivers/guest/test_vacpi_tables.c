/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's ACPI tables, followed from the RSDP as an operating system does, and read by iasl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "drivers/guest/vacpi_pm.h"
#include "drivers/guest/vacpi_tables.h"
#include "drivers/guest/vpci.h"

#define BASE UINT64_C(0x7ff00000)

static uint8_t buf[16384];

static uint8_t *at(uint64_t gpa, size_t len)
{
    assert_in_range(gpa, BASE, BASE + sizeof(buf) - len);
    return buf + (gpa - BASE);
}

static unsigned sum(const uint8_t *p, size_t n)
{
    unsigned s = 0;

    while (n-- > 0) {
        s += *p++;
    }
    return s & 0xff;
}

static uint8_t *table(uint64_t gpa, const char *signature)
{
    uint8_t *t = at(gpa, 36);

    assert_memory_equal(t, signature, 4);
    at(gpa, load_le32(t + 4));
    assert_int_equal(sum(t, load_le32(t + 4)), 0);
    return t;
}

static uint8_t *xsdt_of(unsigned n_cpus)
{
    gpa_t rsdp;
    uint8_t *r;

    memset(buf, 0xaa, sizeof(buf));
    assert_int_equal(acpi_tables_build(buf, sizeof(buf), GPA(BASE), n_cpus, &rsdp), OK);
    r = at(rsdp.a, 36);
    assert_memory_equal(r, "RSD PTR ", 8);
    assert_int_equal(sum(r, 20), 0);
    assert_int_equal(sum(r, 36), 0);
    assert_int_equal(rsdp.a % 16, 0);
    return table(load_le64(r + 24), "XSDT");
}

static void test_walk(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= ACPI_TABLES_MAX_CPUS; n += 127) {
        uint8_t *xsdt = xsdt_of(n);
        uint8_t *fadt = table(load_le64(xsdt + 36), "FACP");
        uint8_t *madt = table(load_le64(xsdt + 44), "APIC");
        unsigned cpus = 0, ioapics = 0, level = 0;

        assert_int_equal(load_le32(xsdt + 4), 52);
        table(load_le64(fadt + 140), "DSDT");
        assert_int_equal(load_le64(fadt + 140), load_le32(fadt + 40));
        assert_memory_equal(at(load_le32(fadt + 36), 64), "FACS", 4);
        assert_int_equal(load_le32(fadt + 36) % 64, 0);
        assert_int_equal(load_le16(fadt + 46), VACPI_PM_SCI);
        assert_int_equal(load_le64(fadt + 120), 0xcf9);
        assert_int_equal(fadt[128], 6);
        assert_int_equal(load_le64(fadt + 152), VACPI_PM_EVT_PORT);
        assert_int_equal(load_le64(fadt + 176), VACPI_PM_CNT_PORT);
        assert_int_equal(load_le64(fadt + 212), VACPI_PM_TMR_PORT);
        assert_int_equal(load_le16(fadt + 109) & 7, 5);
        assert_int_equal(load_le32(madt + 40), 1);
        for (uint32_t off = 44; off < load_le32(madt + 4); off += madt[off + 1]) {
            assert_true(madt[off + 1] >= 6);
            if (madt[off] == 0) {
                assert_int_equal(madt[off + 3], cpus++);
            } else if (madt[off] == 1) { /* I/O APIC: one, where no BAR can go */
                ioapics++;
                assert_true(load_le32(madt + off + 4) >= VPCI_MEM_END);
            } else if (madt[off] == 2 && (load_le16(madt + off + 8) & 0xc) == 0xc) {
                level |= 1u << madt[off + 3];
            }
        }
        /* The SCI and the PCI lines are levels, whoever takes them. */
        assert_true(ioapics == 0 || (ioapics == 1 && level == 0xe00));
        assert_int_equal(cpus, n);
    }
}

static void test_bounds(void **state)
{
    gpa_t rsdp = GPA(1);
    size_t need = 0;

    (void)state;
    assert_int_equal(acpi_tables_build(buf, sizeof(buf), GPA(BASE), 0, &rsdp), E_INVAL);
    assert_int_equal(acpi_tables_build(buf, sizeof(buf), GPA(BASE), 256, &rsdp), E_INVAL);
    assert_int_equal(acpi_tables_build(buf, sizeof(buf), GPA(BASE + 4), 1, &rsdp), E_INVAL);
    assert_int_equal(acpi_tables_build(buf, sizeof(buf), GPA(0xffffffc0), 1, &rsdp), E_INVAL);
    assert_int_equal(acpi_tables_build(buf, sizeof(buf), GPA(UINT64_MAX - 63), 1, &rsdp), E_INVAL);
    assert_int_equal(rsdp.a, 1);
    while (acpi_tables_build(buf, need, GPA(BASE), 64, &rsdp) != OK) {
        need++;
        assert_in_range(need, 1, 8192);
    }
    {
        uint8_t *exact = malloc(need); /* the sanitizer sees a byte too many */
        assert_non_null(exact);
        assert_int_equal(acpi_tables_build(exact, need, GPA(BASE), 64, &rsdp), OK);
        free(exact);
    }
}

static void dump(const char *dir, const char *name, const uint8_t *t)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s.dat", dir, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(t, load_le32(t + 4), 1, f), 1);
    assert_int_equal(fclose(f), 0);
}

/* Runs iasl on a table and looks for all of `words` in what it makes of it. */
static void disassemble(const char *dir, const char *name, const char *const *words)
{
    static char text[131072];
    char cmd[256];
    size_t n;
    FILE *f;

    snprintf(cmd, sizeof(cmd), "cd %s && iasl -d %s.dat >%s.log 2>&1", dir, name, name);
    assert_int_equal(system(cmd), 0);
    snprintf(cmd, sizeof(cmd), "%s/%s.dsl", dir, name);
    f = fopen(cmd, "rb");
    assert_non_null(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = 0;
    fclose(f);
    for (; *words != NULL; words++) {
        if (strstr(text, *words) == NULL) {
            fail_msg("%s: iasl does not say \"%s\"", name, *words);
        }
    }
    assert_null(strstr(text, "Incorrect checksum"));
    assert_null(strstr(text, "Invalid"));
    assert_null(strstr(text, "**** "));
}

static void test_iasl(void **state)
{
    static const char *const fadt_says[] = {"SCI Interrupt : 0009",
                                            "Value to cause reset : 06",
                                            "PM1A Event Block Address : 00000600",
                                            "PM Timer Block Address : 00000608",
                                            "Legacy Devices Supported (V2) : 1",
                                            "8042 Present on ports 60/64 (V2) : 0",
                                            "VGA Not Present (V4) : 1",
                                            "Reset Register Supported (V2) : 1",
                                            "Hardware Reduced (V5) : 0",
                                            NULL};
    static const char *const madt_says[] = {"PC-AT Compatibility : 1", "Local Apic ID : 02",
                                            "Interrupt Input LINT : 01", NULL};
    static const char *const dsdt_says[] = {"_S5", "PNP0A03", "PNP0501", "PNP0B00", "_PRT", NULL};
    char dir[] = "/tmp/acpi_tablesXXXXXX", cmd[64];
    uint8_t *xsdt, *fadt, *dsdt;

    (void)state;
    if (system("command -v iasl >/dev/null 2>&1") != 0) {
        skip();
    }
    assert_non_null(mkdtemp(dir));
    xsdt = xsdt_of(3);
    fadt = table(load_le64(xsdt + 36), "FACP");
    dsdt = table(load_le64(fadt + 140), "DSDT");
    dump(dir, "facp", fadt);
    dump(dir, "apic", table(load_le64(xsdt + 44), "APIC"));
    dump(dir, "dsdt", dsdt);
    disassemble(dir, "facp", fadt_says);
    disassemble(dir, "apic", madt_says);
    disassemble(dir, "dsdt", dsdt_says);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    assert_int_equal(system(cmd), 0);
}

/* The wiring in the DSDT's _PRT is that of vpci_slot_irq: package {slot << 16 | 0xffff, 0, 0,
 * line}.
 */
static void test_prt(void **state)
{
    uint8_t *xsdt = xsdt_of(1);
    uint8_t *fadt = table(load_le64(xsdt + 36), "FACP");
    uint8_t *dsdt = table(load_le64(fadt + 140), "DSDT");
    uint32_t len = load_le32(dsdt + 4);
    unsigned found = 0;

    (void)state;
    for (uint32_t i = 36; i + 10 < len; i++) {
        const uint8_t *p = dsdt + i;
        /* 0x0c: a dword follows; 0x00: zero; 0x0a: a byte follows */
        if (p[0] == 0x0c && p[1] == 0xff && p[2] == 0xff && p[4] == 0 && p[5] == 0 && p[6] == 0 &&
            p[7] == 0x0a) {
            assert_int_equal(p[8], vpci_slot_irq(p[3]));
            found |= 1u << p[3];
        }
    }
    assert_int_equal(found, 0xfffffffe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_iasl),
        cmocka_unit_test(test_prt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
