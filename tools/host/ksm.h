/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux KSM, driven one full scan at a time, with its CPU time told for each.
 *
 * ksm_take makes KSM ours: it saves every setting that is changed later, and gives it back when the
 * program ends by exit. A signal must therefore lead to exit, not end the program by itself. One
 * program at a time: KSM and its settings belong to the whole host.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What /sys/kernel/mm/ksm tells; -1: this kernel does not have it. */
struct ksm_counters {
    int64_t full_scans;
    int64_t pages_scanned;
    int64_t pages_shared;
    int64_t pages_sharing;
    int64_t pages_unshared;
    int64_t pages_volatile;
    int64_t pages_skipped;
    int64_t zero_pages;
    int64_t stable_node_chains;
    int64_t stable_node_dups;
};

/* Saves KSM's settings and stops it. Returns NULL, or in one line why KSM cannot be had: not in
 * this kernel, no permission, or at work for other programs. */
const char *ksm_take(void);

/* Whether this kernel's KSM has the setting. */
bool ksm_has(const char *setting);

/* Changes a setting; NULL, or why not. Call ksm_take first. */
const char *ksm_set(const char *setting, int64_t value);

void ksm_read(struct ksm_counters *out);

/* Does one full scan of all mergeable memory and waits for its end. *cpu_ns: ksmd's CPU time in it.
 * Returns NULL, or why not; also when *stop becomes nonzero. */
const char *ksm_scan(const volatile int *stop, uint64_t *cpu_ns);

/* Bytes of rmap items and stable nodes that KSM holds for this process's pages; -1: the kernel does
 * not tell. */
int64_t ksm_metadata_bytes(void);
