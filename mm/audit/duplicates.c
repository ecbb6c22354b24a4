/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recount of duplicate blocks: a table of the guests' contents, then a look for each block.
 *
 * The table has a word for each frame and is probed in a row. A word is a frame's number, and above
 * it as much of the hash as there is room for: so most of the others are told apart without a look
 * at their bytes, however full the table is.
 */
#include "mm/audit/duplicates.h"

#include "base/bits.h"
#include "base/string.h"

#define EMPTY UINT32_MAX
/* Words that a search looks at, at most: far more than are in a row in a table that is not full. */
#define STEPS_MAX 4096u
/* Words that are looked at, or cleared, between two calls of the yield function. */
#define PIECE_WORDS 256u
/* Sets the groups apart; any odd number does. */
#define GROUP_SALT UINT64_C(0xd6e8feb86659fd93)

struct table {
    const struct duplicates *d;
    uint32_t *words;
    uint64_t size;
    unsigned bits; /* of a frame's number: no frame's are all ones */
};

static struct frame *at(const struct table *t, uint64_t n)
{
    return frame_of(t->d->frames, MFN(n));
}

static const void *bytes(const struct table *t, uint64_t n)
{
    return frame_bytes(t->d->frames, MFN(n));
}

/* Around the operations on pages, and only these: whatever comes between two pieces is outside. */
static void pages_begin(const struct table *t)
{
    if (t->d->unit->begin) {
        t->d->unit->begin();
    }
}

static void pages_end(const struct table *t)
{
    if (t->d->unit->end) {
        t->d->unit->end();
    }
}

static uint64_t hash_of(const struct table *t, uint64_t n)
{
    pages_begin(t);
    uint64_t hash = t->d->unit->ops->hash(bytes(t, n), t->d->key);
    pages_end(t);
    return hash;
}

static bool are_equal(const struct table *t, uint64_t n, uint64_t other)
{
    pages_begin(t);
    bool equal = t->d->unit->ops->compare(bytes(t, n), bytes(t, other)) == 0;
    pages_end(t);
    return equal;
}

static bool is_zero(const struct table *t, uint64_t n)
{
    pages_begin(t);
    bool zero = t->d->unit->ops->is_zero(bytes(t, n));
    pages_end(t);
    return zero;
}

static uint64_t salted(uint64_t hash, uint32_t group)
{
    return hash ^ group * GROUP_SALT;
}

static uint32_t word_of(const struct table *t, uint64_t n, uint64_t hash)
{
    return (uint32_t)(hash << t->bits | n);
}

/* The share group whose guests hold the frame's bytes. False: none do. */
static bool holder_of(const struct table *t, uint64_t n, uint32_t *group)
{
    const struct frame *fr = at(t, n);

    if (fr->refs == 0 || (fr->state != FRAME_PRIVATE && fr->state != FRAME_SHARED)) {
        return false;
    }
    *group = fr->group;
    for (unsigned i = 0; i < t->d->n_maps && fr->state == FRAME_PRIVATE; i++) {
        if (t->d->maps[i]->vm == fr->vm) {
            *group = t->d->maps[i]->group->id;
            return true;
        }
    }
    return fr->state == FRAME_SHARED;
}

/*
 * The word with that content of that group, or the empty one where it would stand; NULL when that
 * would take too many steps or compares to find out. `hash` is salted.
 */
static uint32_t *find(const struct table *t, uint64_t n, uint64_t hash, uint32_t group)
{
    uint64_t mask = (UINT64_C(1) << t->bits) - 1, i = (hash >> 32) * t->size >> 32;
    unsigned compares = 0;

    for (unsigned steps = 0; steps < STEPS_MAX; steps++, i = i + 1 < t->size ? i + 1 : 0) {
        uint32_t *word = &t->words[i], holder;
        uint64_t other = *word & mask;

        if (steps % PIECE_WORDS == 0 && !yield_go_on(t->d->yield)) {
            break;
        }
        if (*word == EMPTY) {
            return word;
        }
        if (*word == word_of(t, other, hash) && holder_of(t, other, &holder) && holder == group) {
            if (are_equal(t, n, other)) {
                return word;
            }
            if (++compares == DUPLICATES_COMPARES || !yield_go_on(t->d->yield)) {
                break;
            }
        }
    }
    return NULL;
}

static void enter_guests(const struct table *t)
{
    uint32_t group;

    for (uint64_t i = 0; i < t->size && yield_go_on(t->d->yield); i += PIECE_WORDS) {
        memset(&t->words[i], 0xff, MIN(t->size - i, (uint64_t)PIECE_WORDS) * sizeof(*t->words));
    }
    for (uint64_t n = 0; n < t->size && yield_go_on(t->d->yield); n++) {
        if (holder_of(t, n, &group)) {
            uint64_t hash = salted(hash_of(t, n), group);
            uint32_t *word = find(t, n, hash, group);
            if (word && *word == EMPTY) {
                *word = word_of(t, n, hash);
            }
        }
    }
}

/* Whether a guest of the group has a page with the bytes of frame n, as far as that is known;
 * `hash` is not salted. */
static bool is_held(const struct table *t, uint64_t n, uint64_t hash, const struct share_group *g,
                    bool *unknown)
{
    if (g->zero_maps > 0 && is_zero(t, n)) {
        return true;
    }
    const uint32_t *word = find(t, n, salted(hash, g->id), g->id);
    *unknown |= !word;
    return word && *word != EMPTY;
}

/* Counts a block's frame as a duplicate, as unknown, or as neither. */
static void look_at(const struct table *t, struct duplicates *d, uint64_t n)
{
    const struct frame *fr = at(t, n);
    uint64_t hash = hash_of(t, n);
    bool held = false, unknown = false;

    for (unsigned i = 0; i < d->n_groups && !held; i++) {
        const struct share_group *g = d->groups[i];
        if (!(fr->flags & FRAME_F_INDEXED) || fr->group == g->id) {
            held = is_held(t, n, hash, g, &unknown);
        }
    }
    d->duplicates += held;
    d->unknown += unknown && !held;
}

void duplicates_count(struct duplicates *d)
{
    struct table t = {.d = d, .words = d->scratch, .size = d->frames->count, .bits = 1};

    while (t.size >> t.bits != 0) {
        t.bits++;
    }
    d->kept = d->duplicates = d->unknown = 0;
    enter_guests(&t);
    for (uint64_t n = 0; n < t.size && yield_go_on(d->yield); n++) {
        if (at(&t, n)->state == FRAME_CACHE_ONLY && at(&t, n)->refs > 0) {
            d->kept++;
            if (at(&t, n)->pins == 0) {
                look_at(&t, d, n);
            }
        }
    }
}
