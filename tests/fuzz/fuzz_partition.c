/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Partition tables from raw bytes: the input's sectors stand at the disk's beginning and end. In
 * one of two modes the GPT's sums are made right first, so that what lies behind them is reached.
 */
#include "base/bits.h"
#include "base/status.h"
#include "drivers/block/partition/partition.h"
#include "work.h"

#include <stdlib.h>
#include <string.h>

#define SECTORS 64u /* of input; half of them at the beginning, half at the end */

static uint8_t bytes[SECTORS * 512];
static uint64_t disk_sectors;
static unsigned reads;

static enum status fuzz_read(void *ctx, uint64_t sector, void *buf)
{
    (void)ctx;
    if (sector >= disk_sectors || ++reads > 10000) {
        abort();
    }
    if (sector < SECTORS / 2) {
        memcpy(buf, bytes + sector * 512, 512);
    } else if (disk_sectors - sector <= SECTORS / 2) {
        memcpy(buf, bytes + (SECTORS - (disk_sectors - sector)) * 512, 512);
    } else {
        memset(buf, 0, 512);
    }
    return OK;
}

static uint32_t crc(const uint8_t *p, size_t n)
{
    uint32_t c = UINT32_MAX;

    for (size_t i = 0; i < n * 8; i++) {
        uint32_t bit = (c ^ (uint32_t)(p[i / 8] >> (i % 8))) & 1;
        c = (c >> 1) ^ (bit != 0 ? UINT32_C(0xedb88320) : 0);
    }
    return ~c;
}

static void mend_gpt(void)
{
    uint8_t *h = bytes + 512;
    uint64_t n = (uint64_t)load_le32(h + 80) * load_le32(h + 84);

    bytes[510] = 0x55;
    bytes[511] = 0xaa;
    for (unsigned i = 0; i < 4; i++) {
        bytes[446 + i * 16] &= 0x80;
    }
    bytes[450] = 0xee;
    memcpy(h, "EFI PART", 8);
    store_le32(h + 12, 92);
    store_le64(h + 24, 1);
    store_le64(h + 72, 2);
    if (n <= (SECTORS / 2 - 2) * 512) {
        store_le32(h + 88, crc(h + 512, n));
    }
    store_le32(h + 16, 0);
    store_le32(h + 16, crc(h, 92));
}

static int one_input(const uint8_t *data, size_t size)
{
    static struct partition_table t;

    if (size < 9) {
        return 0;
    }
    bool mend = (data[0] & 1) != 0;
    disk_sectors = (data[0] & 2) != 0 ? load_le64(data + 1) : load_le16(data + 1);
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, data + 9, MIN(size - 9, sizeof(bytes)));
    if (mend) {
        mend_gpt();
    }
    reads = 0;
    struct partition_reader r = {fuzz_read, NULL, disk_sectors};
    if (partition_scan(&r, &t) != OK && t.n != 0) {
        abort();
    }
    for (unsigned i = 0; i < t.n; i++) {
        const struct partition *p = &t.parts[i];
        if (p->sectors == 0 || p->first == 0 || p->number == 0 ||
            !range_within(p->first, p->sectors, disk_sectors)) {
            abort();
        }
        for (unsigned k = 0; k < i; k++) {
            const struct partition *q = &t.parts[k];
            if ((p->first < q->first + q->sectors && q->first < p->first + p->sectors) ||
                p->number == q->number) {
                abort();
            }
        }
    }
    return 0;
}

FUZZ_ENTRY(one_input, 25000000, 4000)
