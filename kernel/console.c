/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial console: the UART, the ports of the VMs, and who gets what is typed. See console.h;
 * what goes out is composed by kernel/monitor/conmux. */
#include "kernel/console.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/early_uart.h"
#include "arch/x86_64/irq.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/host/uart.h"
#include "kernel/bootmem.h"
#include "kernel/charge.h"
#include "kernel/log.h"
#include "kernel/monitor/conmux.h"
#include "kernel/sched.h"
#include "kernel/vm.h"

#define OUT_BYTES (512u << 10)
#define KEYS 4096u  /* typed and not looked at yet */
#define TYPED 1024u /* typed for a guest that has not read it yet; a power of two */
#define CTRL_CLOSE_BRACKET 0x1d

#define NS_PER_MS UINT64_C(1000000)
/* The prompt comes back when no line has pushed it away for this long. */
#define SETTLE_NS (30 * NS_PER_MS)
/* Bytes for a guest whose receive FIFO was full are offered again so soon. */
#define RETRY_NS (1 * NS_PER_MS)
/* When no interrupt has moved a byte for this long although there are some, poll. */
#define POLL_NS (20 * NS_PER_MS)
/* Room that a key needs before the monitor sees it: enough for any command but the largest. */
#define KEY_ROOM (OUT_BYTES / 2)

struct console_port {
    struct conmux_port mux; /* first */
    struct vm *vm;
    char *typed;
    uint32_t typed_in, typed_out;
};

static struct conmux mux;
static bool mux_ready;
static struct host_uart uart;
static const struct console_user *user;
static uint8_t keys[KEYS];
static uint32_t keys_in, keys_out;
static bool kick_wanted, running;
static uint64_t last_tx_bytes, lines_seen, dropped_keys;
static struct timer settle_timer, poll_timer, retry_timer;

static struct console_port *attached(void)
{
    return (struct console_port *)mux.attached;
}

/* Memory is needed by whoever comes first: the console, or the first VM's port. */
static void mux_once(void)
{
    if (!mux_ready) {
        mux_ready = true;
        conmux_init(&mux, boot_alloc(OUT_BYTES, 64), OUT_BYTES, boot_alloc(CONMUX_ECHO_BYTES, 64));
    }
}

/* There may be something to send: the loop sees to it, as we may be deep inside a device model. A
 * transmitter at work asks by itself when it is empty. */
static bool kick(void)
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

static void uart_got(void *ctx, const uint8_t *bytes, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        if (keys_in - keys_out == KEYS) {
            dropped_keys += n - i;
            return;
        }
        keys[keys_in++ % KEYS] = bytes[i];
    }
}

static size_t uart_wants(void *ctx, uint8_t *buf, size_t max)
{
    (void)ctx;
    return conmux_pull(&mux, (char *)buf, max);
}

static const struct host_uart_ops uart_ops = {.rx = uart_got, .tx = uart_wants};

static void on_irq(void *ctx)
{
    (void)ctx;
    host_uart_irq(&uart);
}

/* ---- for VMs --------------------------------------------------------------------------------- */

struct console_port *console_port_new(struct vm *vm)
{
    struct console_port *p = boot_alloc(sizeof(*p), 64);

    mux_once();
    p->vm = vm;
    p->typed = boot_alloc(TYPED, 64);
    conmux_add(&mux, &p->mux, vm->config->name, boot_alloc(CONMUX_PORT_BYTES, 64));
    return p;
}

void console_port_tx(struct console_port *p, uint8_t byte)
{
    conmux_port_put(&mux, &p->mux, (char)byte);
    if (byte != '\n' && mux.attached != &p->mux && p->mux.written % CONMUX_LINE != 0) {
        return; /* no whole line yet */
    }
    if (kick()) {
        hvm_yield(p->vm->vcpus[0].hvm);
    }
}

bool console_port_room(struct console_port *p)
{
    return conmux_port_room(&mux, &p->mux);
}

void console_port_end(struct console_port *p)
{
    conmux_port_end(&mux, &p->mux);
    (void)kick();
}

/* Whether the VM's devices are there to talk to. */
static bool has_devices(const struct vm *vm)
{
    return vm->state != VM_OFF && vm->state != VM_STOPPING;
}

static void resume_ports(void)
{
    struct conmux_port *p;

    while ((p = conmux_unblocked(&mux)) != NULL) {
        struct vm *vm = ((struct console_port *)p)->vm;
        if (has_devices(vm)) {
            uart_tx_resume(&vm->uart);
        }
    }
}

/* Gives the attached guest what was typed, as far as it takes it. */
static void feed_guest(void)
{
    struct console_port *p = attached();

    if (!p) {
        return;
    }
    if (!has_devices(p->vm)) {
        p->typed_out = p->typed_in;
    }
    while (p->typed_out != p->typed_in) {
        if (!uart_rx(&p->vm->uart, (uint8_t)p->typed[p->typed_out % TYPED])) {
            if (!retry_timer.armed) {
                sched_arm(&retry_timer, clock_now_ns() + RETRY_NS);
            }
            return;
        }
        p->typed_out++;
    }
}

/* ---- for the monitor ------------------------------------------------------------------------- */

void console_set_user(const struct console_user *u)
{
    user = u;
    mux.render = u->render;
    mux.render_ctx = u->ctx;
}

bool console_write(const char *text, size_t n)
{
    (void)kick();
    return conmux_write(&mux, text, n);
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
    return conmux_room(&mux);
}

void console_prompt(void)
{
    conmux_prompt(&mux);
    (void)kick();
}

void console_edit(const char *bytes, size_t n)
{
    conmux_edit(&mux, bytes, n);
    (void)kick();
}

void console_prompt_end(void)
{
    conmux_prompt_end(&mux);
    (void)kick();
}

void console_attach(struct vm *vm)
{
    console_printf("[the console of %s; Ctrl-] returns to the monitor]\n", vm->config->name);
    conmux_attach(&mux, &vm->console->mux);
    vm->console->typed_out = vm->console->typed_in;
    (void)kick();
}

static void back(void)
{
    uint64_t hidden = conmux_back(&mux);

    if (hidden > 0) {
        console_printf("[the monitor; %llu lines of other guests were not shown]\n",
                       (unsigned long long)hidden);
    } else {
        console_printf("[the monitor]\n");
    }
}

void console_screen(bool on)
{
    if (on) {
        conmux_screen(&mux);
    } else {
        back();
    }
}

bool console_wants_lines(void)
{
    return mux.mode == CONMUX_MONITOR;
}

bool console_drained(void)
{
    return !uart.present || (conmux_empty(&mux) && host_uart_idle(&uart));
}

void console_counts(uint64_t *tx, uint64_t *rx, uint64_t *lost)
{
    *tx = uart.tx_bytes;
    *rx = uart.rx_bytes;
    *lost = mux.lost;
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static void on_log(enum log_level level, const char *line)
{
    (void)level;
    if (!running) {
        early_uart_puts(line); /* before the loop turns nobody else sends */
        early_uart_puts("\n");
        return;
    }
    if (mux.mode != CONMUX_SCREEN) {
        console_printf("%s\n", line);
    }
}

/* One typed byte goes where it belongs. False: not now. */
static bool give_key(uint8_t key)
{
    struct console_port *p = attached();

    if (p) {
        if (key == CTRL_CLOSE_BRACKET) {
            back();
            console_prompt();
        } else if (p->typed_in - p->typed_out < TYPED) {
            p->typed[p->typed_in++ % TYPED] = (char)key;
        } else {
            dropped_keys++;
        }
        return true;
    }
    if (!user || console_room() < KEY_ROOM || !user->ready(user->ctx)) {
        return false;
    }
    user->key(user->ctx, key);
    return true;
}

static bool console_work(void *ctx)
{
    struct account *before = charge(&charge_console);

    (void)ctx;
    running = true;
    while (keys_out != keys_in && give_key(keys[keys_out % KEYS])) {
        keys_out++;
    }
    feed_guest();
    if (kick_wanted) {
        kick_wanted = false;
        if (uart.present) {
            host_uart_kick(&uart);
        }
    }
    if (!uart.present) {
        char nowhere[CONMUX_STAGE];
        while (conmux_pull(&mux, nowhere, sizeof(nowhere)) > 0) {
        }
    }
    resume_ports();
    if (mux.guest_lines != lines_seen || (conmux_unsettled(&mux) && !settle_timer.armed)) {
        lines_seen = mux.guest_lines;
        sched_arm(&settle_timer, clock_now_ns() + SETTLE_NS);
    }
    charge(before);
    return kick_wanted;
}

static void settle_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    (void)now_ns;
    conmux_settle(&mux);
    (void)kick();
}

static void retry_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    (void)now_ns; /* being awake is enough: console_work follows */
}

static bool irq_works;

/* For a port whose interrupts do not come. */
static void poll_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    if (!irq_works || (uart.tx_bytes == last_tx_bytes && !conmux_empty(&mux))) {
        host_uart_poll(&uart);
    }
    last_tx_bytes = uart.tx_bytes;
    if (uart.present) {
        sched_arm(&poll_timer, now_ns + (irq_works ? 10 * POLL_NS : POLL_NS / 10));
    }
}

void console_init(void)
{
    mux_once();
    timer_init(&settle_timer, settle_due, NULL);
    timer_init(&poll_timer, poll_due, NULL);
    timer_init(&retry_timer, retry_due, NULL);
    if (host_uart_init(&uart, HOST_UART_COM1, &uart_ops, NULL) == OK) {
        enum status s = irq_register(HOST_UART_COM1_IRQ, on_irq, NULL);
        irq_works = s == OK;
        if (!irq_works) {
            log_warn("console: interrupt line %u: %s; the serial port is polled",
                     HOST_UART_COM1_IRQ, status_name(s));
        }
        sched_arm(&poll_timer, clock_now_ns() + POLL_NS);
    }
    sched_add_work(console_work, NULL);
    log_set_sink(on_log);
}
