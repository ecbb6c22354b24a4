/* SPDX-License-Identifier: BSD-2-Clause */
/* Linux KSM through /sys/kernel/mm/ksm, and its thread's CPU time through /proc. */
#include "tools/host/ksm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KSM_FOLDER "/sys/kernel/mm/ksm/"
#define SLAB_FOLDER "/sys/kernel/slab/"
#define MORE_THAN_ALL_PAGES 1000000000
#define LONG_SLEEP_MS 3600000
#define POLL_US 2000
#define STUCK_SECONDS 120

/* In the order in which they are put back: while an advisor is on, it owns pages_to_scan. */
static const char *const settings[] = {
    "pages_to_scan", "sleep_millisecs", "use_zero_pages", "smart_scan", "advisor_mode", "run",
};
#define N_SETTINGS (sizeof(settings) / sizeof(settings[0]))
#define SETTING_BYTES 64

static char saved[N_SETTINGS][SETTING_BYTES]; /* "": not in this kernel */
static char ksmd_schedstat[64], ksmd_stat[64];
static char why[160];
static int sleep_toggle;

/* The text of a small file, without the newline; false if there is none. */
static bool read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    if (n < 0) {
        return false;
    }
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return true;
}

static int64_t read_number(const char *folder, const char *name)
{
    char path[160], text[64];

    snprintf(path, sizeof(path), "%s%s", folder, name);
    return read_text(path, text, sizeof(text)) ? strtoll(text, NULL, 10) : -1;
}

static bool write_text(const char *setting, const char *text)
{
    char path[160];

    snprintf(path, sizeof(path), KSM_FOLDER "%s", setting);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool good = write(fd, text, strlen(text)) >= 0;
    int error = errno;
    close(fd);
    errno = error;
    return good;
}

bool ksm_has(const char *setting)
{
    return read_number(KSM_FOLDER, setting) != -1 || strcmp(setting, "advisor_mode") == 0;
}

const char *ksm_set(const char *setting, int64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    if (write_text(setting, text)) {
        return NULL;
    }
    snprintf(why, sizeof(why), "KSM's %s cannot be set to %s: %s", setting, text, strerror(errno));
    return why;
}

/* A choice such as "[none] scan-time" reads with brackets around what is chosen; written without.
 */
static void strip_choice(char *text)
{
    char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;

    if (close) {
        *close = '\0';
        memmove(text, open + 1, (size_t)(close - open));
    }
}

/*
 * Goes through the processes until `wanted` says yes of one; `folder` is its folder in /proc.
 */
static bool any_process(bool (*wanted)(const char *folder))
{
    struct dirent *entry;
    DIR *proc = opendir("/proc");
    bool found = false;

    while (proc && !found && (entry = readdir(proc)) != NULL) {
        char folder[32];
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && strlen(entry->d_name) <= 16) {
            snprintf(folder, sizeof(folder), "/proc/%.16s/", entry->d_name);
            found = wanted(folder);
        }
    }
    if (proc) {
        closedir(proc);
    }
    return found;
}

static bool is_ksmd(const char *folder)
{
    char path[64], text[32];

    snprintf(path, sizeof(path), "%scomm", folder);
    if (!read_text(path, text, sizeof(text)) || strcmp(text, "ksmd") != 0) {
        return false;
    }
    /* Kernel threads have no memory of their own; a program may call itself what it likes. */
    snprintf(path, sizeof(path), "%smaps", folder);
    if (!read_text(path, text, sizeof(text)) || text[0] != '\0') {
        return false;
    }
    snprintf(ksmd_schedstat, sizeof(ksmd_schedstat), "%sschedstat", folder);
    snprintf(ksmd_stat, sizeof(ksmd_stat), "%sstat", folder);
    return true;
}

static bool has_merged_pages(const char *folder)
{
    return read_number(folder, "ksm_merging_pages") > 0;
}

static void give_back(void)
{
    /* 2: every page is taken apart again, and no count of ours stays behind. */
    write_text("run", "2");
    for (unsigned i = 0; i < N_SETTINGS; i++) {
        if (saved[i][0] && !write_text(settings[i], saved[i])) {
            fprintf(stderr, "KSM's %s could not be put back to %s\n", settings[i], saved[i]);
        }
    }
}

const char *ksm_take(void)
{
    char text[SETTING_BYTES];

    if (read_number(KSM_FOLDER, "run") == -1) {
        return "this kernel has no KSM (there is no " KSM_FOLDER "run)";
    }
    if (access(KSM_FOLDER "run", W_OK) != 0) {
        return "no permission to change " KSM_FOLDER "*; run this as root";
    }
    if (!any_process(is_ksmd) || !read_text(ksmd_schedstat, text, sizeof(text))) {
        return "the thread ksmd's CPU time cannot be read (/proc/PID/schedstat)";
    }
    if (read_number(KSM_FOLDER, "run") != 0) {
        return "KSM is at work on this host (its `run` is not 0); stop it first";
    }
    /* Pages of programs that ended stay counted until the next scan; those may go. */
    if (read_number(KSM_FOLDER, "pages_shared") > 0 &&
        (read_number("/proc/self/", "ksm_merging_pages") < 0 || any_process(has_merged_pages))) {
        return "KSM holds pages of other programs; write 2 to " KSM_FOLDER "run to part them";
    }
    for (unsigned i = 0; i < N_SETTINGS; i++) {
        char path[160];
        snprintf(path, sizeof(path), KSM_FOLDER "%s", settings[i]);
        if (read_text(path, saved[i], SETTING_BYTES)) {
            strip_choice(saved[i]);
        }
    }
    if (atexit(give_back) != 0) {
        return "no memory";
    }
    if (saved[4][0] && !write_text("advisor_mode", "none")) {
        return "KSM's advisor cannot be switched off";
    }
    const char *bad = ksm_set("run", 2);
    bad = bad ? bad : ksm_set("pages_to_scan", MORE_THAN_ALL_PAGES);
    return bad ? bad : ksm_set("sleep_millisecs", LONG_SLEEP_MS);
}

void ksm_read(struct ksm_counters *out)
{
    *out = (struct ksm_counters){
        .full_scans = read_number(KSM_FOLDER, "full_scans"),
        .pages_scanned = read_number(KSM_FOLDER, "pages_scanned"),
        .pages_shared = read_number(KSM_FOLDER, "pages_shared"),
        .pages_sharing = read_number(KSM_FOLDER, "pages_sharing"),
        .pages_unshared = read_number(KSM_FOLDER, "pages_unshared"),
        .pages_volatile = read_number(KSM_FOLDER, "pages_volatile"),
        .pages_skipped = read_number(KSM_FOLDER, "pages_skipped"),
        .zero_pages = read_number(KSM_FOLDER, "ksm_zero_pages"),
        .stable_node_chains = read_number(KSM_FOLDER, "stable_node_chains"),
        .stable_node_dups = read_number(KSM_FOLDER, "stable_node_dups"),
    };
}

static uint64_t ksmd_cpu_ns(void)
{
    char text[96] = "0";

    read_text(ksmd_schedstat, text, sizeof(text));
    return strtoull(text, NULL, 10);
}

/* Whether the thread sleeps: one that was only preempted shows as R. */
static bool ksmd_sleeps(void)
{
    char text[256] = "";

    read_text(ksmd_stat, text, sizeof(text));
    const char *state = strrchr(text, ')');
    return state && strlen(state) > 2 && state[2] == 'S';
}

/*
 * With pages_to_scan beyond all memory, ksmd's turn ends where its full scan ends, and then it
 * sleeps for an hour. Another value of sleep_millisecs wakes it (mm/ksm.c waits for that): so one
 * write is one scan, and between two scans the thread's CPU time stands still.
 */
const char *ksm_scan(const volatile int *stop, uint64_t *cpu_ns)
{
    struct ksm_counters c;
    uint64_t began = ksmd_cpu_ns(), last = began;
    time_t moved = time(NULL);

    ksm_read(&c);
    int64_t goal = c.full_scans + 1;
    bool running = read_number(KSM_FOLDER, "run") == 1;
    sleep_toggle ^= 1;
    const char *bad = ksm_set("sleep_millisecs", LONG_SLEEP_MS + sleep_toggle);
    if (!bad && !running) {
        bad = ksm_set("run", 1);
    }
    if (bad) {
        return bad;
    }
    while (read_number(KSM_FOLDER, "full_scans") < goal || !ksmd_sleeps()) {
        if (*stop) {
            return "interrupted";
        }
        usleep(POLL_US);
        uint64_t now = ksmd_cpu_ns();
        if (now != last) {
            last = now;
            moved = time(NULL);
        } else if (time(NULL) - moved > STUCK_SECONDS) {
            return "ksmd does not scan";
        }
    }
    *cpu_ns = ksmd_cpu_ns() - began;
    return NULL;
}

int64_t ksm_metadata_bytes(void)
{
    char line[128];
    int64_t items = -1, item_bytes = read_number(SLAB_FOLDER, "ksm_rmap_item/object_size"),
            node_bytes = read_number(SLAB_FOLDER, "ksm_stable_node/object_size");
    FILE *f = fopen("/proc/self/ksm_stat", "r");

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "ksm_rmap_items %lld", (long long *)&items) == 1) {
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    int64_t nodes = read_number(KSM_FOLDER, "pages_shared"),
            chains = read_number(KSM_FOLDER, "stable_node_chains");
    if (items < 0 || item_bytes < 0 || node_bytes < 0 || nodes < 0) {
        return -1;
    }
    return items * item_bytes + (nodes + (chains > 0 ? chains : 0)) * node_bytes;
}
