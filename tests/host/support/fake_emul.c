/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator's fake machine: see fake_emul.h. */
#define _GNU_SOURCE
#include "fake_emul.h"

#include <cpuid.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/log.h"

struct emul_fake fake;

static bool is_data(uint64_t at)
{
    return fake.aliased || (at >= FAKE_DATA && at < FAKE_DATA + FAKE_BYTES);
}

/* Of a data page's byte, in fake.memory. */
static size_t offset_of(uint64_t at)
{
    return (fake.aliased ? at : at - FAKE_DATA) % FAKE_BYTES;
}

static bool in_mask(unsigned pages, uint64_t at)
{
    return pages >> offset_of(at) / PAGE_SIZE & 1;
}

static void get_segment(void *ctx, unsigned which, struct emul_segment *out)
{
    (void)ctx;
    fake.calls++;
    ASSERT(which < SEG_ALL);
    *out = fake.segments[which];
}

static void set_segment(void *ctx, unsigned which, const struct emul_segment *in)
{
    (void)ctx;
    fake.calls++;
    ASSERT(which < SEG_ALL);
    fake.segments[which] = *in;
}

static enum status ram_find(void *ctx, gpa_t at, bool write)
{
    (void)ctx;
    unsigned lacks = write ? fake.frameless : fake.unreadable;

    fake.calls++;
    if (!is_data(at.a)) {
        return at.a >= FAKE_CODE && at.a < FAKE_CODE + PAGE_SIZE ? OK : E_FAULT;
    }
    return in_mask(lacks, at.a) ? E_NOMEM : in_mask(fake.device_pages, at.a) ? E_FAULT : OK;
}

static enum status ram_read(void *ctx, gpa_t at, void *to, unsigned n)
{
    enum status s = ram_find(ctx, at, false);

    if (s != OK) {
        return s;
    }
    ASSERT(at.a % PAGE_SIZE + n <= PAGE_SIZE);
    memcpy(to, is_data(at.a) ? fake.memory + offset_of(at.a) : (const uint8_t *)at.a, n);
    return OK;
}

static enum status ram_write(void *ctx, gpa_t at, const void *from, unsigned n)
{
    enum status s = is_data(at.a) ? ram_find(ctx, at, true) : E_FAULT;

    if (s != OK) {
        return s;
    }
    ASSERT(at.a % PAGE_SIZE + n <= PAGE_SIZE);
    memcpy(fake.memory + offset_of(at.a), from, n);
    return OK;
}

static void check_device(gpa_t at, unsigned size)
{
    ASSERT(size == 1 || size == 2 || size == 4 || size == 8);
    ASSERT(at.a % PAGE_SIZE + size <= PAGE_SIZE);
    fake.device_accesses++;
    fake.calls++;
}

static uint64_t device_read(void *ctx, gpa_t at, unsigned size)
{
    uint64_t value = 0;
    (void)ctx;

    check_device(at, size);
    if (!is_data(at.a)) {
        return UINT64_MAX;
    }
    memcpy(&value, fake.memory + offset_of(at.a), size);
    return value;
}

static void device_write(void *ctx, gpa_t at, unsigned size, uint64_t value)
{
    (void)ctx;
    check_device(at, size);
    if (is_data(at.a)) {
        memcpy(fake.memory + offset_of(at.a), &value, size);
    }
}

static void get_vector(void *ctx, unsigned n, uint8_t to[EMUL_VECTOR_BYTES])
{
    (void)ctx;
    ASSERT(n < 16);
    memcpy(to, fake.ymm[n], EMUL_VECTOR_BYTES);
}

static void set_vector(void *ctx, unsigned n, const uint8_t from[EMUL_VECTOR_BYTES])
{
    (void)ctx;
    ASSERT(n < 16);
    memcpy(fake.ymm[n], from, EMUL_VECTOR_BYTES);
}

static enum status load_cr3(void *ctx, uint64_t cr3)
{
    (void)ctx;
    fake.calls++;
    fake.cr3 = cr3;
    return fake.cr3_status;
}

static bool stop(void *ctx)
{
    (void)ctx;
    fake.calls++;
    return fake.stops++ % 3 == 2;
}

static const struct emul_ops ops = {.get_segment = get_segment,
                                    .set_segment = set_segment,
                                    .ram_find = ram_find,
                                    .ram_read = ram_read,
                                    .ram_write = ram_write,
                                    .device_read = device_read,
                                    .device_write = device_write,
                                    .get_vector = get_vector,
                                    .set_vector = set_vector,
                                    .load_cr3 = load_cr3,
                                    .stop = stop};

bool host_has(uint32_t leaf, unsigned reg, unsigned bit)
{
    uint32_t r[4] = {0};

    (void)__get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]);
    return r[reg] >> bit & 1;
}

void fake_reset(enum insn_mode mode)
{
    fake.e = (struct emul){.ops = &ops,
                           .gpr = fake.gpr,
                           .rip = FAKE_CODE,
                           .rflags = 2,
                           .cr0 = 1,
                           .cr4 = BIT(9) | BIT(18),
                           .efer = mode == INSN_64 ? BIT(10) : 0,
                           .xcr0 = 7,
                           .mode = mode,
                           .has_tzcnt = host_has(7, 1, 3),
                           .has_lzcnt = host_has(0x80000001, 2, 5)};
    for (unsigned s = 0; s < SEG_ALL; s++) {
        fake.segments[s] = (struct emul_segment){
            .selector = (uint16_t)(8 * s), .limit = UINT32_MAX, .rights = 0xc093};
    }
    __asm__("mov %%cs, %0" : "=r"(fake.segments[SEG_CS].selector));
    fake.segments[SEG_CS].rights = mode == INSN_64 ? 0xa09b : 0xc09b;
}

bool fake_map(void)
{
    void *p = mmap((void *)FAKE_CODE, PAGE_SIZE + FAKE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    return p == (void *)FAKE_CODE;
}
