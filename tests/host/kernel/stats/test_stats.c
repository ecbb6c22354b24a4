/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The statistics on a whole kernel: each field against its source, the sums, what a VM that is off
 * shows, and the JSON lines against the reading.
 */
#include "world_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/stats/stats.h"
#include "kernel/storage/overlays.h"

#define S (1000 * MS)

#define ONE "[vm one]\nmemory = 4M\nkernel = kernel\ndisk = module:disk,snapshot\n"
#define TWO "[vm two]\nmemory = 8M\nkernel = kernel\nstart = off\n"

static void boot(const char *config)
{
    static const uint8_t disk[8 * PAGE_SIZE] = {1};

    kernel_add_module("disk", disk, sizeof(disk));
    kernel_boot(64, config);
    kernel_run_ns(200 * MS);
}

static uint64_t value(enum stats_section which, const void *section, const char *name)
{
    unsigned n;
    const struct stats_field *f = stats_fields(which, &n);

    for (unsigned i = 0; i < n; i++) {
        if (strcmp(f[i].name, name) == 0) {
            return stats_value(section, &f[i]);
        }
    }
    fail_msg("no field %s", name);
    return 0;
}

struct source {
    const char *name;
    uint64_t *at;
};

/* Each source a value of its own, read and compared; then they are as they were. Counters only:
 * nothing runs meanwhile. `derived`: the section's other fields. */
static void check_sources(enum stats_section which, const struct source *sources,
                          unsigned n_sources, const char *derived, void (*read)(void *out),
                          void *out)
{
    uint64_t before[64];
    unsigned n;
    const struct stats_field *f = stats_fields(which, &n);

    assert_true(n_sources <= sizeof(before) / sizeof(before[0]));
    for (unsigned i = 0; i < n_sources; i++) {
        before[i] = *sources[i].at;
        *sources[i].at = 1000 + 7 * i;
    }
    read(out);
    for (unsigned i = 0; i < n_sources; i++) {
        *sources[i].at = before[i];
    }
    for (unsigned i = 0; i < n_sources; i++) {
        uint64_t got = value(which, out, sources[i].name);
        if (got != 1000 + 7 * i) {
            fail_msg("%s is %llu and not %u", sources[i].name, (unsigned long long)got,
                     1000 + 7 * i);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        char word[80];
        bool known = false;
        snprintf(word, sizeof(word), " %s ", f[i].name);
        for (unsigned k = 0; k < n_sources; k++) {
            known |= strcmp(sources[k].name, f[i].name) == 0;
        }
        if (!known && !strstr(derived, word)) {
            fail_msg("%s has no source here: add it to this test", f[i].name);
        }
    }
}

static void read_one(void *out)
{
    stats_read_vm(vm_find("one"), out);
}

static void read_all(void *out)
{
    stats_read(out);
}

static void read_cache_of(void *out)
{
    struct stats s;

    read_all(&s);
    *(struct stats_cache *)out = s.cache;
}

static void test_each_field_of_a_vm_has_its_source(void **state)
{
    (void)state;
    boot(ONE);
    struct vm *vm = vm_find("one");
    assert_int_equal(vm->state, VM_RUN);
    struct virtio_blk_stats *d = &vm->disks[0].blk.stats;
    struct cow *cow = vm->disks[0].cow;
    uint64_t *exits = vm->vcpus[0].hvm->counts;
    uint64_t *classes = vm->classes.pages.counts;
    const struct source sources[] = {
        {"boots", &vm->boots},
        {"present", &vm->p2m.present},
        {"shared", &vm->p2m.shared_maps},
        {"zero", &vm->p2m.zero_maps},
        {"demand_zero", &vm->p2m.demand_zero},
        {"cow_breaks", &vm->p2m.cow_breaks},
        {"zero_breaks", &vm->p2m.zero_breaks},
        {"takeovers", &vm->p2m.takeovers},
        {"merges", &vm->p2m.merges},
        {"zero_merges", &vm->p2m.zero_merges},
        {"unmerged", &vm->unmerged},
        {"class_free", &classes[PAGE_FREE]},
        {"class_kernel", &classes[PAGE_KERNEL]},
        {"class_anonymous", &classes[PAGE_ANON]},
        {"class_mapped", &classes[PAGE_MAPPED]},
        {"class_pagecache", &classes[PAGE_CACHE]},
        {"class_unknown", &classes[PAGE_UNKNOWN]},
        {"exits_cpuid", &exits[HVM_N_CPUID]},
        {"exits_io", &exits[HVM_N_IO]},
        {"exits_mmio", &exits[HVM_N_MMIO]},
        {"exits_msr", &exits[HVM_N_MSR]},
        {"exits_ept", &exits[HVM_N_EPT]},
        {"exits_hlt", &exits[HVM_N_HLT]},
        {"exits_irq", &exits[HVM_N_IRQ]},
        {"exits_window", &exits[HVM_N_WINDOW]},
        {"exits_other", &exits[HVM_N_OTHER]},
        {"cache_hits", &vm->disks[0].view.account.cache_hits},
        {"cache_misses", &vm->disks[0].view.account.cache_misses},
        {"disk_reads", &d->reads},
        {"disk_writes", &d->writes},
        {"disk_flushes", &d->flushes},
        {"disk_errors", &d->errors},
        {"disk_kicks", &d->kicks},
        {"disk_interrupts", &d->interrupts},
        {"disk_read_bytes", &d->read_bytes},
        {"disk_written_bytes", &d->write_bytes},
        {"disk_blocks_aside", &cow->stats.chunks},
        {"disk_copied_up", &cow->stats.merges},
        {"disk_base_mapped", &cow->stats.base_taken},
        {"disk_aside_mapped", &cow->stats.store_taken},
    };
    struct stats_vm s;

    check_sources(STATS_VM, sources, sizeof(sources) / sizeof(sources[0]),
                  " memory_mib run_ms held fold unemulated disk_room_aside ", read_one, &s);
    read_one(&s);
    assert_int_equal(s.memory_mib, 4);
    assert_int_equal(s.fold, 1);
    assert_int_equal(s.unemulated, 0);
    assert_int_equal(s.disk_room_aside, 0); /* a snapshot has none of its own */
}

static void test_each_field_of_the_cache_has_its_source(void **state)
{
    (void)state;
    boot(ONE);
    struct cache_stats *c = &machine_cache.stats;
    const struct source sources[] = {
        {"hits", &c->hits},
        {"misses", &c->misses},
        {"joined", &c->joined},
        {"insertions", &c->insertions},
        {"evictions", &c->evictions},
        {"invalidations", &c->invalidations},
        {"readahead", &c->readahead},
        {"readahead_wasted", &c->readahead_wasted},
        {"bypassed", &c->bypassed},
        {"adopted", &c->adopted},
        {"moved", &c->moved},
        {"copied_bytes", &c->copied_bytes},
        {"scrubbed", &c->scrubbed},
        {"scrub_ticks", &machine_fold.scrub_ticks},
        {"absorbed", &c->absorbed},
        {"given", &c->given},
        {"cleaned", &c->cleaned},
        {"clean_requests", &c->clean_requests},
        {"clean_errors", &c->clean_errors},
    };
    struct stats_cache s;

    check_sources(STATS_CACHE, sources, sizeof(sources) / sizeof(sources[0]),
                  " blocks_max blocks_used blocks_busy blocks_mapped blocks_zero blocks_dirty "
                  "blocks_duplicate blocks_unknown ",
                  read_cache_of, &s);
    read_cache_of(&s);
    assert_int_equal(s.blocks_max, machine_cache.max);
    assert_int_equal(s.blocks_used, machine_cache.used);
}

static void test_the_hosts_frames_and_times_are_all_there_are(void **state)
{
    struct stats s;

    (void)state;
    boot(ONE TWO);
    charge_up();
    read_all(&s);
    const struct stats_host *h = &s.host;
    assert_int_equal(h->frames_total, h->frames_reserved + h->frames_free + h->frames_hyp +
                                          h->frames_private + h->frames_shared + h->frames_zero +
                                          h->frames_cache);
    assert_int_equal(h->frames_total, (64 << 20) / PAGE_SIZE);
    assert_int_equal(h->vms_on, 1);
    assert_int_equal(h->memory_promised_pages, (4 << 20) / PAGE_SIZE);
    assert_in_range(h->guest_ms, 150, 250);
    assert_in_range(h->guest_ms + h->scan_ms + h->idle_ms + h->hypervisor_ms, s.t_ms - 4, s.t_ms);
    assert_true(h->idle_ms > 1500);
    assert_true(h->images_copied + h->images_mapped > 0);
    assert_int_equal(vm_start(vm_find("two")), OK);
    kernel_run_ns(100 * MS);
    read_all(&s);
    assert_int_equal(h->vms_on, 2);
    assert_int_equal(h->memory_promised_pages, (12 << 20) / PAGE_SIZE);
}

static void test_a_vm_that_is_off_holds_nothing_and_keeps_its_counters(void **state)
{
    struct stats_vm s;

    (void)state;
    boot(ONE TWO);
    stats_read_vm(vm_find("two"), &s);
    assert_int_equal(s.memory_mib, 8);
    assert_int_equal(s.boots, 0);
    assert_int_equal(s.held, 0);
    vm_stop(vm_find("one"), false, "the test");
    kernel_run_ns(100 * MS);
    read_one(&s);
    assert_int_equal(s.boots, 1);
    assert_int_equal(s.present, 0);
    assert_int_equal(s.held, 0);
    assert_true(s.run_ms > 100);
}

/* ---- JSON lines ---------------------------------------------------------------------------- */

/* The number behind "name": from `at` on. */
static uint64_t number(const char *at, const char *name)
{
    char key[80];

    snprintf(key, sizeof(key), "\"%s\":", name);
    const char *found = strstr(at, key);
    if (!found) {
        fail_msg("no %s in %s", key, at);
        return 0;
    }
    return strtoull(found + strlen(key), NULL, 10);
}

static const char *last_line(void)
{
    const char *line = strstr(kernel_said(), "@{\"t_ms\":");

    for (const char *next = line; next; next = strstr(next + 1, "@{\"t_ms\":")) {
        line = next;
    }
    assert_non_null(line);
    return line;
}

static void test_a_json_line_is_the_reading_of_its_moment(void **state)
{
    static const char *const steady[] = {"frames_total", "frames_free", "frames_private", "vms_on",
                                         "memory_promised_pages"};
    struct stats s;
    struct stats_vm v;

    (void)state;
    boot("[host]\nfold.run = off\n" ONE TWO);
    kernel_type("stats json\r");
    kernel_run_ns(2 * S);
    const char *line = last_line();
    read_all(&s);
    for (unsigned i = 0; i < sizeof(steady) / sizeof(steady[0]); i++) {
        assert_int_equal(number(line, steady[i]), value(STATS_HOST, &s.host, steady[i]));
    }
    for (enum stats_section w = STATS_HOST; w < STATS_SECTIONS; w++) {
        unsigned n;
        const struct stats_field *f = stats_fields(w, &n);
        char open[80];
        snprintf(open, sizeof(open), "\"%s\":", stats_section_name(w));
        const char *at = strstr(line, open);
        assert_non_null(at);
        for (unsigned i = 0; i < n; i++) {
            (void)number(at, f[i].name);
        }
    }
    const char *one = strstr(line, "{\"name\":\"one\",\"state\":\"running\"");
    const char *two = strstr(line, "{\"name\":\"two\",\"state\":\"off\"");
    assert_non_null(one);
    assert_non_null(two);
    read_one(&v);
    assert_int_equal(number(one, "present"), v.present);
    assert_int_equal(number(one, "boots"), 1);
    assert_int_equal(number(two, "boots"), 0);
    assert_int_equal(number(two, "memory_mib"), 8);
}

static void test_lines_come_by_themselves_at_their_interval(void **state)
{
    unsigned n = 0;

    (void)state;
    boot("[host]\nstats.interval = 1s\n" ONE);
    kernel_hush();
    kernel_run_ns(10 * S);
    for (const char *at = kernel_said(); (at = strstr(at, "@{\"t_ms\":")) != NULL; at++) {
        n++;
    }
    assert_in_range(n, 9, 11);
    stats_set_interval(0);
    kernel_run_ns(2 * S);
    kernel_hush();
    kernel_run_ns(3 * S);
    assert_null(strstr(kernel_said(), "@{"));
}

/* While the port takes nothing, lines are left out and counted. */
static void test_lines_that_find_the_last_one_there_are_left_out(void **state)
{
    struct stats s;

    (void)state;
    boot("[host]\nstats.interval = 1s\n" ONE);
    kernel_stall_port(true);
    kernel_run_ns(10 * S);
    kernel_stall_port(false);
    read_all(&s);
    assert_in_range(s.host.json_skipped, 7, 10);
}

static uint64_t saved_now(void)
{
    struct stats s;

    read_all(&s);
    return s.fold.pages_sharing + s.fold.pages_zero;
}

static void test_the_peak_is_the_moment_with_most_saved(void **state)
{
    const struct stats_vm *per_vm;

    (void)state;
    boot(ONE TWO);
    assert_int_equal(vm_start(vm_find("two")), OK);
    kernel_run_ns(20 * S);
    uint64_t saved = saved_now(), present = vm_find("two")->p2m.present;
    vm_stop(vm_find("two"), false, "the test");
    kernel_run_ns(2 * S);
    assert_in_range(saved_now(), 1, saved - 1);
    const struct stats *peak = stats_peak(&per_vm);
    assert_int_equal(peak->fold.pages_sharing + peak->fold.pages_zero, saved);
    assert_int_equal(peak->host.vms_on, 2);
    assert_int_equal(per_vm[1].present, present);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_field_of_a_vm_has_its_source),
        cmocka_unit_test(test_each_field_of_the_cache_has_its_source),
        cmocka_unit_test(test_the_hosts_frames_and_times_are_all_there_are),
        cmocka_unit_test(test_a_vm_that_is_off_holds_nothing_and_keeps_its_counters),
        cmocka_unit_test(test_a_json_line_is_the_reading_of_its_moment),
        cmocka_unit_test(test_lines_come_by_themselves_at_their_interval),
        cmocka_unit_test(test_lines_that_find_the_last_one_there_are_left_out),
        cmocka_unit_test(test_the_peak_is_the_moment_with_most_saved),
    };

    return kernel_main_of_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
