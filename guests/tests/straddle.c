/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMCOREINFO that lies: its flat array of struct page begins 20 bytes behind a multiple of 64, so
 * that in each page of the array the last one has a field across the page's end.
 *
 * The guest touches all its memory, and the array's page tables always lead to the pages that it
 * touched last: where the machine's frames run out, one of these lies at the end of memory.
 *
 * late=MS: the array is a good one for this long.
 */
#include "kit.h"
#include "paging.h"

#define IMAGE_MAP 0xffffffff80000000ul /* where Linux links its image: symbols count from here */
#define ARRAY 0x500000000000ul         /* linear address of the array */
#define STRUCT 64u
#define ASKEW 20u
#define REFCOUNT 52u
#define MAPCOUNT 48u

static char note[PAGE] __attribute__((aligned(4096)));
static uint64_t first_struct __attribute__((aligned(4096))); /* the kernel's mem_map */
static uint8_t own[PAGE] __attribute__((aligned(4096)));     /* of the array: what the note is in */
static char *end = note;

static void line(const char *name, uint64_t value, bool hex)
{
    char digits[20];
    unsigned n = 0, base = hex ? 16 : 10;

    while (*name) {
        *end++ = *name++;
    }
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0);
    while (n > 0) {
        *end++ = digits[--n];
    }
    *end++ = '\n';
}

/* The text appears last, so that no half of it is ever seen. */
static void write_note(uint64_t root)
{
    end = note + 10;
    line("6.1.", 0, false);
    line("PAGESIZE=", PAGE, false);
    line("SYMBOL(swapper_pg_dir)=", root + IMAGE_MAP, true);
    line("NUMBER(phys_base)=", 0, false);
    line("SYMBOL(mem_map)=", (uint64_t)&first_struct, true);
    line("SIZE(page)=", STRUCT, false);
    line("OFFSET(page.flags)=", 0, false);
    line("OFFSET(page.compound_head)=", 8, false);
    line("OFFSET(page.mapping)=", 24, false);
    line("OFFSET(page.private)=", 40, false);
    line("OFFSET(page._mapcount)=", MAPCOUNT, false);
    line("OFFSET(page._refcount)=", REFCOUNT, false);
    line("LENGTH(zone.free_area)=", 11, false);
    line("NUMBER(PG_lru)=", 4, false);
    line("NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=", 0xffffff7f, false);
    __asm__ volatile("" ::: "memory");
    memcpy(note, "OSRELEASE=", 10);
}

/* Struct pages of the kernel's own pages; `id` keeps the page from being folded. */
static void fill(uint8_t *page, unsigned askew, uint64_t id)
{
    for (unsigned at = askew; at + STRUCT <= PAGE; at += STRUCT) {
        memset(page + at, 0, STRUCT);
        page[at + REFCOUNT] = 1;
        memset(page + at + MAPCOUNT, 0xff, 4);
    }
    memcpy(page + askew + STRUCT - 8, &id, 8);
}

static uint64_t struct_of(const void *page)
{
    return ARRAY + (uint64_t)page / PAGE * STRUCT;
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t late = kit_option(boot_params, "late", 0), seed = kit_option(boot_params, "seed", 1);
    uint64_t ram = kit_ram_end(boot_params), slots = (ram / PAGE * STRUCT + PAGE - 1) / PAGE;
    uint64_t *root, *mine = kit_pte(struct_of(note)), bad = 0;

    __asm__ volatile("mov %%cr3, %0" : "=r"(root));
    root[511] = root[0]; /* Linux's image is mapped by the last entry: the sign of its tables */
    *mine = (uint64_t)own | PTE_P | PTE_W;
    fill(own, late ? 0 : ASKEW, seed << 32);
    first_struct = ARRAY + (late ? 0 : ASKEW);
    write_note((uint64_t)root);
    print("straddle: a note of %lu bytes\n", (uint64_t)(end - note));
    if (late) {
        kit_spin_ms(late);
        fill(own, ASKEW, seed << 32);
        first_struct = ARRAY + ASKEW;
    }
    for (uint64_t at = KIT_HEAP; at < ram; at += PAGE) {
        uint64_t *slot = kit_pte(ARRAY + at / PAGE % slots * PAGE);
        fill((uint8_t *)at, ASKEW, seed << 32 | at / PAGE);
        if (slot != mine) {
            *slot = at | PTE_P | PTE_W;
        }
    }
    for (uint64_t at = KIT_HEAP; at < ram; at += PAGE) {
        bad += *(volatile uint64_t *)(at + ASKEW + STRUCT - 8) != (seed << 32 | at / PAGE);
    }
    tap_ok(bad == 0, "all pages are right: %lu are wrong", bad);
}
