/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which vCPU runs next, and for how long: turns by virtual time.
 *
 * Virtual time is what was charged to a vCPU's VM, divided by its weight. The one that wants the
 * CPU and has the least virtual time gets the next turn: a quantum at most, less where many want
 * one. So a turn that overran, and work that was done for a VM outside its turns, are paid back by
 * waiting.
 *
 *     asleep --turns_wake--> waiting --turns_pick--> running --turns_put--> asleep or waiting
 *
 * A vCPU that slept comes back at most TURNS_SAVED_NS behind the least of those that did not sleep:
 * it runs soon, but cannot save up time. That is half a quantum, and less than a turn is beside up
 * to three others, so that each of several that wake up at once has one turn before the others have
 * theirs, and not two. If it is behind the running one it ends that one's turn, once
 * this has lasted TURNS_MIN_NS. One that yields (it spins) lets another go first that is about on
 * a par with it; what the yielding one does not use it keeps.
 *
 * Pure: no clock. The accounts are charged by the caller, up to now before each call. One CPU has
 * one struct turns.
 */
#ifndef KERNEL_CORE_TURNS_H
#define KERNEL_CORE_TURNS_H

#include "base/types.h"
#include "kernel/core/account.h"

#include <bsd/sys/tree.h>

#define TURNS_QUANTUM_NS UINT64_C(10000000)
/* All that want the CPU have a turn in about this time, as long as none becomes too short. */
#define TURNS_ROUND_NS UINT64_C(24000000)
#define TURNS_SHORT_NS UINT64_C(3000000)
#define TURNS_SAVED_NS UINT64_C(5000000)
/* A turn is not cut shorter than this by one that wakes up. */
#define TURNS_MIN_NS UINT64_C(1000000)
/* Virtual times that differ by less than this are not worth a change. */
#define TURNS_GRAIN_NS UINT64_C(100000)
#define TURNS_WEIGHT 1024u /* a VM's weight, unless it is given another */

struct turn {
    const struct account *account;
    uint32_t weight;
    uint64_t seen_ns;    /* the part of the account that virtual_ns has in it */
    uint64_t virtual_ns; /* of one that waits: not moved before turns_pick looks at it */
    uint64_t seq;        /* equal virtual times: the one that came first */
    bool waits;
    RB_ENTRY(turn) link;
};

RB_HEAD(turn_tree, turn);

struct turns {
    struct turn_tree waiting;
    struct turn *running;
    struct turn *yielded; /* lets another one go first at the next turns_pick, or NULL */
    uint64_t least_ns;    /* the least virtual time of those that want the CPU; never goes back */
    unsigned n_waiting;
    uint64_t start_ns, length_ns; /* of the present turn */
    uint64_t cut_ns; /* it ends then: one that woke up is further behind; or UINT64_MAX */
    uint64_t seq;
};

void turns_init(struct turns *ts);
/* One that is asleep, on a par with the least. What its account has had before does not count. */
void turn_init(const struct turns *ts, struct turn *t, const struct account *account);
/* It wants the CPU. No effect on one that waits or runs. */
void turns_wake(struct turns *ts, struct turn *t, uint64_t now_ns);
/* It does not want it any more. No effect on one that runs: turns_put says so. */
void turns_sleep(struct turns *ts, struct turn *t);
/* Begins the next turn; NULL when none waits. None may be running. */
struct turn *turns_pick(struct turns *ts, uint64_t now_ns);
/* Ends the running one's turn. `wants`: it waits for the next one. */
void turns_put(struct turns *ts, bool wants);
/* The running one spins. True: another one is to go first, at the turns_pick that follows. */
bool turns_yield(struct turns *ts);
/* When the running one's turn ends, as things are. */
uint64_t turns_end_ns(const struct turns *ts);
/*
 * When something that happens at due_ns, and would wake `t`, may interrupt the running one for it:
 * not before t would be further behind. TURNS_NEVER: not before this turn ends. Without a running
 * one: due_ns.
 */
#define TURNS_NEVER UINT64_MAX
uint64_t turns_alarm_ns(struct turns *ts, struct turn *t, uint64_t due_ns, uint64_t now_ns);

#endif
