/* SPDX-License-Identifier: BSD-2-Clause */
/* Sequences of operations on the cached block device, checked by the oracle of the property test.
 */
#include "work.h"
#include "world_blkcache.h"

struct stream {
    const uint8_t *data;
    size_t left;
};

static bool stream_next(void *ctx, uint32_t n, uint32_t *out)
{
    struct stream *s = ctx;
    size_t bytes = n > 256 ? 2 : 1;

    if (s->left < bytes) {
        return false;
    }
    uint32_t v = s->data[0];
    if (bytes == 2) {
        v |= (uint32_t)s->data[1] << 8;
    }
    s->data += bytes;
    s->left -= bytes;
    *out = v % n;
    return true;
}

static int one_input(const uint8_t *data, size_t size)
{
    if (size < 4) {
        return 0;
    }
    struct bcw_options o = {.n_jobs = 1 + data[0] % 16u,
                            .n_ios = 1 + data[0] / 16u,
                            .cache_frames = 1 + data[1] % 64u,
                            .cache_max = 1 + data[2] % 64u,
                            .fail_percent = data[3] % 32u,
                            .sync = data[3] >= 224,
                            .readahead = data[1] / 4u,
                            .steps = data[0] % 2 == 0,
                            .back = data[2] >= 64};
    if (o.steps) {
        o.n_jobs += 2;
        o.n_ios += 2;
    }
    struct stream s = {data + 4, size - 4};

    bcw_run(&o, (struct bcw_source){stream_next, &s}, 2000);
    return 0;
}

FUZZ_ENTRY(one_input, 30000, 400)
