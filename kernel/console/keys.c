/* SPDX-License-Identifier: BSD-2-Clause */
/* What is typed: a queue of keys, who gets them, and how long their echo takes. */
#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "kernel/console/detachkey.h"
#include "kernel/console/internal.h"
#include "kernel/core/sched.h"

#define KEYS 1024u /* typed and not looked at yet; a power of two */
#define KEYS_A_STEP 64u
#define CTRL_C 0x03

#define NS_PER_MS UINT64_C(1000000)
/* Bytes for a guest whose receive FIFO was full are offered again so soon. */
#define RETRY_NS (1 * NS_PER_MS)
/* A line is being typed: since a key, or the prompt's return, not longer ago than this. Meanwhile
 * other output comes in bursts, one in each TICK_NS. */
#define TYPING_NS (1000 * NS_PER_MS)
#define TICK_NS (250 * NS_PER_MS)
/* Room that Enter needs before the monitor sees it: enough for any reply that is not in pieces. */
#define ENTER_ROOM (CONSOLE_REPLY_BYTES / 2)

static uint8_t keys[KEYS];
static uint64_t keys_ns[KEYS]; /* when each arrived */
static uint32_t keys_in, keys_out;
static uint64_t dropped_keys;
static bool held_up;             /* the first key waits for output that was asked for */
static uint64_t echo_since_ns;   /* arrival of the oldest key whose echo is not out; 0: none */
static uint64_t typing_until_ns; /* 0: no line is being typed */
static uint64_t echo_max_ns, obey_max_ns;
static struct timer retry_timer, tick_timer;
static struct detachkey detach; /* what was typed at a guest, looked at for Ctrl-] */

static struct console_port *attached(void)
{
    return (struct console_port *)console_mux.attached;
}

void console_keys_put(void *ctx, const uint8_t *bytes, size_t n)
{
    uint64_t now = clock_now_ns();

    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        if (keys_in - keys_out == KEYS) {
            dropped_keys += n - i;
            return;
        }
        keys_ns[keys_in % KEYS] = now;
        keys[keys_in++ % KEYS] = bytes[i];
    }
}

/* Ends the time that the oldest echo takes, if it has gone out. */
void console_keys_note_echo(void)
{
    if (echo_since_ns != 0 && !conmux_echoing(&console_mux)) {
        echo_max_ns = MAX(echo_max_ns, clock_now_ns() - echo_since_ns);
        echo_since_ns = 0;
    }
}

/* Gives the attached guest what was typed, as far as it takes it. */
void console_keys_feed(void)
{
    struct console_port *p = attached();

    if (!p) {
        return;
    }
    if (!p->ops->can_take(p->ctx)) {
        p->typed_out = p->typed_in;
    }
    while (p->typed_out != p->typed_in) {
        if (!p->ops->receive(p->ctx, (uint8_t)p->typed[p->typed_out % CONSOLE_TYPED])) {
            if (!retry_timer.armed) {
                sched_arm_console(&retry_timer, clock_now_ns() + RETRY_NS);
            }
            return;
        }
        p->typed_out++;
    }
}

static void key_to_guest(struct console_port *p, uint8_t key)
{
    if (detachkey_byte(&detach, key)) {
        detach = (struct detachkey){0};
        console_back();
        console_prompt();
    } else if (p->typed_in - p->typed_out < CONSOLE_TYPED) {
        p->typed[p->typed_in++ % CONSOLE_TYPED] = (char)key;
    } else {
        dropped_keys++;
    }
}

static bool is_enter(uint8_t key)
{
    return key == '\r' || key == '\n';
}

static bool user_is_ready(uint8_t key)
{
    return console_user && console_user->ready(console_user->ctx, key) &&
           (!is_enter(key) || conmux_room(&console_mux) >= ENTER_ROOM);
}

void console_keys_expect(void)
{
    uint64_t now = clock_now_ns();

    typing_until_ns = now + TYPING_NS;
    if (!console_mux.typing) {
        sched_arm_console(&tick_timer, now + TICK_NS);
    }
    conmux_typing(&console_mux, true);
}

static void key_to_user(uint8_t key, uint64_t arrived_ns)
{
    uint64_t now = clock_now_ns();

    if (is_enter(key)) {
        obey_max_ns = held_up ? obey_max_ns : MAX(obey_max_ns, now - arrived_ns);
    } else {
        console_keys_expect();
    }
    if (key == CTRL_CLOSE_BRACKET && console_mux.mode == CONMUX_MONITOR) {
        /* A guest can draw a prompt of its own. Ctrl-] is the proof: after it, this is the monitor.
         */
        console_printf("[the monitor]\n");
    }
    console_user->key(console_user->ctx, key);
    if (!held_up && echo_since_ns == 0) {
        echo_since_ns = arrived_ns;
    }
    held_up = false;
    console_keys_note_echo();
}

/* A Ctrl-C among the keys that wait ends what they wait for; those before it are void. */
static void look_for_interrupt(void)
{
    for (uint32_t k = keys_out; k != keys_in; k++) {
        if (keys[k % KEYS] == CTRL_C) {
            keys_out = k;
            console_user->interrupt(console_user->ctx);
            return;
        }
    }
}

/* Typed bytes go where they belong: never more than one command in a step. */
void console_keys_give(void)
{
    for (unsigned i = 0; i < KEYS_A_STEP && keys_out != keys_in; i++) {
        struct console_port *p = attached();
        uint8_t key = keys[keys_out % KEYS];

        if (p) {
            key_to_guest(p, key);
        } else if (user_is_ready(key)) {
            key_to_user(key, keys_ns[keys_out % KEYS]);
        } else {
            held_up = true;
            echo_since_ns = 0;
            if (console_user) {
                look_for_interrupt();
            }
            return;
        }
        keys_out++;
        if (!p && is_enter(key)) {
            return;
        }
    }
}

bool console_keys_left(void)
{
    return keys_out != keys_in && !held_up;
}

uint64_t console_keys_echo_max_ns(void)
{
    return echo_max_ns;
}

uint64_t console_keys_obey_max_ns(void)
{
    return obey_max_ns;
}

/* The time for another burst of what is not typed. */
static void tick_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    if (now_ns >= typing_until_ns) {
        typing_until_ns = 0;
        conmux_typing(&console_mux, false);
    } else {
        conmux_tick(&console_mux);
        sched_arm_console(&tick_timer, now_ns + TICK_NS);
    }
    (void)console_kick();
}

static void retry_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    (void)now_ns; /* being awake is enough: console_work follows */
}

void console_keys_init(void)
{
    timer_init(&retry_timer, retry_due, NULL);
    timer_init(&tick_timer, tick_due, NULL);
}
