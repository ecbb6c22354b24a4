/* SPDX-License-Identifier: BSD-2-Clause */
/* Small arithmetic that everybody needs: bits, alignment, bounds, unaligned little-endian access.
 */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include "base/types.h"

#define BIT(n) (UINT64_C(1) << (n))
#define BIT32(n) (UINT32_C(1) << (n))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/* Each argument is evaluated once. Inside functions only. */
#define MIN(a, b) PICK(a, <, b, UNIQUE(a_), UNIQUE(b_))
#define MAX(a, b) PICK(a, >, b, UNIQUE(a_), UNIQUE(b_))
#define PICK(a, op, b, x, y)                                                                       \
    __extension__({                                                                                \
        __typeof__(1 ? (a) : (b)) x = (a), y = (b);                                                \
        x op y ? x : y;                                                                            \
    })
#define UNIQUE(name) JOIN(name, __COUNTER__) /* so that nested ones shadow nothing */
#define JOIN(a, b) JOIN_AS_IS(a, b)
#define JOIN_AS_IS(a, b) a##b
#define ALIGN_UP(x, to) (((x) + ((to)-1)) & ~((uint64_t)(to)-1)) /* `to` a power of two */
#define ALIGN_DOWN(x, to) ((x) & ~((uint64_t)(to)-1))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Whether [start, start + len) lies in [0, limit), without overflow. */
static inline bool range_within(uint64_t start, uint64_t len, uint64_t limit)
{
    return start <= limit && len <= limit - start;
}

/* How many bits are set, in sums of 2, 4 and 8 bits. */
static inline unsigned bits_count(uint64_t x)
{
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(x * UINT64_C(0x0101010101010101) >> 56);
}

static inline uint16_t load_le16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t load_le32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t load_le64(const void *p)
{
    const uint8_t *b = p;
    return (uint64_t)load_le32(b) | (uint64_t)load_le32(b + 4) << 32;
}

static inline void store_le16(void *p, uint16_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)v;
    b[1] = (uint8_t)(v >> 8);
}

static inline void store_le32(void *p, uint32_t v)
{
    uint8_t *b = p;
    store_le16(b, (uint16_t)v);
    store_le16(b + 2, (uint16_t)(v >> 16));
}

static inline void store_le64(void *p, uint64_t v)
{
    uint8_t *b = p;
    store_le32(b, (uint32_t)v);
    store_le32(b + 4, (uint32_t)(v >> 32));
}

#endif
