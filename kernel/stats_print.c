/* SPDX-License-Identifier: BSD-2-Clause */
/* The statistics as text and as a JSON line: both straight from the table of names in stats.c. */
#include "base/log.h"
#include "kernel/bootmem.h"
#include "kernel/console.h"
#include "kernel/machine.h"
#include "kernel/monitor/json.h"
#include "kernel/stats.h"

/* Longest JSON: a field is at most its name, 20 digits and four more characters. */
#define JSON_FIXED 9216u
#define JSON_PER_VM 2048u

static char *line;
static size_t line_size;

void stats_print_init(void)
{
    line_size = JSON_FIXED + (size_t)JSON_PER_VM * n_vms;
    line = boot_alloc(line_size, 64);
}

static void add_fields(struct json *j, enum stats_section which, const void *section)
{
    unsigned n;
    const struct stats_field *f = stats_fields(which, &n);

    for (unsigned i = 0; i < n; i++) {
        json_number(j, f[i].name, stats_value(section, &f[i]));
    }
}

static void add_classes(struct json *j, const struct stats_fold *f)
{
    json_string(j, "advisor_binds", f->advisor_binds);
    json_open(j, stats_section_name(STATS_CLASS), '{');
    for (unsigned i = 0; i < PAGE_CLASSES; i++) {
        json_open(j, page_class_name((enum page_class)i), '{');
        add_fields(j, STATS_CLASS, &f->classes[i]);
        json_close(j);
    }
    json_close(j);
}

/* The miss-ratio curve: sizes, and what a cache of each would miss, in the same order. */
static void add_curve(struct json *j)
{
    struct mrc_point points[MRC_POINTS];

    mrc_curve(&machine_curve, points);
    json_open(j, "curve_blocks", '[');
    for (unsigned i = 0; i < MRC_POINTS; i++) {
        json_number(j, NULL, points[i].blocks);
    }
    json_close(j);
    json_open(j, "curve_miss_ppm", '[');
    for (unsigned i = 0; i < MRC_POINTS; i++) {
        json_number(j, NULL, points[i].miss_ppm);
    }
    json_close(j);
}

static void add_vm(struct json *j, const struct vm *vm)
{
    struct stats_vm v;

    stats_read_vm(vm, &v);
    json_open(j, NULL, '{');
    json_string(j, "name", vm->config->name);
    json_string(j, "state", vm_state_name(vm));
    add_fields(j, STATS_VM, &v);
    json_close(j);
}

bool stats_print_json(void)
{
    struct stats s;
    struct json j;

    stats_read(&s);
    line[0] = '@';
    json_init(&j, line + 1, line_size - 2); /* and the newline */
    json_open(&j, NULL, '{');
    json_number(&j, "t_ms", s.t_ms);
    for (enum stats_section w = STATS_HOST; w < STATS_VM; w++) {
        json_open(&j, stats_section_name(w), '{');
        add_fields(&j, w, stats_section(&s, w));
        if (w == STATS_FOLD) {
            add_classes(&j, &s.fold);
        } else if (w == STATS_CACHE) {
            json_string(&j, "mode", cache_mode_name(machine_cache.mode));
            json_string(&j, "stays", machine_cache.oldest_stay ? "oldest" : "newest");
            add_curve(&j);
        }
        json_close(&j);
    }
    json_open(&j, stats_section_name(STATS_VM), '[');
    for (unsigned i = 0; i < n_vms; i++) {
        add_vm(&j, vms[i]);
    }
    json_close(&j);
    json_close(&j);
    if (!json_finish(&j)) {
        log_error("stats: the JSON line does not fit %llu bytes", (unsigned long long)line_size);
        return false;
    }
    line[1 + j.n] = '\n';
    return console_write(line, j.n + 2);
}

static void print_fields(enum stats_section which, const void *section)
{
    unsigned n;
    const struct stats_field *f = stats_fields(which, &n);

    for (unsigned i = 0; i < n; i++) {
        console_printf("  %-22s %14llu  %s\n", f[i].name,
                       (unsigned long long)stats_value(section, &f[i]), f[i].help);
    }
}

void stats_print(void)
{
    struct stats s;
    struct stats_vm v;

    stats_read(&s);
    console_printf("t_ms %llu\n", (unsigned long long)s.t_ms);
    for (enum stats_section w = STATS_HOST; w < STATS_VM; w++) {
        console_printf("%s\n", stats_section_name(w));
        print_fields(w, stats_section(&s, w));
    }
    for (unsigned i = 0; i < PAGE_CLASSES; i++) {
        console_printf("fold, class %s\n", page_class_name((enum page_class)i));
        print_fields(STATS_CLASS, &s.fold.classes[i]);
    }
    for (unsigned i = 0; i < n_vms; i++) {
        stats_read_vm(vms[i], &v);
        console_printf("vm %s (%s)\n", vms[i]->config->name, vm_state_name(vms[i]));
        print_fields(STATS_VM, &v);
    }
}
