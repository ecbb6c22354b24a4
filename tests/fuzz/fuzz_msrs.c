/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's RDMSR and WRMSR of what is values and rules only: a write that faults, or that is of no
 * such register, changes nothing; one that does not is what a read finds; and no register ever
 * holds a memory type that does not exist or an address that is too wide.
 */
#define RECORD_HEAD 1u
#define RECORD_BYTES 10u
#include "records.h"

#include "arch/x86_64/hvm/guest_msrs.h"
#include "work.h"

/* Where registers are; any other number too. SDM vol. 4, table 2-2. */
static uint32_t pick_msr(struct input *in)
{
    static const uint32_t first[] = {0x0,   0x17,  0x8b,  0xfe,  0x140, 0x179, 0x17a, 0x1a0,
                                     0x200, 0x208, 0x250, 0x258, 0x259, 0x268, 0x26c, 0x2ff};
    uint32_t which = take(in, 1);

    return which == 0xff ? take(in, 4) : first[which % ARRAY_LEN(first)] + (which >> 4) % 8;
}

static uint64_t pick_value(struct input *in)
{
    uint32_t how = take(in, 1), low = take(in, 4);

    switch (how & 3) {
    case 0:
        return low;
    case 1:
        return (uint64_t)low << (how >> 2);
    case 2: /* eight bytes that may be types */
        return (low & 7) * UINT64_C(0x0101010101010101) ^ (uint64_t)(low >> 3 & 7) << (how >> 2);
    default:
        return (uint64_t)low << 32 | (low ^ how);
    }
}

static bool is_type(uint64_t t)
{
    return t <= 1 || (t >= 4 && t <= 6); /* SDM vol. 3, table 12-8 */
}

static void check(const struct guest_msrs *m, unsigned phys_bits)
{
    require(m->mtrrs.phys_bits == phys_bits && is_type(m->mtrrs.def_type & 0xff));
    for (unsigned i = 0; i < 8 * MTRR_FIXED; i++) {
        require(is_type(m->mtrrs.fixed[i / 8] >> i % 8 * 8 & 0xff));
    }
    for (unsigned i = 0; i < 2 * MTRR_VARIABLE; i++) {
        require(m->mtrrs.variable[i] >> phys_bits == 0);
        require(i % 2 != 0 || is_type(m->mtrrs.variable[i] & 0xff));
    }
}

static void step(struct guest_msrs *m, struct input *in)
{
    uint32_t msr = pick_msr(in);
    uint64_t value = pick_value(in), old = 0, now = 0;
    struct guest_msrs before = *m;
    enum status read = guest_msrs_read(m, msr, &old);

    require(read == OK || read == E_NOTFOUND);
    enum status s = guest_msrs_write(m, msr, value);
    require((s == E_NOTFOUND) == (read == E_NOTFOUND));
    require(guest_msrs_read(m, msr, &now) == read);
    if (s != OK) {
        require((s == E_FAULT || s == E_NOTFOUND) && memcmp(&before, m, sizeof(before)) == 0);
        require(now == old);
    } else if (msr >= 0x200) { /* MTRRs; some of the others have bits that are fixed */
        require(now == value);
    }
    /* What was read may be written, unless it is read-only. */
    require(s != OK || guest_msrs_write(m, msr, now) == OK || msr == 0x8b);
    require(guest_msrs_apic_base_fits(m, value) == (value >> m->mtrrs.phys_bits == 0));
}

static int one_input(const uint8_t *data, size_t size)
{
    struct input in = {data, size}, record;
    unsigned phys_bits = 36 + take(&in, 1) % 17;
    struct guest_msrs m;

    memset(&m, 0, sizeof(m)); /* padding too: it is compared */
    guest_msrs_reset(&m, phys_bits, UINT32_C(0xc0000000));
    check(&m, phys_bits);
    while (next_record(&in, &record)) {
        step(&m, &record);
        check(&m, phys_bits);
    }
    return 0;
}

FUZZ_ENTRY(one_input, 5000, 200)
