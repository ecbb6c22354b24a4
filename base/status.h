/* SPDX-License-Identifier: BSD-2-Clause */
/* The error type: every function that can fail returns one, and the caller must look at it. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

enum status {
    OK = 0,
    E_NOMEM,       /* out of frames or of a bounded table */
    E_INVAL,       /* malformed input */
    E_RANGE,       /* an index, length or address outside its bounds */
    E_IO,          /* the device reported an error or timed out */
    E_BUSY,        /* in use; try again later */
    E_NOTFOUND,    /* no such thing */
    E_UNSUPPORTED, /* well-formed, but this build or this CPU cannot */
    E_EXISTS,      /* a second thing of that name */
    E_FAULT,       /* a guest address that is not its memory */
    E_READONLY,    /* write to something read-only */
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* A short constant English name ("out of memory"), never NULL. */
const char *status_name(enum status s);

#endif
