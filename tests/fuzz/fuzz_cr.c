/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's writes to CR0, CR4 and EFER in any order: what it ends up with is a state in which a
 * processor can run (SDM vol. 3, 27.3.1.1), and a fault changes nothing. Exit qualifications and
 * PDPTEs are any bytes.
 */
#define RECORD_HEAD 4u
#define RECORD_BYTES 10u
#include "records.h"

#include "arch/x86_64/decode/crbits.h"
#include "arch/x86_64/decode/exitqual.h"
#include "arch/x86_64/hvm/cr.h"
#include "work.h"

#define CR0_ALL UINT64_C(0xe005003f)

static uint64_t offered;

/* Single bits are turned, or it is any value. */
static uint64_t pick_value(struct input *in, uint64_t old)
{
    uint8_t how = (uint8_t)take(in, 1);
    uint64_t low = take(in, 4);

    switch (how >> 6) {
    case 0:
        return old ^ BIT(how & 63);
    case 1:
        return old ^ BIT(how & 31) ^ BIT(low & 31);
    case 2:
        return low;
    default:
        return low | low << 32;
    }
}

static void check(const struct cr_state *s)
{
    bool paging = s->cr0 & CR0_PG, lma = s->efer & EFER_LMA;

    require(!(s->cr0 & ~CR0_ALL) && (s->cr0 & CR0_ET) && !(s->cr4 & ~offered));
    require(!paging || (s->cr0 & CR0_PE));
    require(!(s->cr0 & CR0_NW) || (s->cr0 & CR0_CD));
    require(lma == (paging && (s->efer & EFER_LME)));
    require(!lma || (s->cr4 & CR4_PAE));
    require(lma || !(s->cr4 & CR4_PCIDE));
}

static void written(struct cr_state *s, const struct cr_state *old, const struct cr_change *c)
{
    uint64_t cr0 = c->cr0 ^ old->cr0, cr4 = c->cr4 ^ old->cr4;
    bool pae = (c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !(c->efer & EFER_LMA);
    bool reload =
        (cr0 & (CR0_PG | CR0_CD | CR0_NW)) || (cr4 & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP));

    require((cr0 == 0 || cr4 == 0) && !((c->efer ^ old->efer) & ~EFER_LMA));
    require(!old->cs_l || !((c->efer ^ old->efer) & EFER_LMA));
    require(c->load_pdptes == (pae && reload)); /* SDM vol. 3, 4.4.1 */
    require(c->flush || (!(cr0 & old->cr0 & CR0_PG) && !(cr4 & (CR4_PAE | CR4_PCIDE))));
    s->cr0 = c->cr0;
    s->cr4 = c->cr4;
    s->efer = c->efer;
}

static void step(struct cr_state *s, struct input *in)
{
    const struct cr_state old = *s;
    uint8_t what = (uint8_t)take(in, 1);
    uint64_t word = take(in, 4), pdpte[4], value;
    struct cr_change c = {0};

    switch (what & 7) {
    case 0:
    case 1:
        if (cr_write_cr0(s, pick_value(in, s->cr0), &c) == CR_DONE) {
            written(s, &old, &c);
        }
        break;
    case 2:
        value = cr_of_lmsw(s->cr0, exitqual_cr(word << 16 | 0x30).lmsw);
        require(((value ^ s->cr0) & ~UINT64_C(0xf)) == 0 && !(s->cr0 & ~value & CR0_PE));
        if (cr_write_cr0(s, value, &c) == CR_DONE) {
            written(s, &old, &c);
        }
        break;
    case 3:
    case 4:
        if (cr_write_cr4(s, pick_value(in, s->cr4), offered, &c) == CR_DONE) {
            written(s, &old, &c);
        }
        break;
    case 5: /* WRMSR of EFER: LME changes only without paging */
        s->efer ^= (s->cr0 & CR0_PG) ? 0 : EFER_LME;
        break;
    case 6: /* a far jump, a task register, CR3 */
        s->cs_l = what & 8;
        s->tr_type = word & 0xf;
        s->cr3 = (s->cr4 & CR4_PCIDE) || (what & 16) ? word : word & ~UINT64_C(0xfff);
        break;
    default:
        for (unsigned i = 0; i < 4; i++) {
            pdpte[i] = pick_value(in, i % 2);
        }
        value = 36 + word % 17; /* bits */
        if (cr_pdptes_legal(pdpte, (unsigned)value)) {
            for (unsigned i = 0; i < 4; i++) {
                require(!(pdpte[i] & 1) || !((pdpte[i] >> value) | (pdpte[i] & 0x1e6)));
            }
        }
        break;
    }
    check(s);
}

static int one_input(const uint8_t *data, size_t size)
{
    struct input in = {data, size}, record;
    struct cr_state s = {.cr0 = CR0_ET, .tr_type = 11};

    offered = CR4_PAE | CR4_PSE | CR4_PGE | CR4_MCE | (take(&in, 4) & UINT64_C(0x770fff));
    while (next_record(&in, &record)) {
        struct exitqual_cr q =
            exitqual_cr(load_le64(record.n >= 8 ? record.p : (const uint8_t[8]){0}));

        require(q.gpr < 16 && q.cr < 16 && q.type <= CR_LMSW);
        step(&s, &record);
    }
    return 0;
}

FUZZ_ENTRY(one_input, 1000, 300)
