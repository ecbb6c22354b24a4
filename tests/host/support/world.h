/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests, a scanner, devices, disks and their cache on one small frame table, driven by bytes: each
 * few bytes are one operation. Beside it stands an oracle that never shares: a flat array per VM,
 * and the disk. Whatever a guest or a device reads must be what the oracle holds, and a block of
 * the cache what the disk holds. Property tests feed random bytes, the fuzzer its input.
 */
#ifndef TESTS_HOST_SUPPORT_WORLD_H
#define TESTS_HOST_SUPPORT_WORLD_H

#include "fake_p2m.h"
#include "mm/cache/store.h"
#include "mm/fold/unmerge.h"

#define WORLD_VMS 4
#define WORLD_PAGES 14 /* per VM */
#define WORLD_GROUPS 2
#define WORLD_PINS 6
#define WORLD_BLOCKS 12 /* of the disk */
#define WORLD_FILLS 2
#define WORLD_ROOTS 8

struct world_pin {
    bool used, write;
    unsigned vm;
    uint32_t life; /* the VM's, to tell a later VM of that number */
    gfn_t gfn;
    mfn_t mfn;
    uint8_t *frozen; /* the bytes of a shared frame when it was pinned, else NULL */
};

/* A block on its way: the cache's entry is BUSY. */
struct world_fill {
    bool used;
    uint32_t entry;
    unsigned group;
};

/* A block that is being written to the disk, from that frame, if it needs one. */
struct world_out {
    bool used, zero;
    uint32_t entry;
    mfn_t mfn;
};

struct world_vm {
    bool live;
    uint32_t life;
    struct fake_map map;
    struct p2m p2m;
    uint8_t (*oracle)[PAGE_SIZE];
    struct unmerge unmerge;
};

struct world {
    struct frames f;
    struct share_group groups[WORLD_GROUPS];
    struct fold fold;
    uint32_t roots[WORLD_ROOTS];
    struct world_vm vms[WORLD_VMS];
    struct world_pin pins[WORLD_PINS];
    struct cache cache; /* gives back frames when asked */
    void *cache_mem;
    uint8_t disk[WORLD_BLOCKS][PAGE_SIZE];
    struct world_fill fills[WORLD_FILLS];
    struct world_out outs[WORLD_FILLS];
    struct rnd race; /* what the other CPUs do while the hypervisor is at work */
    const uint8_t *data;
    size_t left;
    unsigned ops;
    unsigned starve_at; /* during this operation no frame can be had; UINT_MAX: never */
    bool starve_maps;   /* instead, no entry can be set then */
    bool starving;
    bool zero_in_common; /* all groups use one zero page */
};

void world_init(struct world *w, uint64_t frames);
/* The groups use one zero page from now on. To be called before anything runs. */
void world_join_zero(struct world *w);
/* Runs the operations that `data` says; the audit runs every `audit_every` of them. */
void world_run(struct world *w, const uint8_t *data, size_t n, unsigned audit_every);
/* Every byte of every VM against the oracle, by the door and by every CPU's every alias. */
void world_compare(struct world *w);
/* Releases pins, lets the scanner come to rest; then exactly the duplicates must be gone. */
void world_settle(struct world *w);
void world_audit(struct world *w);
/* Takes everything down and checks that every frame came back. */
void world_fini(struct world *w);

#endif
