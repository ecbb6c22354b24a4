/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading Linux and ELF images into a guest: see loader.h. */
#include "kernel/loader.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"

/* Offsets in the bzImage and in the zero page (boot_params). */
#define HDR_SETUP_SECTS 0x1f1
#define HDR_MAGIC 0x202
#define HDR_VERSION 0x206
#define HDR_LOADER_TYPE 0x210
#define HDR_CODE32_START 0x214
#define HDR_RAMDISK_IMAGE 0x218
#define HDR_RAMDISK_SIZE 0x21c
#define HDR_CMDLINE_PTR 0x228
#define HDR_INITRD_MAX 0x22c
#define HDR_ALIGNMENT 0x230
#define HDR_RELOCATABLE 0x234
#define HDR_XLOADFLAGS 0x236
#define HDR_CMDLINE_SIZE 0x238
#define HDR_PREF_ADDRESS 0x258
#define HDR_INIT_SIZE 0x260
#define HDR_END 0x268
#define ZP_RSDP 0x070
#define ZP_E820_ENTRIES 0x1e8
#define ZP_E820 0x2d0

#define MAGIC_HDRS 0x53726448u
#define XLF_KERNEL_64 1u
#define ENTRY64_OFFSET 0x200u
#define E820_RAM 1u
#define E820_RESERVED 2u
#define E820_ACPI 3u

struct image {
    uint64_t end;     /* guest-physical, incl. what it needs while it unpacks itself */
    uint64_t low_end; /* end of RAM below the hole */
};

#define FAIL(status, ...)                                                                          \
    do {                                                                                           \
        format(why, why_size, __VA_ARGS__);                                                        \
        return status;                                                                             \
    } while (0)

static uint64_t low_ram_end(const struct p2m *p)
{
    return p->runs[0].pages << PAGE_SHIFT;
}

static enum status put(struct p2m *p, uint64_t to, const void *from, uint64_t n, const char *what,
                       char *why, size_t why_size)
{
    enum status s = p2m_write(p, GPA(to), from, n);

    if (s != OK) {
        FAIL(s, "loading the %s: %s", what, status_name(s));
    }
    return OK;
}

/* GDT with flat 64-bit and 32-bit segments at the selectors that hvm.h names, a page table that
 * maps the first 4 GiB one to one with 2 MiB pages. */
static enum status put_boot_tables(struct p2m *p, bool long_mode, char *why, size_t why_size)
{
    static const uint64_t gdt64[] = {0, 0, UINT64_C(0x00af9b000000ffff),
                                     UINT64_C(0x00cf93000000ffff), UINT64_C(0x008f8b000000ffff)};
    static const uint64_t gdt32[] = {0, 0, UINT64_C(0x00cf9b000000ffff),
                                     UINT64_C(0x00cf93000000ffff), UINT64_C(0x008f8b000000ffff)};
    uint64_t table[512] = {0};
    enum status s;

    s = put(p, LOADER_GDT, long_mode ? gdt64 : gdt32, sizeof(gdt64), "boot GDT", why, why_size);
    if (s != OK) {
        return s;
    }
    table[0] = (LOADER_PAGE_TABLES + PAGE_SIZE) | 3;
    s = put(p, LOADER_PAGE_TABLES, table, sizeof(table), "boot page tables", why, why_size);
    for (unsigned i = 0; i < 4 && s == OK; i++) {
        table[i] = (LOADER_PAGE_TABLES + (2 + i) * (uint64_t)PAGE_SIZE) | 3;
    }
    if (s == OK) {
        s = put(p, LOADER_PAGE_TABLES + PAGE_SIZE, table, sizeof(table), "boot page tables", why,
                why_size);
    }
    for (uint64_t pd = 0; pd < 4 && s == OK; pd++) {
        for (uint64_t i = 0; i < 512; i++) {
            table[i] = (pd << 30 | i << 21) | 0x83;
        }
        s = put(p, LOADER_PAGE_TABLES + (2 + pd) * PAGE_SIZE, table, sizeof(table),
                "boot page tables", why, why_size);
    }
    return s;
}

static void e820_add(uint8_t *zero, uint64_t base, uint64_t len, uint32_t type)
{
    uint8_t n = zero[ZP_E820_ENTRIES], *e = zero + ZP_E820 + 20u * n;

    if (len > 0) {
        store_le64(e, base);
        store_le64(e + 8, len);
        store_le32(e + 16, type);
        zero[ZP_E820_ENTRIES] = (uint8_t)(n + 1);
    }
}

static void fill_memory_map(const struct p2m *p, uint8_t *zero)
{
    e820_add(zero, 0, LOADER_LOW_END, E820_RAM);
    e820_add(zero, LOADER_LOW_END, LOADER_ACPI - LOADER_LOW_END, E820_RESERVED);
    e820_add(zero, LOADER_ACPI, LOADER_ACPI_BYTES, E820_ACPI);
    e820_add(zero, LOADER_ACPI + LOADER_ACPI_BYTES, 0x100000 - LOADER_ACPI - LOADER_ACPI_BYTES,
             E820_RESERVED);
    e820_add(zero, 0x100000, low_ram_end(p) - 0x100000, E820_RAM);
    if (p->n_runs > 1) {
        e820_add(zero, p->runs[1].first.n << PAGE_SHIFT, p->runs[1].pages << PAGE_SHIFT, E820_RAM);
    }
}

/* The initrd goes as high as it may, page-aligned, above the kernel. */
static enum status put_initrd(struct p2m *p, const struct loader_input *in,
                              const struct image *image, uint64_t max, uint64_t *at, char *why,
                              size_t why_size)
{
    uint64_t top = MIN(image->low_end, max + 1);

    *at = 0;
    if (in->initrd_bytes == 0) {
        return OK;
    }
    if (in->initrd_bytes > top || ALIGN_DOWN(top - in->initrd_bytes, PAGE_SIZE) < image->end) {
        FAIL(E_RANGE,
             "the initrd (%llu KiB) does not fit above the kernel; give the VM more memory",
             (unsigned long long)in->initrd_bytes >> 10);
    }
    *at = ALIGN_DOWN(top - in->initrd_bytes, PAGE_SIZE);
    return put(p, *at, in->initrd, in->initrd_bytes, "initrd", why, why_size);
}

static enum status finish(struct p2m *p, const struct loader_input *in, uint8_t *zero,
                          const struct image *image, uint64_t initrd_max, uint64_t cmdline_max,
                          char *why, size_t why_size)
{
    uint64_t initrd, len = strlen(in->cmdline);
    enum status s;

    if (len > cmdline_max || len >= LOADER_LOW_END - LOADER_CMDLINE) {
        FAIL(E_RANGE, "the command line has %llu characters, this kernel takes %llu",
             (unsigned long long)len, (unsigned long long)cmdline_max);
    }
    s = put_initrd(p, in, image, initrd_max, &initrd, why, why_size);
    if (s != OK) {
        return s;
    }
    zero[HDR_LOADER_TYPE] = 0xff; /* a loader without an assigned number */
    store_le32(zero + HDR_RAMDISK_IMAGE, (uint32_t)initrd);
    store_le32(zero + HDR_RAMDISK_SIZE, (uint32_t)in->initrd_bytes);
    store_le32(zero + HDR_CMDLINE_PTR, LOADER_CMDLINE);
    store_le64(zero + ZP_RSDP, in->rsdp.a);
    fill_memory_map(p, zero);
    s = put(p, LOADER_CMDLINE, in->cmdline, len + 1, "command line", why, why_size);
    return s != OK ? s : put(p, LOADER_ZERO_PAGE, zero, PAGE_SIZE, "zero page", why, why_size);
}

static enum status load_bzimage(struct p2m *p, const struct loader_input *in,
                                struct loader_entry *out, char *why, size_t why_size)
{
    const uint8_t *k = in->kernel;
    uint8_t zero[PAGE_SIZE] = {0};
    uint32_t version = load_le16(k + HDR_VERSION);
    uint64_t setup = ((k[HDR_SETUP_SECTS] ? k[HDR_SETUP_SECTS] : 4u) + 1u) * UINT64_C(512);
    struct image image = {.low_end = low_ram_end(p)};
    enum status s;

    if (version < 0x20a) {
        FAIL(E_INVAL, "the kernel's boot protocol %u.%02u is older than 2.10", version >> 8,
             version & 0xff);
    }
    if (setup >= in->kernel_bytes) {
        FAIL(E_INVAL, "the kernel image is truncated");
    }
    uint64_t body = in->kernel_bytes - setup;
    out->long_mode = version >= 0x20c && (load_le16(k + HDR_XLOADFLAGS) & XLF_KERNEL_64);
    if (out->long_mode && body <= ENTRY64_OFFSET) {
        FAIL(E_INVAL, "the kernel image is truncated");
    }
    uint64_t align = load_le32(k + HDR_ALIGNMENT), pref = load_le64(k + HDR_PREF_ADDRESS);
    uint64_t need = MAX(load_le32(k + HDR_INIT_SIZE), body), want = pref;
    bool relocatable = k[HDR_RELOCATABLE] && align && !(align & (align - 1)) && align <= BIT(30);
    if (!out->long_mode || want < 0x100000) {
        want = load_le32(k + HDR_CODE32_START);
    }
    if (relocatable && want < 0x100000) {
        want = ALIGN_UP(0x100000, align);
    }
    /* A relocatable kernel moves itself up to its preferred address, whatever is there, so nothing
     * is won by loading it lower (the boot protocol on init_size). */
    uint64_t run = relocatable ? MAX(want, pref) : want;
    if (relocatable && run < image.low_end) {
        run = ALIGN_UP(run, align);
    }
    if (want < 0x100000 || !range_within(run, need, image.low_end) ||
        !range_within(want, body, image.low_end)) {
        FAIL(E_RANGE, "the kernel needs %llu KiB at %#llx; the VM's memory ends at %#llx",
             (unsigned long long)need >> 10, (unsigned long long)run,
             (unsigned long long)image.low_end);
    }
    image.end = run + need;
    uint64_t hdr_end = MIN(0x202u + k[0x201], (uint32_t)HDR_END);
    memcpy(zero + HDR_SETUP_SECTS, k + HDR_SETUP_SECTS, hdr_end - HDR_SETUP_SECTS);
    store_le32(zero + HDR_CODE32_START, (uint32_t)want);
    store_le16(zero + 0x1fa, 0xffff); /* vid_mode: normal */
    s = put(p, want, k + setup, body, "kernel", why, why_size);
    if (s == OK) {
        uint32_t cmdline_max = load_le32(k + HDR_CMDLINE_SIZE);
        s = finish(p, in, zero, &image, load_le32(k + HDR_INITRD_MAX),
                   cmdline_max ? cmdline_max : 255, why, why_size);
    }
    out->rip = want + (out->long_mode ? ENTRY64_OFFSET : 0);
    return s;
}

static enum status load_elf(struct p2m *p, const struct loader_input *in, struct loader_entry *out,
                            char *why, size_t why_size)
{
    const uint8_t *k = in->kernel;
    uint8_t zero[PAGE_SIZE] = {0};
    struct image image = {.low_end = low_ram_end(p)};
    uint64_t phoff = load_le64(k + 32), copied = 0;
    unsigned phentsize = load_le16(k + 54), phnum = load_le16(k + 56);

    if (load_le16(k + 18) != 62 || phentsize < 56 ||
        !range_within(phoff, (uint64_t)phentsize * phnum, in->kernel_bytes)) {
        FAIL(E_INVAL, "the kernel is an ELF file, but not a sound x86-64 executable");
    }
    for (unsigned i = 0; i < phnum; i++) {
        const uint8_t *ph = k + phoff + (uint64_t)i * phentsize;
        uint64_t offset = load_le64(ph + 8), pa = load_le64(ph + 24);
        uint64_t filesz = load_le64(ph + 32), memsz = load_le64(ph + 40);
        if (load_le32(ph) != 1 || memsz == 0) { /* PT_LOAD */
            continue;
        }
        if (filesz > memsz || !range_within(offset, filesz, in->kernel_bytes)) {
            FAIL(E_INVAL, "segment %u of the kernel lies outside its file", i);
        }
        /* Thousands of headers that name the same bytes would be copied for minutes. */
        copied += filesz;
        if (copied > in->kernel_bytes) {
            FAIL(E_INVAL, "the kernel's segments overlap in its file");
        }
        if (pa < 0x100000 || !range_within(pa, memsz, image.low_end)) {
            FAIL(E_RANGE, "segment %u of the kernel (%#llx, %llu KiB) is outside the VM's memory",
                 i, (unsigned long long)pa, (unsigned long long)memsz >> 10);
        }
        /* The rest of memsz is zero: memory that was never touched reads so. */
        enum status s = put(p, pa, k + offset, filesz, "kernel", why, why_size);
        if (s != OK) {
            return s;
        }
        image.end = MAX(image.end, pa + memsz);
    }
    if (image.end == 0) {
        FAIL(E_INVAL, "the kernel is an ELF file without anything to load");
    }
    out->long_mode = true;
    out->rip = load_le64(k + 24);
    /* Some builds of vmlinux name their entry by its virtual address; only physical ones work. */
    if (out->rip >= image.low_end) {
        FAIL(E_INVAL, "the kernel's entry point %#llx is not in the VM's memory",
             (unsigned long long)out->rip);
    }
    store_le16(zero + 0x1fe, 0xaa55);
    store_le32(zero + HDR_MAGIC, MAGIC_HDRS);
    store_le16(zero + HDR_VERSION, 0x20c);
    return finish(p, in, zero, &image, 0x7fffffff, 65535, why, why_size);
}

enum status loader_load(struct p2m *p, const struct loader_input *in, struct loader_entry *out,
                        char *why, size_t why_size)
{
    const uint8_t *k = in->kernel;
    enum status s;

    memset(out, 0, sizeof(*out));
    if (low_ram_end(p) < 0x400000) {
        FAIL(E_RANGE, "a VM needs at least 4 MiB of memory");
    }
    if (in->kernel_bytes >= 64 && load_le32(k) == 0x464c457f && k[4] == 2) {
        s = load_elf(p, in, out, why, why_size);
    } else if (in->kernel_bytes >= 1024 && load_le32(k + HDR_MAGIC) == MAGIC_HDRS) {
        s = load_bzimage(p, in, out, why, why_size);
    } else {
        FAIL(E_INVAL, "the kernel is neither a Linux bzImage nor an ELF64 executable");
    }
    if (s != OK) {
        return s;
    }
    s = put_boot_tables(p, out->long_mode, why, why_size);
    out->gdt_base = LOADER_GDT;
    out->gdt_limit = 5 * 8 - 1;
    out->cr3 = LOADER_PAGE_TABLES;
    out->rsp = LOADER_STACK;
    out->rsi = LOADER_ZERO_PAGE;
    return s;
}
