/* SPDX-License-Identifier: BSD-2-Clause */
/* Between console.c, what goes out, and keys.c, what is typed. */
#ifndef KERNEL_CONSOLE_INTERNAL_H
#define KERNEL_CONSOLE_INTERNAL_H

#include "kernel/console/console.h"
#include "kernel/console/mux.h"

#define CONSOLE_REPLY_BYTES (128u << 10)
#define CONSOLE_TYPED 1024u /* for a guest that has not read it yet; a power of two */

struct console_port {
    struct conmux_port mux; /* first */
    const struct console_port_ops *ops;
    void *ctx;
    const struct log_subject *log; /* lines about it */
    char *typed;
    uint32_t typed_in, typed_out;
};

extern struct conmux console_mux;
extern const struct console_user *console_user; /* NULL: none yet */

/* There may be something to send: the loop sees to it. True: it has to be woken for that. */
bool console_kick(void);
/* Back to MONITOR, saying so. */
void console_back(void);

/* From the UART. */
void console_keys_put(void *ctx, const uint8_t *bytes, size_t n);
/* Something has gone out: an echo, maybe. */
void console_keys_note_echo(void);
/* Keys for the monitor may come: keeps the prompt in sight. */
void console_keys_expect(void);
/* Gives keys to the monitor or the attached guest's buffer: at most one command. */
void console_keys_give(void);
/* Gives the attached guest what was typed, as far as it takes it. */
void console_keys_feed(void);
/* Whether there are keys that can be given. */
bool console_keys_left(void);
uint64_t console_keys_echo_max_ns(void);
uint64_t console_keys_obey_max_ns(void);
void console_keys_init(void);

#endif
