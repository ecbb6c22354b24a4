/* SPDX-License-Identifier: BSD-2-Clause */
/* Chooses the operations on whole pages by CPUID and by the state that XCR0 may enable. */
#include "arch/x86_64/hvm/vector.h"

#include <cpuid.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm/xstate.h"

#define YMM (XCR0_SSE | XCR0_AVX)
#define ZMM (YMM | XCR0_AVX512)

static const struct content_unit scalar = {.ops = &content_scalar};
static const struct content_unit sse2 = {&content_sse2, xstate_borrow, xstate_give_back};
static const struct content_unit avx2 = {&content_avx2, xstate_borrow, xstate_give_back};
static const struct content_unit avx512 = {&content_avx512, xstate_borrow, xstate_give_back};

static bool usable(uint32_t features, uint32_t feature, uint64_t state)
{
    return (features & feature) && (hvm_caps.xcr0_may & state) == state;
}

const struct content_unit *vector_unit(void)
{
    uint32_t features = cpuid(0, 0).eax >= 7 ? cpuid(7, 0).ebx : 0;

    if (usable(features, bit_AVX512F, ZMM)) {
        return &avx512;
    }
    if (usable(features, bit_AVX2, YMM)) {
        return &avx2;
    }
    return hvm_caps.xcr0_may & XCR0_SSE ? &sse2 : &scalar; /* no state is known before hvm_init */
}
