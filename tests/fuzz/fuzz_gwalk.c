/* SPDX-License-Identifier: BSD-2-Clause */
/* Walks through tables that are the fuzzer's bytes, in every mode: bounded, and no wild answer. */
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/decode/gwalk.h"
#include "base/bits.h"
#include "work.h"

struct input {
    const uint8_t *bytes;
    size_t size;
    unsigned reads;
};

static void require(bool ok)
{
    if (!ok) {
        abort();
    }
}

static enum status read_input(void *ctx, gpa_t at, void *to, unsigned n)
{
    struct input *in = ctx;

    in->reads++;
    require(n == 4 || n == 8);
    require(at.a % n == 0);
    if (in->size < n) {
        return E_FAULT;
    }
    memcpy(to, in->bytes + at.a % (in->size - n + 1), n); /* the bytes again and again */
    return OK;
}

static int one_input(const uint8_t *data, size_t size)
{
    if (size < 48) {
        return 0;
    }
    const struct gwalk_mode m = {.cr0 = load_le64(data),
                                 .cr3 = load_le64(data + 8),
                                 .cr4 = load_le64(data + 16),
                                 .efer = load_le64(data + 24),
                                 .ac = data[40] & 1,
                                 .phys_bits = data[41]};
    struct input in = {data + 48, size - 48, 0};
    const struct gwalk_reader reader = {.read = read_input, .ctx = &in};
    gpa_t gpa = GPA(0);
    uint32_t error = 0;
    unsigned access = data[42] & (GWALK_WRITE | GWALK_USER | GWALK_FETCH);
    uint64_t linear = load_le64(data + 32);

    switch (gwalk(&m, &reader, linear, access, &gpa, &error)) {
    case OK:
        require(gpa.a < BIT(52) && (gpa.a & PAGE_MASK) == (linear & PAGE_MASK));
        break;
    case E_FAULT:
        require((error & ~0x1fu) == 0 && (error & 6) == (access & 6));
        break;
    case E_RANGE:
        break;
    default:
        abort();
    }
    require(in.reads <= 5);
    return 0;
}

FUZZ_ENTRY(one_input, 1000, 10)
