/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statistics: one reading of all counters, and one table of their names.
 *
 * The names in the text, in the JSON lines and in the README are those of stats_fields; a counter
 * that is not in that table does not exist. All values are unsigned integers, with their unit in
 * the name where it is not a plain count; pages and blocks are 4 KiB.
 *
 * While the machine runs, a timer notes the reading with the most memory saved, for the report at
 * the end, when the VMs are off and share nothing any more.
 */
#ifndef KERNEL_STATS_STATS_H
#define KERNEL_STATS_STATS_H

#include "arch/x86_64/hvm/hvm.h"
#include "base/types.h"
#include "kernel/config/config.h"
#include "kernel/vm/vm.h"
#include "mm/fold/counters.h"

struct stats_host {
    uint64_t frames_total, frames_reserved, frames_free, frames_hyp, frames_private, frames_shared,
        frames_zero, frames_cache, frames_pinned, frames_snapshot;
    uint64_t frames_kept, images_copied, images_mapped;
    uint64_t guest_ms, scan_ms, idle_ms, hypervisor_ms, console_ms;
    uint64_t step_max_us;
    uint64_t disk_faults; /* injected */
    uint64_t disk_commands, disk_merged, disk_errors, disk_timeouts, disk_read_sectors,
        disk_written_sectors;
    uint64_t vms_on, memory_promised_pages;
    uint64_t console_tx_bytes, console_rx_bytes, console_lost_lines, console_echo_us,
        console_obey_us, json_skipped;
};

/* The lists of mm/fold/counters.h. */
struct stats_class {
    FOLD_CLASS_COUNTERS(FOLD_MEMBER, FOLD_MEMBER)
};

struct stats_fold {
    FOLD_COUNTERS(FOLD_MEMBER, FOLD_MEMBER, FOLD_MEMBER, FOLD_MEMBER)
    const char *advisor_binds; /* what the advisor holds, a word */
    struct stats_class classes[PAGE_CLASSES];
};

struct stats_cache {
    uint64_t blocks_max, blocks_used, blocks_busy, blocks_mapped, blocks_zero, blocks_duplicate,
        blocks_unknown;
    uint64_t hits, misses, joined, insertions, evictions, invalidations, readahead,
        readahead_wasted, bypassed, adopted, moved, copied_bytes, scrubbed, scrub_ticks;
    uint64_t blocks_dirty, absorbed, given, cleaned, clean_requests, clean_errors;
};

struct stats_vm {
    uint64_t memory_mib, boots, run_ms;
    uint64_t present, shared, zero, held;
    uint64_t demand_zero, cow_breaks, zero_breaks, takeovers, merges, zero_merges;
    uint64_t fold, unmerged;
    uint64_t exits[HVM_COUNTS], unemulated;
    uint64_t class_free, class_kernel, class_anonymous, class_mapped, class_pagecache,
        class_unknown;
    uint64_t cache_hits, cache_misses;
    uint64_t disk_reads, disk_writes, disk_flushes, disk_errors, disk_kicks, disk_interrupts,
        disk_read_bytes, disk_written_bytes, disk_blocks_aside, disk_room_aside, disk_copied_up,
        disk_base_mapped, disk_aside_mapped;
};

struct stats {
    uint64_t t_ms; /* since boot */
    struct stats_host host;
    struct stats_fold fold;
    struct stats_cache cache;
};

enum stats_section { STATS_HOST, STATS_FOLD, STATS_CACHE, STATS_VM, STATS_CLASS, STATS_SECTIONS };

struct stats_field {
    const char *name;
    uint16_t offset; /* of a uint64_t in the section's struct */
    const char *help;
};

/* The fields of a section, in the order in which they are printed. */
const struct stats_field *stats_fields(enum stats_section s, unsigned *n);
const char *stats_section_name(enum stats_section s);
uint64_t stats_value(const void *section, const struct stats_field *f);
/* A section's struct inside s; NULL for STATS_VM, which is one for each VM, and STATS_CLASS, which
 * is one for each class of pages. */
const void *stats_section(const struct stats *s, enum stats_section which);

/* Starts the timers: the one that notes the peak and, with stats.interval, the one for JSON lines.
 * After vms_init and console_init. */
void stats_init(void);
/* Changes the interval of the JSON lines; 0 is none. */
void stats_set_interval(uint64_t ns);

/* All counters as they are now. */
void stats_read(struct stats *out);
void stats_read_vm(const struct vm *vm, struct stats_vm *out);

/* The reading with the most pages saved so far (pages_sharing + pages_zero), and the VMs' part of
 * it, n_vms of them. Looks at the present state first, so it is never behind it. */
const struct stats *stats_peak(const struct stats_vm **per_vm);
/* To be called before something takes memory away from VMs. */
void stats_note_peak(void);

/* print.c: the statistics as text, piece by piece: `more` writes one, and says whether there
 * are others. */
void stats_text_begin(void);
bool stats_text_more(void);

/* line.c: one JSON line, read at one moment and made as it is sent. False: the line before
 * has not left yet. */
bool stats_json_send(void);
/* One for the user, as soon as the line before has left: to be called until false, when all of it
 * has. stats_json_unask: the user does not want it any more. */
void stats_json_ask(void);
bool stats_json_asked(void);
void stats_json_unask(void);
void stats_json_init(void); /* its memory; from stats_init */

#endif
