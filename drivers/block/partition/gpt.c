/* SPDX-License-Identifier: BSD-2-Clause */
/* The GPT parser: UEFI specification 2.10, section 5.3. */
#include "drivers/block/partition/gpt.h"

#include "base/bits.h"
#include "base/string.h"

#define GPT_SIGNATURE UINT64_C(0x5452415020494645) /* "EFI PART" */
#define GPT_HEADER_MIN 92
#define GPT_ENTRY_MIN 128
#define GPT_ENTRY_MAX 4096
#define GPT_ARRAY_MAX (1u << 20) /* bytes of entries that are read at most */

struct gpt {
    uint64_t first_usable, last_usable, array;
    uint32_t entries, entry_bytes, array_crc;
};

/* CRC-32 (IEEE 802.3), reflected, continued from `crc`; begin with 0. */
static uint32_t crc32(uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (unsigned b = 0; b < 8; b++) {
            crc = (crc >> 1) ^ (UINT32_C(0xedb88320) & (0 - (crc & 1)));
        }
    }
    return ~crc;
}

static enum status read_header(const struct partition_reader *r, uint64_t lba, struct gpt *g)
{
    uint8_t h[BLK_SECTOR];
    enum status s = r->read(r->ctx, lba, h);

    if (s != OK) {
        return s;
    }
    uint32_t bytes = load_le32(h + 12);
    uint32_t crc = load_le32(h + 16);
    if (load_le64(h) != GPT_SIGNATURE || bytes < GPT_HEADER_MIN || bytes > BLK_SECTOR) {
        return E_INVAL;
    }
    store_le32(h + 16, 0); /* the sum is made with its own field zero */
    if (crc32(0, h, bytes) != crc || load_le64(h + 24) != lba) {
        return E_INVAL;
    }
    *g = (struct gpt){
        .first_usable = load_le64(h + 40),
        .last_usable = load_le64(h + 48),
        .array = load_le64(h + 72),
        .entries = load_le32(h + 80),
        .entry_bytes = load_le32(h + 84),
        .array_crc = load_le32(h + 88),
    };
    /* 128 << n bytes, so that what we read of an entry never crosses a sector. */
    if (g->entry_bytes < GPT_ENTRY_MIN || g->entry_bytes > GPT_ENTRY_MAX ||
        (g->entry_bytes & (g->entry_bytes - 1)) != 0 ||
        g->entries > GPT_ARRAY_MAX / g->entry_bytes) {
        return E_INVAL;
    }
    uint64_t array_sectors = ((uint64_t)g->entries * g->entry_bytes + BLK_SECTOR - 1) / BLK_SECTOR;
    if (!range_within(g->array, array_sectors, r->sectors) || g->first_usable > g->last_usable ||
        g->last_usable >= r->sectors) {
        return E_INVAL;
    }
    return OK;
}

static void add_entry(const struct partition_reader *r, struct partition_table *t,
                      const struct gpt *g, uint32_t index, const uint8_t *e)
{
    uint64_t first = load_le64(e + 32);
    uint64_t last = load_le64(e + 40);

    if ((load_le64(e) | load_le64(e + 8)) == 0) {
        return; /* type zero: an unused entry */
    }
    if (first > last || first < g->first_usable || last > g->last_usable) {
        t->n_refused++;
        return;
    }
    partition_add(t, r->sectors, index + 1, first, last - first + 1);
}

/* One pass: the entries that the sum vouches for are the very bytes that were parsed. */
static enum status read_array(const struct partition_reader *r, struct partition_table *t,
                              const struct gpt *g)
{
    uint8_t buf[BLK_SECTOR];
    uint64_t bytes = (uint64_t)g->entries * g->entry_bytes;
    uint32_t crc = 0;

    for (uint64_t at = 0; at < bytes; at += BLK_SECTOR) {
        enum status s = r->read(r->ctx, g->array + at / BLK_SECTOR, buf);
        if (s != OK) {
            return s;
        }
        size_t n = (size_t)MIN((uint64_t)BLK_SECTOR, bytes - at);
        crc = crc32(crc, buf, n);
        for (size_t off = 0; off < n; off += GPT_ENTRY_MIN) {
            if ((at + off) % g->entry_bytes == 0) {
                add_entry(r, t, g, (uint32_t)((at + off) / g->entry_bytes), buf + off);
            }
        }
    }
    return crc == g->array_crc ? OK : E_INVAL;
}

static enum status scan_at(const struct partition_reader *r, struct partition_table *t,
                           uint64_t lba)
{
    struct gpt g;

    t->n = t->n_refused = 0;
    enum status s = read_header(r, lba, &g);
    return s == OK ? read_array(r, t, &g) : s;
}

enum status partition_scan_gpt(const struct partition_reader *r, struct partition_table *t)
{
    enum status s = E_INVAL;

    if (r->sectors >= 3) {
        s = scan_at(r, t, 1);
        if (s != OK) {
            t->backup = true;
            s = scan_at(r, t, r->sectors - 1);
        }
    }
    if (s != OK) {
        t->n = t->n_refused = 0;
        t->backup = false;
        return s;
    }
    t->scheme = PARTITION_GPT;
    return OK;
}
