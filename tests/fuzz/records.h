/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mutator for inputs that are a head and then records of one size, each an operation.
 *
 * libFuzzer's own mutator inserts and erases bytes, which makes all later operations others. This
 * one keeps the records whole: it changes one, or puts in, repeats, moves or takes out some.
 *
 * Included once by a fuzzer that defines RECORD_HEAD and RECORD_BYTES before.
 */
#ifndef TESTS_FUZZ_RECORDS_H
#define TESTS_FUZZ_RECORDS_H

#include "base/bits.h"
#include "input.h"

#include <string.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); /* libFuzzer's own */

/* The operations as inputs of their own: what one leaves is not the next one's. */
static inline bool next_record(struct input *in, struct input *record)
{
    size_t n = MIN(in->n, (size_t)RECORD_BYTES);

    *record = (struct input){in->p, n};
    in->p += n;
    in->n -= n;
    return n > 0;
}

static void mutate_record(uint8_t *record)
{
    size_t n = LLVMFuzzerMutate(record, RECORD_BYTES, RECORD_BYTES);

    memset(record + n, 0, RECORD_BYTES - n);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    uint8_t *records = data + RECORD_HEAD;
    size_t max = max_size < RECORD_HEAD ? 0 : (max_size - RECORD_HEAD) / RECORD_BYTES;
    size_t n = size < RECORD_HEAD ? 0 : (size - RECORD_HEAD) / RECORD_BYTES;
    unsigned what = seed % 8, rest = seed / 8;

    if (max == 0 || what == 7 || (n == 0 && size < RECORD_HEAD)) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    n = MIN(n, max);
    size_t at = n == 0 ? 0 : rest % n, other = n == 0 ? 0 : rest / (unsigned)n % n;
    uint8_t *r = records + at * RECORD_BYTES;
    if (what == 6 && RECORD_HEAD > 0) {
        size_t head = LLVMFuzzerMutate(data, RECORD_HEAD, RECORD_HEAD);
        memset(data + head, 0, RECORD_HEAD - head);
    } else if (n == 0 || (what <= 1 && n < max)) { /* a new one, or a repeated one */
        uint8_t copy[RECORD_BYTES] = {0};
        if (n > 0 && what == 1) {
            memcpy(copy, records + other * RECORD_BYTES, RECORD_BYTES);
        }
        memmove(r + RECORD_BYTES, r, (n - at) * RECORD_BYTES);
        memcpy(r, copy, RECORD_BYTES);
        n++;
        mutate_record(r);
    } else if (what == 2 && n > 1) {
        n--;
        memmove(r, r + RECORD_BYTES, (n - at) * RECORD_BYTES);
    } else if (what == 3 && at != other) {
        uint8_t copy[RECORD_BYTES];
        memcpy(copy, r, RECORD_BYTES);
        memcpy(r, records + other * RECORD_BYTES, RECORD_BYTES);
        memcpy(records + other * RECORD_BYTES, copy, RECORD_BYTES);
    } else {
        mutate_record(r);
    }
    return RECORD_HEAD + n * RECORD_BYTES;
}

#endif
