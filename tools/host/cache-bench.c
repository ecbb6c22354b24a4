/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replays traces of block requests against replacement policies:
 *
 *     cache-bench [--KEY=VALUE ...] TRACE...
 *
 * TRACE is a file (tools/host/trace.h has its format) or a synthetic one: zipf:S, scan, loop. Each
 * policy replays each trace with caches of several sizes, given in per cent of the blocks that the
 * trace reads. Prints a table of hit ratios and then JSON. `pagefold` is the hypervisor's own code;
 * `min` is Belady's, which knows the future: what no policy can exceed. For each trace the sampled
 * miss-ratio curve (mm/cache/mrc) is compared with exact LRU caches.
 *
 *     --sizes=P,P,...   of caches, in per cent (default 5,10,20,40,80)
 *     --blocks=N        of synthetic traces (default 20000)
 *     --reads=N         of synthetic traces (default 400000)
 *     --seed=N          of synthetic traces and of the sample (default 1)
 *     --json            JSON only
 */
#include "base/bits.h"
#include "mm/cache/mrc.h"
#include "tools/host/belady.h"
#include "tools/host/policy.h"
#include "tools/host/trace.h"

#include <err.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZES_MAX 16u
#define RESULTS (POLICIES + 1) /* and min */

static double sizes[SIZES_MAX] = {5, 10, 20, 40, 80};
static unsigned n_sizes = 5;
static uint64_t blocks = 20000, reads = 400000, seed = 1;
static bool json_only;

/* One trace's. */
struct result {
    const char *name;
    struct trace trace;
    uint32_t size[SIZES_MAX];
    uint64_t hits[RESULTS][SIZES_MAX];
    uint64_t curve_error_ppm; /* mean absolute error over the curve's points */
    unsigned curve_one_in;    /* one in so many blocks was sampled at the end */
    double curve_ns;          /* CPU time of a read there */
};

static uint64_t number(const char *option, const char *value, uint64_t low, uint64_t high)
{
    char *end;

    errno = 0;
    unsigned long long n = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || errno || n < low || n > high) {
        errx(2, "%s: not a number in its range", option);
    }
    return n;
}

static void read_sizes(const char *option, const char *value)
{
    char *end;

    for (n_sizes = 0;; value = end + 1) {
        double p = strtod(value, &end);
        if (end == value || (*end && *end != ',') || !(p > 0 && p <= 100) || n_sizes == SIZES_MAX) {
            errx(2, "%s: wants up to %u percentages with commas between them", option, SIZES_MAX);
        }
        sizes[n_sizes++] = p;
        if (!*end) {
            return;
        }
    }
}

static void set_option(const char *option)
{
    const char *value = strchr(option, '=');
    size_t n = value ? (size_t)(value - option) : strlen(option);

    value = value ? value + 1 : "";
    if (strcmp(option, "--json") == 0) {
        json_only = true;
    } else if (strncmp(option, "--sizes", n) == 0 && n == 7) {
        read_sizes(option, value);
    } else if (strncmp(option, "--blocks", n) == 0 && n == 8) {
        blocks = number(option, value, 2, 1u << 26);
    } else if (strncmp(option, "--reads", n) == 0 && n == 7) {
        reads = number(option, value, 1, 1u << 30);
    } else if (strncmp(option, "--seed", n) == 0 && n == 6) {
        seed = number(option, value, 0, UINT64_MAX);
    } else {
        errx(2, "%s: no such option", option);
    }
}

static void open_trace(struct result *r, const char *name)
{
    unsigned line;

    r->name = name;
    if (trace_make(&r->trace, name, (uint32_t)blocks, reads, seed)) {
        return;
    }
    FILE *f = fopen(name, "r");
    if (!f) {
        err(2, "%s: no synthetic trace, and no file", name);
    }
    const char *wrong = trace_read(&r->trace, f, &line);
    fclose(f);
    if (wrong) {
        errx(2, "%s:%u: %s", name, line, wrong);
    }
    const char *slash = strrchr(name, '/');
    r->name = slash ? slash + 1 : name;
}

static uint64_t replay(const struct trace *t, const struct policy_ops *ops, uint32_t size)
{
    struct policy *p = ops->make(size, t->n_ids);
    uint64_t hits = 0;

    for (size_t i = 0; i < t->n; i++) {
        const struct trace_use *u = &t->uses[i];
        if (u->op == 'r') {
            hits += ops->read(p, u->id);
        } else {
            (u->op == 'w' ? ops->write : ops->drop)(p, u->id);
        }
    }
    ops->free(p);
    return hits;
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* An LRU cache that only reads count in, as in the curve. */
static uint64_t lru_misses(const struct trace *t, uint32_t size)
{
    struct policy *p = policy_lru.make(size, t->n_ids);
    uint64_t misses = 0;

    for (size_t i = 0; i < t->n; i++) {
        misses += t->uses[i].op == 'r' && !policy_lru.read(p, t->uses[i].id);
    }
    policy_lru.free(p);
    return misses;
}

/* The curve's points around a third of what the trace reads, so that most of them tell something.
 */
static void measure_curve(struct result *r)
{
    const struct trace *t = &r->trace;
    struct mrc_point points[MRC_POINTS];
    struct mrc m;
    void *mem = malloc(MRC_BYTES);

    if (!mem) {
        err(2, "memory");
    }
    mrc_init(&m, mem, MAX(t->n_read / 3, 1u), (seed + 1) * UINT64_C(0xd1342543de82ef95));
    double before = cpu_ns();
    for (size_t i = 0; i < t->n; i++) {
        if (t->uses[i].op == 'r') {
            mrc_read_block(&m, 0, t->uses[i].id);
        }
    }
    r->curve_ns = (cpu_ns() - before) / (double)t->reads;
    mrc_curve(&m, points);
    for (unsigned i = 0; i < MRC_POINTS; i++) {
        uint64_t misses = lru_misses(t, (uint32_t)points[i].blocks);
        int64_t exact = (int64_t)(misses * MRC_PPM / t->reads);
        r->curve_error_ppm += (uint64_t)llabs(exact - (int64_t)points[i].miss_ppm);
    }
    r->curve_error_ppm /= MRC_POINTS;
    r->curve_one_in = (unsigned)mrc_one_in(&m);
    free(mem);
}

static void measure(struct result *r)
{
    for (unsigned s = 0; s < n_sizes; s++) {
        r->size[s] = (uint32_t)MAX(sizes[s] / 100 * r->trace.n_read, 1.0);
        for (unsigned k = 0; k < POLICIES; k++) {
            r->hits[k][s] = replay(&r->trace, policies[k], r->size[s]);
        }
        r->hits[POLICIES][s] = belady_hits(&r->trace, r->size[s]);
    }
    measure_curve(r);
}

static const char *result_name(unsigned k)
{
    return k < POLICIES ? policies[k]->name : "min";
}

static double ratio(const struct result *r, unsigned k, unsigned s)
{
    return (double)r->hits[k][s] / (double)r->trace.reads;
}

static void print_table(const struct result *all, int n)
{
    printf("%-14s %8s", "trace", "blocks");
    for (unsigned k = 0; k < RESULTS; k++) {
        printf(" %7s", result_name(k));
    }
    printf("   (hits in per cent of the blocks read)\n");
    for (int i = 0; i < n; i++) {
        for (unsigned s = 0; s < n_sizes; s++) {
            printf("%-14.14s %8u", s == 0 ? all[i].name : "", all[i].size[s]);
            for (unsigned k = 0; k < RESULTS; k++) {
                printf(" %7.2f", 100 * ratio(&all[i], k, s));
            }
            printf("\n");
        }
    }
    printf("%-14s %8s", "mean", "");
    for (unsigned k = 0; k < RESULTS; k++) {
        double sum = 0;
        for (int i = 0; i < n; i++) {
            for (unsigned s = 0; s < n_sizes; s++) {
                sum += ratio(&all[i], k, s);
            }
        }
        printf(" %7.2f", 100 * sum / n / n_sizes);
    }
    printf("\n\n");
}

static void print_json_sizes(const struct result *r)
{
    for (unsigned s = 0; s < n_sizes; s++) {
        printf("%s\n    {\"percent\": %g, \"blocks\": %u, \"hit_ratio\": {", s ? "," : "", sizes[s],
               r->size[s]);
        for (unsigned k = 0; k < RESULTS; k++) {
            printf("%s\"%s\": %.6f", k ? ", " : "", result_name(k), ratio(r, k, s));
        }
        printf("}}");
    }
}

static void print_json(const struct result *all, int n)
{
    printf("{\"traces\": [");
    for (int i = 0; i < n; i++) {
        const struct result *r = &all[i];
        printf("%s\n {\"name\": \"", i ? "," : "");
        for (const char *c = r->name; *c; c++) {
            printf(*c == '"' || *c == '\\' || (unsigned char)*c < ' ' ? "\\u%04x" : "%c",
                   (unsigned char)*c);
        }
        printf("\", \"requests\": %llu, \"reads\": %zu, \"blocks_read\": %u,\n  \"sizes\": [",
               (unsigned long long)r->trace.requests, r->trace.reads, r->trace.n_read);
        print_json_sizes(r);
        printf("],\n  \"curve\": {\"sampled_one_in\": %u, \"mean_absolute_error\": %.6f, "
               "\"ns_per_read\": %.1f}}",
               r->curve_one_in, (double)r->curve_error_ppm / MRC_PPM, r->curve_ns);
    }
    printf("\n]}\n");
}

int main(int argc, char **argv)
{
    struct result *all = calloc((size_t)argc, sizeof(*all));
    int n = 0;

    if (!all) {
        err(2, "memory");
    }
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            set_option(argv[i]);
        }
    }
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            open_trace(&all[n], argv[i]);
            measure(&all[n++]);
        }
    }
    if (n == 0) {
        errx(2, "usage: cache-bench [--KEY=VALUE ...] TRACE...");
    }
    if (!json_only) {
        print_table(all, n);
    }
    print_json(all, n);
    for (int i = 0; i < n; i++) {
        trace_free(&all[i].trace);
    }
    free(all);
    return 0;
}
