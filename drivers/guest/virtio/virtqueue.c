/* SPDX-License-Identifier: BSD-2-Clause */
/* Split virtqueues, the device's side: trusts nothing that it reads from a ring. */
#include "drivers/guest/virtio/virtqueue.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"

#define DESC_BYTES 16u
#define USED_ELEM_BYTES 8u

/* Offsets in the available and used rings; each ends in the other side's event index. */
#define RING_FLAGS 0u
#define RING_IDX 2u
#define RING_ENTRIES 4u

struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};
_Static_assert(sizeof(struct desc) == DESC_BYTES, "virtio 1.2, 2.7.5");

static uint32_t used_event_offset(const struct virtqueue *q)
{
    return RING_ENTRIES + 2u * q->size;
}

static uint32_t avail_event_offset(const struct virtqueue *q)
{
    return RING_ENTRIES + USED_ELEM_BYTES * q->size;
}

static uint32_t desc_bytes(const struct virtqueue *q)
{
    return DESC_BYTES * q->size;
}

/* With the event index at the end, whether negotiated or not: the driver must leave room for it. */
static uint32_t avail_bytes(const struct virtqueue *q)
{
    return used_event_offset(q) + 2;
}

static uint32_t used_bytes(const struct virtqueue *q)
{
    return avail_event_offset(q) + 2;
}

/*
 * The byte at `off` of a pinned area. The areas' alignment (16, 2 and 4) keeps every field that is
 * accessed at once inside one page; offsets come from masked indexes only.
 */
static void *area_at(const struct vq_area *a, uint32_t off)
{
    uint64_t at = (a->base.a & PAGE_MASK) + off;

    return a->page[at >> PAGE_SHIFT] + (at & PAGE_MASK);
}

static uint16_t load16(const struct vq_area *a, uint32_t off)
{
    return __atomic_load_n((uint16_t *)area_at(a, off), __ATOMIC_ACQUIRE);
}

static void store16(const struct vq_area *a, uint32_t off, uint16_t value)
{
    __atomic_store_n((uint16_t *)area_at(a, off), value, __ATOMIC_RELEASE);
}

static void store32(const struct vq_area *a, uint32_t off, uint32_t value)
{
    __atomic_store_n((uint32_t *)area_at(a, off), value, __ATOMIC_RELAXED);
}

/*
 * Pins for writing, the areas that are only read as well: a page that is merely pinned for reading
 * may be a shared one, and the driver's next write would leave us with the old frame.
 */
static enum status area_pin(struct virtqueue *q, struct vq_area *a, uint32_t bytes)
{
    uint64_t first = a->base.a >> PAGE_SHIFT;
    uint64_t last = (a->base.a + bytes - 1) >> PAGE_SHIFT;

    for (uint64_t gfn = first; gfn <= last; gfn++) {
        mfn_t mfn;
        enum status s = p2m_get_write(q->p2m, GFN(gfn), &mfn);

        if (s != OK) {
            return s;
        }
        ASSERT(a->n < VQ_AREA_PAGES);
        a->mfn[a->n] = mfn;
        a->page[a->n] = frame_bytes(q->p2m->frames, mfn);
        a->n++;
    }
    return OK;
}

static void area_unpin(struct virtqueue *q, struct vq_area *a)
{
    while (a->n > 0) {
        a->n--;
        a->page[a->n] = NULL;
        p2m_put(q->p2m, a->mfn[a->n]);
    }
}

static void unpin_all(struct virtqueue *q)
{
    area_unpin(q, &q->desc);
    area_unpin(q, &q->avail);
    area_unpin(q, &q->used);
    q->pinned = false;
}

static enum status pin_all(struct virtqueue *q)
{
    enum status s = area_pin(q, &q->desc, desc_bytes(q));

    if (s == OK) {
        s = area_pin(q, &q->avail, avail_bytes(q));
    }
    if (s == OK) {
        s = area_pin(q, &q->used, used_bytes(q));
    }
    if (s != OK) {
        unpin_all(q);
        if (s == E_NOMEM) {
            return E_NOMEM;
        }
        virtqueue_break(q, "ring outside of memory");
        return E_INVAL;
    }
    q->pinned = true;
    return OK;
}

void virtqueue_init(struct virtqueue *q, struct p2m *p2m)
{
    *q = (struct virtqueue){.p2m = p2m, .size = VIRTQUEUE_MAX};
}

void virtqueue_reset(struct virtqueue *q)
{
    unpin_all(q);
    virtqueue_init(q, q->p2m);
}

void virtqueue_break(struct virtqueue *q, const char *why)
{
    if (q->why == NULL) {
        q->why = why;
    }
}

static bool area_fits(gpa_t base, uint32_t bytes, uint32_t align)
{
    return (base.a & (align - 1)) == 0 && range_within(base.a, bytes, UINT64_MAX);
}

void virtqueue_enable(struct virtqueue *q, uint64_t features)
{
    if (q->enabled) {
        return;
    }
    q->enabled = true;
    q->event_idx = (features & BIT(VIRTIO_RING_F_EVENT_IDX)) != 0;
    q->indirect = (features & BIT(VIRTIO_RING_F_INDIRECT_DESC)) != 0;
    if (q->size == 0 || q->size > VIRTQUEUE_MAX || (q->size & (q->size - 1)) != 0) {
        virtqueue_break(q, "bad queue size");
    } else if (!area_fits(q->desc.base, desc_bytes(q), 16) ||
               !area_fits(q->avail.base, avail_bytes(q), 2) ||
               !area_fits(q->used.base, used_bytes(q), 4)) {
        virtqueue_break(q, "misaligned or wrapping ring");
    }
}

/* Whether the queue can be used at all; pins it at the first time. */
static enum status ready(struct virtqueue *q)
{
    if (q->why != NULL) {
        return E_INVAL;
    }
    if (!q->enabled) {
        return E_NOTFOUND;
    }
    return q->pinned ? OK : pin_all(q);
}

/*
 * Descriptors of an indirect table are fetched a few at a time: one walk of the p2m serves several,
 * as drivers fill tables in order.
 */
#define TABLE_BATCH 16u

struct table {
    gpa_t base;
    uint32_t count;
    uint32_t first, n; /* what `batch` holds */
    struct desc batch[TABLE_BATCH];
};

static enum status table_get(struct virtqueue *q, struct table *t, uint32_t i, struct desc *out)
{
    if (i < t->first || i - t->first >= t->n) {
        uint32_t n = MIN(TABLE_BATCH, t->count - i);
        enum status s = p2m_read(q->p2m, GPA(t->base.a + (uint64_t)i * DESC_BYTES), t->batch,
                                 (size_t)n * DESC_BYTES);

        if (s != OK) {
            t->n = 0;
            return s;
        }
        t->first = i;
        t->n = n;
    }
    *out = t->batch[i - t->first];
    return OK;
}

struct walk {
    struct vq_buf *bufs;
    unsigned max;
    unsigned steps; /* descriptors seen; more than max is a loop or an unreasonable chain */
    struct vq_chain chain;
};

/* Adds one buffer; NULL, or why the chain is bad. */
static const char *walk_add(struct walk *w, const struct desc *d)
{
    struct vq_chain *c = &w->chain;

    if (d->len == 0) {
        return NULL;
    }
    if (!range_within(d->addr, d->len, UINT64_MAX)) {
        return "buffer wraps the address space";
    }
    if (c->read_bytes + c->write_bytes + d->len > UINT32_MAX) {
        return "chain longer than 4 GiB"; /* 2.7.4.1 */
    }
    if ((d->flags & VRING_DESC_F_WRITE) == 0) {
        if (c->n_write != 0) {
            return "readable buffer after a writable one"; /* 2.7.4.2 */
        }
        c->n_read++;
        c->read_bytes += d->len;
    } else {
        c->n_write++;
        c->write_bytes += d->len;
    }
    w->bufs[c->n_read + c->n_write - 1] = (struct vq_buf){GPA(d->addr), d->len};
    return NULL;
}

static enum status broken(struct virtqueue *q, const char *why)
{
    virtqueue_break(q, why);
    return E_INVAL;
}

static enum status walk_indirect(struct virtqueue *q, struct walk *w, const struct desc *head)
{
    struct table t = {.base = GPA(head->addr), .count = head->len / DESC_BYTES};
    uint32_t i = 0;

    if (!q->indirect) {
        return broken(q, "indirect descriptor without the feature");
    }
    if ((head->flags & VRING_DESC_F_NEXT) != 0) {
        return broken(q, "indirect descriptor with a successor");
    }
    if (head->len == 0 || head->len % DESC_BYTES != 0) {
        return broken(q, "indirect table of a bad size");
    }
    if (!range_within(head->addr, head->len, UINT64_MAX)) {
        return broken(q, "indirect table wraps the address space");
    }
    for (;;) {
        struct desc d;
        const char *bad;
        enum status s = table_get(q, &t, i, &d);

        if (s == E_NOMEM) {
            return E_NOMEM;
        }
        if (s != OK) {
            return broken(q, "indirect table outside of memory");
        }
        if ((d.flags & VRING_DESC_F_INDIRECT) != 0) {
            return broken(q, "nested indirect table");
        }
        if (w->steps++ >= w->max) {
            return broken(q, "chain too long or looping");
        }
        bad = walk_add(w, &d);
        if (bad != NULL) {
            return broken(q, bad);
        }
        if ((d.flags & VRING_DESC_F_NEXT) == 0) {
            return OK;
        }
        i = d.next;
        if (i >= t.count) {
            return broken(q, "descriptor index outside of the table");
        }
    }
}

static enum status walk_chain(struct virtqueue *q, struct walk *w)
{
    uint32_t i = w->chain.head;

    for (;;) {
        struct desc d;
        const char *bad;

        if (i >= q->size) {
            return broken(q, "descriptor index outside of the ring");
        }
        memcpy(&d, area_at(&q->desc, i * DESC_BYTES), sizeof(d));
        /* The copy is what is checked and used: nothing below may look at the ring again. */
        __asm__ volatile("" ::: "memory");
        if ((d.flags & VRING_DESC_F_INDIRECT) != 0) {
            return walk_indirect(q, w, &d);
        }
        if (w->steps++ >= w->max) {
            return broken(q, "chain too long or looping");
        }
        bad = walk_add(w, &d);
        if (bad != NULL) {
            return broken(q, bad);
        }
        if ((d.flags & VRING_DESC_F_NEXT) == 0) {
            return OK;
        }
        i = d.next;
    }
}

enum status virtqueue_pop(struct virtqueue *q, struct vq_buf *bufs, unsigned max,
                          struct vq_chain *out)
{
    struct walk w = {.bufs = bufs, .max = max};
    uint16_t waiting;
    enum status s = ready(q);

    if (s != OK) {
        return s;
    }
    /* Acquire: the entries and descriptors are read after the index that announces them. */
    waiting = (uint16_t)(load16(&q->avail, RING_IDX) - q->next_avail);
    if (waiting == 0) {
        return E_NOTFOUND;
    }
    if (waiting > q->size) {
        return broken(q, "available index jumped");
    }
    w.chain.head = load16(&q->avail, RING_ENTRIES + 2u * (q->next_avail & (q->size - 1u)));
    s = walk_chain(q, &w);
    if (s != OK) {
        return s;
    }
    q->next_avail++;
    *out = w.chain;
    return OK;
}

void virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t written)
{
    uint32_t at;

    if (q->why != NULL || !q->pinned) {
        return;
    }
    at = RING_ENTRIES + USED_ELEM_BYTES * (q->next_used & (q->size - 1u));
    /* Two stores: a ring at 8n puts its entries at 8n + 4, and one of them may cross a page. */
    store32(&q->used, at, head);
    store32(&q->used, at + 4, written);
    q->next_used++;
    /* Release: the data and the entry are seen before the index that announces them. */
    store16(&q->used, RING_IDX, q->next_used);
}

bool virtqueue_should_signal(struct virtqueue *q)
{
    uint16_t before = q->signalled;
    uint16_t event;

    if (q->why != NULL || !q->pinned || q->next_used == before) {
        return false;
    }
    q->signalled = q->next_used;
    /* The driver sets its wish, then looks at the used index; we set the index, then look at the
     * wish. With a full barrier on both sides one of us sees the other's store (2.7.7.2). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!q->event_idx) {
        return (load16(&q->avail, RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
    }
    event = load16(&q->avail, used_event_offset(q));
    /* Whether `event` lies in [before, next_used), modulo 2^16 (2.7.10). */
    return (uint16_t)(q->next_used - event - 1) < (uint16_t)(q->next_used - before);
}

void virtqueue_stop_kicks(struct virtqueue *q)
{
    /* With the event index, an index that does not move is already silence. */
    if (q->why == NULL && q->pinned && !q->event_idx) {
        store16(&q->used, RING_FLAGS, VRING_USED_F_NO_NOTIFY);
    }
}

bool virtqueue_want_kicks(struct virtqueue *q)
{
    if (q->why != NULL || !q->pinned) {
        return false;
    }
    if (q->event_idx) {
        store16(&q->used, avail_event_offset(q), q->next_avail);
    } else {
        store16(&q->used, RING_FLAGS, 0);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return load16(&q->avail, RING_IDX) != q->next_avail;
}
