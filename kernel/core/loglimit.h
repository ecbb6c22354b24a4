/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many log lines one source may write: LOGLIMIT_BURST at once, and then one in each
 * LOGLIMIT_LINE_NS. Further lines are suppressed and counted, and the count is told in a line of
 * its own as soon as there may be two lines again. Pure; one struct a source, all zeroes at first.
 */
#ifndef KERNEL_CORE_LOGLIMIT_H
#define KERNEL_CORE_LOGLIMIT_H

#include "base/types.h"

#define LOGLIMIT_BURST 50u
#define LOGLIMIT_LINE_NS UINT64_C(1000000000)

struct loglimit {
    uint64_t used_ns; /* the lines written lately, at LOGLIMIT_LINE_NS each; ages with time */
    uint64_t last_ns; /* when it was last looked at */
    uint64_t suppressed;
};

/* A line wants to be written at `now_ns`. True: it may be; when *suppressed is not 0, a line that
 * tells this number goes before it. False: it is counted. */
bool loglimit_take(struct loglimit *l, uint64_t now_ns, uint64_t *suppressed);
/* Without a line: how many were suppressed, if that may be told by now; else 0. */
uint64_t loglimit_tell(struct loglimit *l, uint64_t now_ns);

#endif
