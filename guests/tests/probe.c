/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Can a guest tell by timing what another guest's memory holds?
 *
 * role=0, the victim: holds PAGES pages of known contents and some of zeroes, for `stay` ms.
 * role=1, the attacker: makes copies of the victim's pages, between them as many of contents that
 * nobody has, waits for the scanner, and times one read and one write of each. With expect=0
 * (another share group) both kinds must cost the same; with expect=1 (the same group) they must
 * not: that shows that the probe works.
 *
 * The same with a disk that both have: role=2 fills it; role=3, the victim, reads it and reuses the
 * pages, but holds copies of each second block; role=4, the attacker, times a read of each block
 * and the first write to the page that it came to. Both must cost the same whether the victim holds
 * a copy or not.
 */
#include "virtio.h"

#define PAGES 1000ul
#define ZEROES 250ul
/* Host interrupts fall into some samples. A cost that fewer have than one in this many is noise. */
#define NOISE 50ul
/* All of them together are fewer than one sample in this many. */
#define NOISE_ALL 20ul
#define KINDS 8ul

struct series {
    const char *name;
    uint32_t cost[PAGES];
    uint64_t n;
    /* Distinct costs that are no noise, ascending, and how many samples have another. */
    uint32_t kind[KINDS];
    uint64_t n_kinds, noise;
};

static struct series read_there = {.name = "read, exists"}, read_not = {.name = "read, does not"};
static struct series write_there = {.name = "write, exists"},
                     write_not = {.name = "write, does not"};
static struct series zero_first = {.name = "write, zero page"};

static volatile uint64_t *page(uint64_t n)
{
    return (volatile uint64_t *)(KIT_HEAP + n * PAGE);
}

static uint64_t word(uint64_t content, uint64_t i)
{
    return ((content << 20) + i + 1) * 0x9e3779b97f4a7c15ul;
}

static void fill(uint64_t n, uint64_t content)
{
    for (uint64_t i = 0; i < PAGE / 8; i++) {
        page(n)[i] = word(content, i);
    }
}

static void fill_zero(uint64_t n)
{
    page(n)[5] = 1; /* a frame of its own, whatever it was before */
    memset((void *)page(n), 0, PAGE);
}

static inline uint64_t now(void)
{
    uint32_t a, d;
    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(a), "=d"(d)::"memory");
    return a | (uint64_t)d << 32;
}

static void __attribute__((noinline)) sample(struct series *s, uint64_t n, bool write)
{
    volatile uint64_t *at = page(n) + 100;
    uint64_t begin = now();

    if (write) {
        *at = begin;
    } else {
        (void)*at;
    }
    s->cost[s->n++] = (uint32_t)(now() - begin);
}

static void sort(uint32_t *v, uint64_t n)
{
    for (uint64_t gap = n / 2; gap > 0; gap /= 2) {
        for (uint64_t i = gap; i < n; i++) {
            uint32_t x = v[i];
            uint64_t k = i;
            for (; k >= gap && v[k - gap] > x; k -= gap) {
                v[k] = v[k - gap];
            }
            v[k] = x;
        }
    }
}

static uint32_t median(const struct series *s)
{
    return s->cost[s->n / 2];
}

static void digest(struct series *s)
{
    uint64_t run = 0;

    sort(s->cost, s->n);
    for (uint64_t i = 0; i < s->n; i += run) {
        for (run = 1; i + run < s->n && s->cost[i + run] == s->cost[i]; run++) {
        }
        if (run < s->n / NOISE || s->n_kinds == KINDS) {
            s->noise += run;
        } else {
            s->kind[s->n_kinds++] = s->cost[i];
        }
    }
    print("probe: %s: median %u, %lu samples, %lu of them noise, costs", s->name, median(s), s->n,
          s->noise);
    for (uint64_t k = 0; k < s->n_kinds; k++) {
        print(" %u", s->kind[k]);
    }
    print("\n");
}

static bool alike(const struct series *a, const struct series *b)
{
    bool same = median(a) == median(b) && a->n_kinds == b->n_kinds;

    for (uint64_t k = 0; same && k < a->n_kinds; k++) {
        same = a->kind[k] == b->kind[k];
    }
    return same;
}

static void victim(uint64_t stay)
{
    uint64_t bad = 0;

    for (uint64_t n = 0; n < PAGES; n++) {
        fill(n, n);
    }
    for (uint64_t n = 0; n < ZEROES; n++) {
        fill_zero(PAGES + n);
    }
    print("probe: the victim holds %lu pages\n", PAGES + ZEROES);
    kit_sleep_ms(stay);
    for (uint64_t n = 0; n < PAGES + ZEROES; n++) {
        for (uint64_t i = 0; i < PAGE / 8; i++) {
            bad += page(n)[i] != (n < PAGES ? word(n, i) : 0);
        }
    }
    tap_ok(bad == 0, "the victim's memory is as it was: %lu words wrong", bad);
}

static void attacker(uint64_t expect, uint64_t wait, uint64_t seed)
{
    struct series *const all[] = {&read_there, &read_not, &write_there, &write_not, &zero_first};

    for (uint64_t n = 0; n < PAGES; n++) {
        fill(2 * n, n);
        fill(2 * n + 1, seed * 1000003 + n);
    }
    for (uint64_t n = 0; n < ZEROES; n++) {
        fill_zero(2 * PAGES + n);
    }
    kit_sleep_ms(wait);
    for (uint64_t n = 0; n < PAGES; n++) {
        sample(&read_there, 2 * n, false);
        sample(&read_not, 2 * n + 1, false);
    }
    for (uint64_t n = 0; n < PAGES; n++) {
        sample(&write_there, 2 * n, true);
        sample(&write_not, 2 * n + 1, true);
    }
    for (uint64_t n = 0; n < ZEROES; n++) {
        sample(&zero_first, 2 * PAGES + n, true);
    }
    for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) {
        digest(all[i]);
        tap_ok(all[i]->noise < all[i]->n / NOISE_ALL, "%s: hardly any noise", all[i]->name);
    }
    tap_ok(alike(&read_there, &read_not), "reads tell nothing");
    if (expect) {
        tap_ok(median(&write_there) > 2 * median(&write_not), "the same group: writes tell");
    } else {
        tap_ok(alike(&write_there, &write_not), "another group: writes tell nothing");
    }
    /* Folded with the group's own zero page: it costs a break whatever other groups have. */
    tap_ok(median(&zero_first) > 2 * median(&write_not), "zero pages were folded");
}

/* ---- with a disk ----------------------------------------------------------------------------- */

#define BLOCKS 200ul
#define SECTORS 8ul /* of a block */

static struct virtio_disk disk;

static uint64_t on_disk(uint64_t block)
{
    return 7000000 + block;
}

static bool request(uint32_t type, uint64_t block, uint64_t n)
{
    return virtio_request(&disk, type, block * SECTORS, (void *)page(n), PAGE) == 0;
}

static void fill_disk(void)
{
    uint64_t bad = 0;

    for (uint64_t b = 0; b < BLOCKS; b++) {
        fill(b, on_disk(b));
        bad += !request(VIRTIO_BLK_T_OUT, b, b);
    }
    bad += virtio_request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0) != 0;
    tap_ok(bad == 0, "the disk is filled: %lu requests failed", bad);
}

/* With reread=1 it reads all of the disk once more, and maps what it read for as long as it is. */
static void disk_victim(uint64_t stay, uint64_t reread)
{
    uint64_t bad = 0;

    for (uint64_t b = 0; b < BLOCKS; b++) {
        bad += !request(VIRTIO_BLK_T_IN, b, b);
    }
    for (uint64_t b = 0; b < BLOCKS; b++) {
        fill(b, 8000000 + b);
        fill(BLOCKS + b, b % 2 == 0 ? on_disk(b) : 9000000 + b);
    }
    for (uint64_t b = 0; reread && b < BLOCKS; b++) {
        bad += !request(VIRTIO_BLK_T_IN, b, b);
    }
    print("probe: the victim holds copies of %lu blocks\n", BLOCKS / 2);
    kit_sleep_ms(stay);
    tap_ok(bad == 0, "%lu requests failed", bad);
}

static void disk_attacker(uint64_t wait)
{
    struct series *const all[] = {&read_there, &read_not, &write_there, &write_not};
    uint64_t bad = 0;

    kit_sleep_ms(wait);
    for (uint64_t b = 0; b < BLOCKS; b++) {
        struct series *s = b % 2 == 0 ? &read_there : &read_not;
        page(b)[0] = 1; /* a page of its own is there before, for all alike */
        uint64_t begin = now();
        bad += !request(VIRTIO_BLK_T_IN, b, b);
        s->cost[s->n++] = (uint32_t)(now() - begin);
    }
    for (uint64_t b = 0; b < BLOCKS; b++) {
        sample(b % 2 == 0 ? &write_there : &write_not, b, true);
    }
    for (uint64_t b = 0; b < BLOCKS; b++) {
        for (uint64_t i = 0; i < PAGE / 8; i++) {
            bad += i != 100 && page(b)[i] != word(on_disk(b), i);
        }
    }
    tap_ok(bad == 0, "what was read is what is on the disk: %lu times not", bad);
    for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) {
        digest(all[i]);
    }
    uint32_t more =
        median(&read_there) > median(&read_not) ? median(&read_there) : median(&read_not);
    uint32_t less = median(&read_there) + median(&read_not) - more;
    tap_ok(more - less <= less / NOISE, "reads of blocks tell nothing: %u and %u",
           median(&read_there), median(&read_not));
    tap_ok(alike(&write_there, &write_not), "writes to what was read tell nothing");
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t role = kit_option(boot_params, "role", 0),
             stay = kit_option(boot_params, "stay", 10000);
    uint64_t wait = kit_option(boot_params, "wait", 4000);

    apic_init();
    if (role >= 2 && (!virtio_find(&disk, 0) || !virtio_start(&disk, VIRTIO_F_FLUSH))) {
        tap_ok(false, "no disk");
        return;
    }
    switch (role) {
    case 0:
        victim(stay);
        break;
    case 1:
        attacker(kit_option(boot_params, "expect", 0), wait, kit_option(boot_params, "seed", 1));
        break;
    case 2:
        fill_disk();
        break;
    case 3:
        disk_victim(stay, kit_option(boot_params, "reread", 0));
        break;
    default:
        disk_attacker(wait);
    }
}
