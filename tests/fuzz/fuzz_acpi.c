/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI tables from raw bytes: the first 36 are the RSDP, the rest is memory from address 0 on. Its
 * checksums are made right, so that the bytes get past them. */
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "boot/acpi.h"
#include "work.h"

#include <stdlib.h>

struct memory {
    const uint8_t *bytes;
    size_t n;
    uint8_t *view;
};

static void fix_sum(uint8_t *p, size_t n, size_t at)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum = (uint8_t)(sum + p[i]);
    }
    p[at] = (uint8_t)(p[at] - sum);
}

/* A copy of exactly `len` bytes, alive until the next one. */
static const void *view(void *ctx, uint64_t at, uint64_t len)
{
    struct memory *m = ctx;

    free(m->view);
    m->view = NULL;
    if (len == 0 || !range_within(at, len, m->n)) {
        return NULL;
    }
    m->view = malloc(len);
    memcpy(m->view, m->bytes + at, len);
    fix_sum(m->view, len, 9);
    return m->view;
}

static int one_input(const uint8_t *data, size_t size)
{
    struct acpi_info info;
    const char *why;
    uint8_t rsdp[36];

    if (size < sizeof(rsdp)) {
        return 0;
    }
    struct memory m = {data + sizeof(rsdp), size - sizeof(rsdp), NULL};
    struct acpi_reader r = {view, &m};
    memcpy(rsdp, data, sizeof(rsdp));
    memcpy(rsdp, "RSD PTR ", 8);
    fix_sum(rsdp, 20, 8);
    fix_sum(rsdp, 36, 32);
    enum status s = acpi_parse(rsdp, data[14] & 1 ? 36 : 20, &r, &info, &why);
    free(m.view);
    ASSERT((s == OK || why) && info.n_ioapics <= ACPI_MAX_IOAPICS);
    return 0;
}

FUZZ_ENTRY(one_input, 20000, 600)
