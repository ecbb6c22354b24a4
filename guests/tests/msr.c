/* SPDX-License-Identifier: BSD-2-Clause */
/* RDMSR and WRMSR: known registers keep what they are given, all else is #GP. */
#include "kit.h"

struct access {
    uint32_t msr;
    uint64_t value;
};

static void do_read(void *arg)
{
    struct access *a = arg;
    a->value = rdmsr(a->msr);
}

static void do_write(void *arg)
{
    struct access *a = arg;
    wrmsr(a->msr, a->value);
}

static bool reads(uint32_t msr, uint64_t *value)
{
    struct access a = {msr, 0};
    int v = kit_try(do_read, &a);
    *value = a.value;
    return v < 0;
}

static bool read_gp(uint32_t msr)
{
    struct access a = {msr, 0};
    return kit_try(do_read, &a) == 13 && kit_caught_frame.error == 0;
}

static bool write_gp(uint32_t msr, uint64_t value)
{
    struct access a = {msr, value};
    return kit_try(do_write, &a) == 13 && kit_caught_frame.error == 0;
}

static bool writes(uint32_t msr, uint64_t value)
{
    struct access a = {msr, value};
    return kit_try(do_write, &a) < 0;
}

static void keeps(uint32_t msr, uint64_t value)
{
    uint64_t old, now = 0;
    bool ok = reads(msr, &old) && writes(msr, value) && reads(msr, &now) && now == value &&
              writes(msr, old) && reads(msr, &now) && now == old;
    tap_ok(ok, "MSR %x keeps %lx (%lx)", msr, value, now);
}

/* What a PC's firmware leaves in the MTRRs: enabled, and uncached where devices are. */
static void mtrrs(void)
{
    uint64_t v = 0, base = 0, mask = 0;
    uint32_t r[4];

    tap_ok(reads(0x2ff, &v) && v == 0xc06, "the MTRRs are enabled, write-back: %lx", v);
    tap_ok(reads(0x250, &v) && v == 0x0606060606060606ul, "the first 512 KiB: %lx", v);
    tap_ok(reads(0x259, &v) && v == 0, "the VGA hole is uncached: %lx", v);
    cpuid(0x80000008, 0, r);
    uint64_t top = 1ul << (r[0] & 0xff);
    tap_ok(reads(0x200, &base) && reads(0x201, &mask) && base == 0xe0000000 &&
               mask == ((top - 0x20000000) | 0x800),
           "device memory is uncached: %lx, mask %lx", base, mask);
    static const uint64_t types[] = {0, 1, 4, 5, 6};
    for (uint64_t type = 0, good = 0; type < 256; type++) {
        bool ok = good < 5 && types[good] == type;
        good += ok;
        bool def = ok ? writes(0x2ff, 0xc00 | type) : write_gp(0x2ff, 0xc00 | type);
        bool fix = ok ? writes(0x268, type << 40) : write_gp(0x268, type << 40);
        bool var = ok ? writes(0x202, type) : write_gp(0x202, type);
        if (!def || !fix || !var || type == 7) {
            tap_ok(def && fix && var, "type %lu is %s", type, ok ? "taken" : "#GP");
        }
    }
    tap_ok(write_gp(0x2ff, 0x1c06) && write_gp(0x2ff, 0x100000c06), "DEF_TYPE: reserved bits");
    tap_ok(write_gp(0x202, 0x106) && write_gp(0x202, top | 6), "PHYSBASE: reserved bits");
    tap_ok(write_gp(0x203, 0x801) && write_gp(0x203, top | 0x800), "PHYSMASK: reserved bits");
    tap_ok(writes(0x2ff, 0xc06) && writes(0x202, 0) && writes(0x268, 0x0505050505050505ul), "back");
    tap_ok(read_gp(0x210), "a ninth variable range does not exist");
}

static void misc_enable(void)
{
    uint64_t old = 0, v = 0;
    uint32_t r[4];

    (void)reads(0x1a0, &old);
    tap_ok((old & 0x1881) == 0x1801, "MISC_ENABLE: fast strings, no BTS, PEBS, counters: %lx", old);
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t readonly = 0x1880, writable = 0x400c50009ul, one = 1ul << bit;
        bool ok = (readonly | writable) & one ? writes(0x1a0, old ^ one) && reads(0x1a0, &v) &&
                                                    v == (readonly & one ? old : old ^ one)
                                              : write_gp(0x1a0, old ^ one);
        if (bit == 22) {
            cpuid(0, 0, r);
            tap_ok(r[0] == 2, "it can limit CPUID: %x", r[0]);
        } else if (bit == 34) {
            cpuid(0x80000001, 0, r);
            tap_ok(!(r[3] >> 20 & 1), "it can take NX away");
            (void)reads(0xc0000080, &v);
            tap_ok(write_gp(0xc0000080, v | 0x800), "EFER.NXE is #GP then");
        }
        if (!ok || bit == 63) {
            tap_ok(ok, "MISC_ENABLE, bit %u", bit);
        }
        (void)writes(0x1a0, old);
    }
    cpuid(0, 0, r);
    tap_ok(r[0] > 2, "and is as it was: leaf %x", r[0]);
}

static void machine_check(void)
{
    uint64_t v = 1;

    tap_ok(reads(0x179, &v) && v == 0, "MCG_CAP: no banks (%lx)", v);
    tap_ok(reads(0x17a, &v) && v == 0 && writes(0x17a, 0), "MCG_STATUS is there: %lx", v);
    tap_ok(write_gp(0x17a, 1) && write_gp(0x179, 0), "and takes nothing but 0");
    tap_ok(read_gp(0x17b), "MCG_CTL is not");
    for (uint32_t msr = 0x400; msr < 0x480; msr++) {
        if (!read_gp(msr) || !write_gp(msr, 0)) {
            tap_ok(false, "bank register %x", msr);
        }
    }
    tap_ok(reads(0, &v) && v == 0 && reads(1, &v) && v == 0, "the P5's registers read 0");
}

static void known(void)
{
    uint64_t v = 0;

    tap_ok(reads(0xc0000080, &v) && (v & 0x500) == 0x500, "EFER has LME and LMA: %lx", v);
    tap_ok(reads(0x1b, &v) && (v & 0xfffff100) == 0xfee00100 && (v & 0x800), "APIC_BASE %lx", v);
    tap_ok(reads(0x1a0, &v) && (v & 1), "MISC_ENABLE %lx", v);
    tap_ok(reads(0xfe, &v) && (v & 0xff) >= 8, "MTRRCAP %lx", v);
    tap_ok(reads(0x8b, &v), "BIOS_SIGN_ID %lx", v);
    tap_ok(reads(0x1d9, &v) && v == 0, "DEBUGCTL %lx", v);
    static const uint32_t plain[] = {0xc0000100, 0xc0000101, 0xc0000102, 0xc0000082,
                                     0xc0000083, 0x175,      0x176,      0x174};
    for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        keeps(plain[i], plain[i] == 0x174 ? 0x1238 : 0xffff800012345678ul);
    }
    keeps(0xc0000081, 0x0023001000000000ul);
    keeps(0xc0000084, 0x47700);
    keeps(0xc0000103, 0x77);
    keeps(0x277, 0x0007040600070406ul);
    keeps(0x200, 0x80000006);
    keeps(0x201, 0xf80000800ul);
    keeps(0x250, 0x0606060606060606ul);
    keeps(0x2ff, 0xc06);
    uint64_t efer;
    (void)reads(0xc0000080, &efer);
    tap_ok(writes(0xc0000080, efer | 0x801) && reads(0xc0000080, &v) && v == (efer | 0x801),
           "EFER takes SCE and NXE");
    tap_ok(writes(0xc0000080, efer), "and gives them back");
}

static void tsc(void)
{
    uint64_t adjust = 0, before, after;

    tap_ok(reads(0x3b, &adjust) && adjust == 0, "TSC_ADJUST is 0 at first");
    before = rdtsc();
    tap_ok(writes(0x3b, 1ul << 40), "TSC_ADJUST can be written");
    after = rdtsc();
    tap_ok(after - before >= 1ul << 40 && after - before < (1ul << 40) + 10000000,
           "and moves the TSC: %lx", after - before);
    tap_ok(writes(0x10, 5000), "the TSC can be written");
    after = rdtsc();
    tap_ok(after >= 5000 && after < 10000000, "and goes on from there: %lu", after);
    tap_ok(reads(0x10, &before) && before >= after && before - after < 10000000,
           "RDMSR of it agrees with RDTSC");
    uint64_t by = 0;
    tap_ok(reads(0x3b, &by) && by != 1ul << 40, "TSC_ADJUST has followed: %lx", by);
    tap_ok(writes(0x3b, 0), "back");
}

static void refused(void)
{
    static const uint32_t none[] = {
        0x2,        0x3a,       0x480,      0x48b,      0x4d0,      0x1234,     0x3fffffff,
        0x40000000, 0x2000,     0x186,      0xc1,       0xc0000000, 0xc0000085, 0xc0001fff,
        0xc0002000, 0xc0010015, 0xc0010114, 0xffffffff, 0x3f1,      0x570,      0xda0,
    };
    for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        tap_ok(read_gp(none[i]), "RDMSR of %x is #GP", none[i]);
        tap_ok(write_gp(none[i], 0), "WRMSR of %x is #GP", none[i]);
    }
    uint64_t efer = 0;
    (void)reads(0xc0000080, &efer);
    tap_ok(write_gp(0xc0000080, efer | 2), "a reserved bit of EFER is #GP");
    tap_ok(write_gp(0xc0000080, efer | 1ul << 12), "EFER.SVME is #GP");
    tap_ok(write_gp(0xc0000080, efer & ~0x100ul), "clearing LME under paging is #GP");
    tap_ok(write_gp(0xc0000100, 0x8000000000000000ul), "a non-canonical FS base is #GP");
    tap_ok(write_gp(0xc0000102, 0x0000800000000000ul), "a non-canonical KERNEL_GS base is #GP");
    tap_ok(write_gp(0xc0000082, 0x0000800000000000ul), "a non-canonical LSTAR is #GP");
    tap_ok(write_gp(0x277, 0x0202020202020202ul), "a reserved type in PAT is #GP");
    tap_ok(write_gp(0x1b, 1ul << 60), "a reserved bit of APIC_BASE is #GP");
    tap_ok(write_gp(0x1b, 0xfee00900 | 1ul << 51), "and one above the physical width");
    tap_ok(write_gp(0x1b, 0xfee00900 | 1), "and one below");
    tap_ok(write_gp(0x1d9, 1ul << 40), "a reserved bit of DEBUGCTL is #GP");
    tap_ok(write_gp(0xfe, 0), "MTRRCAP is read-only");
    tap_ok(read_gp(0x802), "x2APIC registers in xAPIC mode are #GP");
    apic_init();
    uint64_t v = 0;
    tap_ok(reads(0x802, &v) && v == 0, "x2APIC id %lx", v);
    tap_ok(reads(0x803, &v) && (v & 0xff) >= 0x10, "x2APIC version %lx", v);
    tap_ok(write_gp(0x803, 0), "the version is read-only");
    tap_ok(read_gp(0x80b), "EOI is write-only");
    tap_ok(write_gp(0x80b, 1), "EOI takes only 0");
    tap_ok(write_gp(0x808, 0x100), "a reserved bit of the TPR is #GP");
    tap_ok(read_gp(0x8ff), "an x2APIC register that is none is #GP");
    tap_ok(read_gp(0x80e), "DFR does not exist in x2APIC mode");
    tap_ok(write_gp(0x1b, 0xfee00900), "x2APIC to xAPIC directly is #GP");
}

void guest_main(const uint8_t *boot_params)
{
    (void)boot_params;
    mtrrs();
    misc_enable();
    machine_check();
    known();
    tsc();
    refused();
}
