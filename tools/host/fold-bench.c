/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs the folding core on memory images, on the host: fold-bench [--KEY=VALUE ...] IMAGE...
 *
 * Each image is one VM's memory, page for page; all VMs are of one share group. Prints JSON: for
 * each pass its cost and what it found, then what was saved against the exact number of distinct
 * pages. ns_per_page is a pass's CPU time divided by all pages held, looked at or not. At the end
 * every page is compared with what it must read, and the audit proves the state: a result that is
 * wrong is no result, and the exit status is 1.
 *
 *     --passes=N             how many passes (default 4)
 *     --write=PERCENT        of the pages are written between two passes (default 0)
 *     --seed=N               which pages, and what (default 1)
 *     --unit=NAME            auto (default), scalar, sse2, avx2 or avx512: how pages are looked at
 *     --fold.zero=on|off     and the other fold.* keys of the configuration
 */
#include "base/bits.h"
#include "kernel/config/config.h"
#include "mm/audit/audit.h"
#include "mm/fold/fold.h"
#include "tools/host/image_vm.h"
#include "tools/host/rewrite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PASSES_DEFAULT 4u
#define PASSES_MAX 1000u
#define IMAGES_MAX 64u
#define STEP_PAGES 1024u
#define MIB (1u << 20)
#define FOLD_SEED 1 /* any: the images do not fight back */

static struct image_vm vms[IMAGES_MAX];
static unsigned n_vms, passes = PASSES_DEFAULT;
static uint64_t total_pages;
static struct rewrite rewrite = {.seed = 1};
static struct content_unit unit;

static struct frames frames;
static struct fold fold;
static struct share_group group;
static struct config_host host;

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "fold-bench: %s: %s\n", what, why);
    exit(2);
}

static void *must_map(uint64_t bytes)
{
    void *p = image_memory(bytes);

    if (!p) {
        die("memory", strerror(errno));
    }
    return p;
}

/* ---- options --------------------------------------------------------------------------------- */

static uint64_t number(const char *option, const char *value, uint64_t low, uint64_t high)
{
    char *end;

    errno = 0;
    unsigned long long n = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || errno || n < low || n > high) {
        die(option, "not a number in its range");
    }
    return n;
}

static uint32_t share(const char *option, const char *value)
{
    char *end;
    double percent = strtod(value, &end);

    if (end == value || *end || !(percent >= 0 && percent <= 100)) {
        die(option, "is a percentage");
    }
    return (uint32_t)(percent * REWRITE_ALL / 100);
}

/* The vector sets need no bracket here: a process has registers of its own. */
static void choose_unit(const char *option, const char *name)
{
    bool any = strcmp(name, "auto") == 0;
    bool has_512 = __builtin_cpu_supports("avx512f");

    if (strcmp(name, "avx512") == 0 || (any && has_512)) {
        unit.ops = has_512 ? &content_avx512 : NULL;
    } else if (strcmp(name, "avx2") == 0 || (any && __builtin_cpu_supports("avx2"))) {
        unit.ops = __builtin_cpu_supports("avx2") ? &content_avx2 : NULL;
    } else if (strcmp(name, "sse2") == 0 || any) {
        unit.ops = &content_sse2;
    } else if (strcmp(name, "scalar") == 0) {
        unit.ops = &content_scalar;
    } else {
        die(option, "is auto, scalar, sse2, avx2 or avx512");
    }
    if (!unit.ops) {
        die(option, "this CPU does not have it");
    }
}

static void set_option(const char *option)
{
    char key[64], why[200];
    const char *value = strchr(option, '=');

    if (!value || (size_t)(value - option) >= sizeof(key)) {
        die(option, "options are --KEY=VALUE");
    }
    memcpy(key, option + 2, (size_t)(value - option - 2));
    key[value - option - 2] = '\0';
    value++;
    if (strcmp(key, "passes") == 0) {
        passes = (unsigned)number(option, value, 1, PASSES_MAX);
    } else if (strcmp(key, "write") == 0) {
        rewrite.share = share(option, value);
    } else if (strcmp(key, "seed") == 0) {
        rewrite.seed = number(option, value, 0, UINT64_MAX);
    } else if (strcmp(key, "unit") == 0) {
        choose_unit(option, value);
    } else if (strncmp(key, "fold.", 5) != 0) {
        die(option, "no such option");
    } else if (config_host_set(&host, key, value, why, sizeof(why)) != OK) {
        die(option, why);
    }
}

static void read_arguments(int argc, char **argv)
{
    config_host_defaults(&host);
    choose_unit("--unit", "auto");
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            set_option(argv[i]);
            continue;
        }
        if (n_vms == IMAGES_MAX) {
            die(argv[i], "too many images");
        }
        const char *bad = image_vm_open(&vms[n_vms], argv[i]);
        if (bad) {
            die(argv[i], bad);
        }
        total_pages += vms[n_vms++].pages;
    }
    if (n_vms == 0) {
        die("usage", "fold-bench [--passes=N] [--write=PERCENT] [--fold.KEY=VALUE ...] IMAGE...");
    }
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void set_up(void)
{
    uint64_t count = total_pages + 1; /* and the group's zero page, */

    for (unsigned i = 0; i < n_vms; i++) {
        count += vms[i].pages / P2M_REGION_PAGES + 1; /* and notes */
    }
    frames_init(&frames, must_map(count * sizeof(struct frame)), count,
                must_map(count * PAGE_SIZE));
    frames_add_free(&frames, MFN(0), count);
    if (share_group_init(&group, &frames, "default", 0) != OK) {
        die("memory", "no frame for the zero page");
    }
    fold_init(&fold, &frames, NULL, &(struct random){.key = {FOLD_SEED}},
              must_map(fold_roots(count) * sizeof(uint32_t)));
    fold.unit = &unit;
    fold_switch(&fold, &host.fold);
    for (unsigned i = 0; i < n_vms; i++) {
        const char *bad = image_vm_load(&vms[i], (uint16_t)(i + 1), &frames, &group);
        if (bad) {
            die(vms[i].file, bad);
        }
        fold_attach(&fold, &vms[i].p2m);
    }
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static uint64_t frames_used(void)
{
    return frames.by_state[FRAME_PRIVATE] + frames.by_state[FRAME_SHARED] +
           frames.by_state[FRAME_ZERO];
}

/* What the frame table and the notes take, for the pages there are. */
static uint64_t metadata_bytes(void)
{
    uint64_t bytes = frames.count * sizeof(struct frame);

    for (unsigned i = 0; i < n_vms; i++) {
        bytes += vms[i].p2m.n_notes * (uint64_t)PAGE_SIZE;
        bytes += vms[i].p2m.n_regions * sizeof(struct p2m_region);
    }
    return bytes;
}

static void write_some(unsigned pass)
{
    uint64_t value;
    uint32_t offset;

    for (unsigned i = 0; i < n_vms; i++) {
        for (uint64_t n = 0; n < vms[i].pages; n++) {
            if (rewrite_due(&rewrite, pass, i, n, &value, &offset)) {
                const char *bad = image_vm_write(&vms[i], GFN(n), offset, value);
                if (bad) {
                    die(vms[i].file, bad);
                }
            }
        }
    }
}

static void print_pass(unsigned pass, uint64_t ns, const struct fold_counters *a,
                       const struct fold_counters *b)
{
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"pages_scanned", b->pages_scanned - a->pages_scanned},
        {"compares", b->compares - a->compares},
        {"hashes", b->hashes - a->hashes},
        {"collisions", b->collisions - a->collisions},
        {"lookahead_hits", b->lookahead_hits - a->lookahead_hits},
        {"lookahead_misses", b->lookahead_misses - a->lookahead_misses},
        {"regions_harvested", b->regions_harvested - a->regions_harvested},
        {"regions_passed", b->regions_passed - a->regions_passed},
        {"merges", b->merges - a->merges},
        {"zero_merges", b->zero_merges - a->zero_merges},
        {"cow_breaks", b->cow_breaks - a->cow_breaks},
        {"pages_shared", b->pages_shared},
        {"pages_sharing", b->pages_sharing},
        {"pages_zero", b->pages_zero},
        {"pages_unshared", b->pages_unshared},
        {"pages_volatile", b->pages_volatile},
        {"frames_used", frames_used()},
    };

    printf("%s\n  {\"pass\": %u, \"cpu_ns\": %llu, \"ns_per_page\": %.2f", pass > 1 ? "," : "",
           pass, (unsigned long long)ns, (double)ns / (double)total_pages);
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        printf(", \"%s\": %llu", fields[i].name, (unsigned long long)fields[i].value);
    }
    printf(", \"frames_saved\": %lld}", (long long)total_pages - (long long)frames_used());
}

static void do_pass(unsigned pass)
{
    struct fold_counters a, b;

    fold_read(&fold, &a); /* what the writes break is this pass's too */
    if (pass > 1 && rewrite.share) {
        write_some(pass);
    }
    uint64_t scans = fold.full_scans, began = cpu_ns();
    while (fold.full_scans == scans) {
        if (fold_step(&fold, STEP_PAGES, NULL) == 0) {
            break; /* switched off */
        }
    }
    uint64_t ns = cpu_ns() - began;
    fold_read(&fold, &b);
    print_pass(pass, ns, &a, &b);
}

static void print_head(void)
{
    const char *key;
    char value[CONFIG_VALUE];

    printf("{\"images\": %u, \"pages\": %llu, \"mib\": %llu,\n \"config\": {\"unit\": \"%s\", "
           "\"write\": %.4f, \"seed\": %llu",
           n_vms, (unsigned long long)total_pages,
           (unsigned long long)(total_pages * PAGE_SIZE / MIB), unit.ops->name,
           100.0 * rewrite.share / REWRITE_ALL, (unsigned long long)rewrite.seed);
    for (unsigned i = 0; config_host_get(&host, i, &key, value, sizeof(value)); i++) {
        if (strncmp(key, "fold.", 5) == 0) {
            printf(", \"%s\": \"%s\"", key, value);
        }
    }
    printf("},\n \"metadata_bytes_per_frame\": %zu, \"metadata_bytes_per_page\": %.2f,\n"
           " \"passes\": [",
           sizeof(struct frame), (double)metadata_bytes() / (double)total_pages);
}

/* ---- the exact answer, and the proof --------------------------------------------------------- */

static int by_content(const void *a, const void *b)
{
    return memcmp(*(const uint8_t *const *)a, *(const uint8_t *const *)b, PAGE_SIZE);
}

/* From what the pages must read alone: how many different ones there are. */
static uint64_t distinct_pages(void)
{
    const uint8_t **pages = must_map(total_pages * sizeof(*pages));
    uint64_t n = 0, distinct = 1;

    for (unsigned i = 0; i < n_vms; i++) {
        for (uint64_t p = 0; p < vms[i].pages; p++) {
            pages[n++] = vms[i].expected + p * PAGE_SIZE;
        }
    }
    qsort(pages, n, sizeof(*pages), by_content);
    for (uint64_t i = 1; i < n; i++) {
        distinct += by_content(&pages[i - 1], &pages[i]) != 0;
    }
    munmap(pages, total_pages * sizeof(*pages));
    return distinct;
}

static void report(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "fold-bench: audit: %s\n", line);
}

static bool sound(void)
{
    struct p2m *maps[IMAGES_MAX];
    struct share_group *groups[] = {&group};
    struct audit audit = {
        .frames = &frames,
        .maps = maps,
        .n_maps = n_vms,
        .groups = groups,
        .n_groups = 1,
        .fold = &fold,
        .scratch = must_map(frames.count * sizeof(uint32_t)),
        .report = report,
    };
    uint64_t different = 0;

    for (unsigned i = 0; i < n_vms; i++) {
        maps[i] = &vms[i].p2m;
        different += image_vm_differences(&vms[i]);
    }
    return audit_run(&audit) == 0 && different == 0;
}

static void print_runs(void)
{
    uint64_t runs[FOLD_RUNS];
    const char *comma = "";

    fold_sequences(&fold, NULL, runs);
    printf(" \"runs\": {");
    for (unsigned k = 0; k < FOLD_RUNS; k++) {
        if (runs[k]) {
            printf("%s\"%u\": %llu", comma, 1u << k, (unsigned long long)runs[k]);
            comma = ", ";
        }
    }
    printf("},\n");
}

int main(int argc, char **argv)
{
    read_arguments(argc, argv);
    set_up();
    print_head();
    for (unsigned pass = 1; pass <= passes; pass++) {
        do_pass(pass);
    }
    uint64_t distinct = distinct_pages(), used = frames_used();
    bool proven = sound();
    printf("],\n");
    print_runs();
    printf(" \"frames_used\": %llu, \"frames_saved\": %lld, \"percent_saved\": %.2f,\n"
           " \"distinct_pages\": %llu, \"exact_saving\": %llu, \"check\": \"%s\"}\n",
           (unsigned long long)used, (long long)total_pages - (long long)used,
           100.0 * ((double)total_pages - (double)used) / (double)total_pages,
           (unsigned long long)distinct, (unsigned long long)(total_pages - distinct),
           proven ? "OK" : "FAILED");
    return proven ? 0 : 1;
}
