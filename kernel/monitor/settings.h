/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the [host] keys take effect: one way, at start-up and at run time. A table has each part of
 * the machine that follows keys. Parts whose keys are the same as before are not called.
 * memory.order and host.shutdown_wait are read where they are used, and need no part.
 */
#ifndef KERNEL_MONITOR_SETTINGS_H
#define KERNEL_MONITOR_SETTINGS_H

#include "base/yield.h"
#include "kernel/config/config.h"

/*
 * Makes the parts follow `now`. `was`: what they follow already; NULL: nothing, at start-up, when
 * each has been made. `y` comes between the pieces of work on the cache; it may be NULL.
 */
void settings_apply(const struct config_host *was, const struct config_host *now, struct yield *y);
/* Whether that changes what the cache holds: the machine has to stand still for it (still.h). */
bool settings_need_still(const struct config_host *was, const struct config_host *now);
/* Whether `now` can take effect at run time. E_RANGE: the cache's table has no room for such a
 * cache.max; why says how much it has. */
enum status settings_check(const struct config_host *was, const struct config_host *now, char *why,
                           size_t why_size) MUST_CHECK;

#endif
