/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's `faults`: the rules by which disks fail on purpose, and how often each has struck.
 */
#include "base/format.h"
#include "base/string.h"
#include "drivers/block/fault.h"
#include "kernel/console/console.h"
#include "kernel/monitor/monitor.h"
#include "kernel/storage/disks.h"

#define TEXT 160

static void list(const struct faulty *f)
{
    char text[TEXT];

    for (unsigned i = 0; i < f->n_rules; i++) {
        config_print_fault(&f->rules[i], text, sizeof(text));
        console_printf("%2u  %-40s  struck %llu\n", i + 1, text,
                       (unsigned long long)f->rules[i].hits);
    }
    console_printf("disks fail by %u rules; requests that did: %llu\n", f->n_rules,
                   (unsigned long long)f->struck);
}

static void add(struct faulty *f, const char *text)
{
    struct faulty_rule rule;

    if (!config_parse_fault(text, &rule)) {
        console_printf(
            "usage: faults DISK read|write|any FIRST+COUNT KIND, faults DISK flush KIND; "
            "KIND is error, lost, timeout TIME or slow TIME, and then maybe xN\n");
    } else if (disks_find(rule.disk) == NULL) {
        console_printf("there is no disk '%s'; there are %s\n", rule.disk, disks_list());
    } else if (faulty_add(f, &rule) != OK) {
        console_printf("there are %u rules already: `faults off` ends them\n", f->n_rules);
    }
}

void monitor_faults(void *ctx, unsigned argc, char *const *argv)
{
    struct faulty *f = disks_faulty();
    char text[TEXT] = "";
    size_t n = 0;

    (void)ctx;
    if (argc == 2 && strcmp(argv[1], "off") == 0) {
        faulty_clear(f);
    } else if (argc > 1) {
        for (unsigned i = 1; i < argc && n < sizeof(text); i++) {
            n += format(text + n, sizeof(text) - n, "%s%s", i > 1 ? " " : "", argv[i]);
        }
        add(f, text);
    }
    list(f);
}
