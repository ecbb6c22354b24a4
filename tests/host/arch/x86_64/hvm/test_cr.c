/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes to CR0 and CR4: each reason for #GP, and what a write entails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "arch/x86_64/decode/crbits.h"
#include "arch/x86_64/hvm/cr.h"

#define REAL CR0_ET
#define FLAT (CR0_ET | CR0_PE)
#define PAGED (FLAT | CR0_PG)
#define OFFERED (CR4_PSE | CR4_PAE | CR4_PGE | CR4_MCE | CR4_SMEP | CR4_PCIDE | CR4_OSFXSR)

static struct cr_state state_of(uint64_t cr0, uint64_t cr4, uint64_t efer, bool cs_l)
{
    return (struct cr_state){
        .cr0 = cr0, .cr3 = 0x5000, .cr4 = cr4, .efer = efer, .cs_l = cs_l, .tr_type = 11};
}

static void test_cr0_faults(void **state)
{
    static const struct {
        uint64_t cr0, cr4, efer;
        bool cs_l;
        uint8_t tr_type;
        uint64_t value;
    } cases[] = {
        {REAL, 0, 0, false, 11, UINT64_C(1) << 32 | REAL},
        {REAL, 0, 0, false, 11, CR0_PG},                       /* without PE */
        {PAGED, 0, 0, false, 11, CR0_PG},                      /* likewise */
        {FLAT, 0, 0, false, 11, FLAT | CR0_NW},                /* without CD */
        {FLAT, 0, EFER_LME, false, 11, PAGED},                 /* without PAE */
        {FLAT, CR4_PAE, EFER_LME, true, 11, PAGED},            /* CS.L */
        {FLAT, CR4_PAE, EFER_LME, false, 3, PAGED},            /* a 16-bit TSS */
        {PAGED, CR4_PAE, EFER_LME | EFER_LMA, true, 11, FLAT}, /* 64-bit code */
        {PAGED, CR4_PAE | CR4_PCIDE, EFER_LME | EFER_LMA, false, 11, FLAT},
    };
    (void)state;

    for (unsigned k = 0; k < ARRAY_LEN(cases); k++) {
        struct cr_state s = state_of(cases[k].cr0, cases[k].cr4, cases[k].efer, cases[k].cs_l);
        struct cr_change c = {.cr0 = 1234};

        s.tr_type = cases[k].tr_type;
        assert_int_equal(cr_write_cr0(&s, cases[k].value, &c), CR_FAULT);
        assert_int_equal(c.cr0, 1234);
    }
}

static void test_cr0(void **state)
{
    struct cr_change c;
    (void)state;

    /* Into IA-32e mode and out of it. */
    struct cr_state s = state_of(FLAT, CR4_PAE, EFER_LME, false);
    assert_int_equal(cr_write_cr0(&s, PAGED, &c), CR_DONE);
    assert_true(c.cr0 == PAGED && c.efer == (EFER_LME | EFER_LMA) && !c.load_pdptes && !c.flush);
    s = state_of(PAGED, CR4_PAE, EFER_LME | EFER_LMA, false);
    assert_int_equal(cr_write_cr0(&s, FLAT, &c), CR_DONE);
    assert_true(c.cr0 == FLAT && c.efer == EFER_LME && c.flush && c.cr4 == CR4_PAE);
    /* PAE paging: with PG, and with CD and NW, which the guest may use to have them read again. */
    s = state_of(FLAT, CR4_PAE, 0, false);
    assert_int_equal(cr_write_cr0(&s, PAGED, &c), CR_DONE);
    assert_true(c.load_pdptes);
    s = state_of(PAGED, CR4_PAE, 0, false);
    assert_int_equal(cr_write_cr0(&s, PAGED | CR0_CD, &c), CR_DONE);
    assert_true(c.load_pdptes && c.cr0 == (PAGED | CR0_CD));
    assert_int_equal(cr_write_cr0(&s, PAGED | CR0_NE, &c), CR_DONE);
    assert_false(c.load_pdptes);
    s = state_of(PAGED, 0, 0, false);
    assert_int_equal(cr_write_cr0(&s, PAGED | CR0_CD, &c), CR_DONE);
    assert_false(c.load_pdptes);
    /* Reserved bits vanish, ET stays. */
    assert_int_equal(cr_write_cr0(&s, (PAGED & ~CR0_ET) | UINT64_C(0x1ffaffc0), &c), CR_DONE);
    assert_true(c.cr0 == PAGED);
    /* LMSW cannot clear PE. */
    assert_true(cr_of_lmsw(PAGED | CR0_TS, 0xfff2) == (PAGED | CR0_MP));
    assert_true(cr_of_lmsw(REAL, 0xf) == (REAL | CR0_PE | CR0_MP | CR0_EM | CR0_TS));
}

static void test_cr4(void **state)
{
    struct cr_change c = {.cr4 = 1234};
    struct cr_state s = state_of(PAGED, CR4_PAE, EFER_LME | EFER_LMA, true);
    (void)state;

    assert_int_equal(cr_write_cr4(&s, CR4_PAE | CR4_LA57, OFFERED, &c), CR_FAULT);
    assert_int_equal(cr_write_cr4(&s, CR4_PAE | UINT64_C(1) << 40, OFFERED, &c), CR_FAULT);
    assert_int_equal(cr_write_cr4(&s, 0, OFFERED, &c), CR_FAULT); /* PAE in IA-32e mode */
    s.cr3 = 0x5001;
    assert_int_equal(cr_write_cr4(&s, CR4_PAE | CR4_PCIDE, OFFERED, &c), CR_FAULT);
    s.cr3 = 0x5000;
    assert_int_equal(c.cr4, 1234);
    assert_int_equal(cr_write_cr4(&s, CR4_PAE | CR4_PCIDE, OFFERED, &c), CR_DONE);
    assert_true(c.cr4 == (CR4_PAE | CR4_PCIDE) && c.flush && !c.load_pdptes && c.cr0 == s.cr0);
    s = state_of(PAGED, 0, 0, false);
    assert_int_equal(cr_write_cr4(&s, CR4_PCIDE, OFFERED, &c), CR_FAULT); /* not IA-32e mode */
    assert_int_equal(cr_write_cr4(&s, CR4_PAE, OFFERED, &c), CR_DONE);
    assert_true(c.load_pdptes && c.flush);
    s.cr4 = CR4_PAE;
    assert_int_equal(cr_write_cr4(&s, CR4_PAE | CR4_OSFXSR, OFFERED, &c), CR_DONE);
    assert_true(!c.load_pdptes && !c.flush);
    assert_int_equal(cr_write_cr4(&s, CR4_PAE | CR4_PGE, OFFERED, &c), CR_DONE);
    assert_true(c.load_pdptes && c.flush);
}

static void test_pdptes(void **state)
{
    (void)state;
    for (unsigned bit = 1; bit < 64; bit++) {
        bool reserved = bit == 1 || bit == 2 || (bit >= 5 && bit <= 8) || bit >= 40;

        for (unsigned k = 0; k < 4; k++) {
            uint64_t pdpte[4] = {0};
            pdpte[k] = UINT64_C(1) << bit;
            assert_true(cr_pdptes_legal(pdpte, 40)); /* not present */
            pdpte[k] |= 1;
            assert_true(cr_pdptes_legal(pdpte, 40) == !reserved);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cr0_faults),
        cmocka_unit_test(test_cr0),
        cmocka_unit_test(test_cr4),
        cmocka_unit_test(test_pdptes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
