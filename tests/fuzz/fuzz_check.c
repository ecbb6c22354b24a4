/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `check` and its recount of blocks that are held twice, on contents and a frame table that are the
 * fuzzer's: operations on a world first, then damage to its frames' bytes, table, maps and roots.
 *
 * An undamaged world is sound, and its recount is that of comparing each frame with each. A damaged
 * one is walked to the end, by a number of steps that depends on its size alone. The hash is, if
 * the input says so, one that almost all contents share.
 */
#include "world.h"

#define RECORD_HEAD 1u
#define RECORD_BYTES 6u
#include "records.h"

#include "mm/audit/duplicates.h"
#include "work.h"

#include <sanitizer/asan_interface.h>

#define FRAMES 80u
#define SCRIPT 60u /* bytes of operations, before the damage */

static uint64_t compares, hashes;
static unsigned hash_bits;

static int count_compare(const void *a, const void *b)
{
    compares++;
    return content_compare(a, b);
}

static uint64_t poor_hash(const void *page, const struct content_key *key)
{
    hashes++;
    return content_scalar.hash(page, key) << (64 - hash_bits) >> (64 - hash_bits);
}

static const struct content_ops ops = {
    .compare = count_compare, .is_zero = content_is_zero, .hash = poor_hash};
static const struct content_unit unit = {.ops = &ops};

static struct duplicates recount(struct world *w)
{
    static uint32_t scratch[2 * FRAMES + 1];
    static struct p2m *maps[WORLD_VMS];
    static struct share_group *groups[WORLD_GROUPS];
    struct duplicates d = {.frames = &w->f,
                           .maps = maps,
                           .groups = groups,
                           .n_groups = WORLD_GROUPS,
                           .unit = &unit,
                           .key = &w->fold.key,
                           .scratch = scratch};

    for (unsigned i = 0; i < WORLD_GROUPS; i++) {
        groups[i] = &w->groups[i];
    }
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        if (w->vms[i].live) {
            maps[d.n_maps++] = &w->vms[i].p2m;
        }
    }
    compares = hashes = 0;
    duplicates_count(&d);
    /* One look a frame, and no more compares than the header says. */
    require(hashes <= 2 * w->f.count);
    require(compares <= DUPLICATES_COMPARES * (WORLD_GROUPS + 1) * w->f.count);
    require(d.duplicates + d.unknown <= d.kept && d.kept <= w->f.count);
    return d;
}

/* The same by comparing each frame with each. */
static uint64_t duplicates_by_hand(const struct world *w)
{
    uint64_t n = 0;

    for (uint64_t b = 0; b < w->f.count; b++) {
        const struct frame *block = &w->f.table[b];
        bool held = false;
        if (block->state != FRAME_CACHE_ONLY || block->refs == 0 || block->pins > 0) {
            continue;
        }
        for (unsigned i = 0; i < WORLD_VMS * (WORLD_PAGES + 2) && !held; i++) {
            const struct world_vm *v = &w->vms[i / (WORLD_PAGES + 2)];
            const struct fake_slot *s =
                v->live ? &v->map.entries[i % (WORLD_PAGES + 2)] : &(struct fake_slot){0};
            held = s->present &&
                   (!(block->flags & FRAME_F_INDEXED) || block->group == v->p2m.group->id) &&
                   memcmp(frame_bytes(&w->f, s->mfn), frame_bytes(&w->f, MFN(b)), PAGE_SIZE) == 0;
        }
        n += held;
    }
    return n;
}

static unsigned check(struct world *w)
{
    static uint32_t scratch[2 * FRAMES + 1];
    static struct p2m *maps[WORLD_VMS];
    static struct share_group *groups[WORLD_GROUPS];
    struct audit a = {.frames = &w->f,
                      .maps = maps,
                      .groups = groups,
                      .n_groups = WORLD_GROUPS,
                      .fold = &w->fold,
                      .scratch = scratch,
                      .others = cache_references,
                      .others_ctx = &w->cache};

    for (unsigned i = 0; i < WORLD_GROUPS; i++) {
        groups[i] = &w->groups[i];
    }
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        if (w->vms[i].live) {
            maps[a.n_maps++] = &w->vms[i].p2m;
        }
    }
    return audit_run(&a);
}

static void damage(struct world *w, struct input *in)
{
    uint32_t what = take(in, 1), n = take(in, 2), value = take(in, 3);
    struct world_vm *v = &w->vms[n % WORLD_VMS];

    switch (what % 6) {
    case 0: /* any byte of the table */
        ((uint8_t *)w->f.table)[n % (w->f.count * sizeof(struct frame))] = (uint8_t)value;
        break;
    case 1: { /* a link of a frame that is in a tree */
        struct frame *fr = &w->f.table[n % w->f.count];
        *(value & 1 ? &fr->left : &fr->right) = value >> 1 & 1 ? FRAME_NIL : value >> 2 & 0xff;
        break;
    }
    case 2: { /* two frames are equal, or nearly */
        uint64_t to = n % w->f.count, from = value % w->f.count;
        memcpy(frame_bytes(&w->f, MFN(to)), frame_bytes(&w->f, MFN(from)), PAGE_SIZE);
        ((uint8_t *)frame_bytes(&w->f, MFN(to)))[PAGE_SIZE - 1] ^= (uint8_t)(value >> 16 & 1);
        break;
    }
    case 3: /* a guest maps something else */
        if (v->live) {
            struct fake_slot *s = &v->map.entries[n / WORLD_VMS % v->map.pages];
            *s = (struct fake_slot){value & 1, value & 2, value & 4, MFN(value >> 3 & 0xff)};
            s->mfn.n %= w->f.count;
        }
        break;
    case 4: /* a state that does not fit the rest */
        w->f.table[n % w->f.count].state = (uint8_t)(value % FRAME_STATES);
        w->f.table[n % w->f.count].refs += value >> 8 & 1;
        break;
    default:
        w->roots[n % WORLD_ROOTS] = value & 1 ? FRAME_NIL : value >> 1 & 0xff;
        break;
    }
}

static int one_input(const uint8_t *data, size_t size)
{
    struct input in = {data, size}, record;
    uint32_t kind = take(&in, 1);
    size_t script = MIN(in.n, (size_t)SCRIPT);
    struct world w;

    hash_bits = kind & 1 ? 64 : kind >> 1 & 3;
    hash_bits = MAX(hash_bits, 1u);
    work_oracle_begin();
    world_init(&w, FRAMES);
    world_run(&w, in.p, script, UINT32_MAX);
    work_oracle_end();
    in = (struct input){in.p + script, in.n - script};
    require(check(&w) == 0);
    struct duplicates d = recount(&w);
    uint64_t want = duplicates_by_hand(&w);
    require(d.duplicates <= want && want <= d.duplicates + d.unknown);
    /* A frame that is another's by now is not poisoned, whatever the table said. */
    ASAN_UNPOISON_MEMORY_REGION(w.f.window, w.f.count * PAGE_SIZE);
    for (unsigned i = 0; i < 32 && next_record(&in, &record); i++) {
        damage(&w, &record);
        (void)check(&w);
        (void)recount(&w);
    }
    /* Not taken down in order: the state is broken. Only its memory is given back. */
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        if (w.vms[i].live) {
            fake_map_fini(&w.vms[i].map);
            free(w.vms[i].oracle);
        }
    }
    for (unsigned i = 0; i < WORLD_PINS; i++) {
        free(w.pins[i].frozen);
    }
    fake_frames_fini(&w.f);
    free(w.cache_mem);
    return 0;
}

FUZZ_ENTRY(one_input, 200000, 8000)
