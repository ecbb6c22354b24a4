/* SPDX-License-Identifier: BSD-2-Clause */
/* Exit qualifications, with values put together from the SDM's tables. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/decode/exitqual.h"

static void test_io(void **state)
{
    /* outl %eax, $0x80 ; insb with REP from DX 0x1f0 ; inw (%dx) */
    struct exitqual_io q = exitqual_io(0x00800043);
    (void)state;

    assert_true(q.port == 0x80 && q.size == 4 && !q.in && q.imm && !q.string && !q.rep);
    q = exitqual_io(0x01f00038);
    assert_true(q.port == 0x1f0 && q.size == 1 && q.in && !q.imm && q.string && q.rep);
    q = exitqual_io(0xffff0009);
    assert_true(q.port == 0xffff && q.size == 2 && q.in && !q.imm && !q.string && !q.rep);
    for (uint64_t bad = 0; bad < 8; bad++) {
        assert_int_equal(exitqual_io(bad).size, bad == 0 ? 1 : bad == 1 ? 2 : bad == 3 ? 4 : 0);
    }
    q = exitqual_io(~UINT64_C(0x7ffff)); /* reserved bits and those above change nothing else */
    assert_true(q.size == 1 && !q.in && q.port == 0xfff8);
}

static void test_cr(void **state)
{
    struct exitqual_cr q = exitqual_cr(0x0f03); /* mov %r15, %cr3 */
    (void)state;

    assert_true(q.type == CR_MOV_TO && q.cr == 3 && q.gpr == 15);
    q = exitqual_cr(0x0318); /* mov %cr8, %rbx */
    assert_true(q.type == CR_MOV_FROM && q.cr == 8 && q.gpr == 3);
    q = exitqual_cr(0x20);
    assert_true(q.type == CR_CLTS && q.cr == 0);
    q = exitqual_cr(0xabcd0070);
    assert_true(q.type == CR_LMSW && q.lmsw == 0xabcd && q.lmsw_memory);
    q = exitqual_cr(0xabcd0030);
    assert_false(q.lmsw_memory);
}

static void test_ept(void **state)
{
    struct exitqual_ept q;
    (void)state;

    for (unsigned bit = 0; bit < 64; bit++) { /* each bit alone, and nothing from the others */
        q = exitqual_ept(BIT(bit));
        assert_int_equal(q.read, bit == 0);
        assert_int_equal(q.write, bit == 1);
        assert_int_equal(q.fetch, bit == 2);
        assert_int_equal(q.readable, bit == 3);
        assert_int_equal(q.writable, bit == 4);
        assert_int_equal(q.executable, bit == 5);
        assert_int_equal(q.linear_valid, bit == 7);
        assert_int_equal(q.translated, bit == 8);
        assert_int_equal(q.nmi_unblocked, bit == 12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_io),
        cmocka_unit_test(test_cr),
        cmocka_unit_test(test_ept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
