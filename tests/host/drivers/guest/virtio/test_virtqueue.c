/* SPDX-License-Identifier: BSD-2-Clause */
/* Split virtqueues: chains against a model, notification against the definition, hostile rings. */
#include "base/bits.h"
#include "drivers/guest/virtio/virtqueue.h"
#include "fake_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RAM_PAGES 128
#define RING 0x10000u  /* where queues are laid out */
#define TABLE 0x20000u /* indirect tables */
#define DATA 0x40000u
#define ALL (BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))

struct rig {
    struct tguest g;
    struct tdriver t;
    struct virtqueue q;
    struct vq_buf bufs[64];
    struct vq_chain c;
};

static void enable(struct rig *r, uint64_t features)
{
    r->q.size = r->t.size;
    r->q.desc.base = GPA(r->t.desc);
    r->q.avail.base = GPA(r->t.avail);
    r->q.used.base = GPA(r->t.used);
    virtqueue_enable(&r->q, features);
}

static struct rig *rig_new(uint16_t size)
{
    struct rig *r = calloc(1, sizeof(*r));

    tguest_init(&r->g, 160, RAM_PAGES);
    tdriver_init(&r->t, &r->g, size, RING);
    virtqueue_init(&r->q, &r->g.p2m);
    return r;
}

static void rig_free(struct rig *r)
{
    virtqueue_reset(&r->q);
    tguest_fini(&r->g);
    free(r);
}

static enum status pop(struct rig *r)
{
    return virtqueue_pop(&r->q, r->bufs, ARRAY_LEN(r->bufs), &r->c);
}

/* Random chains, in the ring or in tables, many times around every index's wrap. */
static void chains_arrive_as_sent(void **state)
{
    (void)state;
    srand(1);
    for (uint16_t size = 1; size <= 256; size = (uint16_t)(size * 4)) {
        struct rig *r = rig_new(size);

        enable(r, ALL);
        for (unsigned round = 0; round < 70000 / (size > 4 ? 8 : 1); round++) {
            struct tdesc d[20];
            unsigned max = size < 20 ? size : 20;
            unsigned n = 1 + (unsigned)rand() % max;
            unsigned n_read = (unsigned)rand() % (n + 1);
            bool table = rand() % 2 == 0;
            uint32_t len, bytes = 0;
            int head;

            for (unsigned i = 0; i < n; i++) {
                d[i] = (struct tdesc){DATA + (unsigned)rand() % 0x10000u,
                                      1 + (unsigned)rand() % 9000u, i >= n_read};
                bytes += d[i].len;
            }
            /* Also where a batch of table entries straddles a page. */
            head = tdriver_add(&r->t, d, n, table ? TABLE + 0xf98 : 0);
            assert_true(head >= 0);
            assert_int_equal(pop(r), OK);
            assert_int_equal(r->c.head, head);
            assert_int_equal(r->c.n_read, n_read);
            assert_int_equal(r->c.n_write, n - n_read);
            assert_int_equal(r->c.read_bytes + r->c.write_bytes, bytes);
            for (unsigned i = 0; i < n; i++) {
                assert_int_equal(r->bufs[i].addr.a, d[i].addr);
                assert_int_equal(r->bufs[i].bytes, d[i].len);
            }
            assert_int_equal(pop(r), E_NOTFOUND);
            virtqueue_push(&r->q, r->c.head, round);
            assert_int_equal(tdriver_take(&r->t, &len), head);
            assert_int_equal(len, round);
        }
        rig_free(r);
    }
}

/* Every element of a used ring that is only 4-aligned, and so may cross a page. */
static void used_ring_may_straddle_pages(void **state)
{
    struct rig *r = rig_new(256);
    struct tdesc d = {DATA, 16, true};

    (void)state;
    r->t.used = RING + 2 * PAGE_SIZE - 4 - 8 * 100 - 4;
    r->t.avail = RING + 3 * PAGE_SIZE - 2 * 77 - 4;
    enable(r, ALL);
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t len;
        int head = tdriver_add(&r->t, &d, 1, 0);

        assert_int_equal(pop(r), OK);
        virtqueue_push(&r->q, r->c.head, i * 0x01010101u);
        assert_int_equal(tdriver_take(&r->t, &len), head);
        assert_int_equal(len, i * 0x01010101u);
    }
    assert_int_equal(r->g.frames.pinned, 4);
    virtqueue_reset(&r->q);
    assert_int_equal(r->g.frames.pinned, 0);
    rig_free(r);
}

static void direct_descriptors_before_a_table(void **state)
{
    struct rig *r = rig_new(8);
    struct tdesc d[2] = {{DATA + 0x1000, 7, false}, {DATA + 0x2000, 9, true}};

    (void)state;
    enable(r, ALL);
    assert_int_equal(tdriver_add(&r->t, d, 2, TABLE), 0); /* descriptor 0 -> table */
    r->t.avail_idx = 0;
    tdriver_desc(&r->t, 3, DATA, 5, TD_NEXT, 4);
    tdriver_desc(&r->t, 4, DATA, 0, TD_NEXT, 0); /* empty buffers are left out */
    tdriver_offer(&r->t, 3);
    assert_int_equal(pop(r), OK);
    assert_int_equal(r->c.n_read, 2);
    assert_int_equal(r->c.n_write, 1);
    assert_int_equal(r->bufs[0].bytes, 5);
    assert_int_equal(r->bufs[1].bytes, 7);
    assert_int_equal(r->bufs[2].bytes, 9);
    rig_free(r);
}

static void interrupts_follow_the_flag(void **state)
{
    struct rig *r = rig_new(16);

    (void)state;
    enable(r, 0);
    assert_int_equal(pop(r), E_NOTFOUND);
    assert_false(virtqueue_should_signal(&r->q));
    virtqueue_push(&r->q, 0, 0);
    assert_true(virtqueue_should_signal(&r->q));
    assert_false(virtqueue_should_signal(&r->q));
    tguest_put16(&r->g, r->t.avail, 1); /* NO_INTERRUPT */
    virtqueue_push(&r->q, 0, 0);
    assert_false(virtqueue_should_signal(&r->q));
    rig_free(r);
}

/* The definition: a signal when one of the entries pushed since the last look has the event's
 * index. */
static void interrupts_follow_the_event_index(void **state)
{
    struct rig *r = rig_new(256);

    (void)state;
    srand(2);
    enable(r, ALL);
    assert_int_equal(pop(r), E_NOTFOUND);
    for (unsigned round = 0; round < 5000; round++) {
        uint16_t before = r->q.next_used;
        unsigned n = (unsigned)rand() % 200;
        uint16_t event = (uint16_t)(before + rand() % 400 - 100);
        bool want = false;

        tdriver_set_used_event(&r->t, event);
        for (unsigned i = 0; i < n; i++) {
            want = want || (uint16_t)(before + i) == event;
            virtqueue_push(&r->q, 0, 0);
        }
        assert_int_equal(virtqueue_should_signal(&r->q), want);
    }
    rig_free(r);
}

static void kicks_are_asked_for(void **state)
{
    struct tdesc d = {DATA, 16, true};

    (void)state;
    for (int event_idx = 0; event_idx < 2; event_idx++) {
        struct rig *r = rig_new(16);
        uint64_t avail_event = r->t.used + 4 + 8 * 16;

        enable(r, event_idx ? ALL : 0);
        assert_int_equal(pop(r), E_NOTFOUND);
        virtqueue_stop_kicks(&r->q);
        assert_int_equal(tguest_get16(&r->g, r->t.used), event_idx ? 0 : 1);
        tdriver_add(&r->t, &d, 1, 0);
        assert_true(virtqueue_want_kicks(&r->q)); /* it came before anybody asked */
        assert_int_equal(pop(r), OK);
        assert_false(virtqueue_want_kicks(&r->q));
        assert_int_equal(tguest_get16(&r->g, r->t.used), 0);
        assert_int_equal(tguest_get16(&r->g, avail_event), event_idx ? 1 : 0);
        rig_free(r);
    }
}

static void pinned_pages_survive_a_guest_that_writes(void **state)
{
    struct rig *r = rig_new(16);
    struct tdesc d = {DATA, 16, true};
    uint32_t len;

    (void)state;
    enable(r, ALL);
    assert_int_equal(r->g.frames.pinned, 0); /* nothing before the first use */
    assert_int_equal(pop(r), E_NOTFOUND);
    assert_true(r->g.frames.pinned > 0);
    for (int i = 0; i < 100; i++) {
        tdriver_add(&r->t, &d, 1, 0);
        assert_int_equal(pop(r), OK);
        virtqueue_push(&r->q, r->c.head, 3);
        assert_int_equal(tdriver_take(&r->t, &len), r->c.head);
    }
    rig_free(r);
}

static void no_frames_no_loss(void **state)
{
    struct rig *r = rig_new(16);
    struct tdesc d = {DATA, 16, true};

    (void)state;
    /* Rings in pages that were never touched: pinning them takes frames. */
    r->t.desc = 0x50000;
    r->t.avail = 0x51000;
    r->t.used = 0x52000;
    enable(r, ALL);
    tguest_starve(&r->g, 1);
    assert_int_equal(pop(r), E_NOMEM);
    assert_int_equal(pop(r), E_NOMEM);
    assert_int_equal(r->g.frames.pinned, 0);
    assert_false(virtqueue_broken(&r->q));
    tguest_feed(&r->g);
    assert_int_equal(pop(r), E_NOTFOUND);
    tdriver_add(&r->t, &d, 1, 0);
    assert_int_equal(pop(r), OK);
    rig_free(r);
}

/* One hostile ring each; `why` is what must be found wrong. */
struct hostile {
    const char *why;
    void (*make)(struct rig *r);
};

static void loop_direct(struct rig *r)
{
    tdriver_desc(&r->t, 0, DATA, 1, TD_NEXT, 1);
    tdriver_desc(&r->t, 1, DATA, 1, TD_NEXT, 0);
    tdriver_offer(&r->t, 0);
}

static void loop_of_empty_buffers(struct rig *r)
{
    tdriver_desc(&r->t, 0, DATA, 0, TD_NEXT, 0);
    tdriver_offer(&r->t, 0);
}

static void loop_in_table(struct rig *r)
{
    struct tdesc d[2] = {{DATA, 1, false}, {DATA, 1, false}};

    tdriver_add(&r->t, d, 2, TABLE);
    tguest_put16(&r->g, TABLE + 16 + 12, TD_NEXT);
    tguest_put16(&r->g, TABLE + 16 + 14, 0);
}

static void head_outside(struct rig *r)
{
    tdriver_offer(&r->t, 16);
}

static void next_outside(struct rig *r)
{
    tdriver_desc(&r->t, 0, DATA, 1, TD_NEXT, 0xffff);
    tdriver_offer(&r->t, 0);
}

static void next_outside_table(struct rig *r)
{
    struct tdesc d[2] = {{DATA, 1, false}, {DATA, 1, false}};

    tdriver_add(&r->t, d, 2, TABLE);
    tguest_put16(&r->g, TABLE + 14, 2);
}

static void index_jumps(struct rig *r)
{
    r->t.avail_idx = 16;
    tdriver_offer(&r->t, 0);
}

static void index_goes_back(struct rig *r)
{
    tguest_put16(&r->g, r->t.avail + 2, 0xffff);
}

static void table_size_odd(struct rig *r)
{
    tdriver_desc(&r->t, 0, TABLE, 17, TD_INDIRECT, 0);
    tdriver_offer(&r->t, 0);
}

static void table_empty(struct rig *r)
{
    tdriver_desc(&r->t, 0, TABLE, 0, TD_INDIRECT, 0);
    tdriver_offer(&r->t, 0);
}

static void table_nested(struct rig *r)
{
    tdriver_desc(&r->t, 0, TABLE, 16, TD_INDIRECT, 0);
    tguest_put64(&r->g, TABLE, TABLE);
    tguest_put32(&r->g, TABLE + 8, 16);
    tguest_put16(&r->g, TABLE + 12, TD_INDIRECT);
    tdriver_offer(&r->t, 0);
}

static void table_with_next(struct rig *r)
{
    tdriver_desc(&r->t, 0, TABLE, 16, TD_INDIRECT | TD_NEXT, 1);
    tdriver_offer(&r->t, 0);
}

static void table_no_ram(struct rig *r)
{
    tdriver_desc(&r->t, 0, RAM_PAGES * PAGE_SIZE - 16, 0xfffffff0u, TD_INDIRECT, 0);
    tguest_put16(&r->g, RAM_PAGES * PAGE_SIZE - 16 + 12, TD_NEXT);
    tguest_put16(&r->g, RAM_PAGES * PAGE_SIZE - 16 + 14, 1);
    tdriver_offer(&r->t, 0);
}

static void table_wraps(struct rig *r)
{
    tdriver_desc(&r->t, 0, UINT64_MAX - 15, 32, TD_INDIRECT, 0);
    tdriver_offer(&r->t, 0);
}

static void buffer_wraps(struct rig *r)
{
    tdriver_desc(&r->t, 0, UINT64_MAX - 3, 8, 0, 0);
    tdriver_offer(&r->t, 0);
}

static void chain_too_big(struct rig *r)
{
    tdriver_desc(&r->t, 0, DATA, 0x80000000u, TD_NEXT, 1);
    tdriver_desc(&r->t, 1, DATA, 0x80000000u, 0, 0);
    tdriver_offer(&r->t, 0);
}

static void read_after_write(struct rig *r)
{
    tdriver_desc(&r->t, 0, DATA, 1, TD_WRITE | TD_NEXT, 1);
    tdriver_desc(&r->t, 1, DATA, 1, 0, 0);
    tdriver_offer(&r->t, 0);
}

static void hostile_rings_break_the_queue(void **state)
{
    static const struct hostile cases[] = {
        {"chain too long or looping", loop_direct},
        {"chain too long or looping", loop_of_empty_buffers},
        {"chain too long or looping", loop_in_table},
        {"descriptor index outside of the ring", head_outside},
        {"descriptor index outside of the ring", next_outside},
        {"descriptor index outside of the table", next_outside_table},
        {"available index jumped", index_jumps},
        {"available index jumped", index_goes_back},
        {"indirect table of a bad size", table_size_odd},
        {"indirect table of a bad size", table_empty},
        {"nested indirect table", table_nested},
        {"indirect descriptor with a successor", table_with_next},
        {"indirect table outside of memory", table_no_ram},
        {"indirect table wraps the address space", table_wraps},
        {"buffer wraps the address space", buffer_wraps},
        {"chain longer than 4 GiB", chain_too_big},
        {"readable buffer after a writable one", read_after_write},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig *r = rig_new(16);
        struct tdesc d = {DATA, 16, true};

        enable(r, ALL);
        cases[i].make(r);
        assert_int_equal(pop(r), E_INVAL);
        assert_string_equal(r->q.why, cases[i].why);
        /* Nothing more happens there until a reset, */
        assert_int_equal(pop(r), E_INVAL);
        virtqueue_push(&r->q, 0, 1);
        assert_int_equal(tguest_get16(&r->g, r->t.used + 2), 0);
        assert_false(virtqueue_should_signal(&r->q));
        assert_false(virtqueue_want_kicks(&r->q));
        /* and then it works. */
        virtqueue_reset(&r->q);
        tdriver_init(&r->t, &r->g, 16, RING);
        enable(r, ALL);
        tdriver_add(&r->t, &d, 1, 0);
        assert_int_equal(pop(r), OK);
        rig_free(r);
    }
}

static void a_table_needs_the_feature(void **state)
{
    struct rig *r = rig_new(16);
    struct tdesc d = {DATA, 16, true};

    (void)state;
    enable(r, BIT(VIRTIO_RING_F_EVENT_IDX));
    tdriver_add(&r->t, &d, 1, TABLE);
    assert_int_equal(pop(r), E_INVAL);
    assert_string_equal(r->q.why, "indirect descriptor without the feature");
    rig_free(r);
}

static void bad_settings_break_the_queue(void **state)
{
    static const struct {
        unsigned size;
        uint64_t desc, avail, used;
    } cases[] = {
        {0, RING, RING, RING},
        {3, RING, RING, RING},
        {512, RING, RING, RING},
        {0x8000, RING, RING, RING},
        {16, RING + 8, RING, RING},
        {16, RING, RING + 1, RING},
        {16, RING, RING, RING + 2},
        {16, UINT64_MAX & ~UINT64_C(15), RING, RING},
        {16, RING, UINT64_MAX - 1, RING},
        {16, RING, RING, UINT64_MAX - 3},
        {16, RAM_PAGES * PAGE_SIZE, RING, RING},
        {256, RING, RAM_PAGES * PAGE_SIZE - 512, RING},
        {16, RING, RING, UINT64_C(1) << 60},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig *r = rig_new(16);

        r->q.size = (uint16_t)cases[i].size;
        r->q.desc.base = GPA(cases[i].desc);
        r->q.avail.base = GPA(cases[i].avail);
        r->q.used.base = GPA(cases[i].used);
        virtqueue_enable(&r->q, ALL);
        assert_int_equal(pop(r), E_INVAL);
        assert_true(virtqueue_broken(&r->q));
        assert_int_equal(r->g.frames.pinned, 0);
        rig_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_arrive_as_sent),
        cmocka_unit_test(used_ring_may_straddle_pages),
        cmocka_unit_test(direct_descriptors_before_a_table),
        cmocka_unit_test(interrupts_follow_the_flag),
        cmocka_unit_test(interrupts_follow_the_event_index),
        cmocka_unit_test(kicks_are_asked_for),
        cmocka_unit_test(pinned_pages_survive_a_guest_that_writes),
        cmocka_unit_test(no_frames_no_loss),
        cmocka_unit_test(hostile_rings_break_the_queue),
        cmocka_unit_test(a_table_needs_the_feature),
        cmocka_unit_test(bad_settings_break_the_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
