/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues under fire: the input fills the guest's memory, sets the queue up, and says what the
 * guest and the device do next. Chains that come out must be sane, and no pin may be left.
 */
#include "base/bits.h"
#include "drivers/guest/virtio/virtqueue.h"
#include "fake_guest.h"
#include "tests/fuzz/input.h"
#include "work.h"

#include <string.h>

#define RAM_PAGES 8
#define BUFS 24

/* Mostly inside of RAM, sometimes anywhere. */
static uint64_t take_address(struct input *in)
{
    uint32_t v = take(in, 2);

    return (v & 0x8000) != 0 ? ~UINT64_C(0) << (v & 63) : (uint64_t)v * 2;
}

static void check_chain(const struct virtqueue *q, const struct vq_chain *c,
                        const struct vq_buf *bufs)
{
    uint64_t read = 0, write = 0;

    require(c->head < q->size && c->n_read + c->n_write <= BUFS);
    for (unsigned i = 0; i < c->n_read + c->n_write; i++) {
        require(bufs[i].bytes != 0 && bufs[i].addr.a <= UINT64_MAX - bufs[i].bytes);
        *(i < c->n_read ? &read : &write) += bufs[i].bytes;
    }
    require(read == c->read_bytes && write == c->write_bytes && read + write <= UINT32_MAX);
}

static void one_step(struct input *in, struct tguest *g, struct virtqueue *q)
{
    struct vq_buf bufs[BUFS];
    struct vq_chain c;

    switch (take(in, 1) % 12) {
    case 0:
        virtqueue_reset(q);
        break;
    case 1:
        if (!q->enabled) {
            q->size = (uint16_t)(BIT32(take(in, 1) % 10) + (take(in, 1) == 7));
            q->desc.base = GPA(take_address(in));
            q->avail.base = GPA(take_address(in));
            q->used.base = GPA(take_address(in));
        }
        virtqueue_enable(q, (uint64_t)take(in, 1) << VIRTIO_RING_F_INDIRECT_DESC);
        break;
    case 2:
        virtqueue_push(q, (uint16_t)take(in, 2), take(in, 4));
        break;
    case 3:
        (void)virtqueue_should_signal(q);
        break;
    case 4:
        virtqueue_stop_kicks(q);
        break;
    case 5:
        (void)virtqueue_want_kicks(q);
        break;
    case 6: /* the guest writes */
        for (unsigned i = take(in, 1) % 64, at = take(in, 2); i > 0; i--, at += 2) {
            uint16_t v = (uint16_t)take(in, 2);

            if (p2m_write(&g->p2m, GPA(at % (RAM_PAGES * PAGE_SIZE)), &v, 2) != OK) {
                break;
            }
        }
        break;
    case 7: /* a well-made entry, so that chains are reached often */
        if (q->pinned && !virtqueue_broken(q)) {
            uint16_t v = (uint16_t)(q->next_avail + 1);

            if (p2m_write(&g->p2m, GPA(q->avail.base.a + 2), &v, 2) != OK) {
                break;
            }
        }
        break;
    case 8:
        tguest_starve(g, take(in, 1) % 4);
        break;
    case 9:
        tguest_feed(g);
        break;
    default: {
        enum status s = virtqueue_pop(q, bufs, BUFS, &c);

        require(s == OK || s == E_NOTFOUND || s == E_NOMEM || s == E_INVAL);
        require((s == E_INVAL) == virtqueue_broken(q));
        if (s == OK) {
            check_chain(q, &c, bufs);
        }
        break;
    }
    }
}

static int one_input(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct virtqueue q;
    struct tguest g;

    tguest_init(&g, RAM_PAGES + 4, RAM_PAGES);
    virtqueue_init(&q, &g.p2m);
    while (in.n > 0) {
        one_step(&in, &g, &q);
    }
    virtqueue_reset(&q);
    tguest_fini(&g);
    return 0;
}

FUZZ_ENTRY(one_input, 10000, 600)
