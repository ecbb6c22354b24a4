/* SPDX-License-Identifier: BSD-2-Clause */
/* The one door for the hypervisor's own accesses to guest memory: pinned frames, and copies. */
#include "base/bits.h"
#include "base/string.h"
#include "mm/p2m_notes.h"

/*
 * A frame that others hold too takes pins on their behalf as well. Past this many the guest gets a
 * frame of its own, so that one guest's requests can use up the pins of no page but its own.
 */
#define SHARED_PINS_MAX (FRAME_PINS_MAX / 2)

/* Without its checksum the page counts as changed when it is next scanned by checksums. */
static void mark_written(struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    frame_of(p->frames, mfn)->flags &= (uint8_t)~FRAME_F_SUMMED;
    p2m_mark_written(p, gfn);
}

static enum status pin(struct p2m *p, mfn_t mfn, mfn_t *out)
{
    if (frame_of(p->frames, mfn)->pins == FRAME_PINS_MAX) {
        return E_BUSY;
    }
    frames_pin(p->frames, mfn);
    *out = mfn;
    return OK;
}

enum status p2m_get_read(struct p2m *p, gfn_t gfn, mfn_t *out)
{
    mfn_t mfn;

    enum status s = p2m_resolve(p, gfn, false, &mfn);
    if (s != OK) {
        return s;
    }
    const struct frame *fr = frame_of(p->frames, mfn);
    if (fr->state != FRAME_PRIVATE && fr->pins >= SHARED_PINS_MAX) {
        s = p2m_resolve(p, gfn, true, &mfn);
        if (s != OK) {
            return s;
        }
    }
    return pin(p, mfn, out);
}

enum status p2m_get_write(struct p2m *p, gfn_t gfn, mfn_t *out)
{
    mfn_t mfn;

    enum status s = p2m_resolve(p, gfn, true, &mfn);
    if (s != OK) {
        return s;
    }
    mark_written(p, gfn, mfn);
    return pin(p, mfn, out);
}

void p2m_put(struct p2m *p, mfn_t mfn)
{
    const struct frame *fr = frame_of(p->frames, mfn);

    /* A device may have written up to now, and a log been read since the pin. mm/fold needs no
     * word of it: it looks at no pinned page, and at each of them again. */
    if (p->logs && fr->state == FRAME_PRIVATE && fr->refs > 0) {
        p2m_log_written(p, GFN(fr->gfn));
    }
    frames_unpin(p->frames, mfn);
}

enum status p2m_read(struct p2m *p, gpa_t from, void *to, size_t n)
{
    uint8_t *dst = to;

    if (n > 0 && from.a > UINT64_MAX - (n - 1)) {
        return E_FAULT;
    }
    while (n > 0) {
        size_t offset = from.a & PAGE_MASK;
        size_t chunk = MIN(n, PAGE_SIZE - offset);
        gfn_t gfn = gpa_to_gfn(from);
        struct p2m_entry e;

        if (!p2m_is_ram(p, gfn)) {
            return E_FAULT;
        }
        if (p->ops->lookup(p->ctx, gfn, &e) == OK) {
            memcpy(dst, (uint8_t *)frame_bytes(p->frames, e.mfn) + offset, chunk);
        } else {
            memset(dst, 0, chunk); /* what was never touched reads as zeroes, and costs no frame */
        }
        dst += chunk;
        from.a += chunk;
        n -= chunk;
    }
    return OK;
}

enum status p2m_write(struct p2m *p, gpa_t to, const void *from, size_t n)
{
    const uint8_t *src = from;

    if (n > 0 && to.a > UINT64_MAX - (n - 1)) {
        return E_FAULT;
    }
    while (n > 0) {
        size_t offset = to.a & PAGE_MASK;
        size_t chunk = MIN(n, PAGE_SIZE - offset);
        mfn_t mfn;

        enum status s = p2m_resolve(p, gpa_to_gfn(to), true, &mfn);
        if (s != OK) {
            return s;
        }
        mark_written(p, gpa_to_gfn(to), mfn);
        memcpy((uint8_t *)frame_bytes(p->frames, mfn) + offset, src, chunk);
        src += chunk;
        to.a += chunk;
        n -= chunk;
    }
    return OK;
}
