/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any sequence of reads, for the miss-ratio curve: its slots, chains and tree agree after each
 * operation, the curve falls, and as long as all blocks fit the sample it is exactly that of LRU
 * caches.
 */
#include "mm/cache/mrc.h"

#include "base/bits.h"
#include "base/string.h"
#include "input.h"
#include "work.h"

#define RUN_MAX 4096u /* reads of an operation */
#define EXACT 512u    /* blocks that the model knows at most */
#define READS 20000u  /* which it follows */
#define OPERATIONS 24u
#define BLOCK_BITS 56 /* above these is the disk's number, in the model */

/* The blocks in the order of their last reads, the latest first; how often what distance was. */
struct model {
    bool exact;
    uint64_t blocks[EXACT];
    unsigned n, reads;
    uint64_t bins[MRC_POINTS + 1];
};

static struct mrc m;
static struct model model;
static uint64_t memory[MRC_BYTES / 8];

static void model_read(uint64_t block)
{
    unsigned at = 0, bin = 0;

    if (++model.reads > READS) {
        model.exact = false;
        return;
    }
    while (at < model.n && model.blocks[at] != block) {
        at++;
    }
    bool known = at < model.n;
    while (bin < MRC_POINTS && (!known || at >= m.sizes[bin])) {
        bin++;
    }
    model.bins[bin]++;
    if (!known && model.n == EXACT) {
        model.exact = false;
        return;
    }
    model.n += !known;
    memmove(&model.blocks[1], &model.blocks[0], at * sizeof(model.blocks[0]));
    model.blocks[0] = block;
}

static void read_block(uint32_t disk, uint64_t block)
{
    block &= BIT(BLOCK_BITS) - 1;
    mrc_read_block(&m, disk, block);
    if (model.exact) {
        model_read((uint64_t)disk << BLOCK_BITS | block);
    }
}

static void check_slots(void)
{
    uint32_t live = 0, sum = 0;
    static bool chained[MRC_SLOTS];

    require(m.used <= MRC_SLOTS && m.tracked <= MRC_TRACKED && m.tracked <= m.used);
    memset(chained, 0, sizeof(chained));
    for (unsigned b = 0; b < MRC_TRACKED; b++) {
        for (uint32_t s = m.buckets[b]; s != MRC_NIL; s = m.slots[s].next) {
            require(s < m.used && !chained[s]);
            require((uint32_t)m.slots[s].hash % MRC_TRACKED == b);
            /* What a sweep has not come to yet may be above a limit that was lowered. */
            require(m.slots[s].hash >> 32 <= m.limit || (m.sweeps && s >= m.swept));
            require(!m.sweeps || s < m.front || s >= m.swept);
            chained[s] = true;
            live++;
        }
    }
    require(live == m.tracked);
    for (uint32_t s = 0; s < m.used; s++) { /* the Fenwick tree's sum up to here */
        uint32_t up_to = 0;

        sum += chained[s];
        for (uint32_t i = s + 1; i > 0; i -= i & -i) {
            up_to += m.slots[i - 1].sum;
        }
        require(up_to == sum);
    }
}

static void check_curve(void)
{
    struct mrc_point curve[MRC_POINTS];

    mrc_curve(&m, curve);
    for (unsigned i = 0; i < MRC_POINTS; i++) {
        require(curve[i].miss_ppm <= MRC_PPM && curve[i].blocks == m.sizes[i]);
        require(i == 0 ||
                (curve[i].miss_ppm <= curve[i - 1].miss_ppm && m.sizes[i] >= m.sizes[i - 1]));
    }
    require(mrc_one_in(&m) >= 1 && m.limit >= 1024);
    for (unsigned i = 0; i <= MRC_POINTS && model.exact; i++) {
        require(m.bins[i] == model.bins[i] * MRC_ONE);
    }
}

/* A block, or a row of them: once, or again and again. */
static void operate(struct input *in)
{
    uint8_t kind = (uint8_t)take(in, 1);
    uint32_t disk = kind >> 2 & 3;
    uint64_t block = take(in, 2), n = 1, step = 1;

    if (kind & 0x40) {
        block <<= take(in, 1) % 64;
    }
    if (kind & 3) {
        n = take(in, 2) % RUN_MAX + 1;
        step = kind & 0x10 ? (uint64_t)take(in, 1) << take(in, 1) % 56 : 1;
    }
    uint64_t row = (kind & 3) == 2 ? take(in, 1) + 1u : n; /* this long, then from its start */
    for (uint64_t k = 0; k < n; k++) {
        read_block(disk, block + k % row * step);
    }
}

static int one_input(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint64_t blocks = (uint64_t)(take(&in, 1) + 1) << take(&in, 1) % 24;

    memset(&model, 0, sizeof(model));
    model.exact = true;
    mrc_init(&m, memory, blocks, take(&in, 4));
    for (unsigned k = 0; k < OPERATIONS && in.n > 0; k++) {
        operate(&in);
        check_curve();
        if (k % 8 == 0) {
            check_slots();
        }
    }
    check_slots();
    return 0;
}

/* Three bytes may be 4,096 reads, each of some 40 regions; compactions are rarer than these. */
FUZZ_ENTRY(one_input, 60000, 120000)
