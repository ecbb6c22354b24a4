/* SPDX-License-Identifier: BSD-2-Clause */
/* The job that a command leaves behind: see monitor.h. */
#include "kernel/monitor/monitor.h"

static monitor_job_fn *job; /* the last command's, or NULL */
static monitor_line_fn *line_of;
static unsigned next_line;

void monitor_job(monitor_job_fn *fn)
{
    job = fn;
}

bool monitor_job_is_there(void)
{
    return job != NULL;
}

bool monitor_job_step(void)
{
    if (job && !job()) {
        job = NULL;
    }
    return job != NULL;
}

static bool lines_job(void)
{
    return line_of(next_line++);
}

void monitor_lines(monitor_line_fn *fn)
{
    line_of = fn;
    next_line = 0;
    monitor_job(lines_job);
}
