/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The multiboot2 information structure: first the chain of tags as a whole, then the memory map,
 * then the modules, which can only be judged against the map.
 */
#include "boot/multiboot2.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"

/* Tag types (Multiboot2 specification 2.0, sections 3.6.1 to 3.6.18). */
#define TAG_END 0
#define TAG_CMDLINE 1
#define TAG_LOADER 2
#define TAG_MODULE 3
#define TAG_MEMINFO 4
#define TAG_MMAP 6
#define TAG_EFI32 11
#define TAG_EFI64 12
#define TAG_RSDP_OLD 14
#define TAG_RSDP_NEW 15
#define TAG_EFI_MMAP 17
#define TAG_EFI_BS 18
#define TAG_EFI32_IH 19
#define TAG_EFI64_IH 20

#define TAG_HEADER 8
#define MMAP_ENTRY 24     /* base, length, type, reserved */
#define EFI_MMAP_ENTRY 40 /* type, padding, physical, virtual, pages, attributes */
#define REGIONS_MAX 1024u /* bounds the quadratic walk below */
#define ADDRESS_END BIT(52)
#define COMPLAINTS_MAX 16u

struct parser {
    const uint8_t *base;
    size_t size;
    struct mb2_info *out;
    /* Payload of the tag that the memory map comes from, whole tag headers included. */
    const uint8_t *mmap, *efi_mmap, *meminfo;
    uint32_t mmap_size, efi_mmap_size;
};

struct region {
    uint64_t start, end;
    uint32_t type;
};

static void drop(struct parser *p, const char *what, uint64_t detail)
{
    if (p->out->n_dropped < COMPLAINTS_MAX) {
        log_warn("multiboot2: %s (0x%llx): ignored", what, (unsigned long long)detail);
    }
    p->out->n_dropped++;
}

/* Copies a string that ends at its NUL or at `len`; false when it was cut. */
static bool copy_text(char *to, size_t size, const uint8_t *from, size_t len)
{
    size_t n = strnlen((const char *)from, len);
    bool whole = n < size;

    n = whole ? n : size - 1;
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i] >= 0x20 && from[i] <= 0x7e ? (char)from[i] : '?';
    }
    to[n] = '\0';
    return whole;
}

/* ---- ACPI ---- */

static bool sums_to_zero(const uint8_t *bytes, size_t n)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    return sum == 0;
}

/* ACPI 6.5, section 5.2.5.3: the first 20 bytes have a sum of their own in either revision. */
static void parse_rsdp(struct parser *p, const uint8_t *rsdp, size_t len, bool new)
{
    struct mb2_info *out = p->out;
    unsigned want = new ? 36 : 20;

    if (len < want || memcmp(rsdp, "RSD PTR ", 8) != 0 || !sums_to_zero(rsdp, 20)) {
        drop(p, "bad ACPI root pointer", len);
        return;
    }
    if (new) {
        uint32_t length = load_le32(rsdp + 20);

        if (length < want || length > len || !sums_to_zero(rsdp, length)) {
            drop(p, "bad ACPI 2.0 root pointer", length);
            return;
        }
    }
    if (want > out->rsdp_len) {
        memcpy(out->rsdp, rsdp, want);
        out->rsdp_len = want;
    }
}

/* ---- memory ---- */

static uint32_t efi_type(const struct parser *p, uint32_t type)
{
    /* UEFI 2.10, section 7.2.1: what is free once boot services have ended. */
    switch (type) {
    case 3: /* boot services code */
    case 4: /* boot services data */
        return p->out->efi_boot_services ? MB2_MEM_RESERVED : MB2_MEM_AVAILABLE;
    case 1: /* loader code */
    case 2: /* loader data */
    case 7: /* conventional */
        return MB2_MEM_AVAILABLE;
    case 8:
        return MB2_MEM_BAD;
    case 9:
        return MB2_MEM_ACPI;
    case 10:
        return MB2_MEM_NVS;
    default:
        return MB2_MEM_RESERVED;
    }
}

/* Cuts a region to what addresses can be; false when nothing of it is left. */
static bool region_set(struct region *r, uint64_t base, uint64_t len, uint32_t type)
{
    *r = (struct region){base, base + len, type};
    if (r->end < base) {
        /* Free memory of a wrapping length is nobody's; what must not be touched stays so. */
        r->end = type == MB2_MEM_AVAILABLE ? 0 : UINT64_MAX;
    }
    r->end = MIN(r->end, ADDRESS_END);
    return r->start < r->end;
}

/* How many regions the loader named, before anything is made of them. */
static unsigned regions_count(const struct parser *p)
{
    if (p->mmap != NULL) {
        return (p->mmap_size - 16) / load_le32(p->mmap + 8);
    }
    if (p->efi_mmap != NULL) {
        return (p->efi_mmap_size - 16) / load_le32(p->efi_mmap + 8);
    }
    return p->meminfo != NULL ? 2 : 0;
}

/* The i-th of them, i < regions_count(); false: it is empty or absurd. */
static bool region_get(const struct parser *p, unsigned i, struct region *r)
{
    if (p->mmap != NULL) {
        const uint8_t *e = p->mmap + 16 + (size_t)i * load_le32(p->mmap + 8);
        uint32_t type = load_le32(e + 16);

        if (type < MB2_MEM_AVAILABLE || type > MB2_MEM_BAD) {
            type = MB2_MEM_RESERVED;
        }
        return region_set(r, load_le64(e), load_le64(e + 8), type);
    }
    if (p->efi_mmap != NULL) {
        const uint8_t *e = p->efi_mmap + 16 + (size_t)i * load_le32(p->efi_mmap + 8);
        uint64_t pages = load_le64(e + 24);
        uint64_t len = pages <= UINT64_MAX >> PAGE_SHIFT ? pages << PAGE_SHIFT : UINT64_MAX;

        return region_set(r, load_le64(e + 8), len, efi_type(p, load_le32(e)));
    }
    /* Kilobytes below 640K, and from 1M up to the first hole. */
    return region_set(r, i == 0 ? 0 : UINT64_C(1) << 20,
                      (uint64_t)load_le32(p->meminfo + 8 + 4 * (size_t)i) << 10, MB2_MEM_AVAILABLE);
}

/* The higher, the less may be done with such memory. */
static unsigned strictness(uint32_t type)
{
    static const uint8_t order[] = {[MB2_MEM_AVAILABLE] = 1,
                                    [MB2_MEM_ACPI] = 2,
                                    [MB2_MEM_NVS] = 3,
                                    [MB2_MEM_RESERVED] = 4,
                                    [MB2_MEM_BAD] = 5};
    return order[type];
}

/* Appends [start, end); what has no room is forgotten, which only makes memory smaller. */
static void mem_append(struct parser *p, uint64_t start, uint64_t end, uint32_t type)
{
    struct mb2_info *out = p->out;
    struct mb2_mem *last = out->n_mem > 0 ? &out->mem[out->n_mem - 1] : NULL;

    if (last != NULL && last->type == type && last->base + last->len == start) {
        last->len = end - last->base;
    } else if (out->n_mem < MB2_MEMS) {
        out->mem[out->n_mem++] = (struct mb2_mem){start, end - start, type};
    } else {
        drop(p, "too many regions of memory", start);
    }
}

/*
 * Sweeps upwards from boundary to boundary; between two of them the strictest region that covers
 * the place decides. Quadratic, but in a number that is bounded and small.
 */
static void resolve_memory(struct parser *p, unsigned n)
{
    uint64_t at = 0;

    for (unsigned i = 0; i < n; i++) {
        struct region r;

        if (!region_get(p, i, &r) && r.start != r.end) {
            drop(p, "absurd region of memory", r.start);
        }
    }
    while (at < ADDRESS_END) {
        uint64_t next = ADDRESS_END;
        uint32_t type = 0;

        for (unsigned i = 0; i < n; i++) {
            struct region r;

            if (!region_get(p, i, &r) || r.end <= at) {
                continue;
            }
            if (r.start > at) {
                next = MIN(next, r.start);
                continue;
            }
            next = MIN(next, r.end);
            if (type == 0 || strictness(r.type) > strictness(type)) {
                type = r.type;
            }
        }
        if (type != 0) {
            mem_append(p, at, next, type);
        }
        at = next;
    }
}

/* A map tag: its header, entry_size and entry_version, then entries. NULL when unusable. */
static const uint8_t *check_map(struct parser *p, const uint8_t *tag, uint32_t size, unsigned entry)
{
    if (size < 16 + entry || load_le32(tag + 8) < entry || load_le32(tag + 8) > size - 16) {
        drop(p, "bad memory map", size);
        return NULL;
    }
    return tag;
}

/* ---- modules ---- */

static bool in_available_memory(const struct mb2_info *out, uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < out->n_mem; i++) {
        const struct mb2_mem *m = &out->mem[i];

        if (m->type == MB2_MEM_AVAILABLE && start >= m->base && end <= m->base + m->len) {
            return true;
        }
    }
    return false;
}

/* The first word of a module's string; false when it is none that a configuration could name. */
static bool module_name(const uint8_t *text, size_t len, char name[MB2_NAME])
{
    size_t n = 0;

    while (len > 0 && *text == ' ') {
        text++;
        len--;
    }
    for (; n < len && text[n] != '\0' && text[n] != ' '; n++) {
        if (n == MB2_NAME - 1 || text[n] < 0x20 || text[n] > 0x7e) {
            return false;
        }
        name[n] = (char)text[n];
    }
    name[n] = '\0';
    return n > 0;
}

static void parse_module(struct parser *p, const uint8_t *tag, uint32_t size)
{
    struct mb2_info *out = p->out;
    struct mb2_module *m = &out->modules[out->n_modules];
    uint64_t start, end;

    if (size < 16) {
        drop(p, "short module tag", size);
        return;
    }
    start = load_le32(tag + 8);
    end = load_le32(tag + 12);
    if (out->n_modules == MB2_MODULES) {
        drop(p, "too many modules", start);
        return;
    }
    if (start >= end || !in_available_memory(out, start, end)) {
        drop(p, "module that is empty or outside memory", start);
        return;
    }
    if (!module_name(tag + 16, size - 16, m->name)) {
        drop(p, "module without a usable name", start);
        return;
    }
    for (unsigned i = 0; i < out->n_modules; i++) {
        const struct mb2_module *o = &out->modules[i];

        if (start < o->end && o->start < end) {
            drop(p, "module that overlaps another", start);
            return;
        }
        if (strcmp(o->name, m->name) == 0) {
            drop(p, "second module of one name", start);
            return;
        }
    }
    m->start = start;
    m->end = end;
    out->n_modules++;
}

/* ---- tags ---- */

static void parse_text(struct parser *p, const uint8_t *tag, uint32_t size, char *to, size_t room)
{
    if (size <= TAG_HEADER) {
        drop(p, "empty string tag", load_le32(tag));
    } else if (!copy_text(to, room, tag + TAG_HEADER, size - TAG_HEADER)) {
        drop(p, "end of a string that is too long", size);
    }
}

static void keep_first(struct parser *p, const uint8_t **slot, const uint8_t *tag)
{
    if (*slot != NULL) {
        drop(p, "second tag of one type", load_le32(tag));
    } else {
        *slot = tag;
    }
}

/* Everything but the modules. */
static void parse_tag(struct parser *p, const uint8_t *tag, uint32_t type, uint32_t size)
{
    struct mb2_info *out = p->out;

    switch (type) {
    case TAG_CMDLINE:
        parse_text(p, tag, size, out->cmdline, sizeof(out->cmdline));
        break;
    case TAG_LOADER:
        parse_text(p, tag, size, out->loader, sizeof(out->loader));
        break;
    case TAG_MEMINFO:
        if (size < 16) {
            drop(p, "short memory size tag", size);
        } else {
            keep_first(p, &p->meminfo, tag);
        }
        break;
    case TAG_MMAP:
        if (check_map(p, tag, size, MMAP_ENTRY) != NULL) {
            p->mmap_size = p->mmap == NULL ? size : p->mmap_size;
            keep_first(p, &p->mmap, tag);
        }
        break;
    case TAG_EFI_MMAP:
        out->efi = true;
        if (check_map(p, tag, size, EFI_MMAP_ENTRY) != NULL) {
            p->efi_mmap_size = p->efi_mmap == NULL ? size : p->efi_mmap_size;
            keep_first(p, &p->efi_mmap, tag);
        }
        break;
    case TAG_RSDP_OLD:
    case TAG_RSDP_NEW:
        parse_rsdp(p, tag + TAG_HEADER, size - TAG_HEADER, type == TAG_RSDP_NEW);
        break;
    case TAG_EFI_BS:
        out->efi = true;
        out->efi_boot_services = true;
        break;
    case TAG_EFI32:
    case TAG_EFI64:
    case TAG_EFI32_IH:
    case TAG_EFI64_IH:
        out->efi = true;
        break;
    default: /* frame buffer, symbols, ...: nothing that we use */
        break;
    }
}

/*
 * Walks the chain; every tag's size has been checked when it is used, so that the second walk needs
 * no checks of its own. Which == TAG_MODULE: only the modules, else all other tags.
 */
static const char *walk_tags(struct parser *p, bool modules)
{
    size_t at = 8;

    while (p->size - at >= TAG_HEADER) {
        const uint8_t *tag = p->base + at;
        uint32_t type = load_le32(tag), size = load_le32(tag + 4);

        if (size < TAG_HEADER || size > p->size - at) {
            return "a tag is shorter than its header or longer than the structure";
        }
        if (type == TAG_END) {
            return NULL;
        }
        if (modules && type == TAG_MODULE) {
            parse_module(p, tag, size);
        } else if (!modules) {
            parse_tag(p, tag, type, size);
        }
        if (ALIGN_UP((uint64_t)size, 8) > p->size - at) {
            break;
        }
        at += (size_t)ALIGN_UP((uint64_t)size, 8);
    }
    return "there is no end tag";
}

enum status mb2_parse(const void *info, size_t max_bytes, struct mb2_info *out, char *why,
                      size_t why_size)
{
    struct parser p = {.base = info, .out = out};
    const char *wrong;

    memset(out, 0, sizeof(*out));
    if (max_bytes < 16) {
        wrong = "it is shorter than its header";
        goto refuse;
    }
    p.size = load_le32(p.base);
    if (p.size < 16 || p.size > max_bytes || p.size > MB2_MAX_BYTES) {
        wrong = "its total size is absurd";
        goto refuse;
    }
    wrong = walk_tags(&p, false);
    if (wrong != NULL) {
        goto refuse;
    }
    if (regions_count(&p) > REGIONS_MAX) {
        wrong = "the memory map has too many regions";
        goto refuse;
    }
    resolve_memory(&p, regions_count(&p));
    if (out->n_mem == 0) {
        wrong = "there is no memory map";
        goto refuse;
    }
    wrong = walk_tags(&p, true);
    if (wrong != NULL) {
        goto refuse;
    }
    return OK;

refuse:
    (void)format(why, why_size, "multiboot2 information from the boot loader: %s", wrong);
    return E_INVAL;
}

const struct mb2_module *mb2_module_find(const struct mb2_info *info, const char *name)
{
    for (unsigned i = 0; i < info->n_modules; i++) {
        if (strcmp(info->modules[i].name, name) == 0) {
            return &info->modules[i];
        }
    }
    return NULL;
}
