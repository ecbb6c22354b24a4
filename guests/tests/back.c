/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes that the disk has not got yet, and that nobody flushes. mb= of memory, page by page of a
 * content that no other has (same=1: that all have), are written to the disk. Then it waits to be
 * paused, and
 *
 *     leave=1   stays, with nothing but that done;
 *     more=MB   changes every one of the pages, the last one first, and touches so much memory
 * more, looks whether all of it is right, and whether the disk has what was written.
 *
 * look=1: another run only looks at the disk; bad=PAGE: that one may be as it was before, zeroes.
 */
#include "virtio.h"

#define RUN 16u /* pages a request */
#define SECTORS(page) ((uint64_t)(page)*8)

static struct virtio_disk disk;
static uint64_t pages;
static bool same;

static uint64_t *page_at(uint64_t page)
{
    return (uint64_t *)(KIT_HEAP + page * PAGE);
}

static uint64_t word(uint64_t page, unsigned i, uint64_t version)
{
    return ((same ? 0 : page) * 512 + i + (version << 40)) * 0x9e3779b97f4a7c15ul;
}

static void fill(uint64_t page, uint64_t version)
{
    for (unsigned i = 0; i < PAGE / 8; i++) {
        page_at(page)[i] = word(page, i, version);
    }
}

static bool is(const uint64_t *bytes, uint64_t page, uint64_t version)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < PAGE / 8; i++) {
        wrong += bytes[i] != word(page, i, version);
    }
    return wrong == 0;
}

static void write_all(void)
{
    unsigned failed = 0;

    for (uint64_t p = 0; p < pages; p++) {
        fill(p, 1);
    }
    for (uint64_t p = 0; p < pages; p += RUN) {
        failed += virtio_request(&disk, VIRTIO_BLK_T_OUT, SECTORS(p), page_at(p), RUN * PAGE) != 0;
    }
    tap_ok(failed == 0, "%lu pages are written: %u requests failed", pages, failed);
}

/* The disk has version 1 of all, but one page that may be zeroes. `room` is a page to read into. */
static void look(uint64_t *room, uint64_t bad)
{
    unsigned wrong = 0, lost = 0;

    for (uint64_t p = 0; p < pages; p++) {
        bool read = virtio_request(&disk, VIRTIO_BLK_T_IN, SECTORS(p), room, PAGE) == 0;
        if (read && p == bad && !is(room, p, 1)) {
            lost++;
            wrong += room[0] != 0 || room[511] != 0;
            continue;
        }
        wrong += !read || !is(room, p, 1);
    }
    tap_ok(wrong == 0,
           "the disk has what was written, but %u of %lu pages that were lost; %u wrong", lost,
           pages, wrong);
}

/* KVM's clock page: the byte of flags is all that is of use here. */
static volatile uint8_t clock_page[32] __attribute__((aligned(32)));
#define CLOCK_FLAGS 29
#define CLOCK_STOPPED 2u

/* Until it was stopped from outside: its clocks do not show that, but the clock page says so. */
static void wait_for_pause(void)
{
    wrmsr(0x4b564d01, (uint64_t)clock_page | 1);
    while (!(clock_page[CLOCK_FLAGS] & CLOCK_STOPPED)) {
        __asm__ volatile("pause");
    }
    wrmsr(0x4b564d01, 0);
    clock_page[CLOCK_FLAGS] = 0;
}

static void change_all(uint64_t more)
{
    unsigned wrong = 0;

    for (uint64_t p = pages; p-- > 0;) {
        fill(p, 2);
    }
    for (uint64_t p = pages; p < pages + more; p++) {
        fill(p, 2);
    }
    for (uint64_t p = 0; p < pages + more; p++) {
        wrong += !is(page_at(p), p, 2);
    }
    tap_ok(wrong == 0, "the memory is right: %u pages wrong", wrong);
    look(page_at(0), ~0ul);
}

void guest_main(const uint8_t *boot_params)
{
    pages = kit_option(boot_params, "mb", 8) << 8;
    same = kit_option(boot_params, "same", 0);
    bool ok = virtio_find(&disk, 0) && disk.sectors >= SECTORS(pages) &&
              virtio_start(&disk, VIRTIO_F_FLUSH);

    if (!tap_ok(ok, "a disk of %lu sectors", disk.sectors)) {
        return;
    }
    if (kit_option(boot_params, "look", 0)) {
        look(page_at(0), kit_option(boot_params, "bad", ~0ul));
        return;
    }
    write_all();
    print("it waits\n");
    do {
        wait_for_pause();
    } while (kit_option(boot_params, "leave", 0));
    change_all(kit_option(boot_params, "more", 0) << 8);
}
