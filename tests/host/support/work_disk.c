/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose work it is: see work.h. */
#include "work_disk.h"

#include "base/log.h"

uint64_t work_disk_sectors;
void (*work_aside)(bool on);

static unsigned aside; /* oracles within oracles */

void work_oracle_begin(void)
{
    if (aside++ == 0 && work_aside) {
        work_aside(true);
    }
}

void work_oracle_end(void)
{
    ASSERT(aside > 0);
    if (--aside == 0 && work_aside) {
        work_aside(false);
    }
}
