/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as multiboot2 information: refused, or tables that keep every promise of the header. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "boot/multiboot2.h"
#include "work.h"

static void require(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void check(const struct mb2_info *m)
{
    uint64_t end = 0;

    require(memchr(m->cmdline, 0, sizeof(m->cmdline)) != NULL);
    require(m->n_mem > 0 && m->n_mem <= MB2_MEMS && m->n_modules <= MB2_MODULES);
    for (unsigned i = 0; i < m->n_mem; i++) {
        require(m->mem[i].base >= end && m->mem[i].len > 0);
        require(m->mem[i].type >= 1 && m->mem[i].type <= 5);
        end = m->mem[i].base + m->mem[i].len;
        require(end > m->mem[i].base && end <= BIT(52));
    }
    for (unsigned i = 0; i < m->n_modules; i++) {
        const struct mb2_module *x = &m->modules[i];
        bool inside = false;

        for (unsigned j = 0; j < m->n_mem; j++) {
            inside |= m->mem[j].type == 1 && x->start >= m->mem[j].base &&
                      x->end - m->mem[j].base <= m->mem[j].len;
        }
        require(x->start < x->end && inside && x->name[0] != '\0');
        require(mb2_module_find(m, x->name) == x);
        for (unsigned j = 0; j < i; j++) {
            require(x->end <= m->modules[j].start || x->start >= m->modules[j].end);
        }
    }
    require(m->rsdp_len == 0 || m->rsdp_len == 20 || m->rsdp_len == 36);
}

static int one_input(const uint8_t *data, size_t size)
{
    static struct mb2_info info;
    uint8_t *copy = malloc(size + 24);
    char why[128] = "";

    memcpy(copy, data, size);
    if (mb2_parse(copy, size, &info, why, sizeof(why)) == OK) {
        check(&info);
    } else {
        require(why[0] != '\0');
    }
    /* Once more with a header and an end tag that are right, so that the tags get their turn. */
    memset(copy, 0, 8);
    size = size < 8 ? 8 : (size & ~(size_t)7);
    store_le32(copy + size, 0);
    store_le32(copy + size + 4, 8);
    store_le32(copy, (uint32_t)size + 8);
    if (mb2_parse(copy, size + 8, &info, why, sizeof(why)) == OK) {
        check(&info);
    }
    free(copy);
    return 0;
}

FUZZ_ENTRY(one_input, 20000, 300)
