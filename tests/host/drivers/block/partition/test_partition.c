/* SPDX-License-Identifier: BSD-2-Clause */
/* Partition tables made by sfdisk and sgdisk, damaged ones, hostile ones; partitions as devices. */
#include "base/bits.h"
#include "drivers/block/partition/partition.h"
#include "drivers/block/ramdisk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1u << 20)
#define DISK_BYTES (32u * MIB)
#define DISK_SECTORS (DISK_BYTES / 512)

static uint8_t disk[DISK_BYTES];
static unsigned n_reads;

static enum status mem_read(void *ctx, uint64_t sector, void *buf)
{
    n_reads++;
    assert_true(sector < *(uint64_t *)ctx); /* the parser never asks beyond the disk */
    memcpy(buf, disk + sector * 512, 512);
    return OK;
}

static enum status scan(struct partition_table *t)
{
    uint64_t sectors = DISK_SECTORS;
    struct partition_reader r = {mem_read, &sectors, sectors};

    n_reads = 0;
    return partition_scan(&r, t);
}

/* Lets a program partition an empty file, %s in its command line, and loads the file. */
static void make_disk(const char *command)
{
    char path[] = "/tmp/pf-partition-XXXXXX", line[512];
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
    snprintf(line, sizeof(line), command, path);
    int rc = system(line);
    assert_int_equal(pread(fd, disk, DISK_BYTES, 0), DISK_BYTES);
    close(fd);
    unlink(path);
    assert_int_equal(rc, 0);
}

static void expect(const struct partition_table *t, unsigned i, uint32_t number, uint64_t first,
                   uint64_t sectors)
{
    assert_true(i < t->n);
    assert_int_equal(t->parts[i].number, number);
    assert_int_equal(t->parts[i].first, first);
    assert_int_equal(t->parts[i].sectors, sectors);
}

static void test_mbr(void **state)
{
    struct partition_table t;

    (void)state;
    make_disk("printf 'label: dos\\nstart=63,size=1000\\nstart=2048,size=4096,type=82\\n"
              "start=8192,size=40000,type=5\\nstart=9000,size=3001\\nstart=20000,size=100\\n'"
              " | /sbin/sfdisk -q --no-reread --no-tell-kernel %s >/dev/null");
    assert_int_equal(scan(&t), OK);
    assert_int_equal(t.scheme, PARTITION_MBR);
    assert_true(t.n == 4 && t.n_refused == 0);
    expect(&t, 0, 1, 63, 1000);
    expect(&t, 1, 2, 2048, 4096);
    expect(&t, 2, 5, 9000, 3001);
    expect(&t, 3, 6, 20000, 100);

    /* Logical partitions that are not in the order of the disk. */
    make_disk("printf 'label: dos\\nstart=2048,size=60000,type=5\\nstart=10000,size=1000\\n"
              "start=50000,size=2000\\nstart=30000,size=3000\\n'"
              " | /sbin/sfdisk -q --no-reread --no-tell-kernel %s >/dev/null");
    assert_int_equal(scan(&t), OK);
    assert_true(t.n == 3 && t.n_refused == 0);
    expect(&t, 0, 5, 10000, 1000);
    expect(&t, 1, 6, 50000, 2000);
    expect(&t, 2, 7, 30000, 3000);
}

static void make_gpt(void)
{
    make_disk("/sbin/sgdisk -a 1 -n 1:2048:4095 -n 3:4096:+4M -n 2:40000:50001 %s >/dev/null 2>&1");
}

static void test_gpt(void **state)
{
    struct partition_table t;

    (void)state;
    make_gpt();
    assert_int_equal(scan(&t), OK);
    assert_true(t.scheme == PARTITION_GPT && !t.backup && t.n == 3 && t.n_refused == 0);
    expect(&t, 0, 1, 2048, 2048);
    expect(&t, 1, 2, 40000, 10002);
    expect(&t, 2, 3, 4096, 8192);

    disk[512 + 40] ^= 1; /* the primary's header */
    assert_int_equal(scan(&t), OK);
    assert_true(t.backup && t.n == 3);
    expect(&t, 1, 2, 40000, 10002);

    make_gpt();
    disk[2 * 512 + 200] ^= 0x80; /* the primary's entries */
    assert_int_equal(scan(&t), OK);
    assert_true(t.backup && t.n == 3);
    disk[DISK_BYTES - 512 + 17] ^= 1; /* and the backup */
    assert_int_equal(scan(&t), E_INVAL);
    assert_int_equal(t.n, 0);
}

static void test_none(void **state)
{
    struct partition_table t;

    (void)state;
    memset(disk, 0, sizeof(disk));
    assert_int_equal(scan(&t), OK);
    assert_true(t.scheme == PARTITION_NONE && t.n == 0);
    /* A file system's boot sector. */
    memset(disk, 0x5a, 510);
    disk[510] = 0x55;
    disk[511] = 0xaa;
    assert_int_equal(scan(&t), OK);
    assert_int_equal(t.scheme, PARTITION_NONE);
}

static void put_mbr(uint8_t *sector, unsigned i, uint8_t type, uint32_t first, uint32_t n)
{
    uint8_t *e = sector + 446 + i * 16;

    e[4] = type;
    store_le32(e + 8, first);
    store_le32(e + 12, n);
    sector[510] = 0x55;
    sector[511] = 0xaa;
}

static void test_hostile_mbr(void **state)
{
    struct partition_table t;

    (void)state;
    memset(disk, 0, sizeof(disk));
    put_mbr(disk, 0, 0x83, 1000, 1000);
    put_mbr(disk, 1, 0x83, 1999, 10);    /* overlaps by a sector */
    put_mbr(disk, 2, 0x83, 60000, 5537); /* ends a sector past the disk */
    put_mbr(disk, 3, 0x83, 0xffffffff, 0xffffffff);
    assert_int_equal(scan(&t), OK);
    assert_true(t.n == 1 && t.n_refused == 3);

    /* A chain that leads back to itself, one that leaves, and one that is too long. */
    memset(disk, 0, sizeof(disk));
    put_mbr(disk, 0, 0x05, 1000, 30000);
    put_mbr(disk + 1000 * 512, 0, 0x83, 10, 10);
    put_mbr(disk + 1000 * 512, 1, 0x05, 0, 30);
    assert_int_equal(scan(&t), OK);
    assert_true(t.n == 1 && n_reads == 2);
    /* A loop of two, and a link without a partition, which has no number. */
    put_mbr(disk + 1000 * 512, 1, 0x05, 500, 30);
    put_mbr(disk + 1500 * 512, 1, 0x05, 100, 30);
    put_mbr(disk + 1100 * 512, 0, 0x83, 10, 10);
    put_mbr(disk + 1100 * 512, 1, 0x05, 500, 30);
    assert_int_equal(scan(&t), OK);
    assert_true(t.n == 2 && n_reads == 4 && t.n_refused == 0);
    expect(&t, 1, 6, 1110, 10);
    put_mbr(disk + 1000 * 512, 1, 0x05, 0xfffffff0, 30);
    assert_int_equal(scan(&t), OK);
    assert_true(t.n == 1 && t.n_refused == 1);
    for (uint32_t i = 0; i < 1000; i++) {
        put_mbr(disk + (1000 + i * 20) * 512, 0, 0x83, 10, 10);
        put_mbr(disk + (1000 + i * 20) * 512, 1, 0x05, (i + 1) * 20, 20);
    }
    assert_int_equal(scan(&t), OK);
    assert_true(t.n == 60 && n_reads == 61);
    expect(&t, 59, 64, 1000 + 59 * 20 + 10, 10);
    /* A logical partition that leaves its extended partition, though not the disk. */
    put_mbr(disk, 0, 0x05, 1000, 25);
    put_mbr(disk + 1000 * 512, 0, 0x83, 10, 16);
    assert_int_equal(scan(&t), OK);
    assert_true(t.n == 0 && t.n_refused >= 1);
}

/* Every byte of the header and of two entries, changed: never accepted without the sum. */
static void test_hostile_gpt(void **state)
{
    struct partition_table t;

    (void)state;
    make_gpt();
    memset(disk + DISK_BYTES - 512, 0, 512); /* no backup */
    for (unsigned i = 512; i < 512 + 92; i++) {
        disk[i] ^= 0x41;
        assert_int_equal(scan(&t), E_INVAL);
        disk[i] ^= 0x41;
    }
    for (unsigned i = 1024; i < 1024 + 256; i++) {
        disk[i] ^= 0x01;
        assert_int_equal(scan(&t), E_INVAL);
        disk[i] ^= 0x01;
    }
    assert_int_equal(scan(&t), OK);
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void done(struct blk_req *r, enum status s)
{
    *(enum status *)r->ctx = s;
}

static enum status io(struct blk_dev *d, enum blk_op op, uint64_t sector, hpa_t at, uint32_t n)
{
    enum status s = E_BUSY;
    struct blk_seg seg = {at, n * 512};
    struct blk_req r = {.op = op,
                        .sector = sector,
                        .sectors = n,
                        .segs = &seg,
                        .n_segs = 1,
                        .done = done,
                        .ctx = &s};

    blk_submit(d, &r);
    return s;
}

/* Partitions of a RAM disk: they reach their own sectors and not one more. */
static void test_devices(void **state)
{
    struct partition_table t;
    struct ramdisk rd;
    struct partition_dev p;
    uint8_t *window;

    (void)state;
    make_gpt();
    window = malloc(DISK_BYTES + 8192);
    memcpy(window + 8192, disk, DISK_BYTES);
    assert_int_equal(ramdisk_init(&rd, "module:a-long-name.img", 3, window, DISK_BYTES + 8192,
                                  HPA(8192), DISK_BYTES + 1, false),
                     E_RANGE);
    assert_int_equal(ramdisk_init(&rd, "module:a-long-name.img", 3, window, DISK_BYTES + 8192,
                                  HPA(8192), DISK_BYTES, false),
                     OK);
    assert_string_equal(rd.dev.name, "module:a-long-n");
    struct partition_probe probe = {&rd.dev, window, HPA(0), nothing, NULL};
    assert_int_equal(partition_probe(&probe, &t), OK);
    assert_int_equal(t.n, 3);
    snprintf(rd.dev.name, sizeof(rd.dev.name), "ata0");
    assert_int_equal(partition_dev_init(&p, &rd.dev, &t.parts[1]), OK);
    assert_string_equal(p.dev.name, "ata0p2");
    assert_true(p.dev.id == 3 && p.dev.start == 40000 && p.dev.sectors == 10002);

    memset(window, 0x77, 1024);
    assert_int_equal(io(&p.dev, BLK_WRITE, 10001, HPA(0), 1), OK);
    assert_int_equal(window[8192 + 50001 * 512], 0x77);
    assert_int_equal(window[8192 + 50002 * 512], 0);
    assert_int_equal(io(&p.dev, BLK_WRITE, 10001, HPA(0), 2), E_RANGE);
    assert_int_equal(io(&p.dev, BLK_READ, 10002, HPA(0), 1), E_RANGE);
    assert_int_equal(io(&p.dev, BLK_READ, 0, HPA(1), 1), E_INVAL);
    assert_int_equal(io(&p.dev, BLK_READ, 0, HPA(UINT64_C(1) << 40), 1), E_RANGE);
    assert_int_equal(io(&p.dev, BLK_READ, 0, HPA(2048), 1), OK);
    assert_int_equal(window[2048], 0);
    assert_int_equal(io(&p.dev, BLK_ZEROES, 10001, HPA(0), 1), OK);
    assert_int_equal(window[8192 + 50001 * 512], 0);
    struct partition outside = {9, DISK_SECTORS - 1, 2};
    assert_int_equal(partition_dev_init(&p, &rd.dev, &outside), E_RANGE);
    free(window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mbr),         cmocka_unit_test(test_gpt),
        cmocka_unit_test(test_none),        cmocka_unit_test(test_hostile_mbr),
        cmocka_unit_test(test_hostile_gpt), cmocka_unit_test(test_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
