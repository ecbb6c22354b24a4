/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A memory image as a VM's memory, for the folding core on the host.
 *
 * There is no CPU and no MMU behind it: the map is an array, and the "guest" writes when it is told
 * to. Beside it stays the image as it must read, so that at the end every page can be compared.
 */
#pragma once

#include "mm/p2m.h"

#include <stdbool.h>
#include <stdint.h>

/* The p2m's entries. Nothing runs, so there is nothing stale to flush. */
struct image_map {
    uint32_t *mfns; /* FRAME_NIL: a hole */
    uint8_t *writable;
    uint8_t *dirty;
    uint8_t *accessed; /* by region of 2 MiB */
    uint64_t pages;
};

struct image_vm {
    const char *file;
    uint8_t *expected; /* the image, and what was written since */
    uint64_t pages;
    struct image_map map;
    struct p2m p2m;
};

/* Maps the file and tells its pages; NULL, or why not. The file itself is never written. */
const char *image_vm_open(struct image_vm *vm, const char *file);

/*
 * Makes it VM `number` of the group, every page in a frame of its own and, as after the guest's own
 * writes, dirty. NULL, or why not. It stays where it is from then on.
 */
const char *image_vm_load(struct image_vm *vm, uint16_t number, struct frames *frames,
                          struct share_group *group);

/* The guest writes eight bytes within a page; breaks sharing as a fault would. */
const char *image_vm_write(struct image_vm *vm, gfn_t gfn, uint32_t offset, uint64_t value);

/* How many pages do not read as they must; tells the first on stderr. */
uint64_t image_vm_differences(const struct image_vm *vm);

/* Zeroed memory in 4 KiB pages, as KSM's side has it; never freed. NULL if there is none. */
void *image_memory(uint64_t bytes);
