/* SPDX-License-Identifier: BSD-2-Clause */
/* Poisoned frames: see arena.h. */
#include "arena.h"

#include "base/bits.h"
#include "base/log.h"

#include <sanitizer/asan_interface.h>

#define ARENAS 16

static const uint8_t *windows[ARENAS]; /* of the arenas there are */

enum status __real_frames_alloc(struct frames *f, enum frame_state state, mfn_t *out);
void __real_frames_free(struct frames *f, mfn_t mfn);
void __real_frames_put(struct frames *f, mfn_t mfn);
void __real_frames_unpin(struct frames *f, mfn_t mfn);
enum status __wrap_frames_alloc(struct frames *f, enum frame_state state, mfn_t *out);
void __wrap_frames_free(struct frames *f, mfn_t mfn);
void __wrap_frames_put(struct frames *f, mfn_t mfn);
void __wrap_frames_unpin(struct frames *f, mfn_t mfn);

static const uint8_t **arena_of(const uint8_t *window)
{
    for (unsigned i = 0; i < ARENAS; i++) {
        if (windows[i] == window) {
            return &windows[i];
        }
    }
    return NULL;
}

static void poison_free(const struct frames *f, mfn_t mfn)
{
    if (frame_of(f, mfn)->state == FRAME_FREE && arena_of(f->window)) {
        ASAN_POISON_MEMORY_REGION(frame_bytes(f, mfn), PAGE_SIZE);
    }
}

enum status __wrap_frames_alloc(struct frames *f, enum frame_state state, mfn_t *out)
{
    enum status s = __real_frames_alloc(f, state, out);

    if (s == OK && arena_of(f->window)) {
        ASAN_UNPOISON_MEMORY_REGION(frame_bytes(f, *out), PAGE_SIZE);
    }
    return s;
}

void __wrap_frames_free(struct frames *f, mfn_t mfn)
{
    __real_frames_free(f, mfn);
    poison_free(f, mfn);
}

void __wrap_frames_put(struct frames *f, mfn_t mfn)
{
    __real_frames_put(f, mfn);
    poison_free(f, mfn);
}

void __wrap_frames_unpin(struct frames *f, mfn_t mfn)
{
    __real_frames_unpin(f, mfn);
    poison_free(f, mfn);
}

uint64_t arena_places(uint64_t count, unsigned run)
{
    return run == 0 ? count : count + (count + run - 1) / run + 1;
}

void arena_add(struct frames *f, uint64_t first, uint64_t count, unsigned run)
{
    uint64_t places = arena_places(count, run);

    ASSERT(first + places <= f->count);
    if (!arena_of(f->window)) {
        const uint8_t **slot = arena_of(NULL);
        ASSERT(slot);
        *slot = f->window;
    }
    ASAN_POISON_MEMORY_REGION(f->window + first * PAGE_SIZE, places * PAGE_SIZE);
    /* Backwards: low frames are handed out first. */
    for (uint64_t i = places; i > 0; i--) {
        if (run == 0 || ((i - 1) % (run + 1) != 0 && i != places)) {
            frames_add_free(f, MFN(first + i - 1), 1);
        }
    }
}

void arena_guard(struct frames *f, mfn_t mfn)
{
    ASSERT(frame_of(f, mfn)->state == FRAME_RESERVED && arena_of(f->window));
    ASAN_POISON_MEMORY_REGION(frame_bytes(f, mfn), PAGE_SIZE);
}

void arena_end(struct frames *f)
{
    const uint8_t **slot = arena_of(f->window);

    ASSERT(slot);
    *slot = NULL;
    ASAN_UNPOISON_MEMORY_REGION(f->window, f->count * PAGE_SIZE);
}
