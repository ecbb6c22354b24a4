/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests in flight: each in one ring entry, by a table of descriptors of its own. */
#include "verify.h"

#define PATIENCE_S 60u

struct slot slots[DEPTH];

static struct virtio_disk disk;
static struct {
    struct virtio_desc table[MOST_PAGES + 4] __attribute__((aligned(16)));
    struct virtio_request header;
    struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } zone;
    volatile uint8_t status;
} memory[DEPTH];

bool queue_start(void)
{
    if (!virtio_find(&disk, 0)) {
        return false;
    }
    if (options.sectors == 0 || options.sectors > disk.sectors) {
        options.sectors = disk.sectors;
    }
    uint64_t flush = options.flush ? VIRTIO_F_FLUSH : 0;
    return virtio_start(&disk, VIRTIO_F_INDIRECT | VIRTIO_F_ZEROES | VIRTIO_F_DISCARD | flush) &&
           (disk.features & VIRTIO_F_INDIRECT);
}

uint64_t queue_features(void)
{
    return disk.features;
}

struct slot *queue_free(void)
{
    for (unsigned i = 0; i < options.depth; i++) {
        if (!slots[i].busy) {
            return &slots[i];
        }
    }
    return NULL;
}

unsigned queue_in_flight(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < DEPTH; i++) {
        n += slots[i].busy;
    }
    return n;
}

static unsigned add(struct virtio_desc *table, unsigned n, const volatile void *p, uint32_t bytes,
                    bool to_memory)
{
    table[n] = (struct virtio_desc){
        (uint64_t)p, bytes, (uint16_t)(VRING_DESC_F_NEXT | (to_memory ? VRING_DESC_F_WRITE : 0)),
        (uint16_t)(n + 1)};
    return n + 1;
}

/* The buffer as one descriptor, or cut somewhere, or one for each page. */
static unsigned add_buffer(struct virtio_desc *table, unsigned n, const struct buffer *b,
                           bool to_memory)
{
    if (b->scattered) {
        for (unsigned i = 0; i < b->n_pages; i++) {
            n = add(table, n, b->pages[i], PAGE, to_memory);
        }
        return n;
    }
    uint32_t cut = below(4) == 0 ? below(b->bytes) : 0;
    uint8_t *at = b->pages[0] + b->offset;
    if (cut > 0) {
        n = add(table, n, at, cut, to_memory);
    }
    return add(table, n, at + cut, b->bytes - cut, to_memory);
}

void queue_offer(struct slot *s)
{
    static const uint32_t types[] = {[READ] = VIRTIO_BLK_T_IN,
                                     [WRITE] = VIRTIO_BLK_T_OUT,
                                     [FLUSH] = VIRTIO_BLK_T_FLUSH,
                                     [ZERO] = VIRTIO_BLK_T_WRITE_ZEROES,
                                     [DISCARD] = VIRTIO_BLK_T_DISCARD};
    uint16_t i = (uint16_t)(s - slots);
    struct virtio_desc *table = memory[i].table;

    memory[i].status = 0xee;
    memory[i].header =
        (struct virtio_request){types[s->op], 0, s->op == READ || s->op == WRITE ? s->sector : 0};
    unsigned n = add(table, 0, &memory[i].header, sizeof(memory[i].header), false);
    if (s->op == READ || s->op == WRITE) {
        n = add_buffer(table, n, &s->buffer, s->op == READ);
    } else if (s->op != FLUSH) {
        memory[i].zone.sector = s->sector;
        memory[i].zone.sectors = s->sectors;
        memory[i].zone.flags = 0;
        n = add(table, n, &memory[i].zone, sizeof(memory[i].zone), false);
    }
    n = add(table, n, &memory[i].status, 1, true);
    table[n - 1].flags = VRING_DESC_F_WRITE;
    disk.rings->desc[i] = (struct virtio_desc){(uint64_t)table, n * (uint32_t)sizeof(table[0]),
                                               VRING_DESC_F_INDIRECT, 0};
    s->busy = true;
    virtio_offer(&disk, i);
}

void queue_kick(void)
{
    virtio_kick(&disk);
}

struct slot *queue_poll(void)
{
    static uint64_t since;

    if (disk.rings->used.idx == disk.seen) {
        since = since == 0 ? rdtsc() : since;
        if (virtio_status(&disk) & VIRTIO_CONFIG_S_NEEDS_RESET ||
            rdtsc() - since > PATIENCE_S * kit_tsc_hz()) {
            tap_ok(false, "the disk answers: status %x, %u in flight", virtio_status(&disk),
                   queue_in_flight());
            tap_plan_end();
            kit_power_off();
        }
        return NULL;
    }
    since = 0;
    uint32_t id = disk.rings->used.ring[disk.seen % VIRTIO_QUEUE].id;
    disk.seen++;
    if (id >= DEPTH || !slots[id].busy) {
        wrong("a used entry names request %u, which is not in flight", id);
        return NULL;
    }
    slots[id].busy = false;
    slots[id].status = memory[id].status;
    return &slots[id];
}
