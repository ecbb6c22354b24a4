/* SPDX-License-Identifier: BSD-2-Clause */
/* Boot images as frames that guests share: see image.h. */
#include "mm/fold/image.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "mm/fold/share.h"

/* In struct image_frame, instead of a frame: none yet; none, for a page of zeroes. */
#define PAGE_UNMADE FRAME_NIL
#define PAGE_ZEROES (FRAME_NIL - 1)

uint64_t image_pages_max(uint64_t bytes)
{
    return (bytes >> PAGE_SHIFT) + 2 * IMAGE_PARTS; /* each part's first and last page in part */
}

void image_init(struct image *im, struct frames *frames, struct fold *fold, uint8_t *source,
                uint64_t bytes, bool may_move)
{
    *im = (struct image){
        .frames = frames, .fold = fold, .source = source, .bytes = bytes, .may_move = may_move};
}

void image_add_set(struct image *im, struct image_set *set, struct share_group *g,
                   struct image_frame *room)
{
    *set = (struct image_set){
        .group = g,
        .frames = room,
        .owns = im->sets == NULL && im->may_move && ((uintptr_t)im->source & PAGE_MASK) == 0,
    };
    for (uint64_t i = 0; i < image_pages_max(im->bytes); i++) {
        room[i] = (struct image_frame){.frame = PAGE_UNMADE};
    }
    struct image_set **end = &im->sets;
    while (*end) {
        end = &(*end)->next;
    }
    *end = set;
}

struct image_set *image_set_of(const struct image *im, const struct share_group *g)
{
    struct image_set *set = im->sets;

    while (set && set->group != g) {
        set = set->next;
    }
    return set;
}

/* ---- layout -------------------------------------------------------------------------------- */

static uint64_t part_pages(const struct image_part *part)
{
    uint64_t end = part->at + part->bytes;

    return ((end + PAGE_MASK) >> PAGE_SHIFT) - (part->at >> PAGE_SHIFT);
}

enum status image_set_parts(struct image *im, const struct image_part *parts, unsigned n)
{
    uint64_t pages = 0;

    if (im->n_parts > 0) {
        bool same = im->n_parts == n && memcmp(im->parts, parts, n * sizeof(*parts)) == 0;

        return same ? OK : E_INVAL;
    }
    if (n == 0 || n > IMAGE_PARTS) {
        return E_INVAL;
    }
    for (unsigned i = 0; i < n; i++) {
        if (parts[i].bytes == 0 || parts[i].at > UINT64_MAX - parts[i].bytes - PAGE_SIZE ||
            !range_within(parts[i].from, parts[i].bytes, im->bytes)) {
            return E_INVAL;
        }
        pages += part_pages(&parts[i]);
    }
    if (pages > image_pages_max(im->bytes)) {
        return E_INVAL; /* parts that overlap in the module */
    }
    memcpy(im->parts, parts, n * sizeof(*parts));
    im->n_parts = n;
    im->n_pages = pages;
    /* One part whose bytes begin inside a page: a page's beginning is near, and what lies before
     * the part in its own page is no part of the image. */
    if (n == 1 && (parts[0].at & PAGE_MASK) == 0 && parts[0].from >= PAGE_SIZE) {
        im->shift = parts[0].from & PAGE_MASK;
    }
    return OK;
}

/* The part that the i-th page is of, and the address where that page begins. */
static const struct image_part *part_of(const struct image *im, uint64_t i, uint64_t *address)
{
    const struct image_part *part = im->parts;

    for (; i >= part_pages(part); part++) {
        i -= part_pages(part);
    }
    *address = ALIGN_DOWN(part->at, PAGE_SIZE) + (i << PAGE_SHIFT);
    return part;
}

gfn_t image_gfn(const struct image *im, uint64_t i)
{
    uint64_t address;

    (void)part_of(im, i, &address);
    return GFN(address >> PAGE_SHIFT);
}

/* Where the byte of that address is in the module now; it is in the part. */
static const uint8_t *source_at(const struct image *im, const struct image_part *part,
                                uint64_t address)
{
    uint64_t offset = address - part->at;
    bool moved = offset >> PAGE_SHIFT < im->moved;

    return im->source + part->from + offset - (moved ? im->shift : 0);
}

/* The page at `address`, which more than one part may reach into. */
static void compose(const struct image *im, uint64_t address, uint8_t *page)
{
    memset(page, 0, PAGE_SIZE);
    for (unsigned i = 0; i < im->n_parts; i++) {
        const struct image_part *part = &im->parts[i];
        uint64_t start = MAX(part->at, address);
        uint64_t end = MIN(part->at + part->bytes, address + PAGE_SIZE);

        if (start < end) {
            memcpy(page + (start - address), source_at(im, part, start), end - start);
        }
    }
}

void image_read(const struct image *im, uint64_t i, void *page)
{
    uint64_t address;

    (void)part_of(im, i, &address);
    compose(im, address, page);
}

/* ---- frames -------------------------------------------------------------------------------- */

/* Whether no other part has a byte in the page at `address`, and `part` has all of it. */
static bool fills(const struct image *im, const struct image_part *part, uint64_t address)
{
    for (unsigned i = 0; i < im->n_parts; i++) {
        const struct image_part *other = &im->parts[i];

        if (other != part && other->at < address + PAGE_SIZE &&
            address < other->at + other->bytes) {
            return false;
        }
    }
    return address >= part->at && part->bytes >= address - part->at + PAGE_SIZE;
}

/* The module's own frame that has, or gets, the whole page; false: it takes a copy. */
static bool own_frame(struct image *im, const struct image_part *part, uint64_t i, uint64_t address,
                      mfn_t *out)
{
    uint8_t *at;

    if (!fills(im, part, address)) {
        return false;
    }
    if (im->shift > 0) {
        if (i != im->moved) {
            return false; /* pages are moved in order, and each takes the place of the one before */
        }
        at = im->source + part->from - im->shift + (i << PAGE_SHIFT);
        memmove(at, at + im->shift, PAGE_SIZE);
        im->moved++;
        im->n_copied++;
    } else {
        at = im->source + part->from + (address - part->at);
    }
    if (((uintptr_t)at & PAGE_MASK) != 0) {
        return false;
    }
    *out = MFN((uint64_t)(at - im->frames->window) >> PAGE_SHIFT);
    return frame_of(im->frames, *out)->state == FRAME_HYP;
}

/* A frame of the page's content, SHARED, of one reference. */
static enum status make(struct image *im, struct image_set *set, uint64_t i, mfn_t *out, bool *own)
{
    uint64_t address;
    const struct image_part *part = part_of(im, i, &address);

    *own = set->owns && own_frame(im, part, i, address, out);
    if (*own) {
        struct frame *fr = frame_of(im->frames, *out);

        frames_set_state(im->frames, *out, FRAME_SHARED);
        fr->refs = 1;
        im->n_owned++;
    } else {
        enum status s = frames_alloc(im->frames, FRAME_SHARED, out);

        if (s != OK) {
            return s;
        }
        compose(im, address, frame_bytes(im->frames, *out));
        set->held++;
        im->n_copied++;
    }
    /* No VM is named as the place that it came from: lookahead begins with the first that folds. */
    frame_of(im->frames, *out)->vm = 0;
    frame_of(im->frames, *out)->gfn = 0;
    return OK;
}

/* Another frame stands for the content. */
static void unmake(struct image *im, struct image_set *set, mfn_t mfn, bool own)
{
    if (own) {
        frame_of(im->frames, mfn)->refs = 0;
        frames_set_state(im->frames, mfn, FRAME_HYP);
        im->n_owned--;
    } else {
        frames_put(im->frames, mfn);
        set->held--;
    }
}

enum status image_page(struct image *im, struct image_set *set, uint64_t i, mfn_t *out)
{
    struct image_frame *known = &set->frames[i];
    mfn_t made;
    bool own;

    ASSERT(i < im->n_pages);
    if (known->frame == PAGE_UNMADE) {
        enum status s = make(im, set, i, &made, &own);

        if (s != OK) {
            return s;
        }
        mfn_t mfn = fold_share(im->fold, set->group, made);
        bool zeroes = mfn.n == set->group->zero.n;

        known->frame = zeroes ? PAGE_ZEROES : (uint32_t)mfn.n;
        known->made = mfn.n == made.n;
        im->frames->shared_given += known->made;
        if (!known->made && !zeroes) {
            frames_get(im->frames, mfn);
            set->held++;
        }
        if (!known->made) {
            unmake(im, set, made, own);
        }
    }
    if (known->frame == PAGE_ZEROES) {
        return E_NOTFOUND;
    }
    *out = MFN(known->frame);
    return OK;
}

void image_end(struct image *im)
{
    fold_share_end(im->fold);
}

void image_use(struct image_set *set, bool use)
{
    ASSERT(use || set->users > 0);
    set->users += use ? 1 : -1u;
    set->reclaim_at = 0;
}

/* ---- references ---------------------------------------------------------------------------- */

uint64_t image_reclaim(struct image *im, uint64_t want)
{
    uint64_t before = im->frames->by_state[FRAME_FREE];

    for (struct image_set *set = im->sets; set; set = set->next) {
        bool spare = set->users == 0 && !set->owns && set->held > 0;

        while (spare && set->reclaim_at < im->n_pages) {
            struct image_frame *known = &set->frames[set->reclaim_at++];

            if (known->frame >= PAGE_ZEROES) {
                continue;
            }
            im->frames->shared_given -= known->made;
            frames_put(im->frames, MFN(known->frame));
            *known = (struct image_frame){.frame = PAGE_UNMADE};
            set->held--;
            if (im->frames->by_state[FRAME_FREE] >= before + want) {
                return im->frames->by_state[FRAME_FREE] - before;
            }
        }
    }
    return im->frames->by_state[FRAME_FREE] - before;
}

void image_references(const struct image *im, struct yield *y, void (*found)(void *arg, mfn_t mfn),
                      void *arg)
{
    for (const struct image_set *set = im->sets; set; set = set->next) {
        for (uint64_t i = 0; i < im->n_pages && yield_go_on(y); i++) {
            if (set->frames[i].frame < PAGE_ZEROES) {
                found(arg, MFN(set->frames[i].frame));
            }
        }
    }
}
