/* SPDX-License-Identifier: BSD-2-Clause */
/* The statistics as text, straight from the table of names in stats.c. */
#include "kernel/console/console.h"
#include "kernel/stats/stats.h"

/* What is printed: the sections, the classes, then the VMs; and the next field of it. */
static unsigned piece, field;
static struct stats read; /* when it began */
static struct stats_vm read_vm;

/* The next line of a section below its title; false: it was the last. */
static bool print_field(enum stats_section which, const void *section)
{
    unsigned n;
    const struct stats_field *f = stats_fields(which, &n) + field;

    if (field++ >= n) {
        return false;
    }
    console_printf("  %-22s %14llu  %s\n", f->name, (unsigned long long)stats_value(section, f),
                   f->help);
    return true;
}

void stats_text_begin(void)
{
    stats_read(&read);
    piece = field = 0;
    console_printf("t_ms %llu\n", (unsigned long long)read.t_ms);
}

/* The title of the piece, and where its values are. NULL: there is no such piece. */
static const void *begin_piece(unsigned n, enum stats_section *which)
{
    bool title = field == 0;

    if (n < STATS_VM) {
        *which = (enum stats_section)n;
        if (title) {
            console_printf("%s\n", stats_section_name(*which));
        }
        return stats_section(&read, *which);
    }
    n -= STATS_VM;
    if (n < PAGE_CLASSES) {
        *which = STATS_CLASS;
        if (title) {
            console_printf("fold, class %s\n", page_class_name((enum page_class)n));
        }
        return &read.fold.classes[n];
    }
    n -= PAGE_CLASSES;
    if (n >= n_vms) {
        return NULL;
    }
    *which = STATS_VM;
    if (title) {
        stats_read_vm(vms[n], &read_vm);
        console_printf("vm %s (%s)\n", vms[n]->config->name, vm_state_name(vms[n]));
    }
    return &read_vm;
}

bool stats_text_more(void)
{
    enum stats_section which = STATS_HOST;
    const void *section = begin_piece(piece, &which);

    if (section && !print_field(which, section)) {
        piece++;
        field = 0;
    }
    return section != NULL;
}
