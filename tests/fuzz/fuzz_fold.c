/* SPDX-License-Identifier: BSD-2-Clause */
/* Operation sequences on frames, p2ms and folding, against the oracle that never shares. */
#include "work.h"
#include "world.h"

static int one_input(const uint8_t *data, size_t size)
{
    struct world w;

    if (size < 2) {
        return 0;
    }
    world_init(&w, 8 + data[0] % 96u);
    if (data[0] & 2) {
        world_join_zero(&w);
    }
    w.starve_at = data[1];
    w.starve_maps = data[0] & 1;
    world_run(&w, data + 2, size - 2, 8);
    world_compare(&w);
    world_settle(&w);
    world_compare(&w);
    world_fini(&w);
    return 0;
}

FUZZ_ENTRY(one_input, 200000, 4000)
