/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitor: the prompt on the console, and its commands.
 *
 * A command that writes a line or two is done at once. Others leave a job behind, which writes line
 * by line, each in a step of its own, as there is room on the console; the prompt comes back at its
 * end, and Ctrl-C ends it. A job waits for the end of what was asked of a machine that stands still
 * (still.h). What takes long for other reasons (stopping a VM, `top`, `poweroff`) goes on by itself
 * while the prompt is back or away.
 */
#ifndef KERNEL_MONITOR_MONITOR_H
#define KERNEL_MONITOR_MONITOR_H

#include "base/types.h"
#include "kernel/config/config.h"

/* After console_init, vms_init and stats_init. */
void monitor_init(const struct config *config);

/* Between the monitor's parts. argv[0] is the command's name; the number of arguments is right. */
typedef void monitor_command_fn(void *ctx, unsigned argc, char *const *argv);

/* job.c. For a command: calls fn now and then, with room for CONSOLE_PIECE bytes on the
 * console, until it returns false. A call takes a fraction of STEP_MAX_NS. */
typedef bool monitor_job_fn(void);
/* NULL: none any more. */
void monitor_job(monitor_job_fn *fn);
bool monitor_job_is_there(void);
/* One call of it. False: there is none any more. */
bool monitor_job_step(void);
/* The same for text: calls fn(0), fn(1) and so on, each of which writes a line or none, until it
 * returns false. */
typedef bool monitor_line_fn(unsigned n);
void monitor_lines(monitor_line_fn *fn);

/* cmd_show.c: what there is. */
monitor_command_fn monitor_vms, monitor_stats, monitor_mem, monitor_log, monitor_version;
/* cmd_vm.c: one VM's life. */
monitor_command_fn monitor_start, monitor_pause, monitor_resume, monitor_stop, monitor_shutdown,
    monitor_restart, monitor_console;
/* cmd_set.c: the keys of [host] at run time. */
monitor_command_fn monitor_set, monitor_fold, monitor_cache, monitor_when_off;
/* Sets a key of [host] by its full name and makes the machine follow; says what is wrong (false).
 */
bool monitor_set_key(const char *key, const char *value);
/* cmd_faults.c: disks that fail on purpose. */
monitor_command_fn monitor_faults;
/* cmd_delays.c: disks that are slow on purpose. */
monitor_command_fn monitor_delays;
/* cmd_pass.c: `fold pass [N]`, from monitor_fold; argv[0] is "pass". */
monitor_command_fn monitor_pass;

/* cmd_fold.c: the figures of `fold` without a key, as lines; `fold classes` and `fold runs`. */
monitor_line_fn monitor_fold_figures;
void monitor_fold_classes(void), monitor_fold_runs(void);
/* `fold vm NAME on|off`; argv[0] is "vm". */
void monitor_fold_vm(unsigned argc, char *const *argv);

/* cmd_classes.c: what guests use their pages for. */
monitor_command_fn monitor_classes;

/* cmd_top.c: the live table. Any key ends it. */
monitor_command_fn monitor_top;
void monitor_top_init(void);
bool monitor_top_is_on(void);
/* Draws what is next of it. True: there is more. */
bool monitor_top_more(void);
void monitor_top_end(void);

#endif
