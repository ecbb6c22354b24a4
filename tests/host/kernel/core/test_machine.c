/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/core/machine: share groups are listed once each; boot modules are found by their
 * names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/paging.h"
#include "kernel/core/machine.h"

static struct share_group places[4];

static void configure(unsigned n, const char *const *shares)
{
    memset(&machine_config, 0, sizeof(machine_config));
    memset(places, 0, sizeof(places));
    machine_config.n_vms = n;
    for (unsigned i = 0; i < n; i++) {
        strcpy(machine_config.vms[i].share, shares[i]);
    }
    machine_list_groups(places);
}

static void test_groups_are_listed_once(void **state)
{
    (void)state;
    configure(4, (const char *const[]){"tenant", "default", "tenant", "default2"});
    assert_ptr_equal(groups, places);
    assert_int_equal(n_groups, 3);
    assert_int_equal(group_number("tenant"), 0);
    assert_int_equal(group_number("default"), 1);
    assert_int_equal(group_number("default2"), 2);
    assert_string_equal(groups[2].name, "default2");
}

static void test_no_vm_has_no_group(void **state)
{
    (void)state;
    configure(0, NULL);
    assert_int_equal(n_groups, 0);
}

static void test_modules_by_name(void **state)
{
    static struct mb2_info boot = {
        .n_modules = 2,
        .modules = {{.start = 0x200000, .end = 0x200123, .name = "config"},
                    {.start = 0x400000, .end = 0x500000, .name = "kernel"}},
    };
    const uint8_t *bytes = NULL;
    uint64_t n = 0;

    (void)state;
    machine_set_boot(&boot);
    assert_true(machine_module("kernel", &bytes, &n));
    assert_ptr_equal(bytes, window(HPA(0x400000)));
    assert_int_equal(n, 0x100000);
    assert_true(machine_module("config", &bytes, &n));
    assert_int_equal(n, 0x123);
    assert_false(machine_module("kern", &bytes, &n));
    assert_int_equal(n, 0x123); /* left alone */
}

static void test_memory_is_all_ranges(void **state)
{
    static const struct phys_range ram[] = {{0, 0x9f000}, {0x100000, 0x1fe0000}};

    (void)state;
    machine_set_memory(ram, 2);
    assert_int_equal(machine_memory_bytes(), 0x9f000 + 0x1ee0000);
    machine_set_memory(ram, 0);
    assert_int_equal(machine_memory_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_are_listed_once),
        cmocka_unit_test(test_no_vm_has_no_group),
        cmocka_unit_test(test_modules_by_name),
        cmocka_unit_test(test_memory_is_all_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
