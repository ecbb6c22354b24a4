/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial console: the UART, the ports of the VMs, and who gets what is typed. See console.h;
 * what goes out is composed by kernel/console/mux. */
#include "kernel/console/console.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/early_uart.h"
#include "arch/x86_64/irq.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/host/uart.h"
#include "kernel/console/internal.h"
#include "kernel/console/mux.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/charge.h"
#include "kernel/core/log.h"
#include "kernel/core/power.h"
#include "kernel/core/sched.h"

#define LOG_BYTES (64u << 10)

#define NS_PER_MS UINT64_C(1000000)
/* The prompt comes back when no line has pushed it away for this long. */
#define SETTLE_NS (30 * NS_PER_MS)
/* When no interrupt has moved a byte for this long although there are some, poll. */
#define POLL_NS (20 * NS_PER_MS)

struct conmux console_mux;
static bool mux_ready;
static struct host_uart uart;
const struct console_user *console_user;
static bool kick_wanted, running;
static bool replying; /* the user's code runs: what it logs is part of the reply */
static uint64_t last_tx_bytes, lines_seen;
static uint64_t hidden_logs; /* lines not shown since the terminal went to a guest or a screen */
static struct timer settle_timer, poll_timer;

/* Memory is needed by whoever comes first: the console, or the first VM's port. */
static void mux_once(void)
{
    if (!mux_ready) {
        mux_ready = true;
        conmux_init(&console_mux, boot_alloc(CONSOLE_REPLY_BYTES, 64), CONSOLE_REPLY_BYTES,
                    boot_alloc(LOG_BYTES, 64), LOG_BYTES, boot_alloc(CONMUX_ECHO_BYTES, 64));
    }
}

/* There may be something to send: the loop sees to it, as we may be deep inside a device model. A
 * transmitter at work asks by itself when it is empty. */
bool console_kick(void)
{
    if (kick_wanted || host_uart_sending(&uart)) {
        return false;
    }
    kick_wanted = true;
    if (running) {
        sched_poke();
    }
    return true;
}

/* ---- the UART's side ------------------------------------------------------------------------- */

static size_t uart_wants(void *ctx, uint8_t *buf, size_t max)
{
    (void)ctx;
    size_t n = conmux_pull(&console_mux, (char *)buf, max);
    console_keys_note_echo();
    return n;
}

static const struct host_uart_ops vuart_ops = {.rx = console_keys_put, .tx = uart_wants};

static void on_irq(void *ctx)
{
    (void)ctx;
    host_uart_irq(&uart);
    sched_poke(); /* for what has come, or what waited for room */
}

/* ---- for VMs --------------------------------------------------------------------------------- */

struct console_port *console_port_new(const char *name, const struct log_subject *log,
                                      const struct console_port_ops *ops, void *ctx)
{
    struct console_port *p = boot_alloc(sizeof(*p), 64);

    mux_once();
    p->ops = ops;
    p->ctx = ctx;
    p->log = log;
    p->typed = boot_alloc(CONSOLE_TYPED, 64);
    conmux_add(&console_mux, &p->mux, name, boot_alloc(CONMUX_PORT_BYTES, 64));
    return p;
}

void console_port_tx(struct console_port *p, uint8_t byte)
{
    conmux_port_put(&console_mux, &p->mux, (char)byte);
    if (byte != '\n' && console_mux.attached != &p->mux && p->mux.written % CONMUX_LINE != 0) {
        return; /* no whole line yet */
    }
    if (console_kick()) {
        p->ops->yield(p->ctx);
    }
}

bool console_port_room(struct console_port *p)
{
    return conmux_port_room(&console_mux, &p->mux);
}

void console_port_end(struct console_port *p)
{
    conmux_port_end(&console_mux, &p->mux);
    (void)console_kick();
}

static void resume_ports(void)
{
    struct conmux_port *unblocked;

    while ((unblocked = conmux_unblocked(&console_mux)) != NULL) {
        const struct console_port *p = (struct console_port *)unblocked;
        if (p->ops->can_take(p->ctx)) {
            p->ops->resume(p->ctx);
        }
    }
}

/* ---- for the monitor ------------------------------------------------------------------------- */

void console_set_user(const struct console_user *u)
{
    console_user = u;
    console_mux.render = u->render;
    console_mux.render_ctx = u->ctx;
}

bool console_write(const char *text, size_t n)
{
    (void)console_kick();
    return conmux_reply(&console_mux, text, n);
}

void console_printf(const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    size_t n = format_va(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= sizeof(text)) {
        n = sizeof(text) - 1;
        text[n - 1] = '\n';
    }
    (void)console_write(text, n);
}

size_t console_room(void)
{
    return conmux_room(&console_mux);
}

void console_cut_reply(void)
{
    (void)conmux_cut_reply(&console_mux);
}

bool console_send_stats(size_t (*more)(void *ctx, char *buf, size_t size), void *ctx, bool asked)
{
    (void)console_kick();
    return conmux_send_stats(&console_mux, more, ctx, asked);
}

void console_prompt(void)
{
    conmux_prompt(&console_mux);
    console_keys_expect();
    (void)console_kick();
}

void console_edit(const char *bytes, size_t n)
{
    conmux_edit(&console_mux, bytes, n);
    (void)console_kick();
}

void console_prompt_end(void)
{
    conmux_prompt_end(&console_mux);
    (void)console_kick();
}

void console_attach(struct console_port *p)
{
    console_printf("[the console of %s; Ctrl-] returns to the monitor]\n", p->mux.name);
    conmux_attach(&console_mux, &p->mux);
    p->typed_out = p->typed_in;
    (void)console_kick();
}

void console_back(void)
{
    uint64_t hidden = conmux_back(&console_mux);

    if (hidden > 0 || hidden_logs > 0) {
        console_printf("[the monitor; %llu lines of other guests and %llu of the log were not "
                       "shown]\n",
                       (unsigned long long)hidden, (unsigned long long)hidden_logs);
    } else {
        console_printf("[the monitor]\n");
    }
    hidden_logs = 0;
}

void console_screen(bool on)
{
    if (on) {
        conmux_screen(&console_mux);
    } else {
        console_back();
    }
}

void console_release(void)
{
    if (console_mux.mode != CONMUX_MONITOR) {
        console_back();
    }
}

bool console_wants_lines(void)
{
    return console_mux.mode == CONMUX_MONITOR;
}

bool console_drained(void)
{
    return !uart.present || (conmux_empty(&console_mux) && host_uart_idle(&uart));
}

struct console_counts console_counts(void)
{
    return (struct console_counts){
        .tx_bytes = uart.tx_bytes,
        .rx_bytes = uart.rx_bytes,
        .lost_lines = console_mux.lost,
        .echo_max_us = console_keys_echo_max_ns() / 1000,
        .obey_max_us = console_keys_obey_max_ns() / 1000,
    };
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static void on_log(enum log_level level, const struct log_subject *about, const char *line)
{
    char text[1024];

    (void)level;
    if (!running) {
        early_uart_puts(line); /* before the loop turns nobody else sends */
        early_uart_puts("\n");
        return;
    }
    struct console_port *p = (struct console_port *)console_mux.attached;
    if (console_mux.mode == CONMUX_SCREEN || (p && p->log != about)) {
        hidden_logs++; /* `log` has it */
        return;
    }
    size_t n = MIN(format(text, sizeof(text), "%s\n", line), sizeof(text) - 1);
    (void)(replying ? conmux_reply(&console_mux, text, n) : conmux_log(&console_mux, text, n));
    (void)console_kick();
}

static void user_work(void)
{
    const struct console_user *u = console_user;

    if (u && conmux_room(&console_mux) >= CONSOLE_PIECE && u->work(u->ctx)) {
        (void)console_kick();
    }
}

static void drain_to_nowhere(void)
{
    char nowhere[CONMUX_STAGE];

    for (unsigned i = 0; i < 4 && conmux_pull(&console_mux, nowhere, sizeof(nowhere)) > 0; i++) {
    }
}

static bool console_work(void *ctx)
{
    struct account *before = charge(&charge_console);

    (void)ctx;
    running = true;
    replying = true;
    console_keys_give();
    user_work();
    replying = false;
    console_keys_feed();
    if (kick_wanted) {
        kick_wanted = false;
        if (uart.present) {
            host_uart_kick(&uart);
        }
    }
    if (!uart.present) {
        drain_to_nowhere();
    }
    resume_ports();
    if (console_mux.guest_lines != lines_seen ||
        (conmux_unsettled(&console_mux) && !settle_timer.armed)) {
        lines_seen = console_mux.guest_lines;
        sched_arm_console(&settle_timer, clock_now_ns() + SETTLE_NS);
    }
    charge(before);
    return kick_wanted || console_keys_left();
}

static void settle_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    (void)now_ns;
    conmux_settle(&console_mux);
    (void)console_kick();
}

static bool irq_works;

/* For a port whose interrupts do not come. */
static void poll_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    if (!irq_works || (uart.tx_bytes == last_tx_bytes && !conmux_empty(&console_mux))) {
        host_uart_poll(&uart);
    }
    last_tx_bytes = uart.tx_bytes;
    log_tell_suppressed();
    if (uart.present) {
        sched_arm_console(&poll_timer, now_ns + (irq_works ? 10 * POLL_NS : POLL_NS / 10));
    }
}

/* The word console.token=TOKEN of the hypervisor's command line. */
static void take_token(const char *cmdline)
{
    static char token[CONMUX_TOKEN], mark[CONMUX_MARK];
    static const char key[] = "console.token=";
    size_t n = 0;

    while (*cmdline && strncmp(cmdline, key, sizeof(key) - 1) != 0) {
        cmdline++;
    }
    if (!*cmdline) {
        return;
    }
    cmdline += sizeof(key) - 1;
    while (*cmdline > ' ' && n < sizeof(token) - 1) {
        token[n++] = *cmdline++;
    }
    if (n > 0) {
        console_mux.token = token;
        (void)conmux_mark(mark, sizeof(mark), token, NULL);
        early_uart_set_mark(mark);
    }
}

static const struct power_console power = {.release = console_release, .drained = console_drained};

void console_init(const char *cmdline)
{
    mux_once();
    take_token(cmdline);
    timer_init(&settle_timer, settle_due, NULL);
    timer_init(&poll_timer, poll_due, NULL);
    console_keys_init();
    if (host_uart_init(&uart, HOST_UART_COM1, &vuart_ops, NULL) == OK) {
        enum status s = irq_register_line(HOST_UART_COM1_IRQ, on_irq, NULL);
        irq_works = s == OK;
        if (!irq_works) {
            log_warn("console: interrupt line %u: %s; the serial port is polled",
                     HOST_UART_COM1_IRQ, status_name(s));
        }
        sched_arm_console(&poll_timer, clock_now_ns() + POLL_NS);
    }
    sched_set_console_work(console_work, NULL);
    log_set_sink(on_log);
    power_set_console(&power);
}
