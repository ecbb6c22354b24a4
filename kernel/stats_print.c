/* SPDX-License-Identifier: BSD-2-Clause */
/* The statistics as text, straight from the table of names in stats.c. */
#include "kernel/console.h"
#include "kernel/stats.h"

/* The pieces: the sections, the classes, then the VMs. */
static unsigned piece;
static struct stats read; /* when it began */

static void print_fields(enum stats_section which, const void *section)
{
    unsigned n;
    const struct stats_field *f = stats_fields(which, &n);

    for (unsigned i = 0; i < n; i++) {
        console_printf("  %-22s %14llu  %s\n", f[i].name,
                       (unsigned long long)stats_value(section, &f[i]), f[i].help);
    }
}

void stats_text_begin(void)
{
    stats_read(&read);
    piece = 0;
    console_printf("t_ms %llu\n", (unsigned long long)read.t_ms);
}

bool stats_text_more(void)
{
    unsigned n = piece++;

    if (n < STATS_VM) {
        console_printf("%s\n", stats_section_name((enum stats_section)n));
        print_fields((enum stats_section)n, stats_section(&read, (enum stats_section)n));
        return true;
    }
    n -= STATS_VM;
    if (n < PAGE_CLASSES) {
        console_printf("fold, class %s\n", page_class_name((enum page_class)n));
        print_fields(STATS_CLASS, &read.fold.classes[n]);
        return true;
    }
    n -= PAGE_CLASSES;
    if (n < n_vms) {
        struct stats_vm v;
        stats_read_vm(vms[n], &v);
        console_printf("vm %s (%s)\n", vms[n]->config->name, vm_state_name(vms[n]));
        print_fields(STATS_VM, &v);
        return true;
    }
    return false;
}
