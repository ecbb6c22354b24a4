/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of the statistics that is about folding; internal to stats.c. */
#ifndef KERNEL_STATS_FOLD_H
#define KERNEL_STATS_FOLD_H

#include "kernel/stats/stats.h"

/* A line of a section's table. */
#define FIELD(section, member, text)                                                               \
    {                                                                                              \
        .name = #member, .offset = offsetof(struct stats_##section, member), .help = (text)        \
    }

const struct stats_field *stats_fold_fields(unsigned *n);
const struct stats_field *stats_class_fields(unsigned *n);
void stats_read_fold(struct stats_fold *out);

#endif
