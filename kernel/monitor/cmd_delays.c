/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's `delays`: which disks are slow on purpose, and how many commands that has met. */
#include "base/format.h"
#include "base/string.h"
#include "kernel/console/console.h"
#include "kernel/monitor/monitor.h"
#include "kernel/storage/hostdisk.h"

#define TEXT 80

static void list(void)
{
    struct config_delay d;
    uint64_t held;
    char text[TEXT];

    for (unsigned i = 0; hostdisk_delay(i, &d, &held); i++) {
        config_print_delay(&d, text, sizeof(text));
        console_printf("%-24s  held %llu commands\n", text, (unsigned long long)held);
    }
}

static void set(const char *text)
{
    struct config_delay d;

    if (!config_parse_delay(text, &d)) {
        console_printf(
            "usage: delays DISK TIME [BLOCK-TIME], delays DISK off; DISK is ata0 to ata3, "
            "a command's time at most 1s, that of 4 KiB of it at most 10ms\n");
    } else if (hostdisk_set_delay(&d) != OK) {
        console_printf("there is no disk '%s'; there are %s\n", d.disk, disks_list());
    }
}

void monitor_delays(void *ctx, unsigned argc, char *const *argv)
{
    char text[TEXT] = "";
    size_t n = 0;

    (void)ctx;
    for (unsigned i = 1; i < argc && n < sizeof(text); i++) {
        n += format(text + n, sizeof(text) - n, "%s%s", i > 1 ? " " : "", argv[i]);
    }
    if (argc > 1) {
        set(text);
    }
    list();
}
