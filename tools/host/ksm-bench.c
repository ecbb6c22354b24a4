/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux KSM on memory images: ksm-bench [--KEY=VALUE ...] IMAGE...
 *
 * Each image is mapped as one VM's memory would be, 4 KiB pages with MADV_MERGEABLE, and ksmd does
 * its passes over them one at a time. Prints JSON like fold-bench's: for each pass ksmd's CPU time,
 * divided by all pages held, and KSM's counters. KSM does not count its compares, so they are null.
 * Needs root, a kernel with KSM, and a host on which nothing else uses KSM at the time; its
 * settings are put back at the end, and after SIGINT, SIGTERM and SIGHUP.
 *
 *     --passes=N              how many passes (default 6)
 *     --smart-scan=on|off     KSM skips pages that were often looked at in vain (default off)
 *     --zero=on|off           KSM's use_zero_pages (default on)
 *     --write=PERCENT         of the pages are written between two passes (default 0)
 *     --seed=N                which pages, and what (default 1)
 */
#include "tools/host/ksm.h"
#include "tools/host/rewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PAGE_BYTES 4096u
#define IMAGES_MAX 64u
#define PASSES_MAX 1000u
#define READ_BYTES (8u << 20)

struct image {
    uint8_t *memory;
    uint64_t pages;
};

static struct image images[IMAGES_MAX];
static unsigned n_images, passes = 6;
static uint64_t total_pages;
static bool smart_scan, zero_pages = true;
static struct rewrite rewrite = {.seed = 1};
static volatile int stop_signal;

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "ksm-bench: %s%s%s\n", what, *what ? ": " : "", why);
    exit(2);
}

/* Nothing but a note: KSM is put back by exit, where no scan is under way. */
static void on_signal(int number)
{
    stop_signal = number;
}

static void check_stop(void)
{
    if (stop_signal) {
        fprintf(stderr, "ksm-bench: interrupted; KSM's settings are as they were\n");
        exit(128 + stop_signal);
    }
}

/* Before KSM is put back: it need not part pages that are gone. */
static void drop_images(void)
{
    for (unsigned i = 0; i < n_images; i++) {
        munmap(images[i].memory, images[i].pages * PAGE_BYTES);
    }
}

static void load_image(const char *file)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (n_images == IMAGES_MAX) {
        die(file, "at most 64 images");
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        die(file, strerror(errno));
    }
    uint64_t pages = (uint64_t)st.st_size / PAGE_BYTES;
    if (!S_ISREG(st.st_mode) || pages == 0) {
        die(file, "not a file of at least 4096 bytes");
    }
    size_t size = pages * PAGE_BYTES;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        die(file, strerror(errno));
    }
    struct image *image = &images[n_images++];
    *image = (struct image){.memory = memory, .pages = pages};
    /* KSM would only have to split huge pages first. */
    madvise(image->memory, size, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size;) {
        size_t want = size - at < READ_BYTES ? size - at : READ_BYTES;
        ssize_t n = read(fd, image->memory + at, want);
        check_stop();
        if (n <= 0 && errno != EINTR) {
            die(file, n == 0 ? "became shorter" : strerror(errno));
        }
        at += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    if (madvise(image->memory, size, MADV_MERGEABLE) != 0) {
        die(file, "MADV_MERGEABLE is refused: this kernel has no KSM");
    }
    total_pages += pages;
}

static void write_some(unsigned pass)
{
    uint64_t value;
    uint32_t offset;

    for (unsigned i = 0; i < n_images; i++) {
        for (uint64_t n = 0; n < images[i].pages; n++) {
            if (rewrite_due(&rewrite, pass, i, n, &value, &offset)) {
                memcpy(images[i].memory + n * PAGE_BYTES + offset, &value, sizeof(value));
            }
        }
    }
}

static int64_t or_zero(int64_t n)
{
    return n > 0 ? n : 0;
}

/* A counter that this kernel may lack. */
static void print_count(const char *name, int64_t n)
{
    if (n < 0) {
        printf(", \"%s\": null", name);
    } else {
        printf(", \"%s\": %" PRId64, name, n);
    }
}

static void do_pass(unsigned pass)
{
    struct ksm_counters a, b;
    uint64_t ns = 0;

    if (pass > 1 && rewrite.share) {
        write_some(pass);
    }
    ksm_read(&a);
    const char *bad = ksm_scan(&stop_signal, &ns);
    check_stop();
    if (bad) {
        die("", bad);
    }
    ksm_read(&b);
    int64_t scanned = b.pages_scanned < 0 ? -1 : b.pages_scanned - a.pages_scanned;
    if (scanned > (int64_t)total_pages) {
        die("", "other programs have mergeable memory; ksmd's time cannot be told apart");
    }
    printf("%s\n  {\"pass\": %u, \"cpu_ns\": %" PRIu64 ", \"ns_per_page\": %.1f, "
           "\"compares\": null",
           pass > 1 ? "," : "", pass, ns, (double)ns / (double)total_pages);
    print_count("pages_scanned", scanned);
    print_count("pages_shared", b.pages_shared);
    print_count("pages_sharing", b.pages_sharing);
    print_count("pages_zero", b.zero_pages);
    print_count("pages_unshared", b.pages_unshared);
    print_count("pages_volatile", b.pages_volatile);
    print_count("pages_skipped", b.pages_skipped < 0 ? -1 : b.pages_skipped - a.pages_skipped);
    print_count("stable_node_chains", b.stable_node_chains);
    print_count("stable_node_dups", b.stable_node_dups);
    print_count("metadata_bytes", ksm_metadata_bytes());
    print_count("frames_saved", b.pages_sharing + or_zero(b.zero_pages));
    printf("}");
    fflush(stdout);
}

static bool is_on(const char *option, const char *value)
{
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
        die(option, "is on or off");
    }
    return strcmp(value, "on") == 0;
}

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

static void set_option(const char *option)
{
    const char *value = strchr(option, '=');

    if (value && strncmp(option, "--passes=", 9) == 0) {
        passes = (unsigned)number(option, value + 1, 1, PASSES_MAX);
    } else if (value && strncmp(option, "--smart-scan=", 13) == 0) {
        smart_scan = is_on(option, value + 1);
    } else if (value && strncmp(option, "--zero=", 7) == 0) {
        zero_pages = is_on(option, value + 1);
    } else if (value && strncmp(option, "--seed=", 7) == 0) {
        rewrite.seed = number(option, value + 1, 0, UINT64_MAX);
    } else if (value && strncmp(option, "--write=", 8) == 0) {
        char *end;
        double percent = strtod(value + 1, &end);
        if (value[1] == '\0' || *end || !(percent >= 0 && percent <= 100)) {
            die(option, "is a percentage");
        }
        rewrite.share = (uint32_t)(percent * REWRITE_ALL / 100);
    } else {
        die(option, "unknown; --passes, --smart-scan, --zero, --write and --seed are known");
    }
}

static void set_ksm(const char *setting, bool on)
{
    const char *bad = NULL;

    if (ksm_has(setting)) {
        bad = ksm_set(setting, on);
    } else if (on) {
        fprintf(stderr, "ksm-bench: this kernel's KSM has no %s\n", setting);
    }
    if (bad) {
        die("", bad);
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct utsname kernel;
    unsigned files = 0;

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            set_option(argv[i]);
        } else {
            files++;
        }
    }
    if (files == 0) {
        die("usage", "ksm-bench [--passes=N] [--smart-scan=on|off] [--write=PERCENT] IMAGE...");
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    const char *bad = ksm_take();
    if (bad) {
        die("", bad);
    }
    if (atexit(drop_images) != 0) {
        die("", "no memory");
    }
    set_ksm("use_zero_pages", zero_pages);
    set_ksm("smart_scan", smart_scan);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            load_image(argv[i]);
        }
    }
    uname(&kernel);
    printf("{\"images\": %u, \"pages\": %" PRIu64 ", \"kernel\": \"%s\",\n \"config\": "
           "{\"use_zero_pages\": %s, \"smart_scan\": %s, \"write\": %.4f, \"seed\": %" PRIu64
           "},\n \"passes\": [",
           n_images, total_pages, kernel.release, zero_pages ? "true" : "false",
           smart_scan && ksm_has("smart_scan") ? "true" : "false",
           100.0 * rewrite.share / REWRITE_ALL, rewrite.seed);
    for (unsigned pass = 1; pass <= passes; pass++) {
        do_pass(pass);
    }
    printf("]}\n");
    return 0;
}
