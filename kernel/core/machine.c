/* SPDX-License-Identifier: BSD-2-Clause */
/* What there is one of: see machine.h. Start-up makes it, and this file keeps it. */
#include "kernel/core/machine.h"

#include "arch/x86_64/paging.h"
#include "base/log.h"
#include "base/string.h"

struct frames machine_frames;
struct cache machine_cache;
struct mrc machine_curve;
struct blktrace machine_trace;
struct fold machine_fold;
struct share_group *groups;
unsigned n_groups;
struct config machine_config;

static const struct mb2_info *boot_info;
static uint64_t memory_bytes;

void machine_set_memory(const struct phys_range *ram, unsigned n)
{
    memory_bytes = 0;
    for (unsigned i = 0; i < n; i++) {
        memory_bytes += ram[i].end - ram[i].start;
    }
}

uint64_t machine_memory_bytes(void)
{
    return memory_bytes;
}

void machine_set_boot(const struct mb2_info *boot)
{
    boot_info = boot;
}

bool machine_module(const char *name, const uint8_t **bytes, uint64_t *n)
{
    const struct mb2_module *m = mb2_module_find(boot_info, name);

    if (!m) {
        return false;
    }
    *bytes = window(HPA(m->start));
    *n = m->end - m->start;
    return true;
}

void machine_list_groups(struct share_group *places)
{
    const struct config *c = &machine_config;

    groups = places;
    n_groups = 0;
    for (unsigned i = 0; i < c->n_vms; i++) {
        unsigned g = 0;
        while (g < n_groups && strcmp(groups[g].name, c->vms[i].share) != 0) {
            g++;
        }
        if (g == n_groups) {
            groups[n_groups++].name = c->vms[i].share;
        }
    }
}

unsigned group_number(const char *name)
{
    for (unsigned i = 0; i < n_groups; i++) {
        if (strcmp(groups[i].name, name) == 0) {
            return i;
        }
    }
    panic("no share group '%s': machine_list_groups missed it", name);
}
