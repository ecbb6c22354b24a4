/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of keys, and finding a key (or the one that was meant) by its name. */
#include "kernel/config/keys.h"

#include "base/bits.h"
#include "base/string.h"
#include "kernel/config/guess.h"

#define HOST(member) .offset = offsetof(struct config_host, member)
#define VM(member) .offset = offsetof(struct config_vm, member)
#define SECOND_NS UINT64_C(1000000000)
#define ON_CHOICES                                                                                 \
    .choices = {                                                                                   \
        [CONFIG_ON_STOP] = "stop", [CONFIG_ON_RESTART] = "restart", [CONFIG_ON_STAY] = "stay"}

const struct key host_keys[] = {
    {"host.when_off", KEY_CHOICE, HOST(when_off), .def = "stay",
     .help = "stay or poweroff (once every VM is off)",
     .choices = {[CONFIG_WHEN_OFF_STAY] = "stay", [CONFIG_WHEN_OFF_POWEROFF] = "poweroff"}},
    {"host.shutdown_wait", KEY_DURATION, HOST(shutdown_wait_ns), .min = SECOND_NS,
     .max = 3600 * SECOND_NS, .def = "60s",
     .help = "1s to 3600s (how long a power-off waits for the VMs), or off"},
    {"stats.interval", KEY_DURATION, HOST(stats_interval_ns), .min = SECOND_NS / 10,
     .max = 3600 * SECOND_NS, .def = "off", .help = "100ms to 3600s, or off"},
    {"timer.floor", KEY_DURATION, HOST(timer_floor_ns), .min = SECOND_NS / 20000,
     .max = SECOND_NS / 100, .def = "200us", .help = "50us to 10ms, or off", .boot_only = true},
    {"scan.pages", KEY_COUNT, HOST(scan_pages), .min = 1, .max = 1000000, .def = "1000",
     .help = "1 to 1000000 (pages per wake-up)"},
    {"scan.sleep", KEY_DURATION, HOST(scan_sleep_ns), .min = 0, .max = 3600 * SECOND_NS, .def = "0",
     .help = "0 to 3600s (between wake-ups), with a unit: us, ms or s"},
    {"scan.cpu_max", KEY_PERCENT, HOST(scan_cpu_max), .min = 1, .max = 100, .def = "20%",
     .help = "1% to 100%"},
    {"scan.pass", KEY_DURATION, HOST(scan_pass_ns), .min = SECOND_NS / 1000,
     .max = 3600 * SECOND_NS, .def = "1s",
     .help = "1ms to 3600s (the target time for a pass), or off"},
    {"memory.order", KEY_SWITCH, HOST(memory_order), .def = "on",
     .help = "on or off (VMs that were started earlier get frames first when they are short)"},
    {"fold.run", KEY_SWITCH, HOST(fold.run), .def = "on", .help = "on or off"},
    {"fold.zero", KEY_SWITCH, HOST(fold.zero), .def = "on", .help = "on or off"},
    {"fold.zero_across_groups", KEY_SWITCH, HOST(fold_zero_across_groups), .def = "off",
     .help = "on or off", .boot_only = true},
    {"fold.lookahead", KEY_SWITCH, HOST(fold.lookahead), .def = "on", .help = "on or off"},
    {"fold.backoff", KEY_SWITCH, HOST(fold.backoff), .def = "on", .help = "on or off"},
    {"fold.index", KEY_CHOICE, HOST(fold.index), .def = "hash", .help = "tree or hash",
     .choices = {[FOLD_TREE] = "tree", [FOLD_HASH] = "hash"}},
    {"fold.volatility", KEY_CHOICE, HOST(fold.volatility), .def = "dirty",
     .help = "checksum or dirty",
     .choices = {[FOLD_CHECKSUM] = "checksum", [FOLD_DIRTY] = "dirty"}},
    {"fold.skip", KEY_CLASSES, HOST(fold.skip), .def = "free",
     .help = "none, or classes with commas between them: free, kernel, anonymous, mapped, "
             "pagecache, unknown"},
    {"fold.pagecache", KEY_CHOICE, HOST(fold.pagecache), .def = "scan",
     .help = "scan, once or skip",
     .choices = {[FOLD_PAGECACHE_SCAN] = "scan",
                 [FOLD_PAGECACHE_ONCE] = "once",
                 [FOLD_PAGECACHE_SKIP] = "skip"}},
    {"cache.mode", KEY_CHOICE, HOST(cache_mode), .def = "fold",
     .help = "off, inclusive, scrub or fold",
     .choices = {[CACHE_OFF] = "off",
                 [CACHE_INCLUSIVE] = "inclusive",
                 [CACHE_SCRUB] = "scrub",
                 [CACHE_FOLD] = "fold"}},
    {"cache.max", KEY_SHARE, HOST(cache_max_percent),
     .offset2 = offsetof(struct config_host, cache_max_bytes), .min = 65536,
     .max = UINT64_C(1) << 42, .def = "25%",
     .help = "1% to 90% of memory, or a size of 64K or more"},
    {"cache.readahead", KEY_SIZE, HOST(cache_readahead), .min = 0, .max = 1u << 20, .def = "128K",
     .help = "0 to 1M, a multiple of 4K"},
    {"cache.write", KEY_CHOICE, HOST(cache_write), .def = "through", .help = "through or back",
     .choices = {[CONFIG_WRITE_THROUGH] = "through", [CONFIG_WRITE_BACK] = "back"}},
    {"cache.dirty_max", KEY_SHARE, HOST(cache_dirty_percent),
     .offset2 = offsetof(struct config_host, cache_dirty_bytes), .min = 65536,
     .max = UINT64_C(1) << 42, .def = "10%",
     .help = "1% to 90% of cache.max, or a size of 64K or more"},
    {"cache.dirty_age", KEY_DURATION, HOST(cache_dirty_age_ns), .min = SECOND_NS / 10,
     .max = 3600 * SECOND_NS, .def = "5s",
     .help = "100ms to 3600s (the longest that a write stays off the disk), or off"},
    {"cache.give", KEY_SWITCH, HOST(cache_give), .def = "on",
     .help = "on or off (in mode fold, a page that is written to disk is kept as its block)"},
    {"cache.trace", KEY_COUNT, HOST(cache_trace), .min = 0, .max = 1000000, .def = "0",
     .help = "0 to 1000000 (requests kept for `cache trace`)", .boot_only = true},
    {"snapshot.max", KEY_SHARE, HOST(snapshot_max_percent),
     .offset2 = offsetof(struct config_host, snapshot_max_bytes), .min = 65536,
     .max = UINT64_C(1) << 42, .def = "25%",
     .help = "1% to 90% of memory, or a size of 64K or more"},
    {"disk.fault", KEY_FAULT, HOST(n_faults), .def = "",
     .help =
         "DISK read|write|any FIRST+COUNT KIND, or DISK flush KIND; KIND is error, lost, timeout "
         "TIME or slow TIME, and then maybe xN",
     .boot_only = true},
    {"disk.delay", KEY_DELAY, HOST(n_delays), .def = "",
     .help = "DISK TIME [BLOCK-TIME]: ata0 to ata3, at most 1s a command and 10ms for 4 KiB of it",
     .boot_only = true},
};
const unsigned n_host_keys = ARRAY_LEN(host_keys);

const struct key vm_keys[] = {
    {"memory", KEY_SIZE, VM(memory_bytes), .min = CONFIG_VM_MEMORY_MIN, .max = CONFIG_VM_MEMORY_MAX,
     .def = "256M", .help = "4M to 512G, a multiple of 4K (the page size)"},
    {"memory.min", KEY_SIZE, VM(memory_min), .min = 0, .max = CONFIG_VM_MEMORY_MAX, .def = "0",
     .help = "0 to the VM's `memory`, a multiple of 4K (always there, also after folding)"},
    {"memory.max", KEY_SIZE, VM(memory_max), .min = 0, .max = UINT64_C(1) << 42, .def = "0",
     .help = "1M or more, a multiple of 4K (what the VM may hold to itself), or 0 for no bound"},
    {"kernel", KEY_NAME, VM(kernel), .max = CONFIG_NAME, .def = NULL,
     .help = "a module's name: 1 to 63 characters without blanks"},
    {"initrd", KEY_NAME, VM(initrd), .max = CONFIG_NAME, .def = "",
     .help = "a module's name: 1 to 63 characters without blanks"},
    {"cmdline", KEY_TEXT, VM(cmdline), .max = CONFIG_CMDLINE, .def = "",
     .help = "at most 1023 printable characters"},
    {"disk", KEY_DISK, VM(disks), .def = "",
     .help = "a disk or partition (ata0, ata0p1) or module:NAME, with `,ro`, `,snapshot`, "
             "`,overlay=DISK` or `,shared`"},
    {"share", KEY_IDENT, VM(share), .max = CONFIG_VM_NAME, .def = "default",
     .help = "1 to 31 letters, digits, dots, underscores and hyphens"},
    {"fold", KEY_SWITCH, VM(fold), .def = "on", .help = "on or off"},
    {"start", KEY_SWITCH, VM(start), .def = "on", .help = "on or off"},
    {"on_panic", KEY_CHOICE, VM(on_panic), .def = "stop",
     .help = "stop, restart or stay (when its kernel has panicked)", ON_CHOICES},
    {"on_halt", KEY_CHOICE, VM(on_halt), .def = "stop",
     .help = "stop, restart or stay (when it has halted for good)", ON_CHOICES},
    {"cpus", KEY_COUNT, VM(cpus), .min = 1, .max = 1, .def = "1", .help = "1"},
};
const unsigned n_vm_keys = ARRAY_LEN(vm_keys);

const struct key *key_find(const struct key *keys, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

const struct key *key_guess(const struct key *keys, unsigned n, const char *name)
{
    struct guess g;

    guess_init(&g, name);
    for (unsigned i = 0; i < n; i++) {
        guess_try(&g, keys[i].name);
    }
    return g.best ? key_find(keys, n, g.best) : NULL;
}
