/* SPDX-License-Identifier: BSD-2-Clause */
/* Integer arithmetic with flags: see alu.h. */
#include "arch/x86_64/decode/alu.h"

#include "base/bits.h"

#define ARITHMETIC ((uint64_t)(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF))

static uint64_t sign_bit(unsigned size)
{
    return BIT(8 * size - 1);
}

uint64_t alu_sign_extend(uint64_t value, unsigned size)
{
    value &= alu_mask(size);
    return (value & sign_bit(size)) ? value | ~alu_mask(size) : value;
}

/* ZF, SF and PF of a result. */
static uint64_t flags_of(uint64_t r, unsigned size)
{
    uint64_t flags = r == 0 ? FLAG_ZF : 0;

    flags |= (r & sign_bit(size)) ? FLAG_SF : 0;
    return flags | (__builtin_parity((unsigned)(r & 0xff)) ? 0 : FLAG_PF);
}

static void set_flags(uint64_t *rflags, uint64_t which, uint64_t to)
{
    *rflags = (*rflags & ~which) | (to & which);
}

uint64_t alu_binary(enum alu_op op, uint64_t dest, uint64_t src, unsigned size, uint64_t *rflags)
{
    uint64_t mask = alu_mask(size), flags = 0, r;
    bool carry_in = (op == ALU_ADC || op == ALU_SBB) && (*rflags & FLAG_CF);

    dest &= mask;
    src &= mask;
    switch (op) {
    case ALU_ADD:
    case ALU_ADC:
        r = (dest + src + carry_in) & mask;
        flags |= r < dest || (carry_in && r == dest) ? FLAG_CF : 0;
        flags |= ((dest ^ r) & (src ^ r) & sign_bit(size)) ? FLAG_OF : 0;
        flags |= ((dest ^ src ^ r) & 0x10) ? FLAG_AF : 0;
        break;
    case ALU_SUB:
    case ALU_SBB:
    case ALU_CMP:
        r = (dest - src - carry_in) & mask;
        flags |= dest < src || (carry_in && dest == src) ? FLAG_CF : 0;
        flags |= ((dest ^ src) & (dest ^ r) & sign_bit(size)) ? FLAG_OF : 0;
        flags |= ((dest ^ src ^ r) & 0x10) ? FLAG_AF : 0;
        break;
    case ALU_OR:
        r = dest | src;
        break;
    case ALU_AND:
        r = dest & src;
        break;
    default:
        r = dest ^ src;
        break;
    }
    set_flags(rflags, ARITHMETIC, flags | flags_of(r, size));
    return op == ALU_CMP ? dest : r;
}

uint64_t alu_step(bool up, uint64_t dest, unsigned size, uint64_t *rflags)
{
    uint64_t flags = *rflags;
    uint64_t r = alu_binary(up ? ALU_ADD : ALU_SUB, dest, 1, size, &flags);

    set_flags(rflags, ARITHMETIC & ~(uint64_t)FLAG_CF, flags);
    return r;
}

/* OF as after a shift by one: whether the sign differs from CF, or from the bit below it. */
static uint64_t overflow(bool left, uint64_t r, bool carry, unsigned size)
{
    bool sign = r & sign_bit(size), other = left ? carry : (r & sign_bit(size) >> 1) != 0;

    return sign != other ? FLAG_OF : 0;
}

static uint64_t rotate(enum alu_shift op, uint64_t dest, unsigned count, unsigned size,
                       uint64_t *rflags)
{
    unsigned bits = 8 * size, by = count % bits;
    bool left = op == ALU_ROL;
    uint64_t r = dest;

    if (by != 0) {
        r = left ? dest << by | dest >> (bits - by) : dest >> by | dest << (bits - by);
        r &= alu_mask(size);
    }
    bool carry = left ? r & 1 : (r & sign_bit(size)) != 0;
    set_flags(rflags, FLAG_CF | FLAG_OF, (carry ? FLAG_CF : 0) | overflow(left, r, carry, size));
    return r;
}

/* Through CF: at most 64 single steps, so no case of its own for a count of the whole width. */
static uint64_t rotate_carry(bool left, uint64_t dest, unsigned count, unsigned size,
                             uint64_t *rflags)
{
    uint64_t r = dest, top = sign_bit(size);
    bool carry = *rflags & FLAG_CF;

    for (unsigned n = count % (8 * size + 1); n > 0; n--) {
        bool out = left ? (r & top) != 0 : r & 1;

        r = left ? (r << 1 | carry) & alu_mask(size) : r >> 1 | (carry ? top : 0);
        carry = out;
    }
    set_flags(rflags, FLAG_CF | FLAG_OF, (carry ? FLAG_CF : 0) | overflow(left, r, carry, size));
    return r;
}

uint64_t alu_shift(enum alu_shift op, uint64_t dest, uint64_t count64, unsigned size,
                   uint64_t *rflags)
{
    unsigned bits = 8 * size, count = (unsigned)count64 & (size == 8 ? 63 : 31);
    bool left = op == ALU_SHL || op == ALU_SAL, carry;
    uint64_t r;

    dest &= alu_mask(size);
    if (count == 0) {
        return dest;
    }
    if (op == ALU_ROL || op == ALU_ROR) {
        return rotate(op, dest, count, size, rflags);
    }
    if (op == ALU_RCL || op == ALU_RCR) {
        return rotate_carry(op == ALU_RCL, dest, count, size, rflags);
    }
    if (left) {
        carry = count <= bits && (dest >> (bits - count) & 1);
        r = count < bits ? dest << count & alu_mask(size) : 0;
    } else {
        /* Sign-extended to 64 bits a count of at most 63 is no special case for SAR. */
        uint64_t wide = op == ALU_SAR ? alu_sign_extend(dest, size) : dest;
        int64_t out = (int64_t)wide >> (count - 1);

        carry = op == ALU_SAR ? out & 1 : wide >> (count - 1) & 1;
        r = (op == ALU_SAR ? (uint64_t)((int64_t)wide >> count) : wide >> count) & alu_mask(size);
    }
    uint64_t of = op == ALU_SAR ? 0 : overflow(left, r, carry, size);
    set_flags(rflags, ARITHMETIC, flags_of(r, size) | (carry ? FLAG_CF : 0) | of);
    return r;
}

uint64_t alu_double_shift(bool left, uint64_t dest, uint64_t src, uint64_t count64, unsigned size,
                          uint64_t *rflags)
{
    unsigned bits = 8 * size, count = (unsigned)count64 & (size == 8 ? 63 : 31);
    uint64_t r, flags;
    bool carry;

    dest &= alu_mask(size);
    src &= alu_mask(size);
    if (count == 0) {
        return dest;
    }
    if (count > bits) { /* of 16 bits: undefined; the bits of dest come in again */
        uint64_t was = dest;
        dest = src;
        src = was;
        count -= bits;
    }
    uint64_t over = count == bits ? src : left ? src >> (bits - count) : src << (bits - count);
    if (left) {
        carry = dest >> (bits - count) & 1;
        r = (count == bits ? 0 : dest << count) | over;
    } else {
        carry = dest >> (count - 1) & 1;
        r = (count == bits ? 0 : dest >> count) | over;
    }
    r &= alu_mask(size);
    flags = flags_of(r, size) | (carry ? FLAG_CF : 0);
    flags |= ((dest ^ r) & sign_bit(size)) ? FLAG_OF : 0;
    set_flags(rflags, ARITHMETIC, flags);
    return r;
}

void alu_multiply(bool is_signed, uint64_t a, uint64_t b, unsigned size, uint64_t *low,
                  uint64_t *high, uint64_t *rflags)
{
    uint64_t mask = alu_mask(size);
    unsigned bits = 8 * size;
    unsigned __int128 p;
    bool fits;

    if (is_signed) {
        __int128 s =
            (__int128)(int64_t)alu_sign_extend(a, size) * (int64_t)alu_sign_extend(b, size);
        p = (unsigned __int128)s;
        fits = s == (__int128)(int64_t)alu_sign_extend((uint64_t)p, size);
    } else {
        p = (unsigned __int128)(a & mask) * (b & mask);
        fits = p >> bits == 0;
    }
    *low = (uint64_t)p & mask;
    *high = (uint64_t)(p >> bits) & mask;
    /* SF, ZF, AF, PF are undefined: SF and PF are the low half's, the others 0. */
    set_flags(rflags, ARITHMETIC,
              (fits ? 0 : FLAG_CF | FLAG_OF) | (flags_of(*low, size) & ~(uint64_t)FLAG_ZF));
}

/* high:low / divisor by the CPU itself, which must not overflow: high < divisor. */
static uint64_t divide128(uint64_t high, uint64_t low, uint64_t divisor, uint64_t *remainder)
{
    uint64_t quotient;

    __asm__("divq %4" : "=a"(quotient), "=d"(*remainder) : "a"(low), "d"(high), "r"(divisor));
    return quotient;
}

static uint64_t negate_if(bool negative, uint64_t v)
{
    return negative ? 0 - v : v;
}

bool alu_divide(bool is_signed, uint64_t high, uint64_t low, uint64_t divisor, unsigned size,
                uint64_t *quotient, uint64_t *remainder)
{
    uint64_t mask = alu_mask(size), q, r;
    bool negative = false, negative_divisor = false;
    unsigned bits = 8 * size;

    high &= mask;
    low &= mask;
    divisor &= mask;
    if (is_signed) { /* magnitudes, then signs */
        negative = high & sign_bit(size);
        negative_divisor = divisor & sign_bit(size);
        divisor = negate_if(negative_divisor, divisor) & mask;
        if (negative) {
            low = (0 - low) & mask;
            high = (~high + (low == 0)) & mask;
        }
    }
    if (divisor == 0 || high >= divisor) {
        return false; /* the quotient would not fit */
    }
    if (size == 8) {
        q = divide128(high, low, divisor, &r);
    } else {
        uint64_t dividend = high << bits | low;
        q = dividend / divisor;
        r = dividend % divisor;
    }
    if (is_signed) {
        bool negative_quotient = negative != negative_divisor;

        if (q > sign_bit(size) - !negative_quotient) {
            return false;
        }
        q = negate_if(negative_quotient, q);
        r = negate_if(negative, r);
    }
    *quotient = q & mask;
    *remainder = r & mask;
    return true;
}

uint64_t alu_bit(unsigned op, uint64_t dest, unsigned bit, uint64_t *rflags)
{
    uint64_t mask = BIT(bit);

    set_flags(rflags, FLAG_CF, (dest & mask) ? FLAG_CF : 0);
    return op == 1 ? dest | mask : op == 2 ? dest & ~mask : op == 3 ? dest ^ mask : dest;
}

unsigned alu_lowest(uint64_t src)
{
    return (unsigned)__builtin_ctzll(src);
}

unsigned alu_highest(uint64_t src)
{
    return 63 - (unsigned)__builtin_clzll(src);
}

uint64_t alu_count_zeros(bool up, uint64_t src, unsigned size, uint64_t *rflags)
{
    unsigned bits = 8 * size;

    src &= alu_mask(size);
    uint64_t r = src == 0 ? bits : up ? alu_lowest(src) : bits - 1 - alu_highest(src);
    set_flags(rflags, FLAG_CF | FLAG_ZF, (src == 0 ? FLAG_CF : 0) | (r == 0 ? FLAG_ZF : 0));
    return r;
}

uint64_t alu_popcnt(uint64_t src, unsigned size, uint64_t *rflags)
{
    uint64_t r = 0;

    for (src &= alu_mask(size); src != 0; src &= src - 1) {
        r++;
    }
    set_flags(rflags, ARITHMETIC, r == 0 ? FLAG_ZF : 0);
    return r;
}

bool alu_condition(unsigned cc, uint64_t f)
{
    bool less = !(f & FLAG_SF) != !(f & FLAG_OF), is = false;

    switch (cc >> 1 & 7) {
    case 0:
        is = f & FLAG_OF;
        break;
    case 1:
        is = f & FLAG_CF;
        break;
    case 2:
        is = f & FLAG_ZF;
        break;
    case 3:
        is = f & (FLAG_CF | FLAG_ZF);
        break;
    case 4:
        is = f & FLAG_SF;
        break;
    case 5:
        is = f & FLAG_PF;
        break;
    case 6:
        is = less;
        break;
    case 7:
        is = less || (f & FLAG_ZF);
        break;
    }
    return is != (cc & 1);
}
