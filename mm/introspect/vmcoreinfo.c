/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a VMCOREINFO: see vmcoreinfo.h for its form. */
#include "mm/introspect/vmcoreinfo.h"

#include "base/bits.h"
#include "base/string.h"

#define TEXT_BEGINS "OSRELEASE="
#define TEXT_WORD UINT32_C(0x4552534f) /* its first four bytes */
/* An ELF note (ELF specification, "Note Section"): three words, the name padded to words, text. */
#define NOTE_NAME "VMCOREINFO"
#define NOTE_TEXT (12u + 12u)

/* The lines of use. */
enum key {
    K_PAGESIZE,
    K_SWAPPER,
    K_PHYS_BASE,
    K_LEVEL5,
    K_SME_MASK,
    K_MEM_MAP,
    K_MEM_SECTION,
    K_SECTIONS,
    K_SECTION_SIZE,
    K_SECTION_MAP,
    K_SECTION_BITS,
    K_PHYSMEM_BITS,
    K_PAGE,
    K_FLAGS,
    K_REFCOUNT,
    K_MAPPING,
    K_MAPCOUNT,
    K_PRIVATE,
    K_HEAD,
    K_DTOR,
    K_ORDERS,
    K_PG_LRU,
    K_PG_SWAPBACKED,
    K_PG_SLAB,
    K_PG_HWPOISON,
    K_PG_HEAD,
    K_BUDDY,
    K_HUGETLB,
    K_HUGETLB_DTOR,
    KEYS
};

#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
static const struct {
    const char *text;
    size_t length;
} names[KEYS] = {
    [K_PAGESIZE] = NAME("PAGESIZE"),
    [K_SWAPPER] = NAME("SYMBOL(swapper_pg_dir)"),
    [K_PHYS_BASE] = NAME("NUMBER(phys_base)"),
    [K_LEVEL5] = NAME("NUMBER(pgtable_l5_enabled)"),
    [K_SME_MASK] = NAME("NUMBER(sme_mask)"),
    [K_MEM_MAP] = NAME("SYMBOL(mem_map)"),
    [K_MEM_SECTION] = NAME("SYMBOL(mem_section)"),
    [K_SECTIONS] = NAME("LENGTH(mem_section)"),
    [K_SECTION_SIZE] = NAME("SIZE(mem_section)"),
    [K_SECTION_MAP] = NAME("OFFSET(mem_section.section_mem_map)"),
    [K_SECTION_BITS] = NAME("NUMBER(SECTION_SIZE_BITS)"),
    [K_PHYSMEM_BITS] = NAME("NUMBER(MAX_PHYSMEM_BITS)"),
    [K_PAGE] = NAME("SIZE(page)"),
    [K_FLAGS] = NAME("OFFSET(page.flags)"),
    [K_REFCOUNT] = NAME("OFFSET(page._refcount)"),
    [K_MAPPING] = NAME("OFFSET(page.mapping)"),
    [K_MAPCOUNT] = NAME("OFFSET(page._mapcount)"),
    [K_PRIVATE] = NAME("OFFSET(page.private)"),
    [K_HEAD] = NAME("OFFSET(page.compound_head)"),
    [K_DTOR] = NAME("OFFSET(page.compound_dtor)"),
    [K_ORDERS] = NAME("LENGTH(zone.free_area)"),
    [K_PG_LRU] = NAME("NUMBER(PG_lru)"),
    [K_PG_SWAPBACKED] = NAME("NUMBER(PG_swapbacked)"),
    [K_PG_SLAB] = NAME("NUMBER(PG_slab)"),
    [K_PG_HWPOISON] = NAME("NUMBER(PG_hwpoison)"),
    [K_PG_HEAD] = NAME("NUMBER(PG_head_mask)"),
    [K_BUDDY] = NAME("NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)"),
    [K_HUGETLB] = NAME("NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)"),
    [K_HUGETLB_DTOR] = NAME("NUMBER(HUGETLB_PAGE_DTOR)"),
};

_Static_assert(KEYS == VMCOREINFO_KEYS && KEYS <= 32, "a value for each key, and a bit");

/* No line of use is longer: the longest name, '=', and a number. */
#define LINE_MAX 80u

static bool has(const struct vmcoreinfo_lines *l, enum key k)
{
    return l->has >> k & 1;
}

bool vmcoreinfo_find(const uint8_t *page, const char **text, size_t *n)
{
    size_t at = 0;

    /* Nearly every page is neither, by its first word. */
    if (load_le32(page) != TEXT_WORD && load_le32(page) != sizeof(NOTE_NAME)) {
        return false;
    }
    if (memcmp(page, TEXT_BEGINS, sizeof(TEXT_BEGINS) - 1) != 0) {
        if (load_le32(page) != sizeof(NOTE_NAME) || load_le32(page + 8) != 0 ||
            memcmp(page + 12, NOTE_NAME, sizeof(NOTE_NAME)) != 0 ||
            memcmp(page + NOTE_TEXT, TEXT_BEGINS, sizeof(TEXT_BEGINS) - 1) != 0) {
            return false;
        }
        at = NOTE_TEXT;
    }
    *text = (const char *)page + at;
    *n = PAGE_SIZE - at;
    return true;
}

static bool digit(char c, unsigned base, unsigned *d)
{
    if (c >= '0' && c <= '9') {
        *d = (unsigned)(c - '0');
    } else if (c >= 'a' && c <= 'f') {
        *d = (unsigned)(c - 'a') + 10;
    } else {
        return false;
    }
    return *d < base;
}

/* All n characters are one number that fits into 64 bits. */
static bool number(const char *s, size_t n, bool hex, uint64_t *out)
{
    bool negative = !hex && n > 0 && s[0] == '-';
    uint64_t v = 0;

    if (negative) {
        s++, n--;
    } else if (n > 2 && s[0] == '0' && s[1] == 'x') {
        s += 2, n -= 2;
        hex = true;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned d, base = hex ? 16 : 10;
        if (!digit(s[i], base, &d) || v > (UINT64_MAX - d) / base) {
            return false;
        }
        v = v * base + d;
    }
    *out = negative ? -v : v;
    return n > 0 && (!negative || v <= BIT(63));
}

/* One line, without its end. A name that comes twice keeps its first value. */
static void take_line(const char *line, size_t n, struct vmcoreinfo_lines *l)
{
    const char *equals = memchr(line, '=', n);

    if (!equals) {
        return;
    }
    size_t name = (size_t)(equals - line);
    for (unsigned k = 0; k < KEYS; k++) {
        if (names[k].length == name && memcmp(names[k].text, line, name) == 0) {
            bool hex = strncmp(line, "SYMBOL(", 7) == 0;
            if (!has(l, k) && number(equals + 1, n - name - 1, hex, &l->value[k])) {
                l->has |= (uint32_t)BIT(k);
            }
            return;
        }
    }
}

/* What releases of Linux are made of. The guest chooses them, they stand in replies and in the log,
 * and a row of a terminal may end within one: with these, what is left of it looks like no prompt
 * and no statistics line. */
static bool is_of_release(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '+' || c == '_' || c == '~';
}

static bool take_release(const char *text, size_t n, char *release)
{
    size_t skip = sizeof(TEXT_BEGINS) - 1, i;

    if (n < skip || memcmp(text, TEXT_BEGINS, skip) != 0) {
        return false;
    }
    for (i = 0; i < VMCOREINFO_RELEASE - 1 && skip + i < n && text[skip + i] != '\n'; i++) {
        char c = text[skip + i];
        if (c <= ' ' || c > '~') {
            return false;
        }
        release[i] = is_of_release(c) ? c : '?';
    }
    release[i] = '\0';
    return i > 0;
}

/* A value from min to max; false when it is not, or missing. */
static bool within(const struct vmcoreinfo_lines *l, enum key k, uint64_t min, uint64_t max)
{
    return has(l, k) && l->value[k] >= min && l->value[k] <= max;
}

/* The offset of a field of `bytes` bytes in struct page, at its own alignment. */
static bool field(const struct vmcoreinfo_lines *l, enum key k, unsigned bytes, uint8_t *out)
{
    if (!within(l, k, 0, l->value[K_PAGE] - bytes) || l->value[k] % bytes != 0) {
        return false;
    }
    *out = (uint8_t)l->value[k];
    return true;
}

/* A page flag's mask; 0 when the kernel has no such flag. */
static uint64_t flag(const struct vmcoreinfo_lines *l, enum key k)
{
    return within(l, k, 0, 63) ? BIT(l->value[k]) : 0;
}

/* A page type in _mapcount's place, printed with a sign or without: below -128, which counts never
 * reach. 0: none. */
static uint32_t type(const struct vmcoreinfo_lines *l, enum key k)
{
    uint64_t v = l->value[k];
    bool fits = v <= UINT32_MAX || v >= (uint64_t)INT32_MIN;

    return has(l, k) && fits && (int32_t)(uint32_t)v < -128 ? (uint32_t)v : 0;
}

static bool take_page(const struct vmcoreinfo_lines *l, struct vmcoreinfo *out)
{
    if (!within(l, K_PAGE, 32, VMCOREINFO_PAGE) || l->value[K_PAGE] % 8 != 0) {
        return false;
    }
    out->page_bytes = (uint16_t)l->value[K_PAGE];
    if (!field(l, K_DTOR, 1, &out->compound_dtor)) {
        out->compound_dtor = VMCOREINFO_NONE;
    }
    return field(l, K_FLAGS, 8, &out->flags) && field(l, K_REFCOUNT, 4, &out->refcount) &&
           field(l, K_MAPPING, 8, &out->mapping) && field(l, K_MAPCOUNT, 4, &out->mapcount) &&
           field(l, K_PRIVATE, 8, &out->private) && field(l, K_HEAD, 8, &out->compound_head);
}

static bool take_types(const struct vmcoreinfo_lines *l, struct vmcoreinfo *out)
{
    out->lru = flag(l, K_PG_LRU);
    out->swapbacked = flag(l, K_PG_SWAPBACKED);
    out->slab = flag(l, K_PG_SLAB);
    out->hwpoison = flag(l, K_PG_HWPOISON);
    out->head = has(l, K_PG_HEAD) ? l->value[K_PG_HEAD] : 0;
    out->type_buddy = type(l, K_BUDDY);
    out->type_hugetlb = type(l, K_HUGETLB);
    out->hugetlb_dtor = within(l, K_HUGETLB_DTOR, 1, 255) ? (uint8_t)l->value[K_HUGETLB_DTOR] : 0;
    if (!within(l, K_ORDERS, 1, VMCOREINFO_ORDERS)) {
        return false;
    }
    out->orders = (uint8_t)l->value[K_ORDERS];
    return out->lru != 0 && out->type_buddy != 0;
}

/* The sparse memory model's table of sections, or the flat model's one array. */
static bool take_sections(const struct vmcoreinfo_lines *l, struct vmcoreinfo *out)
{
    if (has(l, K_MEM_MAP)) {
        out->mem_map = l->value[K_MEM_MAP];
        return out->mem_map != 0;
    }
    if (!has(l, K_MEM_SECTION) || !within(l, K_SECTION_SIZE, 8, PAGE_SIZE) ||
        !within(l, K_SECTION_MAP, 0, l->value[K_SECTION_SIZE] - 8) ||
        !within(l, K_SECTION_BITS, 20, 40) ||
        !within(l, K_PHYSMEM_BITS, l->value[K_SECTION_BITS], 60)) {
        return false;
    }
    out->mem_section = l->value[K_MEM_SECTION];
    out->section_bytes = (uint16_t)l->value[K_SECTION_SIZE];
    out->section_map = (uint16_t)l->value[K_SECTION_MAP];
    out->section_shift = (uint8_t)l->value[K_SECTION_BITS];
    uint64_t sections = BIT(l->value[K_PHYSMEM_BITS] - l->value[K_SECTION_BITS]);
    uint64_t in_root = PAGE_SIZE / out->section_bytes;
    out->sections = sections;
    out->sections_in_root = 0;
    if (has(l, K_SECTIONS) && l->value[K_SECTIONS] != sections) {
        if (l->value[K_SECTIONS] != (sections + in_root - 1) / in_root) {
            return false;
        }
        out->sections_in_root = (uint16_t)in_root;
    }
    return out->mem_section != 0 && has(l, K_SECTIONS);
}

static enum status take_all(const struct vmcoreinfo_lines *l, const char *text, size_t n,
                            struct vmcoreinfo *out)
{
    memset(out, 0, sizeof(*out));
    if (!take_release(text, n, out->release) || !within(l, K_PAGESIZE, PAGE_SIZE, PAGE_SIZE) ||
        !has(l, K_SWAPPER) || !has(l, K_PHYS_BASE)) {
        return E_INVAL;
    }
    out->swapper_pg_dir = l->value[K_SWAPPER];
    out->phys_base = l->value[K_PHYS_BASE];
    out->five_level = has(l, K_LEVEL5) && l->value[K_LEVEL5] != 0;
    out->sme_mask = has(l, K_SME_MASK) ? l->value[K_SME_MASK] : 0;
    return take_page(l, out) && take_types(l, out) && take_sections(l, out) ? OK : E_INVAL;
}

void vmcoreinfo_begin(struct vmcoreinfo_lines *l)
{
    memset(l, 0, sizeof(*l));
}

enum status vmcoreinfo_step(struct vmcoreinfo_lines *l, const char *text, size_t n,
                            struct vmcoreinfo *out)
{
    size_t stop = MIN(l->at + VMCOREINFO_STEP, n), at = MIN(l->at, n);

    while (at < stop) {
        size_t end = at, most = MIN(at + LINE_MAX, n);
        while (end < most && text[end] != '\n' && text[end] != '\0') {
            end++;
        }
        bool over = end == n || text[end] == '\0', cut = !over && text[end] != '\n';
        if (!l->in_line && !cut) {
            take_line(text + at, end - at, l);
        }
        if (over) {
            return take_all(l, text, end, out);
        }
        l->in_line = cut;
        at = end + !cut;
    }
    l->at = at;
    return at < n ? E_BUSY : take_all(l, text, n, out);
}

enum status vmcoreinfo_parse(const char *text, size_t n, struct vmcoreinfo *out)
{
    struct vmcoreinfo_lines l;
    enum status s;

    vmcoreinfo_begin(&l);
    do {
        s = vmcoreinfo_step(&l, text, n, out);
    } while (s == E_BUSY);
    return s;
}
