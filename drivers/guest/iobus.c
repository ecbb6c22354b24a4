/* SPDX-License-Identifier: BSD-2-Clause */
/* The address space of one guest's devices: a sorted table, the range that answered last first. */
#include "drivers/guest/iobus.h"

#include "base/string.h"

void iobus_init(struct iobus *b)
{
    b->n = 0;
    b->last = 0;
}

static bool range_covers(const struct io_range *r, uint64_t addr)
{
    return addr - r->base < r->len; /* an addr below the base wraps to something large */
}

/* The number of ranges that begin at or below addr; the last of them is the only candidate. */
static unsigned ranges_up_to(const struct iobus *b, uint64_t addr)
{
    unsigned lo = 0, hi = b->n;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (b->ranges[mid].base <= addr) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static const struct io_range *find(struct iobus *b, uint64_t addr)
{
    unsigned i;

    if (b->last < b->n && range_covers(&b->ranges[b->last], addr)) {
        return &b->ranges[b->last];
    }
    i = ranges_up_to(b, addr);
    if (i == 0 || !range_covers(&b->ranges[i - 1], addr)) {
        return NULL;
    }
    b->last = i - 1;
    return &b->ranges[i - 1];
}

enum status iobus_add(struct iobus *b, uint64_t base, uint64_t len, io_read_fn *read,
                      io_write_fn *write, void *dev)
{
    unsigned i;

    if (len == 0 || len - 1 > UINT64_MAX - base) {
        return E_INVAL;
    }
    i = ranges_up_to(b, base);
    if (i > 0 && range_covers(&b->ranges[i - 1], base)) {
        return E_EXISTS;
    }
    if (i < b->n && b->ranges[i].base - base < len) {
        return E_EXISTS;
    }
    if (b->n == IOBUS_RANGES) {
        return E_NOMEM;
    }
    memmove(&b->ranges[i + 1], &b->ranges[i], (b->n - i) * sizeof(b->ranges[0]));
    b->ranges[i] = (struct io_range){base, len, read, write, dev};
    b->n++;
    b->last = i;
    return OK;
}

void iobus_remove(struct iobus *b, uint64_t base)
{
    unsigned i = ranges_up_to(b, base);

    if (i == 0 || b->ranges[i - 1].base != base) {
        return;
    }
    memmove(&b->ranges[i - 1], &b->ranges[i], (b->n - i) * sizeof(b->ranges[0]));
    b->n--;
    b->last = 0;
}

static uint64_t size_mask(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
}

uint64_t iobus_read(struct iobus *b, uint64_t addr, unsigned size)
{
    const struct io_range *r = find(b, addr);

    if (r == NULL || r->read == NULL) {
        return size_mask(size);
    }
    return r->read(r->dev, addr - r->base, size) & size_mask(size);
}

void iobus_write(struct iobus *b, uint64_t addr, unsigned size, uint64_t value)
{
    const struct io_range *r = find(b, addr);

    if (r != NULL && r->write != NULL) {
        r->write(r->dev, addr - r->base, size, value & size_mask(size));
    }
}

bool iobus_has(const struct iobus *b, uint64_t addr)
{
    unsigned i = ranges_up_to(b, addr);

    return i > 0 && range_covers(&b->ranges[i - 1], addr);
}
