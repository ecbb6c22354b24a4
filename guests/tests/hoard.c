/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wants more memory than it may hold, with the disk's help: mb= of pages that equal no other, in
 * any VM of another seed=.
 *
 *     how=0   the disk has them (it writes them there from one buffer), and it reads each into a
 * page of its own; how=1   it fills page by page, and writes each to the disk, which may keep it as
 * a block.
 */
#include "virtio.h"

#define RUN 16u /* pages a request */
#define SECTORS(page) ((uint64_t)(page)*8)
#define BUFFER KIT_HEAP
#define PAGES_AT (KIT_HEAP + RUN * PAGE)

static struct virtio_disk disk;
static uint64_t pages, seed;

static uint64_t word(uint64_t page, unsigned i)
{
    return ((seed << 40) + page * 512 + i + 1) * 0x9e3779b97f4a7c15ul;
}

static void fill(uint64_t *to, uint64_t page)
{
    for (unsigned i = 0; i < PAGE / 8; i++) {
        to[i] = word(page, i);
    }
}

static uint64_t *page_at(uint64_t page)
{
    return (uint64_t *)(PAGES_AT + page * PAGE);
}

static unsigned ask(uint32_t type, uint64_t page, void *at)
{
    return virtio_request(&disk, type, SECTORS(page), at, RUN * PAGE) != 0;
}

static unsigned read_all(void)
{
    unsigned failed = 0;

    for (uint64_t p = 0; p < pages; p += RUN) {
        for (unsigned i = 0; i < RUN; i++) {
            fill((uint64_t *)(BUFFER + i * PAGE), p + i);
        }
        failed += ask(VIRTIO_BLK_T_OUT, p, (void *)BUFFER);
    }
    print("hoard: the disk has it\n");
    for (uint64_t p = 0; p < pages; p += RUN) {
        failed += ask(VIRTIO_BLK_T_IN, p, page_at(p));
    }
    return failed;
}

static unsigned write_all(void)
{
    unsigned failed = 0;

    for (uint64_t p = 0; p < pages; p += RUN) {
        for (unsigned i = 0; i < RUN; i++) {
            fill(page_at(p + i), p + i);
        }
        failed += ask(VIRTIO_BLK_T_OUT, p, page_at(p));
    }
    return failed;
}

void guest_main(const uint8_t *boot_params)
{
    unsigned failed, wrong = 0;

    seed = kit_option(boot_params, "seed", 1);
    pages = kit_option(boot_params, "mb", 8) * 256;
    if (!tap_ok(virtio_find(&disk, 0) && virtio_start(&disk, VIRTIO_F_FLUSH), "there is a disk")) {
        return;
    }
    failed = kit_option(boot_params, "how", 0) == 0 ? read_all() : write_all();
    print("hoard: holds %lu MiB\n", pages >> 8);
    for (uint64_t p = 0; p < pages; p++) {
        for (unsigned i = 0; i < PAGE / 8; i++) {
            wrong += page_at(p)[i] != word(p, i);
        }
    }
    tap_ok(failed == 0 && wrong == 0, "%u requests failed, %u words are wrong", failed, wrong);
}
