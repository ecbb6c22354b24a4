/* SPDX-License-Identifier: BSD-2-Clause */
/* The MBR parser, the choice between MBR and GPT, and partitions as block devices. */
#include "drivers/block/partition/partition.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/block/partition/gpt.h"

#define MBR_ENTRIES 446 /* offset of the four entries in the sector */
#define MBR_ENTRY_BYTES 16
#define MBR_SIGNATURE 510
#define MBR_TYPE_EMPTY 0x00
#define MBR_TYPE_GPT 0xee /* a protective entry: the table is a GPT */
#define MBR_LOGICALS 60   /* links of an extended partition's chain that are followed */

struct mbr_entry {
    uint8_t status, type;
    uint32_t first, sectors;
};

static struct mbr_entry mbr_entry(const uint8_t *sector, unsigned i)
{
    const uint8_t *e = sector + MBR_ENTRIES + i * MBR_ENTRY_BYTES;

    return (struct mbr_entry){e[0], e[4], load_le32(e + 8), load_le32(e + 12)};
}

static bool has_signature(const uint8_t *sector)
{
    return load_le16(sector + MBR_SIGNATURE) == 0xaa55;
}

static bool is_extended(uint8_t type)
{
    return type == 0x05 || type == 0x0f || type == 0x85;
}

void partition_add(struct partition_table *t, uint64_t disk_sectors, uint32_t number,
                   uint64_t first, uint64_t sectors)
{
    /* Sector 0 is the table itself. */
    if (sectors == 0 || first == 0 || !range_within(first, sectors, disk_sectors) ||
        t->n == PARTITION_MAX) {
        t->n_refused++;
        return;
    }
    for (unsigned i = 0; i < t->n; i++) {
        const struct partition *p = &t->parts[i];
        if (first < p->first + p->sectors && p->first < first + sectors) {
            t->n_refused++;
            return;
        }
    }
    t->parts[t->n++] = (struct partition){number, first, sectors};
}

/*
 * Logical partitions: each link is a sector with one entry for the partition, relative to the link,
 * and one for the next link, relative to the extended partition's start, which may lead back on the
 * disk. As in Linux, a link without a partition has no number.
 */
static enum status scan_extended(const struct partition_reader *r, struct partition_table *t,
                                 uint64_t base, uint64_t len)
{
    uint8_t buf[BLK_SECTOR];
    uint32_t links[MBR_LOGICALS], link = 0, number = 5;

    if (!range_within(base, len, r->sectors)) {
        t->n_refused++;
        return OK;
    }
    for (unsigned n = 0; n < MBR_LOGICALS; n++) {
        if (link >= len) {
            t->n_refused++;
            return OK;
        }
        enum status s = r->read(r->ctx, base + link, buf);
        if (s != OK) {
            return s;
        }
        if (!has_signature(buf)) {
            return OK;
        }
        struct mbr_entry e = mbr_entry(buf, 0);
        if (e.type != MBR_TYPE_EMPTY && e.sectors != 0 && !is_extended(e.type)) {
            /* It must not leave the extended partition, nor cover its own link. */
            if (e.first == 0 || !range_within((uint64_t)link + e.first, e.sectors, len)) {
                t->n_refused++;
            } else {
                partition_add(t, r->sectors, number, base + link + e.first, e.sectors);
            }
            number++;
        }
        struct mbr_entry next = mbr_entry(buf, 1);
        if (!is_extended(next.type) || next.sectors == 0) {
            return OK;
        }
        links[n] = link;
        link = next.first;
        for (unsigned i = 0; i <= n; i++) {
            if (links[i] == link) { /* a loop */
                return OK;
            }
        }
    }
    t->n_refused++;
    return OK;
}

/* A file system's boot sector carries the same signature: its bytes rarely pass this. */
static bool mbr_plausible(const uint8_t *buf)
{
    for (unsigned i = 0; i < 4; i++) {
        if ((mbr_entry(buf, i).status & 0x7f) != 0) {
            return false;
        }
    }
    return true;
}

enum status partition_scan(const struct partition_reader *r, struct partition_table *t)
{
    uint8_t buf[BLK_SECTOR];

    t->scheme = PARTITION_NONE;
    t->backup = false;
    t->n = t->n_refused = 0;
    if (r->sectors == 0) {
        return OK;
    }
    enum status s = r->read(r->ctx, 0, buf);
    if (s != OK) {
        return s;
    }
    if (!has_signature(buf) || !mbr_plausible(buf)) {
        return OK;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (mbr_entry(buf, i).type == MBR_TYPE_GPT) {
            return partition_scan_gpt(r, t);
        }
    }
    t->scheme = PARTITION_MBR;
    struct mbr_entry extended = {0};
    for (unsigned i = 0; i < 4; i++) {
        struct mbr_entry e = mbr_entry(buf, i);
        if (e.type == MBR_TYPE_EMPTY || e.sectors == 0) {
            continue;
        }
        if (!is_extended(e.type)) {
            partition_add(t, r->sectors, i + 1, e.first, e.sectors);
        } else if (extended.sectors == 0 && e.first != 0) {
            extended = e;
        } else {
            t->n_refused++;
        }
    }
    return extended.sectors == 0 ? OK : scan_extended(r, t, extended.first, extended.sectors);
}

static void partition_submit(struct blk_dev *d, struct blk_req *r)
{
    struct partition_dev *pd = (struct partition_dev *)d;

    /* blk_submit checked the range against the partition, which lies inside the disk. */
    if (r->op != BLK_FLUSH) {
        r->sector += pd->dev.start - pd->disk->start;
    }
    blk_submit(pd->disk, r);
}

static const struct blk_ops partition_ops = {.submit = partition_submit};

enum status partition_dev_init(struct partition_dev *pd, struct blk_dev *disk,
                               const struct partition *p)
{
    if (p->sectors == 0 || !range_within(p->first, p->sectors, disk->sectors)) {
        return E_RANGE;
    }
    *pd = (struct partition_dev){
        .dev =
            {
                .ops = &partition_ops,
                .sectors = p->sectors,
                .read_only = disk->read_only,
                .can_discard = disk->can_discard,
                .can_zero = disk->can_zero,
                .id = disk->id,
                .start = disk->start + p->first,
            },
        .disk = disk,
    };
    format(pd->dev.name, sizeof(pd->dev.name), "%sp%u", disk->name, p->number);
    return OK;
}

static enum status probe_read(void *ctx, uint64_t sector, void *buf)
{
    const struct partition_probe *p = ctx;
    enum status s = blk_read_wait(p->disk, sector, p->pa, 1, p->poll, p->ctx);

    if (s == OK) {
        memcpy(buf, p->va, BLK_SECTOR);
    }
    return s;
}

enum status partition_probe(const struct partition_probe *p, struct partition_table *t)
{
    struct partition_probe probe = *p;
    struct partition_reader r = {.read = probe_read, .ctx = &probe, .sectors = p->disk->sectors};
    enum status s = partition_scan(&r, t);

    if (s != OK) {
        log_warn("%s: cannot read the partition table: %s", p->disk->name, status_name(s));
    } else if (t->backup) {
        log_warn("%s: the GPT is damaged; using its backup", p->disk->name);
    }
    if (t->n_refused != 0) {
        log_warn("%s: %u partitions left out: outside the disk, or overlapping another",
                 p->disk->name, t->n_refused);
    }
    return s;
}
