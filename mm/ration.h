/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may take frames when they get short.
 *
 * VMs are in an order, that of their starts. A VM may take a frame only if those that stay free
 * would let every VM before it have all its memory, one after the other, each with what the ones
 * before gave back at their end. That is the banker's algorithm with one fixed order. So several
 * VMs that start at once and together want more than there is do not stop one another for ever: the
 * first comes to its end, then the second.
 *
 * What is left free so is at most what the first of them has not touched yet, where the VMs are of
 * one size: each later one can have what the ones before it give back. A VM that has taken no frame
 * for minutes is taken to have what it wants, and nothing is left free for it any more. When such a
 * VM wants more again and others have it, it waits for folding, or for one of them to end.
 *
 * A VM that has not begun yet loses nothing by waiting. So it waits until all that the VMs before
 * it may want is there, as long as they are busy taking frames.
 *
 * Pure arithmetic: no clock, no state but the struct.
 */
#ifndef MM_RATION_H
#define MM_RATION_H

#include "base/types.h"

/* So many frames taken since the last look are a sign that a VM wants more; */
#define RATION_TAKEN 16u
/* without any for so long, while it can run, it is not busy, and has what it wants. */
#define RATION_BUSY_NS UINT64_C(3000000000)
#define RATION_SETTLED_NS UINT64_C(300000000000)

/* One VM of the order. */
struct ration {
    uint64_t claim; /* frames: all that it may hold alone */
    uint64_t held;  /* frames that it would give back at its end */
    bool grows;     /* it has not settled */
    bool busy;      /* taking frames */
    uint64_t keep;  /* result: so many frames stay free when it takes one */
};

/* Sets `keep` of each; the first in the order stands first. */
void ration_settle(struct ration *r, unsigned n);
/* What the busy ones among them may still take, all together. */
uint64_t ration_wanted(const struct ration *r, unsigned n);

/* How a VM takes frames. */
struct ration_growth {
    uint64_t taken; /* frames, in all its life, when it was last seen to take some */
    uint64_t since_ns;
};

/* A VM's life begins. */
void ration_growth_begin(struct ration_growth *g, uint64_t now_ns);
/* It has taken `taken` frames by now. `waits`: it cannot run, so that time does not count. */
void ration_growth_note(struct ration_growth *g, uint64_t taken, bool waits, uint64_t now_ns);

#endif
