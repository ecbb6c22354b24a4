/* SPDX-License-Identifier: BSD-2-Clause */
/* The key that leaves a guest's console, however the terminal sends it: see detachkey.h. */
#include "kernel/console/detachkey.h"

#include "base/bits.h"

#define ESC 0x1b
#define CTRL 4u
#define OTHER_KEY 27u
#define RELEASE 3u
#define PRESSED 1u
#define VALUE_MAX 9999u

enum { OUTSIDE, AFTER_ESC, IN_CSI };

static void take_digit(struct detachkey *d, uint8_t digit)
{
    uint16_t *value = d->sub == 0 && d->param < DETACHKEY_PARAMS ? &d->value[d->param]
                      : d->sub == 1 && d->param == 1             ? &d->event
                                                                 : NULL;

    if (value) {
        *value = (uint16_t)MIN(*value * 10u + digit, VALUE_MAX);
    }
}

static bool is_detach(const struct detachkey *d, uint8_t final)
{
    bool ctrl = d->value[1] > 0 && ((d->value[1] - 1u) & CTRL) != 0;

    if (final == '_') {
        return d->value[2] == CTRL_CLOSE_BRACKET && d->value[3] == PRESSED;
    }
    if (final == '~') {
        return d->value[0] == OTHER_KEY && ctrl && d->value[2] == ']';
    }
    return final == 'u' && d->value[0] == ']' && ctrl && d->event != RELEASE;
}

bool detachkey_byte(struct detachkey *d, uint8_t byte)
{
    if (byte == CTRL_CLOSE_BRACKET) {
        d->state = OUTSIDE;
        return true;
    }
    if (byte == ESC) {
        *d = (struct detachkey){.state = AFTER_ESC};
    } else if (d->state == AFTER_ESC) {
        d->state = byte == '[' ? IN_CSI : OUTSIDE;
    } else if (d->state == IN_CSI && byte >= '0' && byte <= '9') {
        take_digit(d, byte - '0');
    } else if (d->state == IN_CSI && byte == ':') {
        d->sub = (uint8_t)MIN(d->sub + 1u, 2u);
    } else if (d->state == IN_CSI && byte == ';') {
        d->param = (uint8_t)MIN(d->param + 1u, DETACHKEY_PARAMS);
        d->sub = 0;
    } else if (d->state == IN_CSI) {
        d->state = OUTSIDE;
        return is_detach(d, byte);
    }
    return false;
}
