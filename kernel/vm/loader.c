/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading Linux and ELF images into a guest: see loader.h. */
#include "kernel/vm/loader.h"

#include <elf.h>

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

#define FAIL(status, ...)                                                                          \
    do {                                                                                           \
        format(why, why_size, __VA_ARGS__);                                                        \
        return status;                                                                             \
    } while (0)

static uint64_t low_ram_end(const struct p2m *p)
{
    return p->runs[0].pages << PAGE_SHIFT;
}

static bool is_elf(const struct loader_input *in)
{
    return in->kernel_bytes >= sizeof(Elf64_Ehdr) && memcmp(in->kernel, ELFMAG, SELFMAG) == 0 &&
           in->kernel[EI_CLASS] == ELFCLASS64;
}

/* ---- the zero page ------------------------------------------------------------------------- */

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

/* What the kernel's own header says, or for ELF, which has none, that there is one. */
static void copy_header(const struct loader_input *in, uint8_t *zero)
{
    const uint8_t *k = in->kernel;

    if (is_elf(in)) {
        store_le16(zero + 0x1fe, 0xaa55);
        store_le32(zero + HDR_MAGIC, MAGIC_HDRS);
        store_le16(zero + HDR_VERSION, 0x20c);
        return;
    }
    uint64_t end = MIN(0x202u + k[0x201], (uint32_t)HDR_END);
    memcpy(zero + HDR_SETUP_SECTS, k + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
    store_le16(zero + 0x1fa, 0xffff); /* vid_mode: normal */
}

void loader_zero_page(const struct loader_job *j, uint8_t zero[PAGE_SIZE])
{
    memset(zero, 0, PAGE_SIZE);
    copy_header(&j->in, zero);
    if (!is_elf(&j->in)) {
        store_le32(zero + HDR_CODE32_START, (uint32_t)j->parts[0].at);
    }
    zero[HDR_LOADER_TYPE] = 0xff; /* a loader without an assigned number */
    store_le32(zero + HDR_RAMDISK_IMAGE, (uint32_t)j->initrd_at);
    store_le32(zero + HDR_RAMDISK_SIZE, (uint32_t)j->in.initrd_bytes);
    store_le32(zero + HDR_CMDLINE_PTR, LOADER_CMDLINE);
    store_le64(zero + ZP_RSDP, j->in.rsdp.a);
    fill_memory_map(j->p, zero);
}

/* ---- the plan ------------------------------------------------------------------------------ */

/* The initrd goes as high as it may, page-aligned, above the kernel. */
static enum status place_initrd(struct loader_job *j, uint64_t max, char *why, size_t why_size)
{
    uint64_t bytes = j->in.initrd_bytes, top = MIN(low_ram_end(j->p), max + 1);

    j->initrd_at = 0;
    if (bytes == 0) {
        return OK;
    }
    if (bytes > top || ALIGN_DOWN(top - bytes, PAGE_SIZE) < j->end) {
        FAIL(E_RANGE,
             "the initrd (%llu KiB) does not fit above the kernel; give the VM more memory",
             (unsigned long long)bytes >> 10);
    }
    j->initrd_at = ALIGN_DOWN(top - bytes, PAGE_SIZE);
    return OK;
}

static enum status place_rest(struct loader_job *j, uint64_t initrd_max, uint64_t cmdline_max,
                              char *why, size_t why_size)
{
    uint64_t len = strlen(j->in.cmdline);

    if (len > cmdline_max || len >= LOADER_LOW_END - LOADER_CMDLINE) {
        FAIL(E_RANGE, "the command line has %llu characters, this kernel takes %llu",
             (unsigned long long)len, (unsigned long long)cmdline_max);
    }
    return place_initrd(j, initrd_max, why, why_size);
}

static enum status plan_bzimage(struct loader_job *j, char *why, size_t why_size)
{
    const struct loader_input *in = &j->in;
    const uint8_t *k = in->kernel;
    uint32_t version = load_le16(k + HDR_VERSION);
    uint64_t setup = ((k[HDR_SETUP_SECTS] ? k[HDR_SETUP_SECTS] : 4u) + 1u) * UINT64_C(512);
    uint64_t low_end = low_ram_end(j->p);

    if (version < 0x20a) {
        FAIL(E_INVAL, "the kernel's boot protocol %u.%02u is older than 2.10", version >> 8,
             version & 0xff);
    }
    if (setup >= in->kernel_bytes) {
        FAIL(E_INVAL, "the kernel image is truncated");
    }
    uint64_t body = in->kernel_bytes - setup;
    j->entry.long_mode = version >= 0x20c && (load_le16(k + HDR_XLOADFLAGS) & XLF_KERNEL_64);
    if (j->entry.long_mode && body <= ENTRY64_OFFSET) {
        FAIL(E_INVAL, "the kernel image is truncated");
    }
    uint64_t align = load_le32(k + HDR_ALIGNMENT), pref = load_le64(k + HDR_PREF_ADDRESS);
    uint64_t need = MAX(load_le32(k + HDR_INIT_SIZE), body), want = pref;
    bool relocatable = k[HDR_RELOCATABLE] && align && !(align & (align - 1)) && align <= BIT(30);
    if (!j->entry.long_mode || want < 0x100000) {
        want = load_le32(k + HDR_CODE32_START);
    }
    if (relocatable && want < 0x100000) {
        want = ALIGN_UP(0x100000, align);
    }
    /* A relocatable kernel moves itself up to its preferred address, whatever is there, so nothing
     * is won by loading it lower (the boot protocol on init_size). */
    uint64_t run = relocatable ? MAX(want, pref) : want;
    if (relocatable && run < low_end) {
        run = ALIGN_UP(run, align);
    }
    if (want < 0x100000 || !range_within(run, need, low_end) ||
        !range_within(want, body, low_end)) {
        FAIL(E_RANGE, "the kernel needs %llu KiB at %#llx; the VM's memory ends at %#llx",
             (unsigned long long)need >> 10, (unsigned long long)run, (unsigned long long)low_end);
    }
    j->end = run + need;
    j->n_parts = 1;
    j->parts[0] = (struct image_part){.at = want, .from = setup, .bytes = body};
    j->entry.rip = want + (j->entry.long_mode ? ENTRY64_OFFSET : 0);
    uint32_t cmdline_max = load_le32(k + HDR_CMDLINE_SIZE);
    return place_rest(j, load_le32(k + HDR_INITRD_MAX), cmdline_max ? cmdline_max : 255, why,
                      why_size);
}

static enum status plan_elf(struct loader_job *j, char *why, size_t why_size)
{
    const struct loader_input *in = &j->in;
    const uint8_t *k = in->kernel;
    uint64_t low_end = low_ram_end(j->p);
    uint64_t copied = 0;
    Elf64_Ehdr h;

    memcpy(&h, k, sizeof(h)); /* the module may be aligned for no such struct */
    if (h.e_machine != EM_X86_64 || h.e_phentsize < sizeof(Elf64_Phdr) ||
        !range_within(h.e_phoff, (uint64_t)h.e_phentsize * h.e_phnum, in->kernel_bytes)) {
        FAIL(E_INVAL, "the kernel is an ELF file, but not a sound x86-64 executable");
    }
    for (unsigned i = 0; i < h.e_phnum; i++) {
        Elf64_Phdr ph;
        memcpy(&ph, k + h.e_phoff + (uint64_t)i * h.e_phentsize, sizeof(ph));
        uint64_t pa = ph.p_paddr, filesz = ph.p_filesz, memsz = ph.p_memsz;
        if (ph.p_type != PT_LOAD || memsz == 0) {
            continue;
        }
        if (filesz > memsz || !range_within(ph.p_offset, filesz, in->kernel_bytes)) {
            FAIL(E_INVAL, "segment %u of the kernel lies outside its file", i);
        }
        /* Thousands of headers that name the same bytes would be copied for minutes. */
        copied += filesz;
        if (copied > in->kernel_bytes) {
            FAIL(E_INVAL, "the kernel's segments overlap in its file");
        }
        if (pa < 0x100000 || !range_within(pa, memsz, low_end)) {
            FAIL(E_RANGE, "segment %u of the kernel (%#llx, %llu KiB) is outside the VM's memory",
                 i, (unsigned long long)pa, (unsigned long long)memsz >> 10);
        }
        if (filesz > 0 && j->n_parts == IMAGE_PARTS) {
            FAIL(E_INVAL, "the kernel has more than %u segments to load", IMAGE_PARTS);
        }
        /* The rest of memsz is zero: memory that was never touched reads so. */
        if (filesz > 0) {
            j->parts[j->n_parts++] =
                (struct image_part){.at = pa, .from = ph.p_offset, .bytes = filesz};
        }
        j->end = MAX(j->end, pa + memsz);
    }
    if (j->end == 0) {
        FAIL(E_INVAL, "the kernel is an ELF file without anything to load");
    }
    j->entry.long_mode = true;
    j->entry.rip = h.e_entry;
    /* Some builds of vmlinux name their entry by its virtual address; only physical ones work. */
    if (j->entry.rip >= low_end) {
        FAIL(E_INVAL, "the kernel's entry point %#llx is not in the VM's memory",
             (unsigned long long)j->entry.rip);
    }
    return place_rest(j, 0x7fffffff, 65535, why, why_size);
}

/* Whether two of the kernel's parts want the same byte: which would win depends on their order. */
static bool parts_overlap(const struct loader_job *j)
{
    for (unsigned i = 0; i < j->n_parts; i++) {
        for (unsigned k = 0; k < i; k++) {
            const struct image_part *a = &j->parts[i], *b = &j->parts[k];

            if (a->at < b->at + b->bytes && b->at < a->at + a->bytes) {
                return true;
            }
        }
    }
    return false;
}

static enum status plan(struct loader_job *j, char *why, size_t why_size)
{
    if (low_ram_end(j->p) < 0x400000) {
        FAIL(E_RANGE, "a VM needs at least 4 MiB of memory");
    }
    if (is_elf(&j->in)) {
        return plan_elf(j, why, why_size);
    }
    if (j->in.kernel_bytes >= 1024 && load_le32(j->in.kernel + HDR_MAGIC) == MAGIC_HDRS) {
        return plan_bzimage(j, why, why_size);
    }
    FAIL(E_INVAL, "the kernel is neither a Linux bzImage nor an ELF64 executable");
}

/* An image that would have another layout than the guest wants is not used. */
static void settle_image(struct loader_frames *f, const struct image_part *parts, unsigned n)
{
    if (f->image && (n == 0 || image_set_parts(f->image, parts, n) != OK)) {
        f->image = NULL;
    }
}

enum status loader_begin(struct loader_job *j, struct p2m *p, const struct loader_input *in,
                         struct loader_frames kernel, struct loader_frames initrd, char *why,
                         size_t why_size)
{
    *j = (struct loader_job){.p = p, .in = *in, .kernel = kernel, .initrd = initrd};
    enum status s = plan(j, why, why_size);

    if (s != OK) {
        return s;
    }
    if (parts_overlap(j)) {
        FAIL(E_INVAL, "the kernel's segments overlap in memory");
    }
    const struct image_part whole = {.bytes = in->initrd_bytes};
    settle_image(&j->kernel, j->parts, j->n_parts);
    settle_image(&j->initrd, &whole, in->initrd_bytes > 0);
    j->entry.gdt_base = LOADER_GDT;
    j->entry.gdt_limit = 5 * 8 - 1;
    j->entry.cr3 = LOADER_PAGE_TABLES;
    j->entry.rsp = LOADER_STACK;
    j->entry.rsi = LOADER_ZERO_PAGE;
    return OK;
}

enum status loader_load(struct p2m *p, const struct loader_input *in, struct loader_entry *out,
                        char *why, size_t why_size)
{
    const struct loader_frames none = {0};
    struct loader_job j;
    enum status s = loader_begin(&j, p, in, none, none, why, why_size);

    if (s != OK) {
        return s;
    }
    s = loader_step(&j, NULL);
    if (s != OK) {
        FAIL(s, "loading the kernel: %s", status_name(s));
    }
    *out = j.entry;
    return OK;
}
