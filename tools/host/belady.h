/* SPDX-License-Identifier: BSD-2-Clause */
/* Belady's MIN: the most reads that a cache which knows the future could serve. */
#ifndef TOOLS_HOST_BELADY_H
#define TOOLS_HOST_BELADY_H

#include "tools/host/trace.h"

/* Of t's reads, those that hit in a cache of `size` blocks that evicts (or does not even take in)
 * what is read again last. Writes are no uses to it; what is dropped before it is read again, is
 * never read. */
uint64_t belady_hits(const struct trace *t, uint32_t size);

#endif
