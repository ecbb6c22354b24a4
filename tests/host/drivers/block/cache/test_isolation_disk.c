/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two share groups with one disk: what a VM of the one holds in memory makes no difference to how a
 * VM of the other gets a block, and what that costs. Two machines in which all is the same but the
 * content of the victim's own pages; the other VM must not make out in which one it is.
 */
#include "fake_lossy.h"
#include "fake_p2m.h"

#include "base/bits.h"
#include "drivers/block/cache/cache.h"
#include "drivers/block/cow/overlay.h"
#include "drivers/block/cow/snapshot.h"
#include "rnd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define FRAMES 1024u
#define PAGES 160u /* of a VM's memory */
#define BLOCKS 96u /* of the disk that both read */
#define READ 32u   /* of these, that the victim reads and that it has copies of, or not */
#define CACHED 48u /* what the cache may hold: fewer than the disk has */
#define STORE 400u /* chunks of an overlay's store */
#define ROOTS 64u
#define SECTOR(block) ((uint64_t)(block)*BLK_FRAME_SECTORS)

enum kind { READ_ONLY, WRITABLE, SNAPSHOT, OVERLAY, KINDS };
static const char *const kind_names[] = {"read-only", "writable", "snapshot", "overlay"};

/* What became of one block that was read, as the VM can notice it. */
struct seen {
    bool ok, mapped, from_disk;
    bool breaks; /* its first write to the page costs a frame */
    uint64_t reads;
};

struct vm {
    struct fake_map map;
    struct p2m p2m;
    struct blk_account account;
    struct snapshot snapshot;
    struct overlay overlay;
    struct lossy store;
    struct blkcache_dev cached_store;
    struct blk_dev *disk;
    bool busy;
    enum status status;
};

struct rig {
    enum kind kind;
    struct frames f;
    struct fold fold;
    uint32_t roots[ROOTS];
    struct share_group groups[2];
    struct cache cache;
    struct blkcache bc;
    void *cache_mem, *pool_mem;
    struct rnd random;
    struct picks picks;
    struct lossy disk;
    struct blkcache_dev cached;
    struct snapshot_pool pool;
    struct vm vms[2]; /* the victim, and the one that wants to know */
    struct seen seen[BLOCKS];
};

static void poll(void *ctx)
{
    struct rig *r = ctx;

    lossy_step(&r->disk);
    for (unsigned i = 0; i < 2 && r->kind == OVERLAY; i++) {
        lossy_step(&r->vms[i].store);
    }
    (void)blkcache_work(&r->bc, 0, NULL);
}

/* Content `n`; blocks have those below BLOCKS. A few of them are zeroes. */
static void content(uint8_t *page, unsigned n)
{
    for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
        store_le64(page + i, n % 16 == 15 && n < BLOCKS ? 0 : n * 1000 + i + 1);
    }
}

static void vm_init(struct rig *r, unsigned i)
{
    static const struct p2m_slot run = {{0}, PAGES};
    struct vm *vm = &r->vms[i];
    char why[160];

    fake_map_init(&vm->map, &r->f, PAGES);
    assert_int_equal(p2m_init(&vm->p2m, &fake_map_ops, &vm->map, &r->f, &r->groups[i], (uint16_t)i,
                              &run, 1, vm->map.regions),
                     OK);
    fold_attach(&r->fold, &vm->p2m);
    vm->account = (struct blk_account){.vm = (uint16_t)i, .group = (uint16_t)i};
    vm->disk = &r->cached.dev;
    if (r->kind == SNAPSHOT) {
        assert_int_equal(snapshot_init(&vm->snapshot, &r->pool, &r->cached.dev), OK);
        vm->disk = &vm->snapshot.cow.dev;
    } else if (r->kind == OVERLAY) {
        lossy_init(&vm->store, "store", SECTOR(STORE), r->f.window, &r->picks);
        vm->store.dev.id = 2 + i;
        blkcache_dev_init(&vm->cached_store, &r->bc, &vm->store.dev);
        blkcache_add_reader(&vm->cached_store, i);
        const struct overlay_cfg cfg = {.frames = &r->f,
                                        .base = &r->cached.dev,
                                        .store = &vm->cached_store.dev,
                                        .poll = poll,
                                        .ctx = r};
        assert_int_equal(overlay_open(&vm->overlay, &cfg, why, sizeof(why)), OK);
        vm->disk = &vm->overlay.cow.dev;
    }
}

static struct rig *rig_new(enum kind kind, enum cache_mode mode, bool back,
                           const struct fold_switches *on)
{
    struct rig *r = calloc(1, sizeof(*r));

    r->kind = kind;
    r->random.state = 12345;
    r->picks = (struct picks){.next = rnd_pick, .ctx = &r->random};
    fake_frames_init(&r->f, FRAMES);
    assert_true(fold_roots(r->f.count) <= ROOTS);
    fold_init(&r->fold, &r->f, NULL, &(struct random){.key = {9}}, r->roots);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(share_group_init(&r->groups[i], &r->f, i ? "two" : "one", i), OK);
    }
    r->cache_mem = malloc(cache_bytes(FRAMES));
    assert_int_equal(cache_init(&r->cache, &r->f, r->cache_mem, FRAMES, 5), OK);
    frames_add_reclaimer(&r->f, cache_reclaim, &r->cache);
    /* An overlay's store is its VM's alone, and may be folded with its memory: what room that
     * leaves for the other blocks is seen by all. So there is plenty. */
    cache_set_max(&r->cache, kind == OVERLAY ? FRAMES : CACHED);
    cache_set_mode(&r->cache, mode);
    r->fold.cache = &r->cache;
    r->fold.several_groups = true;
    struct fold_switches to = *on;
    fold_switch(&r->fold, &to);
    r->pool_mem = aligned_alloc(16, ALIGN_UP(blkcache_bytes(16, 16), 16));
    assert_int_equal(blkcache_init(&r->bc, &r->cache, r->pool_mem, 16, 16), OK);
    blkcache_set_writing(
        &r->bc, &(struct blkcache_writing){.back = back, .give = true, .dirty_max = back ? 16 : 0});
    lossy_init(&r->disk, "disk", SECTOR(BLOCKS), r->f.window, &r->picks);
    r->disk.dev.id = 1;
    blkcache_dev_init(&r->cached, &r->bc, &r->disk.dev);
    for (unsigned b = 0; b < BLOCKS; b++) {
        content(r->disk.now + b * PAGE_SIZE, b);
    }
    r->pool = (struct snapshot_pool){&r->f, UINT64_MAX, 0};
    blkcache_add_reader(&r->cached, 0);
    blkcache_add_reader(&r->cached, 1);
    vm_init(r, 0);
    vm_init(r, 1);
    return r;
}

static void audit(struct rig *r)
{
    struct p2m *maps[] = {&r->vms[0].p2m, &r->vms[1].p2m};
    struct share_group *groups[] = {&r->groups[0], &r->groups[1]};
    uint32_t *scratch = malloc(r->f.count * sizeof(*scratch));
    struct audit a = {.frames = &r->f,
                      .maps = maps,
                      .n_maps = 2,
                      .groups = groups,
                      .n_groups = 2,
                      .fold = &r->fold,
                      .scratch = scratch,
                      .others = cache_references,
                      .others_ctx = &r->cache};
    char why[160];

    assert_int_equal(audit_run(&a), 0);
    assert_int_equal(cache_check(&r->cache, why, sizeof(why)), OK);
    free(scratch);
}

static void rig_free(struct rig *r)
{
    for (unsigned i = 0; i < 2; i++) {
        struct vm *vm = &r->vms[i];
        fold_detach(&r->fold, &vm->p2m);
        p2m_drop_all(&vm->p2m);
        if (r->kind == SNAPSHOT) {
            snapshot_fini(&vm->snapshot);
        } else if (r->kind == OVERLAY) {
            overlay_close(&vm->overlay);
        }
    }
    while (r->cache.dirty > 0) {
        blkcache_set_writing(&r->bc, &(struct blkcache_writing){.back = false});
        poll(r);
    }
    cache_set_mode(&r->cache, CACHE_OFF);
    for (unsigned i = 0; i < 2; i++) {
        if (r->kind == OVERLAY) {
            lossy_free(&r->vms[i].store);
        }
        fake_map_fini(&r->vms[i].map);
        assert_int_equal(fold_forget(&r->fold, &r->groups[i]), OK);
        assert_int_equal(share_group_fini(&r->groups[i], &r->f), OK);
    }
    lossy_free(&r->disk);
    fake_frames_fini(&r->f);
    free(r->cache_mem);
    free(r->pool_mem);
    free(r);
}

/* ---- what a VM does -------------------------------------------------------------------------- */

static void done(struct blk_req *q, enum status s)
{
    struct vm *vm = q->ctx;

    vm->busy = false;
    vm->status = s;
}

static void ask(struct rig *r, struct vm *vm, enum blk_op op, unsigned block, mfn_t mfn)
{
    struct blk_seg seg = {mfn_to_hpa(mfn), PAGE_SIZE};
    struct blk_req q = {.op = op,
                        .sector = SECTOR(block),
                        .sectors = op == BLK_FLUSH ? 0 : BLK_FRAME_SECTORS,
                        .segs = &seg,
                        .n_segs = op == BLK_READ || op == BLK_WRITE,
                        .account = &vm->account,
                        .done = done,
                        .ctx = vm};

    vm->busy = true;
    blk_submit(vm->disk, &q);
    while (vm->busy) {
        poll(r);
    }
}

/* Reads a block to a page as virtio-blk does: a frame, or a fetch and a frame, or a copy. */
static struct seen read_block(struct rig *r, unsigned n, unsigned block, unsigned page)
{
    struct vm *vm = &r->vms[n];
    struct seen seen = {.reads = r->disk.n_reads};
    enum status s;
    mfn_t mfn;

    s = blk_hold(vm->disk, SECTOR(block), vm->p2m.group->id, &mfn);
    if (s == E_NOTFOUND) {
        ask(r, vm, BLK_FETCH, block, MFN(0));
        s = blk_hold(vm->disk, SECTOR(block), vm->p2m.group->id, &mfn);
    }
    if (s == OK) {
        bool zero = mfn.n == BLK_ZERO_FRAME.n;
        mfn = zero ? vm->p2m.group->zero : mfn;
        assert_int_equal(p2m_map_shared(&vm->p2m, GFN(page), mfn), OK);
        frames_unpin(&r->f, mfn);
        blk_taken(vm->disk, SECTOR(block), &vm->account);
        seen.mapped = true;
    } else {
        assert_int_equal(p2m_get_write(&vm->p2m, GFN(page), &mfn), OK);
        ask(r, vm, BLK_READ, block, mfn);
        p2m_put(&vm->p2m, mfn);
        assert_int_equal(vm->status, OK);
    }
    fold_hint(&r->fold, &vm->p2m, GFN(page));
    seen.reads = r->disk.n_reads - seen.reads;
    seen.from_disk = seen.reads > 0;
    seen.ok = true;
    return seen;
}

static void write_block(struct rig *r, unsigned n, unsigned block, unsigned page)
{
    struct vm *vm = &r->vms[n];
    const gfn_t gfn = GFN(page);
    mfn_t mfn;

    assert_int_equal(p2m_get_read(&vm->p2m, gfn, &mfn), OK);
    if (blk_keeps(vm->disk, SECTOR(block))) {
        p2m_share_for_io(&vm->p2m, &gfn, 1);
    }
    ask(r, vm, BLK_WRITE, block, mfn);
    p2m_put(&vm->p2m, mfn);
    assert_int_equal(vm->status, OK);
}

static void fill(struct rig *r, unsigned n, unsigned page, unsigned what)
{
    mfn_t mfn;

    assert_int_equal(p2m_get_write(&r->vms[n].p2m, GFN(page), &mfn), OK);
    content(frame_bytes(&r->f, mfn), what);
    p2m_put(&r->vms[n].p2m, mfn);
}

static void passes(struct rig *r, unsigned n)
{
    for (uint64_t end = r->fold.full_scans + n; r->fold.full_scans < end;) {
        (void)fold_step(&r->fold, 64, NULL);
    }
}

/* ---- the two machines ------------------------------------------------------------------------ */

/*
 * The victim reads some blocks (or writes them), reuses the pages, and holds pages of its own: of
 * the blocks' content, or of others', with `early` before the scanner has seen what it read. Then
 * other blocks come and go, and the other VM reads.
 */
static struct rig *play(enum kind kind, enum cache_mode mode, bool back,
                        const struct fold_switches *on, bool early, bool copies, bool reuse)
{
    struct rig *r = rig_new(kind, mode, back, on);

    for (unsigned b = 0; b < READ; b++) {
        if (kind == WRITABLE && b % 2 == 0) {
            fill(r, 0, b, b);
            write_block(r, 0, b, b);
        } else {
            (void)read_block(r, 0, b, b);
        }
    }
    if (!early) {
        passes(r, 2);
    }
    for (unsigned b = 0; b < READ; b++) {
        fill(r, 0, 40 + b, copies ? b : 5000 + b);
        if (reuse || copies) {
            fill(r, 0, b, 9000 + b); /* what is mapped is of its memory too */
        }
    }
    passes(r, 4);
    for (unsigned b = READ; b < 2 * READ; b++) {
        (void)read_block(r, 0, b, 80);
        passes(r, b % 8 == 0);
    }
    audit(r);
    for (unsigned b = 0; b < BLOCKS; b++) {
        r->seen[b] = read_block(r, 1, b, b);
    }
    passes(r, 3);
    audit(r);
    for (unsigned b = 0; b < BLOCKS; b++) {
        uint8_t want[PAGE_SIZE], got;
        content(want, b);
        uint64_t before = r->vms[1].p2m.cow_breaks + r->vms[1].p2m.zero_breaks;
        assert_int_equal(fake_guest_read(&r->vms[1].p2m, 0, 0, GFN(b), 9, &got), OK);
        assert_int_equal(got, want[9]);
        assert_int_equal(fake_guest_write(&r->vms[1].p2m, 0, 0, GFN(b), 9, 1), OK);
        r->seen[b].breaks = r->vms[1].p2m.cow_breaks + r->vms[1].p2m.zero_breaks != before;
    }
    return r;
}

static void compare(enum kind kind, enum cache_mode mode, bool back, const struct fold_switches *on,
                    bool early)
{
    struct rig *copies = play(kind, mode, back, on, early, true, true);

    for (unsigned reuse = 0; reuse < 2; reuse++) {
        struct rig *others = play(kind, mode, back, on, early, false, reuse);
        for (unsigned b = 0; b < BLOCKS; b++) {
            const struct seen *x = &copies->seen[b], *y = &others->seen[b];
            if (x->mapped != y->mapped || x->reads != y->reads || x->breaks != y->breaks) {
                fail_msg("%s, mode %s%s, block %u: mapped %u and %u, reads %u and %u, breaks %u "
                         "and %u",
                         kind_names[kind], cache_mode_name(mode), back ? ", back" : "", b,
                         x->mapped, y->mapped, (unsigned)x->reads, (unsigned)y->reads, x->breaks,
                         y->breaks);
            }
        }
        const struct blk_account *p = &copies->vms[1].account, *q = &others->vms[1].account;
        assert_int_equal(p->cache_hits, q->cache_hits);
        assert_int_equal(p->cache_misses, q->cache_misses);
        rig_free(others);
    }
    rig_free(copies);
}

static void test_memory_does_not_show(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        for (unsigned mode = 0; mode < CACHE_MODES; mode++) {
            for (unsigned way = 0; way < 8; way++) {
                struct fold_switches on = {.run = true,
                                           .zero = true,
                                           .lookahead = true,
                                           .backoff = true,
                                           .index = way & 1 ? FOLD_TREE : FOLD_HASH,
                                           .volatility = way & 2 ? FOLD_CHECKSUM : FOLD_DIRTY};
                if ((way & 4) == 0 || kind == WRITABLE) {
                    compare(kind, mode, way & 4, &on, false);
                    compare(kind, mode, way & 4, &on, true);
                }
            }
        }
    }
}

/* The probe works: where only one group has the disk, its VMs map what they read, and share it. */
static void test_one_group_maps(void **state)
{
    const struct fold_switches on = {
        .run = true, .zero = true, .index = FOLD_HASH, .volatility = FOLD_DIRTY};
    struct rig *r = rig_new(READ_ONLY, CACHE_FOLD, false, &on);

    (void)state;
    assert_false(read_block(r, 0, 3, 3).mapped); /* both groups have it */
    r->cached.readers = 0;
    assert_true(read_block(r, 0, 4, 4).mapped);
    audit(r);
    rig_free(r);
}

/* Which devices are common: those by which some block can be had that another group has too. */
static void test_common_devices(void **state)
{
    struct cache cache = {0};
    struct blkcache bc;
    struct blkcache_dev whole, parts[4], other;
    struct blk_dev lower = {.id = 1, .sectors = 1000};
    void *mem = aligned_alloc(16, ALIGN_UP(blkcache_bytes(1, 1), 16));

    (void)state;
    for (unsigned order = 0; order < 2; order++) {
        assert_int_equal(blkcache_init(&bc, &cache, mem, 1, 1), OK);
        blkcache_dev_init(&whole, &bc, &lower);
        for (unsigned i = 0; i < 4; i++) {
            static const uint64_t starts[] = {8, 108, 208, 304, 404};
            struct blk_dev part = {
                .id = 1, .start = starts[i], .sectors = starts[i + 1] - starts[i]};
            blkcache_dev_init(&parts[i], &bc, &part);
        }
        blkcache_dev_init(&other, &bc, &(struct blk_dev){.id = 2, .sectors = 1000});
        assert_int_equal(other.readers, FRAME_NO_GROUP);
        blkcache_add_reader(&other, 4);
        blkcache_add_reader(&other, 4);
        assert_int_equal(other.readers, 4);
        blkcache_add_reader(&parts[2], 7);
        blkcache_add_reader(&parts[3], 8); /* begins where a block does: nothing in common */
        assert_int_equal(parts[2].readers, 7);
        assert_int_equal(parts[3].readers, 8);
        blkcache_add_reader(&parts[order], 5);
        assert_int_equal(parts[order].readers, 5);
        blkcache_add_reader(&parts[!order], 6); /* a block is in both */
        assert_int_equal(parts[0].readers, FRAME_COMMON);
        assert_int_equal(parts[1].readers, FRAME_COMMON);
        assert_int_equal(parts[3].readers, 8);
        blkcache_add_reader(&whole, 7);
        assert_int_equal(whole.readers, FRAME_COMMON);
        assert_int_equal(parts[2].readers, 7); /* the whole disk's reader is of its own group */
        assert_int_equal(parts[3].readers, FRAME_COMMON);
        assert_int_equal(other.readers, 4);
    }
    free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_does_not_show),
        cmocka_unit_test(test_one_group_maps),
        cmocka_unit_test(test_common_devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
