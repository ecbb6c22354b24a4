/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds Ctrl-] among the bytes that a terminal sends, in each form that the terminal can be told to
 * send it in. Pure.
 *
 * An attached guest has the terminal. It can switch it to a keyboard mode in which Ctrl-] is a
 * sequence, and the user could not come back if only the control character were known. The forms:
 * the control character 0x1d; `CSI 93 ; modifiers u` (xterm's formatOtherKeys, and the keyboard
 * protocol of kitty, which may add subparameters behind colons); `CSI 27 ; modifiers ; 93 ~`
 * (xterm's modifyOtherKeys); `CSI key ; scan code ; character ; pressed ; ... _` (Windows
 * Terminal's win32-input-mode). Modifiers are a bit set plus one; Ctrl is bit 2.
 */
#ifndef KERNEL_CONSOLE_DETACHKEY_H
#define KERNEL_CONSOLE_DETACHKEY_H

#include "base/types.h"

#define CTRL_CLOSE_BRACKET 0x1d
#define DETACHKEY_PARAMS 4u

/* Zeroes are a good beginning. */
struct detachkey {
    uint8_t state;
    uint8_t param;                    /* that comes now; DETACHKEY_PARAMS: more than matter */
    uint8_t sub;                      /* likewise, its subparameter */
    uint16_t value[DETACHKEY_PARAMS]; /* first subparameters, at most 9999 */
    uint16_t event;                   /* second one of the modifiers: 3 is a key's release */
};

/* The next byte from the terminal; true when it completes a Ctrl-]. */
bool detachkey_byte(struct detachkey *d, uint8_t byte);

#endif
