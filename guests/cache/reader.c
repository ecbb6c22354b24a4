/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Linux guest's init that reads files again and again, more of them than its memory holds, and
 * verifies every 4 KiB of what it gets. From the kernel's command line, by the environment:
 *
 *     cache_name=NAME      what is printed
 *     cache_plan=PHASE,... PHASE is NAME@SECONDS:LIST:loop:ROUNDS or NAME@SECONDS:LIST:zipf:MIB
 *     cache_seed=N         zipf's choices
 *
 * LIST is the end of the name of a list beside this program, of lines `BYTES SUM WEIGHT PATH`, SUM
 * in hexadecimal. A phase begins SECONDS after the guest's TSC was 0, so that several guests begin
 * one together. In `loop` all files are read in the list's order, ROUNDS times; in `zipf` files are
 * drawn with probabilities in proportion to their WEIGHT until MIB mebibytes have been read. Each
 * phase begins and ends with a line; in the end the guest stays, with what it holds.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

#define BLOCK 4096u
#define CHUNK (16 * BLOCK)
#define FILES_MAX 8192u
#define SHOWN 3u /* wrong files that are named */
#define TICKS_PER_SECOND UINT64_C(50000000)

struct file {
    uint64_t bytes, sum, weights; /* weights: this file's and those before it */
    char *path;
};

static struct {
    const char *name;
    struct file files[FILES_MAX];
    unsigned n_files;
    uint64_t random;
    uint64_t n_read, blocks, wrong; /* of a phase */
    uint64_t buffer[CHUNK / 8];
} g;

static void fail(const char *what)
{
    printf("CACHE-FAILED vm=%s %s\n", g.name, what);
    for (;;) {
        pause();
    }
}

static uint64_t random_below(uint64_t limit)
{
    g.random ^= g.random << 13;
    g.random ^= g.random >> 7;
    g.random ^= g.random << 17;
    return g.random % limit;
}

static const char *setting(const char *key)
{
    const char *value = getenv(key);

    if (value == NULL) {
        fail(key);
    }
    return value;
}

/* From the initramfs, so that no disk read comes of it. */
static void read_list(const char *name)
{
    char line[1024];
    uint64_t all = 0;

    snprintf(line, sizeof(line), "/mnt/list-%s", name);
    FILE *in = fopen(line, "r");
    if (in == NULL) {
        fail("has no list of files");
    }
    while (g.n_files > 0) {
        free(g.files[--g.n_files].path);
    }
    while (fgets(line, sizeof(line), in) != NULL) {
        struct file *f = &g.files[g.n_files];
        uint64_t weight;
        int at = 0;
        line[strcspn(line, "\n")] = '\0';
        if (g.n_files == FILES_MAX ||
            sscanf(line, "%" SCNu64 " %" SCNx64 " %" SCNu64 " %n", &f->bytes, &f->sum, &weight,
                   &at) != 3 ||
            at == 0 || (f->path = strdup(line + at)) == NULL) {
            fail("cannot read the list of files");
        }
        f->weights = all += weight;
        g.n_files++;
    }
    fclose(in);
    if (g.n_files == 0) {
        fail("has nothing to read");
    }
}

/* Block by block, so that blocks in a wrong order do not add up; measure/cache_files.py of the
 * tools has the same. */
static uint64_t add_chunk(uint64_t sum, size_t n)
{
    memset((char *)g.buffer + n, 0, -n % BLOCK);
    for (size_t at = 0; at < n; at += BLOCK) {
        const uint64_t *word = g.buffer + at / 8;
        uint64_t block = 0;
        for (unsigned i = 0; i < BLOCK / 8; i++) {
            block += word[i];
        }
        sum = sum * UINT64_C(0x9e3779b97f4a7c15) + block;
        g.blocks++;
    }
    return sum;
}

static void read_file(const struct file *f)
{
    uint64_t sum = 0, bytes = 0;
    ssize_t n;
    int fd = open(f->path, O_RDONLY);

    while (fd >= 0 && (n = read(fd, g.buffer, CHUNK)) > 0) {
        sum = add_chunk(sum, (size_t)n);
        bytes += (uint64_t)n;
    }
    if (fd >= 0) {
        close(fd);
    }
    g.n_read++;
    if (bytes != f->bytes || sum != f->sum) {
        if (g.wrong++ < SHOWN) {
            printf("CACHE vm=%s WRONG bytes=%" PRIu64 " sum=%" PRIx64 " %s\n", g.name, bytes, sum,
                   f->path);
        }
    }
}

static void loop(uint64_t rounds)
{
    while (rounds-- > 0) {
        for (unsigned i = 0; i < g.n_files; i++) {
            read_file(&g.files[i]);
        }
    }
}

static void zipf(uint64_t mib)
{
    while (g.blocks < mib << 20 >> 12) {
        uint64_t x = random_below(g.files[g.n_files - 1].weights);
        unsigned low = 0, high = g.n_files - 1;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (g.files[middle].weights > x) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        read_file(&g.files[low]);
    }
}

static void wait_until(uint64_t ticks)
{
    uint64_t now = __rdtsc();

    if (now > ticks) {
        fail("is late: the phases must lie further apart");
    }
    while (now < ticks) {
        usleep((useconds_t)((ticks - now) / (TICKS_PER_SECOND / 1000000) + 1));
        now = __rdtsc();
    }
}

static void run_phase(char *text)
{
    char name[32], list[8], kind[8];
    uint64_t seconds, amount;

    if (sscanf(text, "%31[^@]@%" SCNu64 ":%7[^:]:%7[^:]:%" SCNu64, name, &seconds, list, kind,
               &amount) != 5) {
        fail("does not understand its plan");
    }
    read_list(list);
    wait_until(seconds * TICKS_PER_SECOND);
    g.n_read = g.blocks = g.wrong = 0;
    uint64_t begin = __rdtsc();
    printf("CACHE vm=%s phase=%s begin=%" PRIu64 "\n", g.name, name, begin);
    if (strcmp(kind, "zipf") == 0) {
        zipf(amount);
    } else {
        loop(amount);
    }
    uint64_t end = __rdtsc();
    printf("CACHE vm=%s phase=%s end=%" PRIu64 " files=%" PRIu64 " blocks=%" PRIu64
           " wrong=%" PRIu64 "\n",
           g.name, name, end, g.n_read, g.blocks, g.wrong);
}

/* Of /proc/meminfo, in KiB. */
static uint64_t memory(const char *what)
{
    FILE *in = fopen("/proc/meminfo", "r");
    char line[128];
    uint64_t kib = 0;

    while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
        if (strncmp(line, what, strlen(what)) == 0) {
            kib = strtoull(line + strlen(what), NULL, 10);
        }
    }
    if (in != NULL) {
        fclose(in);
    }
    return kib;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    g.name = setting("cache_name");
    g.random = strtoull(setting("cache_seed"), NULL, 10) * UINT64_C(0x2545f4914f6cdd1d) + 1;
    char *plan = strdup(setting("cache_plan"));
    printf("CACHE vm=%s ready=%" PRIu64 " memory=%" PRIu64 "k available=%" PRIu64 "k\n", g.name,
           (uint64_t)__rdtsc(), memory("MemTotal:"), memory("MemAvailable:"));
    for (char *phase = strtok(plan, ","); phase != NULL; phase = strtok(NULL, ",")) {
        run_phase(phase);
    }
    printf("CACHE vm=%s cached=%" PRIu64 "k done\n", g.name, memory("Cached:"));
    for (;;) {
        pause();
    }
}
