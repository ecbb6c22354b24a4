/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading kernels: what a guest finds in its memory, and headers that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "base/string.h"
#include "fake_guest.h"
#include "kernel/vm/loader.h"
#include "rnd.h"
#include "world_platform.h"

#define MIB UINT64_C(0x100000)
#define RAM_PAGES 4096u /* 16 MiB */
#define FRAMES 256u
#define SETUP_BYTES (2 * 512u)
#define BODY_BYTES 9000u
#define IMAGE_BYTES (SETUP_BYTES + BODY_BYTES)
#define INITRD_BYTES 5000u

static struct tguest g;
static uint8_t image[IMAGE_BYTES], initrd[INITRD_BYTES];
static struct loader_input in;
static struct loader_entry entry;
static char why[160];

static enum status load(void)
{
    why[0] = 0;
    return loader_load(&g.p2m, &in, &entry, why, sizeof(why));
}

static int begin(void **state)
{
    struct rnd seed = {7};

    (void)state;
    tguest_init(&g, FRAMES, RAM_PAGES);
    for (size_t i = 0; i < sizeof(image); i++) {
        image[i] = (uint8_t)rnd_next(&seed);
    }
    for (size_t i = 0; i < sizeof(initrd); i++) {
        initrd[i] = (uint8_t)rnd_next(&seed);
    }
    in = (struct loader_input){.kernel = image,
                               .kernel_bytes = sizeof(image),
                               .initrd = initrd,
                               .initrd_bytes = sizeof(initrd),
                               .cmdline = "console=ttyS0 root=/dev/vda",
                               .rsdp = GPA(LOADER_ACPI)};
    return 0;
}

static int end(void **state)
{
    (void)state;
    tguest_fini(&g);
    return 0;
}

/* A bzImage of protocol 2.15 with a 64-bit entry, which wants to be at 2 MiB. */
static void make_bzimage(void)
{
    memset(image + 0x1f1, 0, 0x268 - 0x1f1);
    image[0x1f1] = 1;
    image[0x201] = 0x66;
    store_le32(image + 0x202, 0x53726448);
    store_le16(image + 0x206, 0x20f);
    store_le32(image + 0x214, 0x100000);
    store_le32(image + 0x22c, 0x7fffffff);
    store_le32(image + 0x230, 0x200000);
    image[0x234] = 1;
    store_le16(image + 0x236, 1);
    store_le32(image + 0x238, 2047);
    store_le64(image + 0x258, 2 * MIB);
    store_le32(image + 0x260, 4 * MIB);
}

#define ELF_PHDR 64u
#define ELF_DATA 0x200u
#define ELF_DATA_BYTES 5000u

/* A static ELF file with one segment for 1 MiB, and one that is nothing to load. */
static void make_elf(void)
{
    static const uint8_t ident[8] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    uint8_t *ph = image + ELF_PHDR;

    memset(image, 0, ELF_DATA);
    memcpy(image, ident, sizeof(ident));
    store_le16(image + 16, 2);
    store_le16(image + 18, 62);
    store_le64(image + 24, MIB + 0x10);
    store_le64(image + 32, ELF_PHDR);
    store_le16(image + 54, 56);
    store_le16(image + 56, 2);
    store_le32(ph, 1);
    store_le64(ph + 8, ELF_DATA);
    store_le64(ph + 24, MIB);
    store_le64(ph + 32, ELF_DATA_BYTES);
    store_le64(ph + 40, 3 * MIB);
    store_le32(ph + 56, 4); /* PT_NOTE: outside everything, and nobody's concern */
    store_le64(ph + 56 + 8, UINT64_MAX);
}

static void expect_bytes(uint64_t at, const void *want, size_t n)
{
    static uint8_t got[IMAGE_BYTES];

    assert_true(n <= sizeof(got));
    tguest_get(&g, at, got, n);
    assert_memory_equal(got, want, n);
}

/* Every address of the first 4 GiB leads to itself, by 2 MiB pages that may be written. */
static void expect_boot_tables(void)
{
    for (uint64_t a = 0; a < UINT64_C(1) << 32; a += 2 * MIB) {
        uint64_t e, table = entry.cr3;
        for (unsigned shift = 39; shift >= 21; shift -= 9) {
            tguest_get(&g, table + (a >> shift & 511) * 8, &e, 8);
            assert_int_equal(e & 3, 3);
            assert_int_equal(e >> 7 & 1, shift == 21);
            table = e & ~(uint64_t)PAGE_MASK;
        }
        assert_int_equal(table, a);
    }
}

static void expect_gdt(unsigned code, bool long_mode)
{
    uint64_t cs, ds;

    assert_int_equal(entry.gdt_limit, 39);
    tguest_get(&g, entry.gdt_base + code, &cs, 8);
    tguest_get(&g, entry.gdt_base + 0x18, &ds, 8);
    assert_int_equal(cs >> 40 & 0xff, 0x9b); /* present, code, readable, accessed */
    assert_int_equal(cs >> 53 & 3, long_mode ? 1 : 2);
    assert_int_equal(ds >> 40 & 0xff, 0x93);
}

/* The memory map covers the RAM above 1 MiB exactly, ascending, and names the ACPI tables. */
static void expect_memory_map(uint64_t ram_end, uint64_t high_bytes)
{
    uint8_t zero[PAGE_SIZE];
    uint64_t last = 0, ram = 0;
    bool acpi = false;

    tguest_get(&g, LOADER_ZERO_PAGE, zero, sizeof(zero));
    assert_in_range(zero[0x1e8], 5, 128);
    for (unsigned i = 0; i < zero[0x1e8]; i++) {
        const uint8_t *e = zero + 0x2d0 + 20 * i;
        uint64_t base = load_le64(e), len = load_le64(e + 8);
        assert_true(base >= last && len > 0);
        last = base + len;
        if (load_le32(e + 16) == 1) {
            ram += len;
            assert_true(last <= 0xa0000 || base >= MIB);
        }
        acpi |= load_le32(e + 16) == 3 && base == LOADER_ACPI && len == LOADER_ACPI_BYTES;
    }
    assert_true(acpi);
    assert_int_equal(ram, LOADER_LOW_END + ram_end - MIB + high_bytes);
    assert_int_equal(last, high_bytes ? LOADER_HIGH_RAM + high_bytes : ram_end);
}

static void expect_zero_page(void)
{
    uint8_t zero[PAGE_SIZE];

    assert_int_equal(entry.rsi, LOADER_ZERO_PAGE);
    tguest_get(&g, LOADER_ZERO_PAGE, zero, sizeof(zero));
    assert_int_equal(load_le32(zero + 0x202), 0x53726448);
    assert_int_equal(load_le16(zero + 0x1fe), 0xaa55);
    assert_int_not_equal(zero[0x210], 0);
    assert_int_equal(load_le32(zero + 0x228), LOADER_CMDLINE);
    assert_int_equal(load_le64(zero + 0x070), LOADER_ACPI);
    assert_int_equal(load_le32(zero + 0x21c), in.initrd_bytes);
    expect_bytes(LOADER_CMDLINE, in.cmdline, strlen(in.cmdline) + 1);
    if (in.initrd_bytes > 0) {
        uint64_t at = load_le32(zero + 0x218);
        assert_int_equal(at & PAGE_MASK, 0);
        assert_true(at + in.initrd_bytes <= (uint64_t)RAM_PAGES * PAGE_SIZE);
        assert_true(at + in.initrd_bytes + PAGE_SIZE > (uint64_t)RAM_PAGES * PAGE_SIZE);
        expect_bytes(at, initrd, in.initrd_bytes);
    } else {
        assert_int_equal(load_le32(zero + 0x218), 0);
    }
    expect_memory_map((uint64_t)RAM_PAGES * PAGE_SIZE, 0);
}

static void test_bzimage64(void **state)
{
    (void)state;
    make_bzimage();
    store_le16(image + 0x1fe, 0xaa55);
    assert_int_equal(load(), OK);
    assert_true(entry.long_mode);
    assert_int_equal(entry.rip, 2 * MIB + 0x200);
    expect_bytes(2 * MIB, image + SETUP_BYTES, BODY_BYTES);
    expect_zero_page();
    expect_boot_tables();
    expect_gdt(0x10, true);
}

static void test_bzimage32(void **state)
{
    (void)state;
    make_bzimage();
    store_le16(image + 0x1fe, 0xaa55);
    store_le16(image + 0x236, 0);
    in.initrd_bytes = 0;
    assert_int_equal(load(), OK);
    assert_false(entry.long_mode);
    assert_int_equal(entry.rip, MIB);
    expect_bytes(MIB, image + SETUP_BYTES, BODY_BYTES);
    expect_zero_page();
    expect_gdt(0x10, false);
}

/* No room where it wants to be: a relocatable kernel would go there by itself, so none starts. */
static void test_relocation(void **state)
{
    (void)state;
    make_bzimage();
    store_le64(image + 0x258, 14 * MIB); /* 4 MiB from there on, of 16 */
    assert_int_equal(load(), E_RANGE);
    assert_non_null(strstr(why, "4096 KiB at 0xe00000"));
    store_le16(image + 0x236, 0); /* the same for the 32-bit entry, though loaded at 1 MiB */
    assert_int_equal(load(), E_RANGE);
    store_le64(image + 0x258, 12 * MIB);
    in.initrd_bytes = 0;
    assert_int_equal(load(), OK);
    assert_int_equal(entry.rip, 1 * MIB);
    in.initrd_bytes = INITRD_BYTES; /* it would be overwritten */
    assert_int_equal(load(), E_RANGE);
    store_le16(image + 0x236, 1);
    image[0x234] = 0;
    store_le64(image + 0x258, 14 * MIB);
    assert_int_equal(load(), E_RANGE);
    store_le64(image + 0x258, 12 * MIB - PAGE_SIZE); /* to the end, but for a page */
    in.initrd_bytes = 0;
    assert_int_equal(load(), OK);
    assert_int_equal(entry.rip, 12 * MIB - PAGE_SIZE + 0x200);
}

static void test_elf(void **state)
{
    uint8_t rest;

    (void)state;
    make_elf();
    assert_int_equal(load(), OK);
    assert_true(entry.long_mode);
    assert_int_equal(entry.rip, MIB + 0x10);
    expect_bytes(MIB, image + ELF_DATA, ELF_DATA_BYTES);
    for (uint64_t a = MIB + ELF_DATA_BYTES; a < 4 * MIB; a += 1021) {
        tguest_get(&g, a, &rest, 1);
        assert_int_equal(rest, 0);
    }
    expect_zero_page();
    expect_boot_tables();
}

/* RAM on both sides of the hole: both runs are in the map, and nothing is loaded above. */
static void test_two_runs(void **state)
{
    (void)state;
    make_elf();
    g.p2m.n_runs = 2;
    g.p2m.runs[1] = (struct p2m_slot){GFN(LOADER_HIGH_RAM >> PAGE_SHIFT), 1234};
    assert_int_equal(load(), OK);
    expect_memory_map((uint64_t)RAM_PAGES * PAGE_SIZE, UINT64_C(1234) * PAGE_SIZE);
    g.p2m.n_runs = 1;
}

struct lie {
    unsigned offset, bytes;
    uint64_t value;
    enum status status;
};

static void tell(void (*make)(void), const struct lie *lies, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        make();
        for (unsigned b = 0; b < lies[i].bytes; b++) {
            image[lies[i].offset + b] = (uint8_t)(lies[i].value >> 8 * b);
        }
        enum status s = load();
        if (s != lies[i].status) {
            fail_msg("lie %zu: %s, not %s", i, status_name(s), status_name(lies[i].status));
        }
        assert_int_equal(why[0] != 0, s != OK);
    }
}

static void test_hostile_bzimage(void **state)
{
    static const struct lie lies[] = {
        {0x202, 4, 0, E_INVAL},                          /* no magic */
        {0x206, 2, 0x209, E_INVAL},                      /* too old */
        {0x1f1, 1, 255, E_INVAL},                        /* set-up code longer than the file */
        {0x258, 8, UINT64_MAX, E_RANGE},                 /* nowhere */
        {0x258, 8, UINT64_MAX - 2 * MIB, E_RANGE},       /* its end wraps */
        {0x230, 4, 0, OK},                               /* no alignment: not relocatable */
        {0x230, 4, 0xc0000000, OK},                      /* not a power of two: likewise */
        {0x260, 4, 0xffffffff, E_RANGE},                 /* needs all memory there is */
        {0x260, 4, 0, OK},                               /* needs less than it has */
        {0x22c, 4, 0, E_RANGE},                          /* an initrd at 0 at the highest */
        {0x22c, 4, 0xffffffff, OK},                      /* an initrd anywhere */
        {0x238, 4, 3, E_RANGE},                          /* a short command line */
        {0x238, 4, 0xffffffff, OK},                      /* one as long as you like */
        {0x201, 1, 0xff, OK},                            /* a header that reaches into the code */
        {0x201, 1, 0, OK},                               /* one without an end */
        {0x22c, 4, 6 * MIB + INITRD_BYTES, OK},          /* just above the kernel */
        {0x22c, 4, 6 * MIB + INITRD_BYTES - 2, E_RANGE}, /* a byte too low */
    };

    (void)state;
    tell(make_bzimage, lies, ARRAY_LEN(lies));
}

static void test_hostile_elf(void **state)
{
    static const struct lie lies[] = {
        {18, 2, 3, E_INVAL},                      /* for another processor */
        {4, 1, 1, E_INVAL},                       /* ELF32 */
        {32, 8, UINT64_MAX, E_INVAL},             /* headers outside the file */
        {32, 8, UINT64_MAX - 111, E_INVAL},       /* likewise, wrapping */
        {54, 2, 55, E_INVAL},                     /* headers that overlap */
        {56, 2, 0xffff, E_INVAL},                 /* more of them than the file holds */
        {56, 2, 0, E_INVAL},                      /* nothing to load */
        {64, 4, 2, E_INVAL},                      /* likewise */
        {64 + 8, 8, UINT64_MAX, E_INVAL},         /* a segment outside the file */
        {64 + 8, 8, IMAGE_BYTES - 4999, E_INVAL}, /* by a byte */
        {64 + 32, 8, UINT64_MAX, E_INVAL},        /* bigger in the file than in memory */
        {64 + 40, 8, UINT64_MAX, E_RANGE},        /* bigger than memory */
        {64 + 40, 8, 15 * MIB, E_RANGE},          /* leaves no room for the initrd */
        {64 + 24, 8, 0, E_RANGE},                 /* over the boot tables */
        {64 + 24, 8, MIB - 1, E_RANGE},           /* a byte of it */
        {64 + 24, 8, UINT64_MAX - MIB, E_RANGE},  /* wraps */
        {64 + 24, 8, 13 * MIB + 1, E_RANGE},      /* a byte past the end */
        {24, 8, UINT64_MAX, E_INVAL},             /* enters at nothing */
        {24, 8, 16 * MIB, E_INVAL},               /* just so */
    };

    (void)state;
    tell(make_elf, lies, ARRAY_LEN(lies));
}

/* Many segments made of the same bytes would keep the machine copying: refused. */
static void test_repeated_segments(void **state)
{
    (void)state;
    make_elf();
    store_le16(image + 56, 3);
    for (unsigned i = 1; i < 3; i++) {
        memcpy(image + ELF_PHDR + 56 * i, image + ELF_PHDR, 56);
    }
    assert_int_equal(load(), E_INVAL);
    assert_int_not_equal(why[0], 0);
}

static void test_truncated(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 2; kind++) {
        kind ? make_elf() : make_bzimage();
        for (uint64_t n = 0; n < (kind ? ELF_DATA + ELF_DATA_BYTES : SETUP_BYTES + 0x201); n++) {
            uint8_t *copy = test_malloc(n); /* so that a read past its end shows */
            if (n > 0) {
                memcpy(copy, image, n);
            }
            in.kernel = copy;
            in.kernel_bytes = n;
            assert_int_equal(load(), E_INVAL);
            test_free(copy);
        }
    }
}

static void test_limits(void **state)
{
    static char line[600 * 1024];

    (void)state;
    make_bzimage();
    store_le32(image + 0x238, 0xffffffff);
    memset(line, 'x', sizeof(line) - 1);
    in.cmdline = line;
    assert_int_equal(load(), E_RANGE); /* would run into the BIOS's area */
    in.cmdline = "";
    in.initrd_bytes = UINT64_MAX;
    assert_int_equal(load(), E_RANGE);
    in.initrd_bytes = (RAM_PAGES + 1) * (uint64_t)PAGE_SIZE;
    assert_int_equal(load(), E_RANGE);
    in.initrd_bytes = 0;
    g.p2m.runs[0].pages = 1023;
    assert_int_equal(load(), E_RANGE);
    g.p2m.runs[0].pages = RAM_PAGES;
    assert_int_equal(load(), OK);
}

/* However many frames there are: loaded, or told so; and what was taken comes back. */
static void test_out_of_frames(void **state)
{
    (void)state;
    make_bzimage();
    for (uint64_t frames = 0;; frames++) {
        assert_true(frames < 64);
        tguest_starve(&g, frames);
        enum status s = load();
        p2m_drop_all(&g.p2m);
        tguest_feed(&g);
        if (s == OK) {
            assert_true(frames > 9);
            return;
        }
        assert_int_equal(s, E_NOMEM);
        assert_int_not_equal(why[0], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bzimage64, begin, end),
        cmocka_unit_test_setup_teardown(test_bzimage32, begin, end),
        cmocka_unit_test_setup_teardown(test_relocation, begin, end),
        cmocka_unit_test_setup_teardown(test_elf, begin, end),
        cmocka_unit_test_setup_teardown(test_two_runs, begin, end),
        cmocka_unit_test_setup_teardown(test_hostile_bzimage, begin, end),
        cmocka_unit_test_setup_teardown(test_hostile_elf, begin, end),
        cmocka_unit_test_setup_teardown(test_repeated_segments, begin, end),
        cmocka_unit_test_setup_teardown(test_truncated, begin, end),
        cmocka_unit_test_setup_teardown(test_limits, begin, end),
        cmocka_unit_test_setup_teardown(test_out_of_frames, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
