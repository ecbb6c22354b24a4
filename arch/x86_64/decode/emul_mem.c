/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator's way to memory: segments, then pages, then RAM or a device, a page at a time. */
#include "arch/x86_64/decode/emul_priv.h"
#include "base/bits.h"
#include "base/page.h"
#include "base/string.h"

static bool canonical(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear; /* no LA57 in guests */
}

/* ---- linear addresses ---------------------------------------------------------------------- */

/* Page tables where no RAM is read as all ones, as any memory that is not there. */
static enum status read_table(void *ctx, gpa_t at, void *to, unsigned n)
{
    const struct emul *e = ctx;
    enum status s = e->ops->ram_read(e->ctx, at, to, n);

    if (s == E_FAULT) {
        memset(to, 0xff, n);
        return OK;
    }
    return s;
}

/* The page walk's marks; those of tables that are not RAM vanish. */
static enum status mark_table(void *ctx, gpa_t at, uint8_t bits)
{
    const struct emul *e = ctx;
    uint8_t byte;
    enum status s = e->ops->ram_read(e->ctx, at, &byte, 1);

    if (s == OK && (byte & bits) != bits) {
        byte |= bits;
        s = e->ops->ram_write(e->ctx, at, &byte, 1);
    }
    return s == E_FAULT ? OK : s;
}

static enum emul_result walk(struct emul *e, uint64_t linear, unsigned access, gpa_t *gpa)
{
    const struct gwalk_mode mode = {.cr0 = e->cr0,
                                    .cr3 = e->cr3,
                                    .cr4 = e->cr4,
                                    .efer = e->efer,
                                    .ac = e->rflags & RF_AC,
                                    .phys_bits = e->phys_bits,
                                    .pdptes = e->has_pdptes ? e->pdptes : NULL};
    const struct gwalk_reader reader = {.read = read_table, .mark = mark_table, .ctx = e};
    uint32_t error = 0;

    switch (gwalk(&mode, &reader, linear, access, gpa, &error)) {
    case OK:
        return EMUL_DONE;
    case E_FAULT:
        (void)emul_raise(e, EXC_PF, true, error);
        e->fault.cr2 = linear;
        return EMUL_FAULT;
    case E_NOMEM:
        return EMUL_NO_MEMORY;
    default:
        return emul_raise(e, EXC_GP, true, 0); /* not canonical */
    }
}

/* The page's translation: for one to be written, its frame is the guest's own afterwards. */
static enum emul_result translate(struct emul *e, uint64_t linear, unsigned access,
                                  const struct emul_translation **out)
{
    struct emul_translation *t = (access & GWALK_WRITE) ? &e->writes : &e->reads;
    uint64_t page = linear & ~(uint64_t)PAGE_MASK;

    *out = t;
    if (t->known && t->page == page && t->access == access) {
        return EMUL_DONE;
    }
    t->known = false;
    TRY(walk(e, linear, access, &t->at));
    t->at = GPA(t->at.a & ~(uint64_t)PAGE_MASK);
    enum status s = e->ops->ram_find(e->ctx, t->at, access & GWALK_WRITE);
    if (s == E_NOMEM) {
        return EMUL_NO_MEMORY;
    }
    t->ram = s == OK;
    t->page = page;
    t->access = access;
    t->known = true;
    return EMUL_DONE;
}

enum emul_result emul_map(struct emul *e, uint64_t linear, unsigned n, unsigned access,
                          struct emul_range *out)
{
    unsigned done = 0, parts = 0;

    while (done < n) {
        uint64_t at = linear + done;
        unsigned len = MIN(n - done, (unsigned)(PAGE_SIZE - (at & PAGE_MASK)));
        const struct emul_translation *t;

        if (!emul_long_mode(e)) {
            at = (uint32_t)at;
        }
        TRY(translate(e, at, access, &t));
        out->part[parts].at = GPA(t->at.a | (at & PAGE_MASK));
        out->part[parts].n = len;
        out->part[parts++].ram = t->ram;
        done += len;
    }
    out->n = parts;
    return EMUL_DONE;
}

/* The largest piece of a device access of n bytes at `at` that a device takes in one: whole sizes
 * as they are, the rest of a split access naturally aligned. */
static unsigned piece(uint64_t at, unsigned n)
{
    unsigned size = 8;

    if (n == 1 || n == 2 || n == 4 || n == 8) {
        return n;
    }
    while (size > n || (n < 8 && (at & (size - 1)))) {
        size /= 2;
    }
    return size;
}

static uint64_t load_piece(const uint8_t *p, unsigned size)
{
    return size == 8 ? load_le64(p) : size == 4 ? load_le32(p) : size == 2 ? load_le16(p) : *p;
}

static void store_piece(uint8_t *p, unsigned size, uint64_t value)
{
    if (size == 8) {
        store_le64(p, value);
    } else if (size == 4) {
        store_le32(p, (uint32_t)value);
    } else if (size == 2) {
        store_le16(p, (uint16_t)value);
    } else {
        *p = (uint8_t)value;
    }
}

static void from_device(struct emul *e, uint64_t at, uint8_t *to, unsigned n)
{
    e->touched_device = true;
    for (unsigned size; n > 0; n -= size, at += size, to += size) {
        size = piece(at, n);
        store_piece(to, size, e->ops->device_read(e->ctx, GPA(at), size));
    }
}

static void to_device(struct emul *e, uint64_t at, const uint8_t *from, unsigned n)
{
    e->touched_device = true;
    for (unsigned size; n > 0; n -= size, at += size, from += size) {
        size = piece(at, n);
        e->ops->device_write(e->ctx, GPA(at), size, load_piece(from, size));
    }
}

enum emul_result emul_get(struct emul *e, const struct emul_range *r, void *to)
{
    uint8_t *bytes = to;

    for (unsigned k = 0; k < r->n; bytes += r->part[k++].n) {
        if (!r->part[k].ram) {
            from_device(e, r->part[k].at.a, bytes, r->part[k].n);
        } else if (e->ops->ram_read(e->ctx, r->part[k].at, bytes, r->part[k].n) != OK) {
            return EMUL_NO_MEMORY;
        }
    }
    return EMUL_DONE;
}

enum emul_result emul_put(struct emul *e, const struct emul_range *r, const void *from)
{
    const uint8_t *bytes = from;

    for (unsigned k = 0; k < r->n; bytes += r->part[k++].n) {
        if (!r->part[k].ram) {
            to_device(e, r->part[k].at.a, bytes, r->part[k].n);
        } else if (e->ops->ram_write(e->ctx, r->part[k].at, bytes, r->part[k].n) != OK) {
            return EMUL_NO_MEMORY;
        }
    }
    return EMUL_DONE;
}

enum emul_result emul_read(struct emul *e, uint64_t linear, void *to, unsigned n, unsigned access)
{
    struct emul_range r;

    for (unsigned done = 0, part; done < n; done += part) {
        part = MIN(n - done, EMUL_RANGE_MAX);
        TRY(emul_map(e, linear + done, part, access | GWALK_IMPLICIT, &r));
        TRY(emul_get(e, &r, (uint8_t *)to + done));
    }
    return EMUL_DONE;
}

enum emul_result emul_write(struct emul *e, uint64_t linear, const void *from, unsigned n,
                            unsigned access)
{
    struct emul_range r;

    for (unsigned done = 0, part; done < n; done += part) {
        part = MIN(n - done, EMUL_RANGE_MAX);
        TRY(emul_map(e, linear + done, part, access | GWALK_IMPLICIT | GWALK_WRITE, &r));
        TRY(emul_put(e, &r, (const uint8_t *)from + done));
    }
    return EMUL_DONE;
}

/* ---- segments ------------------------------------------------------------------------------ */

static enum emul_result outside(struct emul *e, unsigned segment)
{
    return emul_raise(e, segment == SEG_SS ? EXC_SS : EXC_GP, true, 0);
}

/* Whether the segment lets n bytes at offset be read or written: SDM vol. 3, 5.3 to 5.5. */
static bool segment_allows(const struct emul *e, const struct emul_segment *s, uint64_t offset,
                           unsigned n, bool write)
{
    uint64_t last = offset + n - 1, top = (s->rights & SEG_DB) ? UINT32_MAX : 0xffff;
    bool code = s->rights & 8, down = !code && (s->rights & 4);

    if (emul_protected(e)) {
        if (s->rights & SEG_UNUSABLE) {
            return false;
        }
        /* Bit 1: code may be read, data written. */
        if (write ? code || !(s->rights & 2) : code && !(s->rights & 2)) {
            return false;
        }
    }
    return down ? offset > s->limit && last <= top : last <= s->limit;
}

enum emul_result emul_linear(struct emul *e, unsigned segment, uint64_t offset, unsigned n,
                             bool write, uint64_t *linear)
{
    struct emul_segment s;

    if (e->mode == INSN_64) {
        if (segment == SEG_FS || segment == SEG_GS) {
            e->ops->get_segment(e->ctx, segment, &s);
            offset += s.base;
        }
        if (!canonical(offset) || !canonical(offset + n - 1)) {
            return outside(e, segment);
        }
        *linear = offset;
        return EMUL_DONE;
    }
    e->ops->get_segment(e->ctx, segment, &s);
    if (!segment_allows(e, &s, offset, n, write)) {
        return outside(e, segment);
    }
    *linear = (uint32_t)(s.base + offset);
    return EMUL_DONE;
}

enum emul_result emul_map_at(struct emul *e, unsigned segment, uint64_t offset, unsigned n,
                             bool write, struct emul_range *out)
{
    uint64_t linear = 0;

    TRY(emul_linear(e, segment, offset, n, write, &linear));
    return emul_map(e, linear, n, (write ? GWALK_WRITE : 0) | (e->cpl == 3 ? GWALK_USER : 0), out);
}

enum emul_result emul_get_value(struct emul *e, const struct emul_range *r, uint64_t *value)
{
    uint8_t bytes[8] = {0};

    TRY(emul_get(e, r, bytes));
    *value = load_le64(bytes);
    return EMUL_DONE;
}

enum emul_result emul_put_value(struct emul *e, const struct emul_range *r, uint64_t value)
{
    uint8_t bytes[8];

    store_le64(bytes, value);
    return emul_put(e, r, bytes);
}

enum emul_result emul_load(struct emul *e, unsigned segment, uint64_t offset, unsigned n,
                           uint64_t *value)
{
    struct emul_range r;

    TRY(emul_map_at(e, segment, offset, n, false, &r));
    return emul_get_value(e, &r, value);
}
