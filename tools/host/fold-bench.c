/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs the folding core on memory images, on the host: fold-bench [--KEY=VALUE ...] IMAGE...
 *
 * Each image is one VM's memory, page for page; all VMs are of one share group. Prints JSON: for
 * each pass its cost and what it found, then what was saved against the exact number of distinct
 * pages. At the end every page is compared with its image and the audit proves the state: a result
 * that is wrong is no result, and the exit status is 1.
 *
 *     --passes=N             how many passes (default 4)
 *     --fold.zero=on|off     and the other fold.* keys of the configuration
 */
#include "base/bits.h"
#include "base/log.h"
#include "kernel/config/config.h"
#include "mm/audit.h"
#include "mm/fold.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define PASSES_DEFAULT 4u
#define PASSES_MAX 1000u
#define IMAGES_MAX 64u
#define STEP_PAGES 1024u
#define MIB (1u << 20)
#define SEED 1 /* any: the images do not fight back */

/* A p2m without an MMU behind it: nothing runs, so there is nothing stale to flush. */
struct map {
    uint32_t *mfns; /* FRAME_NIL: a hole */
    uint8_t *writable;
    uint8_t *dirty;
    uint8_t *accessed; /* by region */
    uint64_t pages;
};

struct vm {
    const char *file;
    const uint8_t *image;
    uint64_t pages;
    struct map map;
    struct p2m p2m;
};

static struct vm vms[IMAGES_MAX];
static unsigned n_vms;
static uint64_t total_pages;

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "fold-bench: %s: %s\n", what, why);
    exit(2);
}

/* ---- the p2m operations --------------------------------------------------------------------- */

static enum status map_lookup(void *ctx, gfn_t gfn, struct p2m_entry *out)
{
    const struct map *m = ctx;

    if (gfn.n >= m->pages || m->mfns[gfn.n] == FRAME_NIL) {
        return E_NOTFOUND;
    }
    out->mfn = MFN(m->mfns[gfn.n]);
    out->writable = m->writable[gfn.n];
    return OK;
}

static enum status map_next(void *ctx, gfn_t from, gfn_t end, gfn_t *at, struct p2m_entry *out)
{
    const struct map *m = ctx;

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
    struct map *m = ctx;

    m->mfns[gfn.n] = (uint32_t)mfn.n;
    m->writable[gfn.n] = writable;
    m->dirty[gfn.n] = false;
    return OK;
}

static void map_protect(void *ctx, gfn_t gfn)
{
    struct map *m = ctx;

    m->writable[gfn.n] = false;
}

static void map_unmap(void *ctx, gfn_t gfn)
{
    struct map *m = ctx;

    m->mfns[gfn.n] = FRAME_NIL;
}

static bool map_test_clear_dirty(void *ctx, gfn_t gfn)
{
    struct map *m = ctx;
    bool was = m->dirty[gfn.n];

    m->dirty[gfn.n] = false;
    return was;
}

static bool map_harvest(void *ctx, gfn_t first, uint64_t *bits)
{
    struct map *m = ctx;
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

/* ---- setting up ------------------------------------------------------------------------------ */

static void *must_map(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    if (p == MAP_FAILED) {
        die("memory", strerror(errno));
    }
    return p;
}

static void add_image(const char *file)
{
    struct vm *vm = &vms[n_vms];
    struct stat st;
    FILE *f = fopen(file, "rb");

    if (n_vms == IMAGES_MAX) {
        die(file, "too many images");
    }
    if (!f || fstat(fileno(f), &st) != 0) {
        die(file, strerror(errno));
    }
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)PAGE_SIZE) {
        die(file, "not a file of at least one page");
    }
    vm->file = file;
    vm->pages = (uint64_t)st.st_size / PAGE_SIZE;
    void *image = mmap(NULL, vm->pages * PAGE_SIZE, PROT_READ, MAP_PRIVATE, fileno(f), 0);
    if (image == MAP_FAILED) {
        die(file, strerror(errno));
    }
    fclose(f);
    vm->image = image;
    total_pages += vm->pages;
    n_vms++;
}

static void load(struct vm *vm, uint16_t number, struct frames *frames, struct share_group *group)
{
    const struct p2m_run run = {GFN(0), vm->pages};

    vm->map.pages = vm->pages;
    vm->map.mfns = must_map(vm->pages * sizeof(uint32_t));
    vm->map.writable = must_map(vm->pages);
    vm->map.dirty = must_map(vm->pages);
    vm->map.accessed = must_map(vm->pages / P2M_REGION_PAGES + 1);
    memset(vm->map.mfns, 0xff, vm->pages * sizeof(uint32_t));
    if (p2m_init(&vm->p2m, &map_ops, &vm->map, frames, group, number, &run, 1,
                 must_map(p2m_regions(&run, 1) * sizeof(struct p2m_region))) != OK) {
        die(vm->file, "too large");
    }
    for (uint64_t n = 0; n < vm->pages; n++) {
        if (p2m_fault(&vm->p2m, GFN(n), true) != OK) {
            die(vm->file, "out of frames");
        }
        memcpy(frame_bytes(frames, MFN(vm->map.mfns[n])), vm->image + n * PAGE_SIZE, PAGE_SIZE);
        vm->map.dirty[n] = true; /* as the guest's own write would have it */
        vm->map.accessed[n / P2M_REGION_PAGES] = true;
    }
}

/* ---- measuring ------------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static uint64_t frames_used(const struct frames *f)
{
    return f->by_state[FRAME_PRIVATE] + f->by_state[FRAME_SHARED] + f->by_state[FRAME_ZERO];
}

static void print_pass(struct fold *fold, const struct frames *frames, unsigned pass)
{
    struct fold_counters a, b;
    uint64_t scans = fold->full_scans, began = cpu_ns();

    fold_read(fold, &a);
    while (fold->full_scans == scans) {
        if (fold_step(fold, STEP_PAGES) == 0) {
            break; /* switched off */
        }
    }
    uint64_t ns = cpu_ns() - began;
    fold_read(fold, &b);
    uint64_t scanned = b.pages_scanned - a.pages_scanned, used = frames_used(frames);
    printf("%s\n  {\"pass\": %u, \"pages_scanned\": %llu, \"cpu_ns\": %llu, \"ns_per_page\": %.1f, "
           "\"compares\": %llu, \"hashes\": %llu, \"merges\": %llu, \"zero_merges\": %llu, "
           "\"pages_shared\": %llu, \"pages_sharing\": %llu, \"pages_zero\": %llu, "
           "\"pages_unshared\": %llu, \"pages_volatile\": %llu, \"frames_used\": %llu, "
           "\"frames_saved\": %lld}",
           pass > 1 ? "," : "", pass, (unsigned long long)scanned, (unsigned long long)ns,
           scanned ? (double)ns / (double)scanned : 0.0,
           (unsigned long long)(b.compares - a.compares), (unsigned long long)(b.hashes - a.hashes),
           (unsigned long long)(b.merges - a.merges),
           (unsigned long long)(b.zero_merges - a.zero_merges), (unsigned long long)b.pages_shared,
           (unsigned long long)b.pages_sharing, (unsigned long long)b.pages_zero,
           (unsigned long long)b.pages_unshared, (unsigned long long)b.pages_volatile,
           (unsigned long long)used, (long long)total_pages - (long long)used);
}

static int by_content(const void *a, const void *b)
{
    return memcmp(*(const uint8_t *const *)a, *(const uint8_t *const *)b, PAGE_SIZE);
}

/* The exact answer, from the images alone: how many different pages there are. */
static uint64_t distinct_pages(void)
{
    const uint8_t **pages = must_map(total_pages * sizeof(*pages));
    uint64_t n = 0, distinct = 1;

    for (unsigned i = 0; i < n_vms; i++) {
        for (uint64_t p = 0; p < vms[i].pages; p++) {
            pages[n++] = vms[i].image + p * PAGE_SIZE;
        }
    }
    qsort(pages, n, sizeof(*pages), by_content);
    for (uint64_t i = 1; i < n; i++) {
        distinct += by_content(&pages[i - 1], &pages[i]) != 0;
    }
    munmap(pages, total_pages * sizeof(*pages));
    return distinct;
}

/* ---- proving --------------------------------------------------------------------------------- */

static void report(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "fold-bench: audit: %s\n", line);
}

static bool sound(const struct frames *frames, const struct fold *fold, struct share_group *group)
{
    struct p2m *maps[IMAGES_MAX];
    struct audit audit = {
        .frames = frames,
        .maps = maps,
        .n_maps = n_vms,
        .groups = &group,
        .n_groups = 1,
        .fold = fold,
        .scratch = must_map(frames->count * sizeof(uint32_t)),
        .report = report,
    };
    bool same = true;

    for (unsigned i = 0; i < n_vms; i++) {
        const struct vm *vm = &vms[i];
        maps[i] = &vms[i].p2m;
        for (uint64_t n = 0; n < vm->pages; n++) {
            const uint8_t *now = frame_bytes(frames, MFN(vm->map.mfns[n]));
            if (memcmp(now, vm->image + n * PAGE_SIZE, PAGE_SIZE) != 0) {
                fprintf(stderr, "fold-bench: %s: page %llu changed\n", vm->file,
                        (unsigned long long)n);
                same = false;
            }
        }
    }
    return audit_run(&audit) == 0 && same;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    (void)level;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}

static void set_option(struct config_host *host, const char *option, unsigned *passes)
{
    char key[64];
    char why[200];
    const char *value = strchr(option, '=');

    if (!value || (size_t)(value - option) >= sizeof(key)) {
        die(option, "options are --KEY=VALUE");
    }
    memcpy(key, option, (size_t)(value - option));
    key[value - option] = '\0';
    value++;
    if (strcmp(key, "passes") == 0) {
        char *end;
        unsigned long n = strtoul(value, &end, 10);
        if (*end || end == value || n < 1 || n > PASSES_MAX) {
            die(option, "passes is a number from 1 to 1000");
        }
        *passes = (unsigned)n;
    } else if (strncmp(key, "fold.", 5) != 0 ||
               config_host_set(host, key, value, why, sizeof(why)) != OK) {
        die(option, strncmp(key, "fold.", 5) != 0 ? "no such option" : why);
    }
}

int main(int argc, char **argv)
{
    static struct frames frames;
    static struct fold fold;
    static struct share_group group;
    static struct config_host host;
    unsigned passes = PASSES_DEFAULT;

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            add_image(argv[i]);
        }
    }
    if (n_vms == 0) {
        die("usage", "fold-bench [--passes=N] [--fold.KEY=VALUE ...] IMAGE...");
    }
    uint64_t count = total_pages + 1; /* and the group's zero page, and notes */
    for (unsigned i = 0; i < n_vms; i++) {
        count += vms[i].pages / P2M_REGION_PAGES + 1;
    }
    frames_init(&frames, must_map(count * sizeof(struct frame)), count,
                must_map(count * PAGE_SIZE));
    frames_add_free(&frames, MFN(0), count);
    if (share_group_init(&group, &frames, "default", 0) != OK) {
        die("memory", "no frame for the zero page");
    }
    fold_init(&fold, &frames, NULL, SEED);
    config_host_defaults(&host);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            set_option(&host, argv[i] + 2, &passes);
        }
    }
    fold_switch(&fold, &host.fold);
    for (unsigned i = 0; i < n_vms; i++) {
        load(&vms[i], (uint16_t)(i + 1), &frames, &group);
        fold_attach(&fold, &vms[i].p2m);
    }

    printf("{\"images\": %u, \"pages\": %llu, \"mib\": %llu,\n \"config\": {", n_vms,
           (unsigned long long)total_pages, (unsigned long long)(total_pages * PAGE_SIZE / MIB));
    const char *key, *comma = "";
    char value[CONFIG_VALUE];
    for (unsigned i = 0; config_host_get(&host, i, &key, value, sizeof(value)); i++) {
        if (strncmp(key, "fold.", 5) == 0) {
            printf("%s\"%s\": \"%s\"", comma, key, value);
            comma = ", ";
        }
    }
    printf("},\n \"metadata_bytes_per_frame\": %zu,\n \"passes\": [", sizeof(struct frame));
    for (unsigned pass = 1; pass <= passes; pass++) {
        print_pass(&fold, &frames, pass);
    }
    uint64_t distinct = distinct_pages(), used = frames_used(&frames);
    bool proven = sound(&frames, &fold, &group);
    printf("],\n \"frames_used\": %llu, \"frames_saved\": %lld, \"percent_saved\": %.2f,\n"
           " \"distinct_pages\": %llu, \"exact_saving\": %llu, \"check\": \"%s\"}\n",
           (unsigned long long)used, (long long)total_pages - (long long)used,
           100.0 * ((double)total_pages - (double)used) / (double)total_pages,
           (unsigned long long)distinct, (unsigned long long)(total_pages - distinct),
           proven ? "OK" : "FAILED");
    return proven ? 0 : 1;
}
