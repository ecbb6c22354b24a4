/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Times requests by virtio-blk (virtio 1.2), from the kick to the used ring's entry: first reads of
 * blocks that the hypervisor's cache cannot have, then of the same blocks again; and writes. One
 * request at a time; the driver polls with interrupts suppressed, or waits for MSI-X in HLT.
 */
#include "bench.h"

#define READS 1024u /* blocks in a series */
#define RUN 16u     /* blocks in a request of 64 KiB */
#define MARK 0x80000000u
#define BLOCK_SECTORS 8u
#define QUEUE_SIZE 8u
#define VECTOR 0x41u
#define VECTOR_NONE 0xffffu

#define PCI_COMMAND 0x04
#define PCI_BAR0 0x10
#define PCI_CAPABILITIES 0x34
#define PCI_IDS 0x10421af4u /* virtio-blk */
#define CAP_VENDOR 0x09
#define CAP_MSIX 0x11
#define IO_BAR_AT 0xc000u /* where firmware would put them, if nobody has */
#define MEM_BAR_AT 0xfeb00000u

enum { TYPE_COMMON = 1, TYPE_NOTIFY = 2 };
enum {
    COMMON_FEATURE_SELECT = 0x08,
    COMMON_FEATURE = 0x0c,
    COMMON_STATUS = 0x14,
    COMMON_QUEUE_SELECT = 0x16,
    COMMON_QUEUE_SIZE = 0x18,
    COMMON_QUEUE_VECTOR = 0x1a,
    COMMON_QUEUE_ENABLE = 0x1c,
    COMMON_QUEUE_DESC = 0x20,
    COMMON_QUEUE_AVAIL = 0x28,
    COMMON_QUEUE_USED = 0x30,
};
enum { STATUS_ACKNOWLEDGE = 1, STATUS_DRIVER = 2, STATUS_DRIVER_OK = 4, STATUS_FEATURES_OK = 8 };
enum { DESC_NEXT = 1, DESC_WRITE = 2 };
enum { BLK_IN = 0, BLK_OUT = 1 };
/* VIRTIO_BLK_F_FLUSH. Writes may only wait for a driver that knows of flushes. */
#define FEATURE_FLUSH (1u << 9)

static struct {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} desc[QUEUE_SIZE] __attribute__((aligned(16)));
static volatile struct {
    uint16_t flags, idx, ring[QUEUE_SIZE];
} avail __attribute__((aligned(2)));
static volatile struct {
    uint16_t flags, idx;
    struct {
        uint32_t id, len;
    } ring[QUEUE_SIZE];
} used __attribute__((aligned(4)));
static struct {
    uint32_t type, reserved;
    uint64_t sector;
} header;
static volatile uint8_t status;
static uint8_t buffer[RUN * PAGE] __attribute__((aligned(4096)));
static uint16_t common, notify;

static uint32_t pci_read(unsigned slot, unsigned reg)
{
    outl(0xcf8, 0x80000000u | slot << 11 | reg);
    return inl(0xcfc);
}

static void pci_write(unsigned slot, unsigned reg, uint32_t value)
{
    outl(0xcf8, 0x80000000u | slot << 11 | reg);
    outl(0xcfc, value);
}

static void write64(unsigned reg, const volatile void *p)
{
    outl((uint16_t)(common + reg), (uint32_t)(uintptr_t)p);
    outl((uint16_t)(common + reg + 4), (uint32_t)((uintptr_t)p >> 32));
}

/* MSI-X entry 0 to VECTOR on the boot processor. */
static void set_up_msix(unsigned slot, unsigned cap)
{
    uint32_t table = pci_read(slot, cap + 4);
    uint32_t bar = pci_read(slot, PCI_BAR0 + 4 * (table & 7)) & ~15u;
    volatile uint32_t *entry = (volatile uint32_t *)(uintptr_t)(bar + (table & ~7u));

    pci_write(slot, cap, pci_read(slot, cap) | 1u << 31);
    entry[0] = 0xfee00000u;
    entry[1] = 0;
    entry[2] = VECTOR;
    entry[3] = 0;
}

static void place_bars(unsigned slot)
{
    for (unsigned reg = PCI_BAR0; reg < PCI_BAR0 + 24; reg += 4) {
        uint32_t bar = pci_read(slot, reg);
        if (bar == 1) {
            pci_write(slot, reg, IO_BAR_AT);
        } else if (bar == 0) {
            pci_write(slot, reg, MEM_BAR_AT);
        }
    }
    pci_write(slot, PCI_COMMAND, 7);
}

static bool find_device(unsigned *found)
{
    for (unsigned slot = 0; slot < 32; slot++) {
        if (pci_read(slot, 0) == PCI_IDS) {
            *found = slot;
            return true;
        }
    }
    return false;
}

static bool read_capabilities(unsigned slot)
{
    for (unsigned cap = pci_read(slot, PCI_CAPABILITIES) & 0xfc; cap;) {
        uint32_t head = pci_read(slot, cap);
        if ((head & 0xff) == CAP_MSIX) {
            set_up_msix(slot, cap);
        } else if ((head & 0xff) == CAP_VENDOR) {
            uint32_t bar = pci_read(slot, PCI_BAR0 + 4 * (pci_read(slot, cap + 4) & 0xff));
            uint16_t at = (uint16_t)((bar & ~3u) + pci_read(slot, cap + 8));
            if (head >> 24 == TYPE_COMMON && (bar & 1)) {
                common = at;
            } else if (head >> 24 == TYPE_NOTIFY && (bar & 1)) {
                notify = at;
            }
        }
        cap = head >> 8 & 0xfc;
    }
    return common && notify;
}

static void set_up_queue(unsigned queue_vector)
{
    outb((uint16_t)(common + COMMON_STATUS), 0);
    while (inb((uint16_t)(common + COMMON_STATUS)) != 0) {
    }
    outb((uint16_t)(common + COMMON_STATUS), STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    outl((uint16_t)(common + COMMON_FEATURE_SELECT), 0);
    outl((uint16_t)(common + COMMON_FEATURE), FEATURE_FLUSH);
    outl((uint16_t)(common + COMMON_FEATURE_SELECT), 1);
    outl((uint16_t)(common + COMMON_FEATURE), 1); /* VERSION_1 */
    outb((uint16_t)(common + COMMON_STATUS),
         STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    outw((uint16_t)(common + COMMON_QUEUE_SELECT), 0);
    outw((uint16_t)(common + COMMON_QUEUE_SIZE), QUEUE_SIZE);
    outw((uint16_t)(common + COMMON_QUEUE_VECTOR), (uint16_t)queue_vector);
    write64(COMMON_QUEUE_DESC, desc);
    write64(COMMON_QUEUE_AVAIL, &avail);
    write64(COMMON_QUEUE_USED, &used);
    outw((uint16_t)(common + COMMON_QUEUE_ENABLE), 1);
    avail.idx = used.idx = 0;
    avail.flags = queue_vector == VECTOR_NONE;
    outb((uint16_t)(common + COMMON_STATUS),
         STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
    desc[0].addr = (uintptr_t)&header;
    desc[0].len = sizeof(header);
    desc[0].flags = DESC_NEXT;
    desc[0].next = 1;
    desc[1].addr = (uintptr_t)buffer;
    desc[1].next = 2;
    desc[2].addr = (uintptr_t)&status;
    desc[2].len = 1;
    desc[2].flags = DESC_WRITE;
}

/* One request for so many blocks, from the kick to the used ring's entry; false when it failed. */
static bool request(uint32_t type, unsigned block, unsigned blocks, bool poll)
{
    uint16_t next = (uint16_t)(avail.idx + 1);

    header.type = type;
    header.sector = (uint64_t)block * BLOCK_SECTORS;
    desc[1].len = blocks * PAGE;
    desc[1].flags = type == BLK_IN ? DESC_NEXT | DESC_WRITE : DESC_NEXT;
    status = 0xff;
    avail.ring[avail.idx % QUEUE_SIZE] = 0;
    avail.idx = next;
    outw(notify, 0);
    while (used.idx != next) {
        if (poll) {
            __asm__ volatile("pause");
        } else {
            __asm__ volatile("sti; hlt; cli" ::: "memory");
        }
    }
    return status == 0;
}

static bool disk_failed(const char *name, unsigned block)
{
    print("BENCH-FAILED %s, block %u: status %u, contents %x\n", name, block, status,
          *(volatile uint32_t *)buffer);
    return false;
}

/* tools/bench fills the disk so that each word of a block is its number; a block that was written
 * here has MARK in it too. */
static bool holds(unsigned block, unsigned blocks, uint32_t mark)
{
    for (unsigned i = 0; i < blocks; i++) {
        volatile uint32_t *word = (volatile uint32_t *)(buffer + i * PAGE);
        if (word[0] != ((block + i) | mark) || word[PAGE / 4 - 1] != ((block + i) | mark)) {
            return false;
        }
    }
    return true;
}

/* READS blocks from `first` on, `blocks` in each request; a sample is what one block took. */
static bool read_series(const char *name, unsigned first, unsigned blocks, uint32_t mark, bool poll)
{
    for (unsigned at = first; at < first + READS; at += blocks) {
        uint64_t start = rdtsc();
        bool ok = request(BLK_IN, at, blocks, poll);
        uint64_t ticks = (rdtsc() - start) / blocks;
        for (unsigned i = 0; i < blocks; i++) {
            bench_add(ticks);
        }
        if (!ok || !holds(at, blocks, mark)) {
            return disk_failed(name, at);
        }
    }
    bench_report(name);
    return true;
}

/* The first store to a page that a read of a cached block has filled. */
static bool overwrite_series(const char *name)
{
    for (unsigned i = 0; i < READS; i++) {
        if (!request(BLK_IN, i, 1, true) || !holds(i, 1, 0)) {
            return disk_failed(name, i);
        }
        BENCH_SAMPLE(*(volatile uint64_t *)(buffer + PAGE / 2) = i);
    }
    bench_report(name);
    return true;
}

/* Clears such a page as a kernel does before it uses it for something else. */
static bool clear_series(const char *name)
{
    for (unsigned i = 0; i < READS; i++) {
        if (!request(BLK_IN, i, 1, true) || !holds(i, 1, 0)) {
            return disk_failed(name, i);
        }
        void *to = buffer;
        uint64_t n = PAGE / 8;
        BENCH_SAMPLE(__asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(0) : "memory"));
        if (*(volatile uint64_t *)buffer || *(volatile uint64_t *)(buffer + PAGE - 8) ||
            to != buffer + PAGE || n != 0) {
            return disk_failed(name, i);
        }
    }
    bench_report(name);
    return true;
}

static void fill(unsigned block)
{
    for (unsigned i = 0; i < PAGE / 4; i++) {
        ((volatile uint32_t *)buffer)[i] = block | MARK;
    }
}

static bool write_series(const char *name, unsigned first)
{
    for (unsigned i = first; i < first + READS; i++) {
        fill(i);
        BENCH_SAMPLE(request(BLK_OUT, i, 1, true));
        if (status != 0) {
            return disk_failed(name, i);
        }
    }
    bench_report(name);
    return true;
}

static bool set_up(void)
{
    unsigned slot;

    if (!find_device(&slot)) {
        print("BENCH-FAILED there is no virtio-blk disk\n");
        return false;
    }
    place_bars(slot);
    if (!read_capabilities(slot)) {
        print("BENCH-FAILED the disk has no registers in I/O space\n");
        return false;
    }
    set_up_queue(VECTOR_NONE);
    return true;
}

bool bench_disk(void)
{
    if (!set_up() || !read_series("virtio_read_miss", 0, 1, 0, true) ||
        !read_series("virtio_read_hit", 0, 1, 0, true)) {
        return false;
    }
    set_up_queue(0);
    return read_series("virtio_read_hit_irq", 0, 1, 0, false);
}

bool bench_disk_all(void)
{
    return bench_disk() && (set_up_queue(VECTOR_NONE), true) &&
           overwrite_series("virtio_overwrite") && clear_series("virtio_clear") &&
           read_series("virtio_read_miss_64k", READS, RUN, 0, true) &&
           read_series("virtio_read_hit_64k", READS, RUN, 0, true) &&
           write_series("virtio_write_cached", 0) &&
           read_series("virtio_read_written", 0, 1, MARK, true) &&
           write_series("virtio_write_new", 2 * READS) &&
           read_series("virtio_read_back", 2 * READS, 1, MARK, true);
}
