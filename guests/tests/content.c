/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own operations on whole pages (mm/content/content.h), each set that this CPU
 * has: right for every byte of a page, and what each costs in ticks.
 */
#include "mm/content/content.h"

#include "kit.h"

#define TIMES 16

static uint8_t a[PAGE] __attribute__((aligned(4096))), b[PAGE] __attribute__((aligned(4096)));
static const struct content_ops *sets[5]; /* NULL ends it */
static struct content_key key;

#define FOR_EACH_SET(ops)                                                                          \
    for (const struct content_ops **each = sets, *ops; (ops = *each) != NULL; each++)

static void find_sets(void)
{
    uint32_t r[4];
    unsigned n = 0;

    sets[n++] = &content_scalar;
    sets[n++] = &content_sse2;
    cpuid(1, 0, r);
    if (!(r[2] >> 26 & 1)) {
        return;
    }
    __asm__ volatile("mov %%cr4, %%rax; bts $18, %%rax; mov %%rax, %%cr4" ::: "rax");
    cpuid(0xd, 0, r);
    uint32_t xcr0 = r[0] & 0xe7;
    __asm__ volatile("xsetbv" ::"c"(0), "a"(xcr0), "d"(0));
    cpuid(7, 0, r);
    if ((xcr0 & 7) == 7 && (r[1] >> 5 & 1)) {
        sets[n++] = &content_avx2;
    }
    if (xcr0 == 0xe7 && (r[1] >> 16 & 1)) {
        sets[n++] = &content_avx512;
    }
}

static void fill(uint64_t seed)
{
    for (unsigned i = 0; i < PAGE; i++) {
        seed = seed * 6364136223846793005ul + 1442695040888963407ul;
        a[i] = b[i] = (uint8_t)(seed >> 56);
    }
}

static void check(const struct content_ops *ops)
{
    unsigned wrong_order = 0, wrong_zero = 0, wrong_hash = 0;
    uint64_t whole;

    fill(1);
    whole = ops->hash(a, &key);
    wrong_order += ops->compare(a, b) != 0;
    for (unsigned i = 0; i < PAGE; i++) {
        b[i] ^= (uint8_t)(1u << i % 8);
        bool below = a[i] < b[i];
        wrong_order += (ops->compare(a, b) < 0) != below || (ops->compare(b, a) < 0) == below;
        wrong_hash += ops->hash(b, &key) == whole;
        b[i] = a[i];
    }
    wrong_hash += ops->hash(b, &key) != whole;
    memset(a, 0, PAGE);
    wrong_zero += !ops->is_zero(a);
    for (unsigned i = 0; i < PAGE; i++) {
        a[i] = (uint8_t)(1u << i % 8);
        wrong_zero += ops->is_zero(a);
        a[i] = 0;
    }
    tap_ok(wrong_order == 0, "%s: compare, %u wrong", ops->name, wrong_order);
    tap_ok(wrong_zero == 0, "%s: is_zero, %u wrong", ops->name, wrong_zero);
    tap_ok(wrong_hash == 0, "%s: hash, %u wrong", ops->name, wrong_hash);
}

static uint64_t least; /* ticks, of TIMES tries: the others were interrupted */
#define LEAST(body)                                                                                \
    do {                                                                                           \
        least = UINT64_MAX;                                                                        \
        for (unsigned time = 0; time < TIMES; time++) {                                            \
            uint64_t start = rdtsc();                                                              \
            body;                                                                                  \
            uint64_t ticks = rdtsc() - start;                                                      \
            least = ticks < least ? ticks : least;                                                 \
        }                                                                                          \
    } while (0)

static void measure(const struct content_ops *ops)
{
    uint64_t hash, equal, zero, unlike, nonzero;

    fill(2);
    LEAST((void)ops->hash(a, &key));
    hash = least;
    LEAST((void)ops->compare(a, b));
    equal = least;
    LEAST((void)ops->is_zero(a));
    nonzero = least;
    b[PAGE - 1] ^= 1;
    LEAST((void)ops->compare(a, b));
    unlike = least;
    memset(a, 0, PAGE);
    LEAST((void)ops->is_zero(a));
    zero = least;
    print("%s: hash %lu, compare equal %lu, unlike in the last byte %lu, is_zero of zeroes %lu, of "
          "others %lu ticks\n",
          ops->name, hash, equal, unlike, zero, nonzero);
}

void guest_main(const uint8_t *boot_params)
{
    (void)boot_params;
    find_sets();
    struct random random = {0};

    random_stir(&random, rdtsc());
    content_key_init(&key, &random);
    FOR_EACH_SET(ops)
    {
        check(ops);
        measure(ops);
    }
    fill(3);
    FOR_EACH_SET(ops)
    {
        tap_ok(ops->hash(a, &key) == content_scalar.hash(a, &key), "%s: hashes as the others do",
               ops->name);
    }
}
