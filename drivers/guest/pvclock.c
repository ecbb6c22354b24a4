/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's paravirtual clock: see pvclock.h. */
#include "drivers/guest/pvclock.h"

#include "base/bits.h"

#define MSR_ENABLE 1u
#define FLAG_TSC_STABLE 0x01u
#define FLAG_GUEST_STOPPED 0x02u
#define NS_PER_S UINT64_C(1000000000)

struct system_page {
    uint32_t version; /* odd while it is being written */
    uint32_t pad0;
    uint64_t tsc_timestamp;
    uint64_t system_time_ns;
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags;
    uint8_t pad[2];
};
_Static_assert(sizeof(struct system_page) == 32, "the guest's layout");

struct wall_page {
    uint32_t version, s, ns;
};

/* ns = ((tsc << shift) * mul) >> 32, with mul in [2^31, 2^32); rounded down, so that a guest which
 * works out the frequency from it gets no less than it is. */
static void set_scale(struct pvclock *c, uint64_t tsc_hz)
{
    uint64_t num = NS_PER_S, den = tsc_hz;

    c->shift = 0;
    while (num >= den) {
        den <<= 1;
        c->shift++;
    }
    while (num < den - num) {
        num <<= 1;
        c->shift--;
    }
    c->mul = 0;
    for (unsigned i = 0; i < 32; i++) {
        num <<= 1;
        c->mul <<= 1;
        if (num >= den) {
            num -= den;
            c->mul |= 1;
        }
    }
}

void pvclock_init(struct pvclock *c, struct p2m *p2m, uint64_t tsc_hz, uint64_t wall_ns)
{
    *c = (struct pvclock){.p2m = p2m, .wall_ns = wall_ns};
    set_scale(c, MAX(tsc_hz, 1u));
}

uint64_t pvclock_ns(const struct pvclock *c, uint64_t tsc)
{
    uint64_t delta = tsc - c->tsc_base;

    delta = c->shift >= 0 ? delta << c->shift : delta >> -c->shift;
    return (uint64_t)((unsigned __int128)delta * c->mul >> 32);
}

bool pvclock_has_msr(uint32_t msr)
{
    return msr == PVCLOCK_MSR_WALL_CLOCK || msr == PVCLOCK_MSR_SYSTEM_TIME;
}

bool pvclock_is_on(const struct pvclock *c)
{
    return c->system_msr & MSR_ENABLE;
}

/* Versions are even at rest, and odd while the rest of the page changes. */
static enum status write_page(struct pvclock *c, gpa_t at, void *page, size_t n)
{
    uint32_t *version = page;
    enum status s;

    *version = c->version + 1;
    s = p2m_write(c->p2m, at, page, n);
    if (s != OK) {
        return s;
    }
    c->version += 2;
    *version = c->version;
    return p2m_write(c->p2m, at, version, sizeof(*version));
}

static enum status write_system(struct pvclock *c, uint64_t msr)
{
    gpa_t at = GPA(msr & ~(uint64_t)MSR_ENABLE);
    struct system_page page;
    enum status s = p2m_read(c->p2m, at, &page, sizeof(page));

    if (s != OK) {
        return s;
    }
    /* The guest takes the flag back by itself. What it has not seen yet stays. */
    uint8_t flags = (page.flags & FLAG_GUEST_STOPPED) | FLAG_TSC_STABLE;
    page = (struct system_page){.tsc_timestamp = c->tsc_base,
                                .tsc_to_system_mul = c->mul,
                                .tsc_shift = c->shift,
                                .flags = c->stopped ? flags | FLAG_GUEST_STOPPED : flags};
    return write_page(c, at, &page, sizeof(page));
}

static enum status write_wall(struct pvclock *c, uint64_t msr)
{
    struct wall_page page = {.s = (uint32_t)(c->wall_ns / NS_PER_S),
                             .ns = (uint32_t)(c->wall_ns % NS_PER_S)};

    return write_page(c, GPA(msr), &page, sizeof(page));
}

enum status pvclock_msr_read(const struct pvclock *c, uint32_t msr, uint64_t *value)
{
    if (!pvclock_has_msr(msr)) {
        return E_FAULT;
    }
    *value = msr == PVCLOCK_MSR_WALL_CLOCK ? c->wall_msr : c->system_msr;
    return OK;
}

enum status pvclock_msr_write(struct pvclock *c, uint32_t msr, uint64_t value)
{
    enum status s = OK;

    if (!pvclock_has_msr(msr)) {
        return E_FAULT;
    }
    /* Both structures are aligned to 4 bytes. */
    if (value & (msr == PVCLOCK_MSR_WALL_CLOCK ? 3u : 2u)) {
        return E_FAULT;
    }
    if (msr == PVCLOCK_MSR_WALL_CLOCK) {
        s = write_wall(c, value);
        if (s == OK) {
            c->wall_msr = value;
        }
    } else {
        if (value & MSR_ENABLE) {
            /* Memory that was no clock until now holds no flag that is the guest's. */
            uint8_t none[sizeof(struct system_page)] = {0};
            s = p2m_write(c->p2m, GPA(value & ~(uint64_t)MSR_ENABLE), none, sizeof(none));
            s = s == OK ? write_system(c, value) : s;
        }
        if (s == OK) {
            c->system_msr = value;
            c->owed = c->stopped = false;
        }
    }
    return s == OK || s == E_NOMEM ? s : E_FAULT;
}

void pvclock_settle(struct pvclock *c)
{
    if (!pvclock_is_on(c)) {
        c->owed = c->stopped = false;
    } else if (c->owed) {
        enum status s = write_system(c, c->system_msr);
        c->owed = s == E_NOMEM;
        c->stopped &= c->owed;
    }
}

void pvclock_tsc_moved(struct pvclock *c, uint64_t by)
{
    c->tsc_base += by;
    c->owed = true;
    pvclock_settle(c);
}

void pvclock_guest_stopped(struct pvclock *c)
{
    c->stopped = true;
    c->owed = true;
    pvclock_settle(c);
}
