/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's prompt and its table of commands: see monitor.h. */
#include "kernel/monitor/monitor.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"
#include "kernel/console/console.h"
#include "kernel/core/power.h"
#include "kernel/core/still.h"
#include "kernel/monitor/command.h"
#include "kernel/monitor/lineedit.h"
#include "kernel/stats/check.h"
#include "kernel/stats/report.h"
#include "kernel/stats/stats.h"
#include "kernel/vm/vm.h"

#define PROMPT "pagefold> "
#define ESC 0x1b
#define CTRL_C 0x03
#define LINE_SHOWN (LINEEDIT_COLUMNS - (int)sizeof(PROMPT))

static struct lineedit edit;
static bool line_entered; /* what is to be shown is the line just entered, not the next one */
/* ESC has ended `top`: if an arrow's sequence follows, the editor swallows it. */
static bool escaped_top;

static monitor_command_fn help;

static bool no_line(unsigned n)
{
    (void)n;
    return false;
}

static void check(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    (void)argc;
    (void)argv;
    still_ask(check_run);
    monitor_lines(no_line); /* the prompt comes back at its end */
}

static void report(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    (void)argc;
    (void)argv;
    monitor_lines(report_line);
}

static void end_machine(bool restart, unsigned argc, char *const *argv)
{
    if (argc == 1) {
        power_shut_down(restart);
    } else if (strcmp(argv[1], "now") == 0) {
        power_off(restart);
    } else if (vm_find(argv[1])) {
        console_printf("`%s` is for the whole machine; `%s %s` is for that VM\n", argv[0],
                       restart ? "restart" : "shutdown", argv[1]);
    } else {
        console_printf("usage: %s [now]\n", argv[0]);
    }
}

static void poweroff(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    end_machine(false, argc, argv);
}

static void reboot(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    end_machine(true, argc, argv);
}

static const struct command commands[] = {
    {"help", "", "this list", 0, 0, help, false},
    {"vms", "", "the VMs: state, memory, sharing", 0, 0, monitor_vms, false},
    {"stats", "[json | every TIME]",
     "all counters; as one JSON line; JSON lines from now on (or off)", 0, 2, monitor_stats, false},
    {"top", "", "live table, until a key is pressed", 0, 0, monitor_top, false},
    {"fold", "[KEY VALUE | vm NAME on|off | unmerge | pass [N] | classes | runs]",
     "the scanner's settings and figures; N whole passes at once", 0, 3, monitor_fold, false},
    {"classes", "[NAME [map]]", "what guests use their pages for; page by page", 0, 2,
     monitor_classes, false},
    {"cache", "[KEY VALUE | trace]", "the disk cache: settings, hits, miss-ratio curve; its trace",
     0, 2, monitor_cache, false},
    {"set", "[KEY [VALUE]]", "any key of [host] by its full name: shows or sets it", 0, 2,
     monitor_set, false},
    {"faults", "[DISK WHAT ... | off]", "disks that fail on purpose, as in disk.fault", 0, 6,
     monitor_faults, false},
    {"delays", "[DISK TIME [BLOCK-TIME] | DISK off]",
     "disks that are slow on purpose, as in disk.delay", 0, 3, monitor_delays, false},
    {"mem", "", "the machine's memory by use", 0, 0, monitor_mem, false},
    {"check", "", "prove that memory, folding and cache are sound", 0, 0, check, false},
    {"report", "", "what was promised, used and saved", 0, 0, report, false},
    {"console", "NAME", "type at a guest; Ctrl-] returns here", 1, 1, monitor_console, false},
    {"start", "NAME", "start a VM that is off", 1, 1, monitor_start, false},
    {"pause", "NAME", "stop running a VM, keep its memory", 1, 1, monitor_pause, false},
    {"resume", "NAME", "let a paused VM go on", 1, 1, monitor_resume, false},
    {"stop", "NAME", "turn a VM off at once", 1, 1, monitor_stop, false},
    {"shutdown", "NAME | all", "press a VM's power button; every VM's", 1, 1, monitor_shutdown,
     false},
    {"restart", "NAME", "stop a VM and start it again", 1, 1, monitor_restart, false},
    {"log", "[LINES]", "the last log lines", 0, 1, monitor_log, false},
    {"version", "", "what this is", 0, 0, monitor_version, false},
    {"when-off", "[stay | poweroff]", "what happens once every VM is off", 0, 1, monitor_when_off,
     false},
    {"poweroff", "[now]", "shut down all VMs (or stop them at once), turn the machine off", 0, 1,
     poweroff, true},
    {"reboot", "[now]", "the same, and restart the machine", 0, 1, reboot, true},
};

static bool help_line(unsigned n)
{
    char text[160];

    if (n == ARRAY_LEN(commands)) {
        return false;
    }
    (void)command_help(&commands[n], text, sizeof(text));
    console_printf("%s\n", text);
    return true;
}

static void help(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    (void)argc;
    (void)argv;
    monitor_lines(help_line);
}

/* The prompt comes back, unless the terminal belongs to somebody else now. */
static void prompt_again(void)
{
    if (console_wants_lines() && !power_is_ending()) {
        console_prompt();
    }
}

static void interrupt(void *ctx)
{
    (void)ctx;
    monitor_job(NULL);
    still_end();
    stats_json_unask();
    console_cut_reply();
}

static bool work(void *ctx)
{
    (void)ctx;
    if (monitor_top_is_on()) {
        return monitor_top_more();
    }
    if (monitor_job_is_there() && !still_is_asked() && !monitor_job_step()) {
        prompt_again();
    }
    return monitor_job_is_there();
}

static void run_line(const char *line)
{
    char why[200];

    if (command_run(commands, ARRAY_LEN(commands), line, NULL, why, sizeof(why)) != OK) {
        console_printf("%s\n", why);
    }
}

static void on_key(void *ctx, uint8_t key)
{
    (void)ctx;
    if (monitor_top_is_on()) {
        monitor_top_end();
        prompt_again();
        escaped_top = key == ESC;
        return;
    }
    if (escaped_top) {
        escaped_top = false;
        if (key == '[' || key == 'O') {
            (void)lineedit_key(&edit, ESC);
        }
    }
    if (key == CTRL_C) {
        interrupt(NULL);
    }
    if (monitor_job_is_there()) {
        console_prompt(); /* typed ahead */
    }
    switch (lineedit_key(&edit, key)) {
    case LINEEDIT_LINE:
        line_entered = true;
        console_prompt_end();
        line_entered = false;
        run_line(lineedit_line(&edit));
        if (!monitor_job_is_there()) {
            prompt_again();
        }
        break;
    case LINEEDIT_MORE:
    case LINEEDIT_END: /* there is nowhere to leave to */
        break;
    }
}

/* A line that was typed ahead is obeyed when the command before it has written everything, and the
 * machine stands still no longer. */
static bool is_ready(void *ctx, uint8_t key)
{
    bool busy = monitor_job_is_there() || still_is_asked();

    (void)ctx;
    return !power_is_ending() && (!busy || (key != '\r' && key != '\n'));
}

static size_t render(void *ctx, char *buf, size_t size)
{
    (void)ctx;
    size_t n = line_entered
                   ? format(buf, size, "\r" PROMPT "%.*s\033[K", LINE_SHOWN, lineedit_line(&edit))
                   : lineedit_render(&edit, buf, size);

    return size == 0 ? 0 : MIN(n, size - 1);
}

static void put(void *ctx, const char *bytes, size_t n)
{
    (void)ctx;
    console_edit(bytes, n);
}

static const struct console_user user = {
    .key = on_key, .ready = is_ready, .interrupt = interrupt, .work = work, .render = render};

void monitor_init(const struct config *config)
{
    lineedit_init(&edit, PROMPT, put, NULL);
    check_init();
    power_init(config);
    monitor_top_init();
    console_set_user(&user);
    console_prompt();
}
