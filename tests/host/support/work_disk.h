/* SPDX-License-Identifier: BSD-2-Clause */
/* For fuzzers that bound the work of the code under test (tests/fuzz/work.h): which is an oracle's,
 * and what the disks of the tests were asked for. */
#ifndef TESTS_HOST_SUPPORT_WORK_DISK_H
#define TESTS_HOST_SUPPORT_WORK_DISK_H

#include "base/types.h"

/* Sectors that requests to the tests' disks have named, and one for each request. */
extern uint64_t work_disk_sectors;
/* Set by a fuzzer: an oracle begins, or ends, to use the code under test. */
extern void (*work_aside)(bool on);

/* Around what an oracle does; may be nested. */
void work_oracle_begin(void);
void work_oracle_end(void);

#endif
