/* SPDX-License-Identifier: BSD-2-Clause */
/* The boot allocator: two sorted lists of ranges, all usable RAM and what of it is free. */
#include "kernel/core/bootmem.h"

#include "arch/x86_64/image.h"
#include "arch/x86_64/paging.h"
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"

#define MAX_RANGES 256
#define LOW_MEMORY UINT64_C(0x100000)
#define MB2_RAM 1

struct range_list {
    unsigned n;
    struct phys_range r[MAX_RANGES];
};

static struct range_list ram, free_ram;
static struct range_list own_ram;                /* bootmem_finish: what is not handed out */
static uint64_t alloc_limit = UINT64_C(1) << 32; /* what boot/entry32.S maps */
static bool finished;

static void list_insert(struct range_list *l, unsigned at, uint64_t start, uint64_t end)
{
    if (l->n == MAX_RANGES) {
        log_warn("memory map: more than %u ranges; %#llx-%#llx is not used", MAX_RANGES,
                 (unsigned long long)start, (unsigned long long)end);
        return;
    }
    memmove(&l->r[at + 1], &l->r[at], (l->n - at) * sizeof(l->r[0]));
    l->r[at] = (struct phys_range){start, end};
    l->n++;
}

static void list_remove(struct range_list *l, unsigned at)
{
    l->n--;
    memmove(&l->r[at], &l->r[at + 1], (l->n - at) * sizeof(l->r[0]));
}

/* Adds [start, end), joining what it overlaps or touches. */
static void list_add(struct range_list *l, uint64_t start, uint64_t end)
{
    unsigned i = 0;

    while (i < l->n && l->r[i].end < start) {
        i++;
    }
    while (i < l->n && l->r[i].start <= end) {
        start = MIN(start, l->r[i].start);
        end = MAX(end, l->r[i].end);
        list_remove(l, i);
    }
    list_insert(l, i, start, end);
}

/* Takes [start, end) out. */
static void list_cut(struct range_list *l, uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < l->n; i++) {
        struct phys_range r = l->r[i];
        if (start >= end || r.end <= start || r.start >= end) {
            continue;
        }
        list_remove(l, i);
        if (end < r.end) {
            list_insert(l, i, end, r.end);
        }
        if (r.start < start) {
            list_insert(l, i, r.start, start);
        } else {
            i--; /* the loop's increment comes back to what now stands at i */
        }
    }
}

/* start + len, or the end of memory that we can address when that is less. */
static uint64_t range_end(uint64_t start, uint64_t len)
{
    return len > WINDOW_LIMIT - MIN(start, WINDOW_LIMIT) ? WINDOW_LIMIT : start + len;
}

static void read_map(const struct mb2_info *info)
{
    for (unsigned i = 0; i < info->n_mem; i++) {
        uint64_t start = ALIGN_UP(MIN(info->mem[i].base, WINDOW_LIMIT), PAGE_SIZE);
        uint64_t end = ALIGN_DOWN(range_end(info->mem[i].base, info->mem[i].len), PAGE_SIZE);
        if (info->mem[i].type == MB2_RAM && start < end) {
            list_add(&ram, start, end);
        }
    }
    /* Where entries overlap, the one that says "not RAM" is believed. */
    for (unsigned i = 0; i < info->n_mem; i++) {
        uint64_t start = ALIGN_DOWN(MIN(info->mem[i].base, WINDOW_LIMIT), PAGE_SIZE);
        uint64_t end = ALIGN_UP(range_end(info->mem[i].base, info->mem[i].len), PAGE_SIZE);
        if (info->mem[i].type != MB2_RAM) {
            list_cut(&ram, start, end);
        }
    }
}

void bootmem_init(const struct mb2_info *info, hpa_t mbi, uint64_t mbi_bytes)
{
    read_map(info);
    free_ram = ram;
    list_cut(&free_ram, 0, LOW_MEMORY);
    list_cut(&free_ram, (uint64_t)image_phys_start, (uint64_t)image_phys_end);
    list_cut(&free_ram, ALIGN_DOWN(mbi.a, PAGE_SIZE), ALIGN_UP(mbi.a + mbi_bytes, PAGE_SIZE));
    for (unsigned i = 0; i < info->n_modules; i++) {
        list_cut(&free_ram, ALIGN_DOWN(info->modules[i].start, PAGE_SIZE),
                 ALIGN_UP(info->modules[i].end, PAGE_SIZE));
    }
    if (free_ram.n == 0) {
        panic("the boot loader's memory map has no usable memory above 1 MiB");
    }
}

void bootmem_set_limit(uint64_t limit)
{
    alloc_limit = limit;
}

const struct phys_range *bootmem_ram(unsigned *n)
{
    *n = ram.n;
    return ram.r;
}

uint64_t bootmem_frame_count(void)
{
    return ram.n ? ram.r[ram.n - 1].end >> PAGE_SHIFT : 0;
}

void *boot_alloc(size_t bytes, size_t align)
{
    ASSERT(!finished);
    for (unsigned i = 0; i < free_ram.n; i++) {
        struct phys_range r = free_ram.r[i];
        uint64_t start = ALIGN_UP(r.start, align), end = MIN(r.end, alloc_limit);
        if (start <= end && bytes <= end - start) {
            list_cut(&free_ram, start, start + bytes);
            return memset(window(HPA(start)), 0, bytes);
        }
    }
    panic("out of memory at start-up: no %llu KiB in one piece; give the machine more memory",
          (unsigned long long)(bytes + 1023) / 1024);
}

void bootmem_finish(struct frames *f)
{
    finished = true;
    own_ram = ram;
    list_cut(&own_ram, 0, LOW_MEMORY);
    for (unsigned i = 0; i < free_ram.n; i++) {
        uint64_t start = ALIGN_UP(free_ram.r[i].start, PAGE_SIZE);
        uint64_t end = ALIGN_DOWN(free_ram.r[i].end, PAGE_SIZE);
        if (start < end) {
            frames_add_free(f, MFN(start >> PAGE_SHIFT), (end - start) >> PAGE_SHIFT);
            list_cut(&own_ram, start, end);
        }
    }
    for (unsigned i = 0; i < own_ram.n; i++) {
        frames_mark_hyp(f, MFN(own_ram.r[i].start >> PAGE_SHIFT),
                        (own_ram.r[i].end - own_ram.r[i].start) >> PAGE_SHIFT);
    }
}
