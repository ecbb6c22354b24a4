/* SPDX-License-Identifier: BSD-2-Clause */
/* A memory image as a VM's memory: the p2m operations over arrays, loading, writing, comparing. */
#include "tools/host/image_vm.h"

#include "base/bits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

void *image_memory(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    if (p == MAP_FAILED) {
        return NULL;
    }
    madvise(p, bytes, MADV_NOHUGEPAGE);
    return p;
}

/* ---- the p2m operations --------------------------------------------------------------------- */

static enum status map_lookup(void *ctx, gfn_t gfn, struct p2m_entry *out)
{
    const struct image_map *m = ctx;

    if (gfn.n >= m->pages || m->mfns[gfn.n] == FRAME_NIL) {
        return E_NOTFOUND;
    }
    out->mfn = MFN(m->mfns[gfn.n]);
    out->writable = m->writable[gfn.n];
    return OK;
}

static enum status map_next(void *ctx, gfn_t from, gfn_t end, gfn_t *at, struct p2m_entry *out)
{
    const struct image_map *m = ctx;

    for (uint64_t n = from.n; n < end.n && n < m->pages; n++) {
        if (map_lookup(ctx, GFN(n), out) == OK) {
            *at = GFN(n);
            return OK;
        }
    }
    return E_NOTFOUND;
}

static enum status map_map(void *ctx, gfn_t gfn, mfn_t mfn, bool writable)
{
    struct image_map *m = ctx;

    m->mfns[gfn.n] = (uint32_t)mfn.n;
    m->writable[gfn.n] = writable;
    m->dirty[gfn.n] = false;
    return OK;
}

static void map_protect(void *ctx, gfn_t gfn)
{
    struct image_map *m = ctx;

    m->writable[gfn.n] = false;
}

static void map_unmap(void *ctx, gfn_t gfn)
{
    struct image_map *m = ctx;

    m->mfns[gfn.n] = FRAME_NIL;
}

static bool map_test_clear_dirty(void *ctx, gfn_t gfn)
{
    struct image_map *m = ctx;
    bool was = m->dirty[gfn.n];

    m->dirty[gfn.n] = false;
    return was;
}

static bool map_harvest(void *ctx, gfn_t first, uint64_t *bits)
{
    struct image_map *m = ctx;
    uint8_t *accessed = &m->accessed[first.n / P2M_REGION_PAGES];
    uint64_t end = MIN(first.n + P2M_REGION_PAGES, m->pages);

    if (!*accessed) {
        return false;
    }
    *accessed = false;
    for (uint64_t n = first.n; n < end; n++) {
        bits[(n - first.n) / 64] |= (uint64_t)m->dirty[n] << (n - first.n) % 64;
        m->dirty[n] = false;
    }
    return true;
}

static void map_flush(void *ctx)
{
    (void)ctx;
}

static const struct p2m_ops map_ops = {
    .lookup = map_lookup,
    .next = map_next,
    .map = map_map,
    .protect = map_protect,
    .unmap = map_unmap,
    .test_clear_dirty = map_test_clear_dirty,
    .harvest = map_harvest,
    .flush = map_flush,
    .has_dirty = true,
};

/* ---- the VM ---------------------------------------------------------------------------------- */

const char *image_vm_open(struct image_vm *vm, const char *file)
{
    struct stat st;
    FILE *f = fopen(file, "rb");

    if (!f || fstat(fileno(f), &st) != 0) {
        return strerror(errno);
    }
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)PAGE_SIZE) {
        fclose(f);
        return "not a file of at least one page";
    }
    *vm = (struct image_vm){.file = file, .pages = (uint64_t)st.st_size / PAGE_SIZE};
    void *image = mmap(NULL, vm->pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_NORESERVE, fileno(f), 0);
    int error = errno;
    fclose(f);
    if (image == MAP_FAILED) {
        return strerror(error);
    }
    vm->expected = image;
    return NULL;
}

/* What the CPU does to the entry when the guest writes. */
static void set_dirty(struct image_map *m, gfn_t gfn)
{
    m->dirty[gfn.n] = true;
    m->accessed[gfn.n / P2M_REGION_PAGES] = true;
}

static uint8_t *page_bytes(const struct image_vm *vm, gfn_t gfn)
{
    return frame_bytes(vm->p2m.frames, MFN(vm->map.mfns[gfn.n]));
}

const char *image_vm_load(struct image_vm *vm, uint16_t number, struct frames *frames,
                          struct share_group *group)
{
    const struct p2m_slot run = {GFN(0), vm->pages};
    struct image_map *m = &vm->map;
    struct p2m_region *regions = image_memory(p2m_regions(&run, 1) * sizeof(*regions));

    m->pages = vm->pages;
    m->mfns = image_memory(vm->pages * sizeof(uint32_t));
    m->writable = image_memory(vm->pages);
    m->dirty = image_memory(vm->pages);
    m->accessed = image_memory(vm->pages / P2M_REGION_PAGES + 1);
    if (!regions || !m->mfns || !m->writable || !m->dirty || !m->accessed) {
        return "no memory";
    }
    memset(m->mfns, 0xff, vm->pages * sizeof(uint32_t));
    if (p2m_init(&vm->p2m, &map_ops, m, frames, group, number, &run, 1, regions) != OK) {
        return "too large";
    }
    for (uint64_t n = 0; n < vm->pages; n++) {
        if (p2m_fault(&vm->p2m, GFN(n), true) != OK) {
            return "out of frames";
        }
        memcpy(page_bytes(vm, GFN(n)), vm->expected + n * PAGE_SIZE, PAGE_SIZE);
        set_dirty(m, GFN(n));
    }
    return NULL;
}

const char *image_vm_write(struct image_vm *vm, gfn_t gfn, uint32_t offset, uint64_t value)
{
    if (!vm->map.writable[gfn.n] && p2m_fault(&vm->p2m, gfn, true) != OK) {
        return "out of frames";
    }
    set_dirty(&vm->map, gfn);
    memcpy(page_bytes(vm, gfn) + offset, &value, sizeof(value));
    memcpy(vm->expected + gfn.n * PAGE_SIZE + offset, &value, sizeof(value));
    return NULL;
}

uint64_t image_vm_differences(const struct image_vm *vm)
{
    uint64_t different = 0;

    for (uint64_t n = 0; n < vm->pages; n++) {
        if (memcmp(page_bytes(vm, GFN(n)), vm->expected + n * PAGE_SIZE, PAGE_SIZE) != 0 &&
            different++ == 0) {
            fprintf(stderr, "%s: page %llu changed\n", vm->file, (unsigned long long)n);
        }
    }
    return different;
}
