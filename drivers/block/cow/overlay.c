/* SPDX-License-Identifier: BSD-2-Clause */
/* The persistent store at work: handing out chunks, and commits. */
#include "drivers/block/cow/overlay.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/page.h"
#include "base/string.h"
#include "drivers/block/cow/internal.h"
#include "drivers/block/cow/overlay_format.h"

#define TIGHT_PART 16u /* of the store: less than this share is left */

static struct overlay *of(struct cow *c)
{
    return (struct overlay *)c;
}

/* ---- chunks of the store ---- */

static enum status take(struct cow *c, uint32_t *place)
{
    struct overlay *o = of(c);

    if (o->n_taken < o->room) {
        unsigned word = 0;
        while (~o->taken[word] == 0) {
            word++;
        }
        unsigned slot = word * 64 + (unsigned)__builtin_ctzll(~o->taken[word]);
        ASSERT(slot < o->room);
        overlay_take_slot(o, slot);
        *place = (uint32_t)(overlay_table_chunk(o->area) + 1 + slot);
        return OK;
    }
    /* The next area is entered by the commit of a full one; a write that is on its way may still
     * fail and leave its chunk to others. */
    if (overlay_has_area(o, o->area + 1) || o->n_taken > o->n_entries) {
        return E_BUSY;
    }
    if (!o->said_full) {
        o->said_full = true;
        log_error("%s: the overlay is full: writes to more of %s fail as I/O errors",
                  c->store->name, c->base->name);
    }
    return E_RANGE;
}

static unsigned slot_of(const struct overlay *o, uint32_t place)
{
    return (unsigned)(place - overlay_table_chunk(o->area) - 1);
}

static void give(struct cow *c, uint32_t place)
{
    struct overlay *o = of(c);
    unsigned slot = slot_of(o, place);

    ASSERT(slot < o->room && overlay_slot_taken(o, slot));
    o->taken[slot / 64] &= ~BIT(slot % 64);
    o->n_taken--;
    cow_places_changed(c, OK);
}

static bool is_filled(const struct overlay *o)
{
    return o->n_entries == OVERLAY_SLOTS;
}

uint64_t overlay_free_chunks(const struct overlay *o)
{
    uint64_t last = (o->n_chunks - 2) / STRIDE; /* the last area: overlay_load saw to 3 chunks */
    unsigned room = overlay_room(o, last);

    return last * OVERLAY_SLOTS + room - o->cow.stats.chunks;
}

/* Once, while there is time to do something about it. */
static void warn_if_tight(struct overlay *o)
{
    uint64_t left = overlay_free_chunks(o);

    if (!o->said_tight && left < o->n_chunks / TIGHT_PART) {
        o->said_tight = true;
        log_warn("%s: the overlay has room for %llu KiB more of %s", o->cow.store->name,
                 (unsigned long long)left << (PAGE_SHIFT - 10), o->cow.base->name);
    }
}

static void add(struct cow *c, uint64_t chunk, uint32_t place)
{
    struct overlay *o = of(c);
    uint8_t *entry = (uint8_t *)frame_bytes(c->frames, o->table) + o->n_entries * ENTRY_BYTES;
    bool first = o->n_entries == o->n_committed;

    /* An area is left only when all that was taken in it has come here or gone back. */
    ASSERT(o->n_entries < o->room && overlay_slot_taken(o, slot_of(o, place)));
    store_le64(entry, chunk);
    store_le64(entry + 8, place);
    o->n_entries++;
    warn_if_tight(o);
    if (first && o->dirty != NULL) {
        o->dirty(o->dirty_ctx);
    }
    if (is_filled(o)) {
        overlay_commit(o);
    } else if (o->n_entries == o->n_taken) {
        cow_places_changed(c, OK); /* in the last area: now it is certain that there is no more */
    }
}

/* ---- commits ---- */

static void go_on(struct overlay *o);

static void step_done(struct blk_req *r, enum status s);

static void submit(struct overlay *o, enum blk_op op, uint64_t chunk, mfn_t from)
{
    bool flush = op == BLK_FLUSH;

    o->seg = (struct blk_seg){mfn_to_hpa(from), PAGE_SIZE};
    o->req = (struct blk_req){
        .op = op,
        .sector = flush ? 0 : chunk * COW_CHUNK_SECTORS,
        .sectors = flush ? 0 : COW_CHUNK_SECTORS,
        .segs = flush ? NULL : &o->seg,
        .n_segs = flush ? 0 : 1,
        .done = step_done,
        .ctx = o,
    };
    blk_submit(o->cow.store, &o->req);
}

bool overlay_is_dirty(const struct overlay *o)
{
    return o->n_entries != o->n_committed;
}

/* Begins a commit of what the table holds now; what is added later waits for the next. */
static void begin(struct overlay *o)
{
    ASSERT(o->step == OVERLAY_IDLE && STAILQ_EMPTY(&o->flushing));
    STAILQ_CONCAT(&o->flushing, &o->to_flush);
    o->n_writing = o->n_entries;
    if (!overlay_is_dirty(o)) {
        o->step = OVERLAY_END; /* the flush alone */
        submit(o, BLK_FLUSH, 0, o->writing);
        return;
    }
    page_copy(frame_bytes(o->cow.frames, o->writing), frame_bytes(o->cow.frames, o->table));
    if (is_filled(o) && overlay_has_area(o, o->area + 1)) {
        o->step = OVERLAY_CLEAR_NEXT;
        submit(o, BLK_WRITE, overlay_table_chunk(o->area + 1), o->cow.zeroes);
    } else {
        o->step = OVERLAY_DATA;
        submit(o, BLK_FLUSH, 0, o->writing);
    }
}

static void end(struct overlay *o, enum status s)
{
    struct cow_job_list done;
    struct cow_job *j;

    STAILQ_INIT(&done);
    STAILQ_CONCAT(&done, &o->flushing);
    o->step = OVERLAY_IDLE;
    if (s != OK && !o->said_failed) {
        log_error("%s: the overlay's table could not be written: %s; trying again at every flush",
                  o->cow.store->name, status_name(s));
    }
    o->said_failed = s != OK;
    while ((j = STAILQ_FIRST(&done)) != NULL) {
        STAILQ_REMOVE_HEAD(&done, queue);
        cow_flushed(j, s);
    }
    cow_places_changed(&o->cow, s);
    if (o->step == OVERLAY_IDLE && !STAILQ_EMPTY(&o->to_flush)) {
        begin(o);
    }
}

/* The table is written: it counts, and when it is full, the next area is begun. */
static void table_written(struct overlay *o)
{
    o->n_committed = o->n_writing;
    if (o->n_writing == OVERLAY_SLOTS && overlay_has_area(o, o->area + 1)) {
        overlay_enter_area(o, o->area + 1);
        page_zero(frame_bytes(o->cow.frames, o->table));
    }
}

/*
 * Without a FLUSH to answer, the second flush is left out: whatever makes the next entries durable
 * begins with one.
 */
static void go_on(struct overlay *o)
{
    switch (o->step) {
    case OVERLAY_CLEAR_NEXT:
        o->step = OVERLAY_DATA;
        submit(o, BLK_FLUSH, 0, o->writing);
        return;
    case OVERLAY_DATA:
        o->step = OVERLAY_TABLE;
        submit(o, BLK_WRITE, overlay_table_chunk(o->area), o->writing);
        return;
    case OVERLAY_TABLE:
        table_written(o);
        if (!STAILQ_EMPTY(&o->flushing)) {
            o->step = OVERLAY_END;
            submit(o, BLK_FLUSH, 0, o->writing);
            return;
        }
        break;
    default:
        break;
    }
    end(o, OK);
}

static void step_done(struct blk_req *r, enum status s)
{
    struct overlay *o = r->ctx;

    if (s == OK) {
        go_on(o);
    } else {
        end(o, s);
    }
}

void overlay_commit(struct overlay *o)
{
    if (o->step == OVERLAY_IDLE && overlay_is_dirty(o)) {
        begin(o);
    }
}

static void flush(struct cow *c, struct cow_job *j)
{
    struct overlay *o = of(c);

    STAILQ_INSERT_TAIL(&o->to_flush, j, queue);
    if (o->step == OVERLAY_IDLE) {
        begin(o);
    }
}

/* A write wants a chunk of the next area: the full one has to be committed first. */
static void blocked(struct cow *c)
{
    if (is_filled(of(c))) {
        overlay_commit(of(c));
    }
}

/* ---- opening and closing ---- */

static const struct cow_ops ops = {
    .take = take, .blocked = blocked, .give = give, .add = add, .flush = flush};

static void free_tables(struct overlay *o)
{
    frames_free(o->cow.frames, o->table);
    frames_free(o->cow.frames, o->writing);
}

static void no_release(void *ctx, uint32_t value)
{
    (void)ctx;
    (void)value; /* the store keeps its chunks */
}

static void close_map(struct overlay *o)
{
    while (chunkmap_drop_some(&o->cow.map, NULL, no_release, NULL)) {
    }
    cow_fini(&o->cow);
}

void overlay_close(struct overlay *o)
{
    ASSERT(o->step == OVERLAY_IDLE);
    free_tables(o);
    close_map(o);
}

enum status overlay_open(struct overlay *o, const struct overlay_cfg *cfg, char *why,
                         size_t why_size)
{
    enum status s = cow_init(&o->cow, &ops, cfg->frames, cfg->base, cfg->store, false);

    if (s != OK) {
        goto fail;
    }
    o->n_chunks = MIN(cfg->store->sectors / COW_CHUNK_SECTORS, (uint64_t)UINT32_MAX);
    o->step = OVERLAY_IDLE;
    o->dirty = NULL;
    o->said_tight = o->said_full = o->said_failed = false;
    STAILQ_INIT(&o->flushing);
    STAILQ_INIT(&o->to_flush);
    s = frames_alloc(cfg->frames, FRAME_HYP, &o->table);
    if (s != OK) {
        goto fail_cow;
    }
    s = frames_alloc(cfg->frames, FRAME_HYP, &o->writing);
    if (s != OK) {
        frames_free(cfg->frames, o->table);
        goto fail_cow;
    }
    s = overlay_load(o, cfg, why, why_size);
    if (s == OK) {
        return OK;
    }
    overlay_close(o);
    return s;

fail_cow:
    close_map(o);
fail:
    (void)format(why, why_size, "%s", status_name(s));
    return s;
}
