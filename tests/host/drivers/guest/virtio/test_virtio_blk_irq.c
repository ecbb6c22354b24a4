/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk and a driver that sleeps: between requests it waits for an interrupt and looks at
 * nothing, so that one that is lost, or comes later than what it is for, is seen.
 */
#include "base/bits.h"
#include "drivers/guest/virtio/blk_slot.h"
#include "world_vblk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECTORS 4096u
#define RING 0x10000u
#define HEADERS 0x20000u
#define DATA 0x80000u
#define RAM_PAGES 600u
#define REQUESTS 32u
#define QUEUE 128u
#define ROUNDS 4000u

struct sleeper {
    struct tvblk r;
    bool event_idx;
    int head[REQUESTS]; /* -1: not in use */
    unsigned n_out;
    unsigned wakes;      /* of r.wakes, those that were followed */
    uint64_t interrupts; /* seen */
    uint64_t n_requests;
    uint16_t event;
};

static uint16_t used_idx(struct sleeper *s)
{
    return tguest_get16(&s->r.g, s->r.t.used + 2);
}

static bool wants_kick(struct sleeper *s, uint16_t before)
{
    uint16_t now = s->r.t.avail_idx, event;

    if (!s->event_idx) {
        return (tguest_get16(&s->r.g, s->r.t.used) & 1) == 0;
    }
    event = tguest_get16(&s->r.g, s->r.t.used + 4 + 8u * QUEUE);
    return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

static void submit_some(struct sleeper *s)
{
    uint16_t before = s->r.t.avail_idx;

    for (unsigned n = (unsigned)rand() % 6; n > 0; n--) {
        unsigned id = (unsigned)rand() % REQUESTS;
        uint64_t header = HEADERS + 64u * id;
        struct tdesc d[] = {{header, 16, false},
                            {DATA + (uint64_t)id * 4 * PAGE_SIZE, 4096, rand() % 3 != 0},
                            {header + 32, 1, true}};
        if (s->head[id] >= 0) {
            continue;
        }
        tguest_put32(&s->r.g, header, d[1].write ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT);
        tguest_put64(&s->r.g, header + 8, (uint64_t)rand() % 500 * 8);
        d[1].len *= 1 + (uint32_t)rand() % 4;
        s->head[id] = tdriver_add(&s->r.t, d, 3, 0);
        assert_true(s->head[id] >= 0);
        s->n_out++;
        s->n_requests++;
    }
    if (s->r.t.avail_idx != before && wants_kick(s, before)) {
        tvblk_kick(&s->r);
    }
}

static void take_all(struct sleeper *s)
{
    uint32_t len;
    int head;

    while ((head = tdriver_take(&s->r.t, &len)) >= 0) {
        unsigned id = 0;
        while (id < REQUESTS && s->head[id] != head) {
            id++;
        }
        assert_true(id < REQUESTS);
        s->head[id] = -1;
        s->n_out--;
    }
}

/* Goes to sleep until `more` requests beyond the next one are done; false when they are already. */
static bool fall_asleep(struct sleeper *s, unsigned more)
{
    uint16_t seen = s->r.t.used_seen;

    s->interrupts = s->r.d.stats.interrupts;
    s->event = (uint16_t)(seen + more);
    if (s->event_idx) {
        tdriver_set_used_event(&s->r.t, s->event);
    }
    return (uint16_t)(used_idx(s) - seen) <= more;
}

/* Something happens to the device, and then all that it announced. True when the driver was woken.
 */
static bool device_step(struct sleeper *s)
{
    uint16_t before = used_idx(s);
    struct tdisk *disk = &s->r.disk;

    for (unsigned n = 1 + (unsigned)rand() % 4; n > 0 && disk->n > 0; n--) {
        tdisk_complete(disk, (unsigned)rand() % disk->n, rand() % 10 == 0 ? E_IO : OK);
    }
    if (s->r.wakes != s->wakes) {
        s->wakes = s->r.wakes;
        tvblk_work(&s->r);
    }
    bool woken = s->r.d.stats.interrupts != s->interrupts;
    uint16_t now = used_idx(s);
    bool due =
        s->event_idx ? (uint16_t)(now - s->event - 1) < (uint16_t)(now - before) : now != before;
    assert_int_equal(woken, due); /* not late, and not for nothing */
    return woken;
}

static void run(bool event_idx, unsigned slots)
{
    struct sleeper *s = calloc(1, sizeof(*s));

    srand(slots);
    s->event_idx = event_idx;
    tvblk_init(&s->r, RAM_PAGES + 200, RAM_PAGES, SECTORS, slots);
    tvblk_start(&s->r, event_idx ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0, QUEUE, RING);
    memset(s->head, 0xff, sizeof(s->head));
    for (unsigned round = 0; round < ROUNDS; round++) {
        submit_some(s);
        take_all(s);
        if (s->n_out == 0) {
            continue;
        }
        unsigned more = event_idx && rand() % 2 != 0 ? s->n_out * 3 / 4 : 0;
        if (!fall_asleep(s, MIN(more, s->n_out - 1))) {
            continue;
        }
        while (!device_step(s)) {
            /* Asleep, and nothing is on its way that could wake it? */
            assert_true(s->r.disk.n > 0 || s->r.wakes != s->wakes);
        }
    }
    assert_true(s->n_requests > ROUNDS);
    assert_true(s->r.d.stats.interrupts < s->n_requests && s->r.d.stats.kicks <= ROUNDS);
    tvblk_fini(&s->r);
    free(s);
}

static void a_sleeper_is_woken(void **state)
{
    (void)state;
    for (unsigned slots = 1; slots <= 16; slots *= 4) {
        run(true, slots);
        run(false, slots);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sleeper_is_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
