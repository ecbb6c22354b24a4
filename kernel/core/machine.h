/* SPDX-License-Identifier: BSD-2-Clause */
/* What there is one of: the frame table, the cache, the folding engine, the share groups. */
#ifndef KERNEL_CORE_MACHINE_H
#define KERNEL_CORE_MACHINE_H

#include "base/range.h"
#include "boot/multiboot2.h"
#include "drivers/block/cache/trace.h"
#include "kernel/config/config.h"
#include "mm/cache/mrc.h"
#include "mm/cache/store.h"
#include "mm/fold/fold.h"
#include "mm/frame.h"
#include "mm/p2m.h"

extern struct frames machine_frames;
extern struct cache machine_cache;
extern struct mrc machine_curve;      /* of all reads that reach the cache */
extern struct blktrace machine_trace; /* of all requests; n_max 0 without cache.trace */
extern struct fold machine_fold;
extern struct share_group *groups; /* n_groups of them, one for each name in the configuration */
extern unsigned n_groups;
unsigned group_number(const char *name); /* its place there */
extern struct config machine_config;

/* Lists the share groups of the configuration: the names of `groups`, in the order of the VMs, each
 * once. `places` is theirs for ever: one for each VM of machine_config. */
void machine_list_groups(struct share_group *places);
/* The usable memory of the boot loader's map: fixed here, once, before anything asks for it. */
void machine_set_memory(const struct phys_range *ram, unsigned n);
/* That memory in bytes, the first MiB and the hypervisor's own included. All that is a share of the
 * machine's memory is a share of this. */
uint64_t machine_memory_bytes(void);
/* Where the boot loader's modules are found; `boot` stays. */
void machine_set_boot(const struct mb2_info *boot);
/* A boot module by name, or false. Its bytes stay where they are for ever. */
bool machine_module(const char *name, const uint8_t **bytes, uint64_t *n);

/* The rest of start-up, after memory and interrupts work (kernel/main.c calls it): configuration,
 * VT-x, disks, VMs, console. Never returns. */
_Noreturn void kernel_run(const struct mb2_info *boot);

#endif
