/* SPDX-License-Identifier: BSD-2-Clause */
/* The page scanner, the loop's background job: when it may run, and for how many pages. */
#ifndef KERNEL_SCAN_SCAN_H
#define KERNEL_SCAN_SCAN_H

#include <limits.h>

#include "kernel/config/config.h"
#include "mm/p2m.h"

/* Takes pace and fold switches from the configuration, which has been checked, and a place in the
 * loop. After fold_init and sched_init. */
void scan_init(const struct config_host *host);
/* A VM's memory joins or leaves the folding; one that has not joined may leave. */
void scan_attach(struct p2m *p);
void scan_detach(struct p2m *p);
/* As scan_init, after the monitor has changed *host. */
enum status scan_configure(const struct config_host *host) MUST_CHECK;

/* Whether some VM waits for frames that folding may find: then it looks harder. */
void scan_set_short(bool is_short);
/* While VMs wait for frames: whether nothing is left that could be folded. */
bool scan_is_fruitless(void);

/* What the advisor holds, and the last complete pass: from its begin to its end, and the CPU time
 * that it took. */
struct scan_status {
    const char *binds; /* pace_why_name */
    uint64_t pass_ns, pass_scan_ns;
};
void scan_status(struct scan_status *out);

/*
 * Whole passes at once, for whoever wants exact figures: without pace and pauses, and also while
 * fold.run is off. In bursts of half a millisecond; a guest
 * that wants the CPU has about as much between two of them.
 *
 * `event` is called when the first pass begins (pass 0; one that is under way is finished before),
 * at each pass's end (1 to n), and if they end early, because nothing is left to scan, with
 * SCAN_PASSES_OVER. E_BUSY while others are going on, E_NOTFOUND without a VM.
 */
#define SCAN_PASSES_OVER UINT_MAX
typedef void scan_pass_fn(unsigned pass);
enum status scan_passes(unsigned n, scan_pass_fn *event) MUST_CHECK;
/* No more of them; true if there were any. No event is called. */
bool scan_passes_stop(void);

#endif
