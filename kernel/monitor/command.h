/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Command lines of the monitor: splitting into words, and finding the command in a table. Pure.
 *
 * A command may be shortened as long as it stays unique; the full name always wins ("stop" beside
 * "stopall"). One that is `exact` has to be typed in full: it does what cannot be taken back. What
 * is wrong comes back as a message for the user.
 */
#ifndef KERNEL_MONITOR_COMMAND_H
#define KERNEL_MONITOR_COMMAND_H

#include "base/status.h"
#include "base/types.h"

#define COMMAND_WORDS 16
#define COMMAND_LINE 256 /* bytes of a line, its NUL included */

/* A line as words. Owned by the caller; argv points into buf. */
struct command_words {
    char buf[COMMAND_LINE];
    unsigned argc;
    char *argv[COMMAND_WORDS + 1]; /* ended by NULL */
};

struct command {
    const char *name;
    const char *args;            /* as shown to the user: "NAME", "[KEY VALUE]", "" */
    const char *help;            /* one line */
    unsigned min_args, max_args; /* beyond the name */
    void (*run)(void *ctx, unsigned argc, char *const *argv); /* argv[0]: the full name's word */
    bool exact;                                               /* not to be shortened */
};

/*
 * Splits at blanks; single or double quotes keep blanks, in double quotes a backslash keeps the
 * next character. E_INVAL (a quote is open, a control character), E_RANGE (too long, too many
 * words), with the reason in why; w has no words then.
 */
enum status command_split(const char *line, struct command_words *w, char *why,
                          size_t why_size) MUST_CHECK;

/* The command that argv[0] means, its number of arguments checked. E_NOTFOUND, E_INVAL: see why. */
enum status command_find(const struct command *table, unsigned n, unsigned argc, char *const *argv,
                         const struct command **out, char *why, size_t why_size) MUST_CHECK;

/* Splits, finds and runs; an empty line is OK and does nothing. */
enum status command_run(const struct command *table, unsigned n, const char *line, void *ctx,
                        char *why, size_t why_size) MUST_CHECK;

/* "fold [KEY VALUE]" and so on, padded for a list: the i-th line of `help`. */
size_t command_help(const struct command *c, char *buf, size_t size);

#endif
