/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine of frames and guests in host memory, with CPUs that keep stale translations.
 *
 * Each guest CPU caches a translation for each (linear alias, guest page) it has used, for as long
 * as the rules of the hardware allow: until a flush, or until a violation at that very alias. So a
 * flush that is missing shows as bytes that differ from what the guest should see.
 */
#ifndef TESTS_HOST_SUPPORT_FAKE_P2M_H
#define TESTS_HOST_SUPPORT_FAKE_P2M_H

#include "mm/audit/audit.h"
#include "mm/fold/fold.h"
#include "mm/frame.h"
#include "mm/p2m.h"
#include "rnd.h"

#define FAKE_CPUS 2
#define FAKE_ALIASES 2

/* `count` free frames, and their bytes, in an arena with a guard between any two; freed by
 * fake_frames_fini. */
void fake_frames_init(struct frames *f, uint64_t count);
void fake_frames_fini(struct frames *f);

struct fake_slot {
    bool present, writable, dirty;
    mfn_t mfn;
};

struct fake_map {
    struct frames *frames;
    uint64_t pages; /* guest frames below this can be mapped */
    struct fake_slot *entries;
    struct fake_slot *cached[FAKE_CPUS][FAKE_ALIASES];
    bool *accessed;             /* by region: a translation was loaded since the last harvest */
    struct p2m_region *regions; /* for p2m_init */
    uint64_t flushes;
    /* Called before a flush or a new entry takes effect: what other CPUs do at the last moment. */
    void (*race)(void *ctx, struct fake_map *m);
    void *race_ctx;
    bool fail_maps;      /* no entry at all can be set, not even in place of another */
    uint64_t fail_after; /* this many entries can still be added to holes; UINT64_MAX: any number */
};

extern const struct p2m_ops fake_map_ops;          /* ctx: the struct fake_map */
extern const struct p2m_ops fake_map_ops_checksum; /* the same on a CPU without dirty bits */

void fake_map_init(struct fake_map *m, struct frames *frames, uint64_t pages);
void fake_map_fini(struct fake_map *m);
/* A CPU walks the map for gfn and caches what it finds, unless it has something cached. */
void fake_map_load(struct fake_map *m, unsigned cpu, unsigned alias, gfn_t gfn);

/*
 * The guest reads or writes one byte of the page as its CPU would, through what the CPU has cached,
 * faulting into p2m_fault as often as it takes. The status is p2m_fault's.
 */
enum status fake_guest_read(struct p2m *p, unsigned cpu, unsigned alias, gfn_t gfn, unsigned offset,
                            uint8_t *out) MUST_CHECK;
enum status fake_guest_write(struct p2m *p, unsigned cpu, unsigned alias, gfn_t gfn,
                             unsigned offset, uint8_t value) MUST_CHECK;

/* Runs the audit and fails the test (abort) with its lines on stderr when something is wrong. */
void fake_check(struct frames *f, struct p2m *const *maps, unsigned n_maps,
                struct share_group *const *groups, unsigned n_groups, const struct fold *fold);

#endif
