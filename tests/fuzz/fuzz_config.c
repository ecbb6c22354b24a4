/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a configuration: refused with a printable line, or values within all bounds. */
#include <stdlib.h>
#include <string.h>

#include "kernel/config/config.h"
#include "work.h"

static void require(bool ok)
{
    if (!ok) {
        abort();
    }
}

/* Two VMs' disks clash or not, whichever is asked about first. */
static void check_disks(const struct config_vm *a, const struct config_vm *b)
{
    for (unsigned i = 0; i < a->n_disks * b->n_disks; i++) {
        const struct config_disk *d = &a->disks[i / b->n_disks], *e = &b->disks[i % b->n_disks];

        require(config_disks_clash(d, e) == config_disks_clash(e, d));
    }
}

static void check(const struct config *c)
{
    require(c->n_vms <= CONFIG_VMS && c->host.scan_pages >= 1);
    require(c->host.scan_cpu_max >= 1 && c->host.scan_cpu_max <= 100);
    require(c->host.cache_mode < CACHE_MODES);
    require((c->host.cache_max_percent == 0) != (c->host.cache_max_bytes == 0));
    for (unsigned i = 0; i < c->n_vms; i++) {
        const struct config_vm *v = &c->vms[i];

        require(v->memory_bytes >= CONFIG_VM_MEMORY_MIN && v->memory_bytes <= CONFIG_VM_MEMORY_MAX);
        require(v->memory_bytes % PAGE_SIZE == 0 && v->cpus == 1 && v->n_disks <= CONFIG_DISKS);
        require(v->kernel[0] != '\0' && v->name[0] != '\0' && v->share[0] != '\0');
        require(memchr(v->cmdline, 0, sizeof(v->cmdline)) != NULL);
        if (i > 0) {
            check_disks(&c->vms[i - 1], v);
        }
    }
}

static int one_input(const uint8_t *data, size_t size)
{
    static struct config c;
    char why[120] = "";

    if (config_parse((const char *)data, size, &c, why, sizeof(why)) == OK) {
        check(&c);
    } else {
        require(strncmp(why, "config:", 7) == 0);
        for (const char *p = why; *p != '\0'; p++) {
            require(*p >= 0x20 && *p <= 0x7e);
        }
    }
    return 0;
}

FUZZ_ENTRY(one_input, 60000, 1200)
