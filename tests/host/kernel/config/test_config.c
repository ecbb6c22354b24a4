/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: what is understood, and the one line that each mistake gets. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "kernel/config/config.h"
#include "kernel/config/value.h"

static struct config c;
static char why[200];

static enum status parse(const char *text)
{
    size_t n = strlen(text);
    char *copy = malloc(n + 1); /* without its NUL: the parser is told the length */
    enum status s;

    memcpy(copy, text, n);
    s = config_parse(copy, n, &c, why, sizeof(why));
    free(copy);
    return s;
}

static void test_example(void **state)
{
    (void)state;
    assert_int_equal(parse("\xef\xbb\xbf; the machine\r\n"
                           "[host]\n"
                           "stats.interval = 500ms   ; often\n"
                           "  scan.pages=0x10\n"
                           "scan.sleep = 5us # short\n"
                           "scan.cpu_max = 7%\n"
                           "fold.run = off\n"
                           "cache.mode = off\n"
                           "cache.max = 3M\n"
                           "\n"
                           "[vm web1]\n"
                           "kernel = vmlinuz\n"
                           "initrd = \"initrd.gz\"\n"
                           "memory = 64M\n"
                           "cmdline = console=ttyS0 x=\"a ; b\" y=a#b;c root=/dev/vda ro ; end\n"
                           "disk = ata0p1,ro\n"
                           "disk = module:data\n"
                           "share = none-of.it_1\n"
                           "start = off\n"
                           "fold = off\n"
                           "on_panic = restart\n"
                           "on_halt = stay\n"
                           "[ vm  web2 ]\n"
                           "kernel = vmlinuz"),
                     OK);
    assert_true(c.host.stats_interval_ns == 500000000 && c.host.scan_pages == 16);
    assert_true(c.host.scan_sleep_ns == 5000 && c.host.scan_cpu_max == 7);
    assert_true(!c.host.fold.run && c.host.cache_mode == CACHE_OFF);
    assert_true(config_cache_bytes(&c.host, 1 << 30) == 3 << 20);
    assert_int_equal(c.n_vms, 2);
    assert_string_equal(c.vms[0].name, "web1");
    assert_string_equal(c.vms[0].initrd, "initrd.gz");
    assert_int_equal(c.vms[0].memory_bytes, 64 << 20);
    assert_string_equal(c.vms[0].cmdline, "console=ttyS0 x=\"a ; b\" y=a#b;c root=/dev/vda ro");
    assert_int_equal(c.vms[0].n_disks, 2);
    assert_string_equal(c.vms[0].disks[0].name, "ata0p1");
    assert_true(c.vms[0].disks[0].read_only && !c.vms[0].disks[1].read_only);
    assert_string_equal(c.vms[0].disks[1].name, "module:data");
    assert_string_equal(c.vms[0].share, "none-of.it_1");
    assert_false(c.vms[0].start || c.vms[0].fold);
    assert_int_equal(c.vms[0].on_panic, CONFIG_ON_RESTART);
    assert_int_equal(c.vms[0].on_halt, CONFIG_ON_STAY);
    assert_int_equal(c.vms[1].on_panic, CONFIG_ON_STOP);
    assert_int_equal(c.vms[1].on_halt, CONFIG_ON_STOP);
    assert_string_equal(c.vms[1].name, "web2");
    assert_string_equal(c.vms[1].share, "default");
    assert_string_equal(c.vms[1].initrd, "");
    assert_true(c.vms[1].start && c.vms[1].fold && c.vms[1].cpus == 1 && c.vms[1].n_disks == 0);
    assert_int_equal(c.vms[1].memory_bytes, 256 << 20);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_int_equal(parse(""), OK);
    assert_int_equal(c.n_vms, 0);
    assert_true(c.host.stats_interval_ns == 0 && c.host.scan_pages == 1000);
    assert_true(c.host.shutdown_wait_ns == UINT64_C(60000000000));
    assert_true(c.host.scan_sleep_ns == 0 && c.host.scan_cpu_max == 20);
    assert_true(c.host.scan_pass_ns == 1000000000 && c.host.timer_floor_ns == 200000);
    assert_true(c.host.fold.run && c.host.fold.zero && !c.host.fold_zero_across_groups &&
                c.host.cache_mode == CACHE_FOLD);
    assert_true(c.host.fold.lookahead && c.host.fold.backoff);
    assert_true(c.host.fold.index == FOLD_HASH && c.host.fold.volatility == FOLD_DIRTY);
    assert_true(c.host.fold.skip == 1u << PAGE_FREE);
    assert_true(c.host.fold.pagecache == FOLD_PAGECACHE_SCAN);
    assert_true(config_cache_bytes(&c.host, 400) == 100);
    assert_int_equal(parse("[host]\nstats.interval = off\nscan.sleep = 0\nscan.pass = off\n"), OK);
    assert_true(c.host.stats_interval_ns == 0 && c.host.scan_sleep_ns == 0);
    assert_true(c.host.scan_pass_ns == 0);
    assert_int_equal(parse("[host]\ntimer.floor = off\n"), OK);
    assert_true(c.host.timer_floor_ns == 0);
    assert_int_equal(parse("[host]\ntimer.floor = 50us\n"), OK);
    assert_true(c.host.timer_floor_ns == 50000);
    assert_int_equal(parse("[host]\ntimer.floor = 49us\n"), E_INVAL);
}

#define VM "[vm a]\nkernel = k\n"

static const struct {
    const char *text, *message;
} mistakes[] = {
    {"[host]\nscan.pagse = 1\n",
     "config:2: unknown key 'scan.pagse' in [host]; did you mean 'scan.pages'?"},
    {"[host]\nfold.ahead = on\n", "config:2: unknown key 'fold.ahead' in [host]; there are"},
    {"[host]\nfold.index = list\n", "config:2: fold.index = 'list': it must be tree or hash"},
    {"[host]\nfold.volatility = pml\n", "config:2: fold.volatility = 'pml': it must be"},
    {"[host]\nfold.skip = free,\n", "config:2: fold.skip = 'free,': it must be none, or classes"},
    {"[host]\nfold.skip = none,free\n", "config:2: fold.skip = 'none,free': it must be none"},
    {"[host]\nfold.skip = ,\n", "config:2: fold.skip = ',': it must be none, or classes"},
    {"[host]\ncache.mode = both\n",
     "config:2: cache.mode = 'both': it must be off, inclusive, scrub or fold"},
    {"[host]\ncache.max = 91%\n", "config:2: cache.max = '91%': it must be"},
    {"[host]\ncache.trace = 1000001\n", "config:2: cache.trace = '1000001': it must be 0 to"},
    {"[host]\ncache.max = 0\n", "config:2: cache.max = '0'"},
    {"[host]\nscan.cpu_max = 0%\n", "config:2: scan.cpu_max = '0%': it must be 1% to 100%"},
    {"[host]\nscan.cpu_max = 20\n", "config:2: scan.cpu_max = '20'"},
    {"[host]\nscan.sleep = 20\n", "config:2: scan.sleep = '20'"},
    {"[host]\nscan.pages = 0\n", "config:2: scan.pages = '0': it must be 1 to"},
    {"[host]\nscan.pages = -1\n", "config:2: scan.pages = '-1'"},
    {"[host]\nscan.pages = 4294967297\n", "config:2: scan.pages = '4294967297'"},
    {"[host]\nhost.shutdown_wait = 0\n", "config:2: host.shutdown_wait = '0': it must be 1s to"},
    {"[vm a]\nkernel=k\ndisk=ata0,shared,ro\n", "config:3: disk 'ata0': `,shared` is for a disk"},
    {"[vm a]\nkernel=k\ndisk=ata0,snapshot\n[vm b]\nkernel=k\ndisk=ata0p1\n",
     "config:4: disk 'ata0p1' is the base"},
    {"[vm all]\n", "config:1: a VM cannot be called 'all'"},
    {"[host]\nstats.interval = 1ms\n", "config:2: stats.interval = '1ms': it must be 100ms"},
    {"[host]\nstats.interval = 99999999999999999999s\n", "config:2: stats.interval = '9999"},
    {"[host]\nscan.pages = 1\nscan.pages = 1\n", "config:3: 'scan.pages' is set twice in [host]"},
    {"[host]\n[host]\n", "config:2: second [host] section"},
    {"[hots]\n", "config:1: unknown section [hots]; there are [host] and [vm NAME]"},
    {"[host\n", "config:1: a section is a line of its own"},
    {"[host] x = 1\n", "config:1: a section is a line of its own"},
    {"[vmx]\n", "config:1: unknown section [vmx]"},
    {"scan.pages = 1\n", "config:1: a key outside a section"},
    {"[host]\nscan.pages\n", "config:2: 'scan.pages' is neither a section nor KEY = VALUE"},
    {"[host]\nscan.pages = \"1\n", "config:2: a double quote is not closed"},
    {"[vm]\n", "config:1: bad VM name ''"},
    {"[vm -x]\n", "config:1: bad VM name '-x'"},
    {"[vm a b]\n", "config:1: bad VM name 'a b'"},
    {"[vm \x1b[2Jx]\n", "config:1: bad VM name '?[2Jx'"},
    {"[vm abcdefghijklmnopqrstuvwxyz012345]\n", "config:1: bad VM name"},
    {VM "[vm b]\nkernel = k\n[vm a]\n",
     "config:5: second VM of the name 'a' (the first is in line 1); rename one"},
    {"\n[vm a]\nmemory = 8M\n", "config:2: [vm a] has no 'kernel'; add a line 'kernel = ...'"},
    {"[vm a]\n[host]\n", "config:1: [vm a] has no 'kernel'"},
    {"[vm a]\nkernel =\n", "config:2: kernel = '': it must be a module's name"},
    {"[vm a]\nkernel = a b\n", "config:2: kernel = 'a b'"},
    {VM "memory = 3M\n", "config:3: memory = '3M': it must be 4M to 512G"},
    {VM "memory = 4194305\n", "config:3: memory = '4194305': it must be"},
    {VM "memory = 513G\n", "config:3: memory = '513G': it must be"},
    {VM "memory = 99999999999T\n", "config:3: memory = '99999999999T'"},
    {VM "memory = 1.5G\n", "config:3: memory = '1.5G'"},
    {VM "memory = 64 M\n", "config:3: memory = '64 M'"},
    {VM "cpus = 2\n", "config:3: cpus = '2': it must be 1"},
    {VM "fold = 0\n", "config:3: fold = '0': it must be on or off"},
    {VM "on_halt = off\n",
     "config:3: on_halt = 'off': it must be stop, restart or stay (when it has "
     "halted for good)"},
    {VM "start = yes\n", "config:3: start = 'yes': it must be on or off"},
    {VM "share = a/b\n", "config:3: share = 'a/b'"},
    {VM "disk = ata0,rw\n", "config:3: disk 'ata0': unknown suffix ',rw'; there are `,ro`, "},
    {VM "disk = ata0,snapshots\n", "config:3: disk 'ata0': unknown suffix ',snapshots'"},
    {VM "disk = ata0,overlay\n", "config:3: disk 'ata0': unknown suffix ',overlay'"},
    {VM "disk = ata0,overlay=\n", "config:3: disk 'ata0': `,overlay=` needs the disk"},
    {VM "disk = ata0,overlay=module:x\n",
     "config:3: disk 'ata0': an overlay on a boot module would be gone"},
    {VM "disk = ata0,snapshot,overlay=ata1\n", "config:3: disk 'ata0': `,snapshot` drops what"},
    {VM "disk = ata0,overlay=ata0\n",
     "config:1: disk 'ata0' keeps an overlay of VM 'a', and can be nothing else's"},
    {VM "disk = ata0,overlay=ata1\n[vm b]\nkernel = k\ndisk = ata1,ro\n",
     "config:4: disk 'ata1' keeps an overlay of VM 'a'"},
    {VM "disk = ata1\n[vm b]\nkernel = k\ndisk = ata0,overlay=ata1\n",
     "config:4: disk 'ata1' keeps an overlay of VM 'b'"},
    {VM "disk = ata0,overlay=ata1\n[vm b]\nkernel = k\ndisk = ata0,overlay=ata1\n",
     "config:4: disk 'ata1' keeps an overlay of VM 'a'"},
    {VM "disk = ata0,snapshot\n[vm b]\nkernel = k\ndisk = ata0\n",
     "config:4: disk 'ata0' is the base of a `,snapshot` or `,overlay`, and VM 'b' could write"},
    {VM "disk = ata0\n[vm b]\nkernel = k\ndisk = ata0,overlay=ata1\n",
     "config:4: disk 'ata0' is the base of a `,snapshot` or `,overlay`, and VM 'a' could write"},
    {VM "disk = ata0,\n", "config:3: disk 'ata0': unknown suffix ','"},
    {VM "disk = ,ro\n", "config:3: disk must be"},
    {VM "disk = module:\n", "config:3: disk must be"},
    {VM "disk = d\ndisk = d,ro\n", "config:4: disk 'd' is given twice"},
    {VM
     "disk = 1\ndisk = 2\ndisk = 3\ndisk = 4\ndisk = 5\ndisk = 6\ndisk = 7\ndisk = 8\ndisk = 9\n",
     "config:11: a VM has at most 8 disks"},
    {VM "cmdline = \x01\n", "config:3: cmdline = '?'"},
    {VM "kernal = x\n", "config:3: unknown key 'kernal' in [vm a]; did you mean 'kernel'?"},
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
        memset(why, 0, sizeof(why));
        if (parse(mistakes[i].text) == OK ||
            strncmp(why, mistakes[i].message, strlen(mistakes[i].message)) != 0) {
            fail_msg("%s\nwanted: %s\ngot:    %s", mistakes[i].text, mistakes[i].message, why);
        }
        for (const char *p = why; *p != '\0'; p++) {
            assert_true(*p >= 0x20 && *p <= 0x7e);
        }
    }
}

/* What is written aside, and what goes together. */
static void test_disks(void **state)
{
    (void)state;
    assert_int_equal(parse(VM "disk = ata0,snapshot\ndisk = ata1,overlay=ata3p12,ro\n"
                              "[vm b]\nkernel = k\ndisk = ata0,ro\ndisk = ata1,snapshot\n"
                              "[vm c]\nkernel = k\ndisk = ata1,overlay=ata3p1\n"),
                     OK);
    const struct config_disk *d = c.vms[0].disks;
    assert_true(d[0].snapshot && !d[0].read_only && d[0].overlay[0] == '\0');
    assert_true(!d[1].snapshot && d[1].read_only);
    assert_string_equal(d[1].name, "ata1");
    assert_string_equal(d[1].overlay, "ata3p12");
    assert_true(c.host.snapshot_max_percent == 25);
    assert_true(config_snapshot_bytes(&c.host, 1000) == 250);
    assert_int_equal(parse("[host]\nsnapshot.max = 70M\n"), OK);
    assert_true(config_snapshot_bytes(&c.host, 1000) == 70 << 20);
}

static void test_limits(void **state)
{
    static char text[70000];
    size_t n = 0;
    (void)state;

    for (unsigned i = 0; i < CONFIG_VMS; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "[vm v%u]\nkernel = k\n", i);
    }
    assert_int_equal(parse(text), OK);
    assert_int_equal(c.n_vms, CONFIG_VMS);
    snprintf(text + n, sizeof(text) - n, "[vm one-more]\nkernel = k\n");
    assert_int_equal(parse(text), E_NOMEM);
    assert_string_equal(why, "config:129: more than 64 VMs; remove some");

    n = (size_t)snprintf(text, sizeof(text), VM "cmdline = ");
    memset(text + n, 'x', CONFIG_CMDLINE - 1);
    text[n + CONFIG_CMDLINE - 1] = '\0';
    assert_int_equal(parse(text), OK);
    assert_int_equal(strlen(c.vms[0].cmdline), CONFIG_CMDLINE - 1);
    strcat(text, "x");
    assert_int_equal(parse(text), E_INVAL);
    memset(text, ' ', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(parse(text), E_INVAL);
    assert_int_equal(config_parse("a\0b", 3, &c, why, sizeof(why)), E_INVAL);
    assert_string_equal(why, "config:1: a NUL byte: this is not a text file");
}

/* What is printed sets the same again, for every key; at run time a bad value changes nothing. */
static void test_run_time(void **state)
{
    struct config_host h, again;
    char value[CONFIG_VALUE];
    const char *key;
    unsigned i;
    (void)state;

    assert_int_equal(
        parse(
            "[host]\nscan.pages=7\nscan.sleep=1500us\ncache.max=70M\nfold.zero=off\n"
            "fold.zero_across_groups=on\nstats.interval=off\nscan.cpu_max=100%\ncache.mode=off\n"),
        OK);
    h = c.host;
    config_host_defaults(&again);
    for (i = 0; config_host_get(&h, i, &key, value, sizeof(value)); i++) {
        bool boot_only = strcmp(key, "fold.zero_across_groups") == 0 ||
                         strcmp(key, "cache.trace") == 0 || strcmp(key, "disk.fault") == 0 ||
                         strcmp(key, "disk.delay") == 0 || strcmp(key, "timer.floor") == 0;
        assert_int_equal(config_host_set(&again, key, value, why, sizeof(why)),
                         boot_only ? E_UNSUPPORTED : OK);
        assert_non_null(config_host_help(i));
    }
    assert_true(h.fold_zero_across_groups && !again.fold_zero_across_groups);
    assert_int_equal(config_host_set(&again, "fold.zero_across_groups", "on", why, sizeof(why)),
                     E_UNSUPPORTED);
    assert_string_equal(why, "fold.zero_across_groups can only be set at boot, in the "
                             "configuration's [host]");
    again.fold_zero_across_groups = true;
    assert_true(i >= 10);
    assert_null(config_host_help(i));
    assert_memory_equal(&h, &again, sizeof(h));
    assert_int_equal(config_host_set(&h, "scan.pages", "none", why, sizeof(why)), E_INVAL);
    assert_int_equal(config_host_set(&h, "scan.pags", "1", why, sizeof(why)), E_NOTFOUND);
    assert_string_equal(why, "unknown key 'scan.pags'; did you mean 'scan.pages'?");
    assert_int_equal(config_host_set(&h, "nonsense", "1", why, sizeof(why)), E_NOTFOUND);
    assert_int_equal(config_host_set(&h, "memory", "8M", why, sizeof(why)), E_NOTFOUND);
    assert_memory_equal(&h, &again, sizeof(h));
}

static void test_values(void **state)
{
    static const uint64_t all[] = {
        0,          1,    1023, 1024,   4096, 1 << 20, 3 << 20, 5000000000, UINT64_C(1) << 63,
        UINT64_MAX, 1000, 1500, 1000000};
    static const char *const bad[] = {"",
                                      "K",
                                      "1KB",
                                      "1k1",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "0x10",
                                      "1e3",
                                      "18446744073709551616",
                                      "18014398509481984K"};
    char text[32];
    uint64_t v;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        value_print_size(text, sizeof(text), all[i]);
        assert_true(value_parse_size(text, &v) && v == all[i]);
        value_print_duration(text, sizeof(text), all[i]);
        assert_true(value_parse_duration(text, &v) && v == all[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        v = 42;
        assert_false(value_parse_size(bad[i], &v));
        assert_false(value_parse_duration(bad[i], &v));
        assert_true(v == 42);
    }
    assert_true(value_parse_size("2g", &v) && v == UINT64_C(2) << 30);
    assert_true(value_parse_count("0xffffffffffffffff", &v) && v == UINT64_MAX);
    assert_false(value_parse_count("0x", &v));
    assert_false(value_parse_count("0x10000000000000000", &v));
}

static struct config_disk disk_of(const char *text)
{
    char config[200], message[256];

    snprintf(config, sizeof(config), "[vm a]\nkernel=k\ndisk=%s\n", text);
    assert_int_equal(config_parse(config, strlen(config), &c, message, sizeof(message)), OK);
    return c.vms[0].disks[0];
}

static void test_clash(void **state)
{
    static const struct {
        const char *a, *b;
        bool clash;
    } cases[] = {
        {"ata0", "ata0", true},
        {"ata0", "ata1", false},
        {"ata0p1", "ata0p1", true},
        {"ata0p1", "ata0p2", false},
        {"ata0p1", "ata0p10", false},
        {"ata0", "ata0p1", true},
        {"ata0,ro", "ata0p1", false},
        {"ata0,snapshot", "ata0", false},
        {"ata0,overlay=ata1", "ata0", false},
        {"ata0,shared", "ata0", true},
        {"ata0,shared", "ata0,shared", false},
        {"ata0,shared", "ata0p3,shared", false},
        {"module:d", "module:d", true},
        {"module:d", "module:dp1", false},
        {"module:p", "module:pp", false},
    };
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct config_disk a = disk_of(cases[i].a), b = disk_of(cases[i].b);
        assert_int_equal(config_disks_clash(&a, &b), cases[i].clash);
        assert_int_equal(config_disks_clash(&b, &a), cases[i].clash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example),  cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_disks),
        cmocka_unit_test(test_limits),   cmocka_unit_test(test_run_time),
        cmocka_unit_test(test_values),   cmocka_unit_test(test_clash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
