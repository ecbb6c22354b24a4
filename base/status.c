/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of the error type's values, for messages. */
#include "base/status.h"

const char *status_name(enum status s)
{
    switch (s) {
    case OK:
        return "ok";
    case E_NOMEM:
        return "out of memory";
    case E_INVAL:
        return "malformed";
    case E_RANGE:
        return "out of range";
    case E_IO:
        return "input/output error";
    case E_BUSY:
        return "busy";
    case E_NOTFOUND:
        return "not found";
    case E_UNSUPPORTED:
        return "not supported";
    case E_EXISTS:
        return "exists already";
    case E_FAULT:
        return "bad guest address";
    case E_READONLY:
        return "read-only";
    }
    return "unknown status";
}
