/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the statistics, and the table of their names: see stats.h. */
#include "kernel/stats/stats.h"

#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "kernel/console/console.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"
#include "kernel/core/step.h"
#include "kernel/stats/check.h"
#include "kernel/stats/fold.h"
#include "kernel/stats/report.h"
#include "kernel/storage/disks.h"
#include "kernel/storage/overlays.h"
#include "kernel/vm/images.h"
#include "kernel/vm/wait_memory.h"
#include "mm/promise.h"

#define NS_PER_MS UINT64_C(1000000)
/* How often the peak is looked at. */
#define PEAK_NS (250 * NS_PER_MS)

#define EXITS(which, member, text)                                                                 \
    {                                                                                              \
        .name = "exits_" #member,                                                                  \
        .offset = offsetof(struct stats_vm, exits) + (which) * sizeof(uint64_t), .help = (text)    \
    }

static const struct stats_field host_fields[] = {
    FIELD(host, frames_total, "4 KiB frames in the frame table"),
    FIELD(host, frames_reserved, "not usable memory: firmware, devices, holes"),
    FIELD(host, frames_free, "free"),
    FIELD(host, frames_hyp, "the hypervisor's own: image, tables, EPT pages, boot modules"),
    FIELD(host, frames_private, "one guest page each"),
    FIELD(host, frames_shared, "folded: one frame for several guest pages"),
    FIELD(host, frames_zero, "zero pages, one for each share group, or one for all"),
    FIELD(host, frames_cache, "held by the disk cache alone"),
    FIELD(host, frames_pinned, "of all these, in use by a device at the moment"),
    FIELD(host, frames_snapshot, "of the hypervisor's, written to `,snapshot` disks"),
    FIELD(host, frames_kept, "of the free ones, kept for VMs' `memory.min`"),
    FIELD(host, images_copied, "pages of kernels and initrds copied, once for a share group"),
    FIELD(host, images_mapped, "pages of them mapped into VMs instead"),
    FIELD(host, guest_ms, "CPU time charged to VMs: the sum of their `run_ms`"),
    FIELD(host, scan_ms, "CPU time of the page scanner"),
    FIELD(host, idle_ms, "time asleep"),
    FIELD(host, hypervisor_ms, "CPU time of the rest; with the three before, all of `t_ms`"),
    FIELD(host, console_ms, "of this, the serial line and the monitor"),
    FIELD(host, step_max_us, "the longest that one step of the loop, or of an exit, took"),
    FIELD(host, disk_faults, "requests that failed or waited by `disk.fault`"),
    FIELD(host, disk_commands, "commands to the host's disks"),
    FIELD(host, disk_merged, "requests that came along in another's command"),
    FIELD(host, disk_errors, "commands that failed, to be tried again"),
    FIELD(host, disk_timeouts, "commands that did not end in time, likewise"),
    FIELD(host, disk_read_sectors, "sectors of 512 bytes read from them"),
    FIELD(host, disk_written_sectors, "sectors written to them"),
    FIELD(host, vms_on, "VMs that are not off"),
    FIELD(host, memory_promised_pages, "sum of their memory"),
    FIELD(host, console_tx_bytes, "sent on the serial line"),
    FIELD(host, console_rx_bytes, "received on the serial line"),
    FIELD(host, console_lost_lines, "lines that found the console's buffer for their kind full"),
    FIELD(host, console_echo_us, "the longest that a typed key waited for its echo"),
    FIELD(host, console_obey_us, "the longest that a typed command waited for its start"),
    FIELD(host, json_skipped, "lines like this left out because the one before had not left"),
};

static const struct stats_field cache_fields[] = {
    FIELD(cache, blocks_max, "the bound, in 4 KiB blocks"),
    FIELD(cache, blocks_used, "blocks held"),
    FIELD(cache, blocks_busy, "of these, being read or written"),
    FIELD(cache, blocks_mapped, "of these, mapped by guests: they do not count towards the bound"),
    FIELD(cache, blocks_zero, "of these, all zeroes: they need no frame"),
    FIELD(cache, blocks_dirty, "of these, not on the disk yet"),
    FIELD(cache, blocks_duplicate,
          "held by the cache alone though a guest's page has that content: counted by `check`"),
    FIELD(cache, blocks_unknown,
          "frames of which the last `check` could not tell that: too many pages of equal hash"),
    FIELD(cache, hits, "blocks of read requests found"),
    FIELD(cache, misses, "blocks of read requests read from the disk"),
    FIELD(cache, joined, "misses that waited for another's read of the same block"),
    FIELD(cache, insertions, "blocks taken in"),
    FIELD(cache, evictions, "blocks dropped for room"),
    FIELD(cache, invalidations, "blocks dropped for a write, a discard or an error"),
    FIELD(cache, readahead, "blocks read before anybody asked for them"),
    FIELD(cache, readahead_wasted, "of these, dropped before anybody did"),
    FIELD(cache, bypassed, "blocks read past the cache for want of a frame"),
    FIELD(cache, adopted, "blocks mapped into guests instead of copied"),
    FIELD(cache, absorbed, "blocks of write requests that were kept, to be written back"),
    FIELD(cache, given, "blocks of write requests that are kept in the guest's own frame"),
    FIELD(cache, cleaned, "blocks written back"),
    FIELD(cache, clean_requests, "in as many requests"),
    FIELD(cache, clean_errors, "blocks that could not be written back, each time they were tried"),
    FIELD(cache, moved, "blocks found equal to another frame, or all zeroes, and kept there"),
    FIELD(cache, copied_bytes, "copied between the cache and guests"),
    FIELD(cache, scrubbed, "blocks dropped in mode `scrub`: guests' pages held the same"),
    FIELD(cache, scrub_ticks, "of `scan_ticks`, what looking for those took"),
};

static const struct stats_field vm_fields[] = {
    FIELD(vm, memory_mib, "memory as configured, in MiB"),
    FIELD(vm, boots, "times it was started"),
    FIELD(vm, run_ms, "CPU time charged to it, all that is done because of it; over restarts"),
    FIELD(vm, present, "pages it has touched, whatever they map"),
    FIELD(vm, shared, "of these, mapping a folded frame"),
    FIELD(vm, zero, "of these, mapping the zero page"),
    FIELD(vm, held, "frames it holds alone: pages, tables, what its `,snapshot` disks keep"),
    FIELD(vm, demand_zero, "pages given on first touch"),
    FIELD(vm, cow_breaks, "copies made for writes to folded pages"),
    FIELD(vm, zero_breaks, "frames given for writes to the zero page"),
    FIELD(vm, takeovers, "writes to a folded page by its last user: no copy"),
    FIELD(vm, merges, "its pages folded into an equal one"),
    FIELD(vm, zero_merges, "its pages of zeroes folded"),
    FIELD(vm, fold, "1 while its folding is on"),
    FIELD(vm, unmerged, "pages given frames because folding was turned off"),
    FIELD(vm, class_free, "by its own account, in the last look at all: pages in its allocator"),
    FIELD(vm, class_kernel, "kernel, slab, page tables, reserved"),
    FIELD(vm, class_anonymous, "processes' own memory"),
    FIELD(vm, class_mapped, "files' pages that are mapped; shared memory and tmpfs"),
    FIELD(vm, class_pagecache, "files' pages that nobody maps"),
    FIELD(vm, class_unknown, "not known: no VMCOREINFO found, or nothing sensible there"),
    EXITS(HVM_N_CPUID, cpuid, "exits by CPUID"),
    EXITS(HVM_N_IO, io, "by port I/O"),
    EXITS(HVM_N_MMIO, mmio, "by memory-mapped I/O"),
    EXITS(HVM_N_MSR, msr, "by RDMSR and WRMSR"),
    EXITS(HVM_N_EPT, ept, "by EPT violations on memory"),
    EXITS(HVM_N_HLT, hlt, "by HLT"),
    EXITS(HVM_N_IRQ, irq, "by host interrupts and the preemption timer"),
    EXITS(HVM_N_WINDOW, window, "by interrupt windows"),
    EXITS(HVM_N_OTHER, other, "by anything else"),
    FIELD(vm, unemulated, "instructions on device memory that are not emulated: #UD for the guest"),
    FIELD(vm, cache_hits, "blocks of its read requests that the disk cache had"),
    FIELD(vm, cache_misses, "blocks of its read requests that it had not"),
    FIELD(vm, disk_reads, "read requests"),
    FIELD(vm, disk_writes, "write requests"),
    FIELD(vm, disk_flushes, "flush requests"),
    FIELD(vm, disk_errors, "requests that failed"),
    FIELD(vm, disk_kicks, "times that it told a disk of requests: one for all that were there"),
    FIELD(vm, disk_interrupts, "times that it was told of what is done, likewise"),
    FIELD(vm, disk_read_bytes, "read by the guest, from cache or disk"),
    FIELD(vm, disk_written_bytes, "written by the guest"),
    FIELD(vm, disk_blocks_aside, "blocks that its `,snapshot` and `,overlay` disks keep aside"),
    FIELD(vm, disk_room_aside, "blocks that its `,overlay` disks have room for besides"),
    FIELD(vm, disk_copied_up, "blocks of a base completed for a write in part"),
    FIELD(vm, disk_base_mapped, "blocks of a base given to it as frames, nothing copied"),
    FIELD(vm, disk_aside_mapped, "blocks kept aside given to it as frames"),
};

static uint64_t json_skipped;
static struct stats peak;
static struct stats_vm *peak_vms;
static bool have_peak;
static struct timer peak_timer, json_timer;
static uint64_t interval_ns;

const struct stats_field *stats_fields(enum stats_section s, unsigned *n)
{
    switch (s) {
    case STATS_HOST:
        *n = ARRAY_LEN(host_fields);
        return host_fields;
    case STATS_FOLD:
        return stats_fold_fields(n);
    case STATS_CLASS:
        return stats_class_fields(n);
    case STATS_CACHE:
        *n = ARRAY_LEN(cache_fields);
        return cache_fields;
    default:
        *n = ARRAY_LEN(vm_fields);
        return vm_fields;
    }
}

const char *stats_section_name(enum stats_section s)
{
    static const char *const names[] = {"host", "fold", "cache", "vms", "classes"};

    return names[s];
}

uint64_t stats_value(const void *section, const struct stats_field *f)
{
    return *(const uint64_t *)((const char *)section + f->offset);
}

const void *stats_section(const struct stats *s, enum stats_section which)
{
    switch (which) {
    case STATS_HOST:
        return &s->host;
    case STATS_FOLD:
        return &s->fold;
    case STATS_CACHE:
        return &s->cache;
    default:
        return NULL;
    }
}

static void read_host(struct stats_host *h)
{
    const struct frames *f = &machine_frames;
    const struct disks_counts disk = disks_counts();
    uint64_t guest_ns = 0;
    const struct images_counts images = images_counts();

    *h = (struct stats_host){
        .frames_total = f->count,
        .frames_reserved = f->by_state[FRAME_RESERVED],
        .frames_free = f->by_state[FRAME_FREE],
        .frames_hyp = f->by_state[FRAME_HYP],
        .frames_private = f->by_state[FRAME_PRIVATE],
        .frames_shared = f->by_state[FRAME_SHARED],
        .frames_zero = f->by_state[FRAME_ZERO],
        .frames_cache = f->by_state[FRAME_CACHE_ONLY],
        .frames_pinned = f->pinned,
        .frames_snapshot = aside_pool.used,
        .frames_kept = f->kept,
        .images_copied = images.copied,
        .images_mapped = images.mapped,
        .scan_ms = charged_ns(&charge_scanner) / NS_PER_MS,
        .idle_ms = charged_ns(&charge_idle) / NS_PER_MS,
        .console_ms = charged_ns(&charge_console) / NS_PER_MS,
        .step_max_us = step_max_ns() / 1000,
        .disk_faults = disk.faults,
        .disk_commands = disk.commands,
        .disk_merged = disk.merged,
        .disk_errors = disk.errors,
        .disk_timeouts = disk.timeouts,
        .disk_read_sectors = disk.read_sectors,
        .disk_written_sectors = disk.written_sectors,
    };
    h->hypervisor_ms = (charged_ns(&charge_hypervisor) + charged_ns(&charge_console)) / NS_PER_MS;
    for (unsigned i = 0; i < n_vms; i++) {
        guest_ns += charged_ns(&vms[i]->sched.account);
        if (vms[i]->state != VM_OFF) {
            h->vms_on++;
            h->memory_promised_pages += vms[i]->config->memory_bytes >> PAGE_SHIFT;
        }
    }
    h->guest_ms = guest_ns / NS_PER_MS;
    const struct console_counts console = console_counts();
    h->console_tx_bytes = console.tx_bytes;
    h->console_rx_bytes = console.rx_bytes;
    h->console_lost_lines = console.lost_lines;
    h->console_echo_us = console.echo_max_us;
    h->console_obey_us = console.obey_max_us;
    h->json_skipped = json_skipped;
}

static void read_cache(struct stats_cache *out)
{
    const struct cache *c = &machine_cache;

    *out = (struct stats_cache){
        .blocks_max = c->max,
        .blocks_used = c->used,
        .blocks_busy = c->busy,
        .blocks_mapped = c->mapped,
        .blocks_zero = c->zeroes,
        .blocks_duplicate = check_duplicates(),
        .blocks_unknown = check_unknown(),
        .hits = c->stats.hits,
        .misses = c->stats.misses,
        .joined = c->stats.joined,
        .insertions = c->stats.insertions,
        .evictions = c->stats.evictions,
        .invalidations = c->stats.invalidations,
        .bypassed = c->stats.bypassed,
        .adopted = c->stats.adopted,
        .readahead = c->stats.readahead,
        .readahead_wasted = c->stats.readahead_wasted,
        .blocks_dirty = c->dirty,
        .absorbed = c->stats.absorbed,
        .given = c->stats.given,
        .cleaned = c->stats.cleaned,
        .clean_requests = c->stats.clean_requests,
        .clean_errors = c->stats.clean_errors,
        .moved = c->stats.moved,
        .scrubbed = c->stats.scrubbed,
        .scrub_ticks = machine_fold.scrub_ticks,
        .copied_bytes = c->stats.copied_bytes,
    };
}

void stats_read(struct stats *out)
{
    out->t_ms = clock_now_ns() / NS_PER_MS;
    read_host(&out->host);
    stats_read_fold(&out->fold);
    read_cache(&out->cache);
}

/* A VM that went off keeps the counters of its last life: nothing clears them before the next. */
static void read_classes(const struct vm *vm, struct stats_vm *out)
{
    const uint64_t *counts = vm->classes.pages.counts;

    if (vm->state == VM_OFF) {
        return;
    }
    out->class_free = counts[PAGE_FREE];
    out->class_kernel = counts[PAGE_KERNEL];
    out->class_anonymous = counts[PAGE_ANON];
    out->class_mapped = counts[PAGE_MAPPED];
    out->class_pagecache = counts[PAGE_CACHE];
    out->class_unknown = counts[PAGE_UNKNOWN];
}

/* What goes on between the disk and what is kept aside of it. */
static void read_aside(const struct vm_disk *d, const struct config_disk *c, struct stats_vm *out)
{
    const struct cow *cow = d->cow;

    if (!cow) {
        return;
    }
    out->disk_blocks_aside += cow->stats.chunks;
    out->disk_copied_up += cow->stats.merges;
    out->disk_base_mapped += cow->stats.base_taken;
    out->disk_aside_mapped += cow->stats.store_taken;
    if (c->overlay[0] != '\0') {
        out->disk_room_aside += overlay_free_chunks(aside_overlay(c));
    }
}

void stats_read_vm(const struct vm *vm, struct stats_vm *out)
{
    const struct p2m *p = &vm->p2m;

    *out = (struct stats_vm){
        .memory_mib = vm->config->memory_bytes >> 20,
        .boots = vm->boots,
        .run_ms = charged_ns(&vm->sched.account) / NS_PER_MS,
    };
    if (vm->boots == 0) {
        return;
    }
    out->present = p->present;
    out->shared = p->shared_maps;
    out->zero = p->zero_maps;
    out->held = vm_has_memory(vm) ? promise_held(p) + vm_disks_aside(vm) : 0;
    out->demand_zero = p->demand_zero;
    out->cow_breaks = p->cow_breaks;
    out->zero_breaks = p->zero_breaks;
    out->takeovers = p->takeovers;
    out->merges = p->merges;
    out->zero_merges = p->zero_merges;
    out->fold = vm->folds;
    out->unmerged = vm->unmerged + (vm->unmerge.on ? vm->unmerge.given : 0);
    read_classes(vm, out);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        const uint64_t *counts = hvm_counts(vm->vcpus[i].hvm);
        for (unsigned k = 0; k < HVM_COUNTS; k++) {
            out->exits[k] += counts[k];
        }
        out->unemulated += hvm_unemulated(vm->vcpus[i].hvm);
    }
    for (unsigned i = 0; i < vm->config->n_disks; i++) {
        const struct virtio_blk_stats *d = &vm->disks[i].blk.stats;
        out->cache_hits += vm->disks[i].view.account.cache_hits;
        out->cache_misses += vm->disks[i].view.account.cache_misses;
        out->disk_reads += d->reads;
        out->disk_writes += d->writes;
        out->disk_flushes += d->flushes;
        out->disk_errors += d->errors;
        out->disk_kicks += d->kicks;
        out->disk_interrupts += d->interrupts;
        out->disk_read_bytes += d->read_bytes;
        out->disk_written_bytes += d->write_bytes;
        read_aside(&vm->disks[i], &vm->config->disks[i], out);
    }
}

static uint64_t saved(const struct stats *s)
{
    return s->fold.pages_sharing + s->fold.pages_zero;
}

void stats_note_peak(void)
{
    struct stats now;

    stats_read(&now);
    if (have_peak && saved(&now) < saved(&peak)) {
        return;
    }
    if (have_peak && saved(&now) == 0 && now.host.vms_on < peak.host.vms_on) {
        return; /* nothing is ever saved: the moment with the most VMs says more */
    }
    have_peak = true;
    peak = now;
    for (unsigned i = 0; i < n_vms; i++) {
        stats_read_vm(vms[i], &peak_vms[i]);
    }
}

const struct stats *stats_peak(const struct stats_vm **per_vm)
{
    stats_note_peak();
    *per_vm = peak_vms;
    return &peak;
}

static void peak_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    stats_note_peak();
    sched_arm(&peak_timer, now_ns + PEAK_NS);
}

static void json_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    if (interval_ns == 0) {
        return;
    }
    if (console_wants_lines()) {
        json_skipped += !stats_json_send();
    }
    uint64_t next = json_timer.deadline_ns + interval_ns;
    sched_arm(&json_timer, next > now_ns ? next : now_ns + interval_ns);
}

void stats_set_interval(uint64_t ns)
{
    interval_ns = ns;
    sched_disarm(&json_timer);
    if (ns > 0) {
        sched_arm(&json_timer, clock_now_ns() + ns);
    }
}

void stats_init(void)
{
    stats_json_init();
    report_init();
    peak_vms = boot_alloc(sizeof(*peak_vms) * MAX(n_vms, 1u), 8);
    timer_init(&peak_timer, peak_due, NULL);
    timer_init(&json_timer, json_due, NULL);
    sched_arm(&peak_timer, clock_now_ns() + PEAK_NS);
}
