/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel images that are the fuzzer's bytes: refused in words, or entered inside the guest. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "fake_guest.h"
#include "kernel/vm/loader.h"
#include "work.h"

static void require(bool ok)
{
    if (!ok) {
        abort();
    }
}

static int one_input(const uint8_t *data, size_t size)
{
    static const uint8_t initrd[9000];
    struct tguest g;
    struct loader_entry e;
    char why[160] = "";

    if (size < 2) {
        return 0;
    }
    struct loader_input in = {.kernel = data + 2,
                              .kernel_bytes = size - 2,
                              .initrd = initrd,
                              .initrd_bytes = data[0] & 1 ? sizeof(initrd) : 0,
                              .cmdline = data[0] & 2 ? "console=ttyS0" : "",
                              .rsdp = GPA(LOADER_ACPI)};
    uint64_t pages = (data[0] >> 2) * UINT64_C(128), before;

    tguest_init(&g, 8 + data[1], pages + 1);
    before = g.frames.by_state[FRAME_FREE];
    enum status s = loader_load(&g.p2m, &in, &e, why, sizeof(why));
    require(s == OK || s == E_INVAL || s == E_RANGE || s == E_NOMEM);
    require((s == OK) == (why[0] == 0));
    if (s == OK) {
        require(e.rip < g.p2m.ram_pages << PAGE_SHIFT && e.rsi == LOADER_ZERO_PAGE);
    }
    p2m_drop_all(&g.p2m);
    require(g.frames.by_state[FRAME_FREE] == before);
    tguest_fini(&g);
    return 0;
}

FUZZ_ENTRY(one_input, 100000, 300)
