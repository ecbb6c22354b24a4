/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaf types: fixed-width integers and the four address types.
 *
 * Frame numbers and addresses of the guest and of the machine are single-member structs, so that
 * passing one where another is meant does not compile.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096u
#define PAGE_MASK 4095u

typedef struct {
    uint64_t n;
} gfn_t; /* guest frame number */
typedef struct {
    uint64_t n;
} mfn_t; /* machine frame number */
typedef struct {
    uint64_t a;
} gpa_t; /* guest-physical address */
typedef struct {
    uint64_t a;
} hpa_t; /* host-physical (machine) address */

#define GFN(x) ((gfn_t){(uint64_t)(x)})
#define MFN(x) ((mfn_t){(uint64_t)(x)})
#define GPA(x) ((gpa_t){(uint64_t)(x)})
#define HPA(x) ((hpa_t){(uint64_t)(x)})

static inline gfn_t gpa_to_gfn(gpa_t a)
{
    return GFN(a.a >> PAGE_SHIFT);
}

static inline gpa_t gfn_to_gpa(gfn_t g)
{
    return GPA(g.n << PAGE_SHIFT);
}

static inline mfn_t hpa_to_mfn(hpa_t a)
{
    return MFN(a.a >> PAGE_SHIFT);
}

static inline hpa_t mfn_to_hpa(mfn_t m)
{
    return HPA(m.n << PAGE_SHIFT);
}

#endif
