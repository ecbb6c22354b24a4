/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds the hypervisor's page tables: SDM vol. 3, 4.5. */
#include "arch/x86_64/paging.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/image.h"
#include "arch/x86_64/stacks.h"
#include "base/log.h"
#include "base/string.h"

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_PS BIT(7)
#define PTE_G BIT(8)
#define PTE_NX BIT(63)
#define PTE_ADDR UINT64_C(0x000ffffffffff000)

/* A and D are set from the start, so that the CPU never writes the tables. */
#define MAP_BASE (PTE_P | PTE_A | PTE_D | PTE_G)
#define MAP_RX MAP_BASE
#define MAP_RO (MAP_BASE | PTE_NX)
#define MAP_RW (MAP_BASE | PTE_NX | PTE_W)
#define MAP_DEVICE (MAP_RW | PTE_PCD | PTE_PWT) /* PAT entry 3: UC */

#define PAT_RESET UINT64_C(0x0007040600070406) /* SDM vol. 3, 12.12.4 */

#define VMAP_BASE UINT64_C(0xffffc00000000000)
#define VMAP_BYTES (UINT64_C(64) << 20)
#define VIEW_BYTES (UINT64_C(1) << 20)
#define VIEW_SLOT (VIEW_BYTES + PAGE_SIZE) /* the range need not start on a page */

static uint64_t *root;
static void *(*new_page)(void); /* paging_init's */
static bool has_1g;
static uint64_t vmap_next = VMAP_BASE + ALIGN_UP(VIEW_SLOT, 0x10000);

/* Bytes that one entry of a level maps: level 1 is 4 KiB, 2 is 2 MiB, 3 is 1 GiB. */
static uint64_t level_bytes(unsigned level)
{
    return UINT64_C(1) << (12 + 9 * (level - 1));
}

/* The entry for va in the table of `level`, making tables on the way if `make`. */
static uint64_t *walk(uint64_t va, unsigned level, bool make)
{
    uint64_t *table = root;

    for (unsigned at = 4; at > level; at--) {
        uint64_t *e = &table[va >> (12 + 9 * (at - 1)) & 511];
        if (!(*e & PTE_P)) {
            if (!make) {
                return NULL;
            }
            *e = window_hpa(new_page()).a | PTE_P | PTE_W | PTE_A;
        }
        ASSERT(!(*e & PTE_PS));
        table = window(HPA(*e & PTE_ADDR));
    }
    return &table[va >> (12 + 9 * (level - 1)) & 511];
}

/* Maps whole pages, as large as alignment allows; nothing may be mapped there yet. */
static void map(uint64_t va, uint64_t pa, uint64_t bytes, uint64_t rights)
{
    while (bytes) {
        unsigned level = has_1g ? 3 : 2;
        while (level > 1 &&
               (((va | pa) & (level_bytes(level) - 1)) || bytes < level_bytes(level))) {
            level--;
        }
        uint64_t *e = walk(va, level, true);
        ASSERT(!(*e & PTE_P));
        *e = pa | rights | (level > 1 ? PTE_PS : 0);
        va += level_bytes(level);
        pa += level_bytes(level);
        bytes -= level_bytes(level);
    }
}

/* One run of RAM into the window, the image's constant parts without the right to write. */
static void map_window(uint64_t start, uint64_t end)
{
    const struct {
        uint64_t until, rights;
    } part[] = {
        {(uint64_t)image_phys_start, MAP_RW},
        {(uint64_t)image_data_start - IMAGE_VIRT, MAP_RO}, /* .boot, .text */
        {(uint64_t)image_data_end - IMAGE_VIRT, MAP_RW},
        {(uint64_t)image_phys_end, MAP_RO}, /* .rodata */
        {UINT64_MAX, MAP_RW},
    };

    for (unsigned i = 0; i < ARRAY_LEN(part) && start < end; i++) {
        uint64_t stop = MIN(end, part[i].until);
        if (start < stop) {
            map(WINDOW_BASE + start, start, stop - start, part[i].rights);
            start = stop;
        }
    }
}

static void map_image(char *start, char *end, uint64_t rights)
{
    uint64_t va = ALIGN_DOWN((uint64_t)start, PAGE_SIZE);

    /* 4 KiB pages throughout: the image is small, and stacks' guards are holes in it. */
    for (; va < (uint64_t)end; va += PAGE_SIZE) {
        *walk(va, 1, true) = (va - IMAGE_VIRT) | rights;
    }
}

static void cpu_protect(void)
{
    struct cpuid_regs f1 = cpuid(1, 0), f7 = {0};
    uint64_t cr4 = CR4_PAE | CR4_DE | CR4_MCE;

    if (cpuid(0, 0).eax >= 7) {
        f7 = cpuid(7, 0);
    }
    cr4 |= f1.edx & CPUID_1_EDX_PGE ? CR4_PGE : 0;
    cr4 |= f7.ebx & CPUID_7_EBX_SMEP ? CR4_SMEP : 0;
    cr4 |= f7.ebx & CPUID_7_EBX_SMAP ? CR4_SMAP : 0;
    cr4 |= f7.ecx & CPUID_7_ECX_UMIP ? CR4_UMIP : 0;
    if (f1.edx & CPUID_1_EDX_PAT) {
        wrmsr(MSR_IA32_PAT, PAT_RESET);
    }
    wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) | EFER_NXE);
    write_cr3(window_hpa(root).a);
    write_cr4(cr4);
    write_cr0((read_cr0() | CR0_WP | CR0_NE | CR0_MP) & ~(CR0_CD | CR0_NW | CR0_EM | CR0_TS));
    write_cr3(window_hpa(root).a);
}

void paging_init(const struct phys_range *ram, unsigned n, void *(*alloc_page)(void))
{
    char *const guards[] = {stack_main_guard, stack_nmi_guard, stack_df_guard, stack_mc_guard};

    new_page = alloc_page;
    has_1g = cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_PAGE1G;
    root = new_page();
    for (unsigned i = 0; i < n; i++) {
        map_window(ram[i].start, MIN(ram[i].end, WINDOW_LIMIT));
    }
    map_image(image_text_start, image_text_end, MAP_RX);
    map_image(image_data_start, image_data_end, MAP_RW);
    map_image(image_rodata_start, image_rodata_end, MAP_RO);
    for (unsigned i = 0; i < ARRAY_LEN(guards); i++) {
        *walk((uint64_t)guards[i], 1, false) = 0;
    }
    /* The vmap area's tables exist from now on, so that mmio_map never needs memory. */
    for (uint64_t va = VMAP_BASE; va < VMAP_BASE + VMAP_BYTES; va += level_bytes(2)) {
        (void)walk(va, 1, true);
    }
    cpu_protect();
}

unsigned phys_bits(void)
{
    return cpuid(0x80000000, 0).eax >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
}

/* [at, at + bytes) widened to pages; false when that is nothing or does not exist. */
static bool page_span(hpa_t at, uint64_t bytes, uint64_t *first, uint64_t *len)
{
    if (bytes == 0 || !range_within(at.a, bytes, BIT(phys_bits()))) {
        return false;
    }
    *first = ALIGN_DOWN(at.a, PAGE_SIZE);
    *len = ALIGN_UP(at.a + bytes, PAGE_SIZE) - *first;
    return true;
}

void *mmio_map(hpa_t at, uint64_t bytes)
{
    uint64_t first, len, va = vmap_next;

    if (!page_span(at, bytes, &first, &len) || len > VMAP_BASE + VMAP_BYTES - vmap_next) {
        log_error("cannot map %llu bytes of device memory at %#llx", (unsigned long long)bytes,
                  (unsigned long long)at.a);
        return NULL;
    }
    for (uint64_t off = 0; off < len; off += PAGE_SIZE) {
        *walk(va + off, 1, false) = (first + off) | MAP_DEVICE;
    }
    vmap_next += len;
    return (void *)(va + (at.a - first));
}

const void *phys_view(hpa_t at, uint64_t bytes)
{
    uint64_t first, len;

    if (bytes > VIEW_BYTES || !page_span(at, bytes, &first, &len)) {
        return NULL;
    }
    for (uint64_t off = 0; off < len; off += PAGE_SIZE) {
        *walk(VMAP_BASE + off, 1, false) = (first + off) | MAP_RO;
        invlpg((void *)(VMAP_BASE + off));
    }
    return (const void *)(VMAP_BASE + (at.a - first));
}
