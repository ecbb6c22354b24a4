/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines: a scanner of words with quotes, and a search that knows prefixes. */
#include "kernel/monitor/command.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"
#include "kernel/config/guess.h"

#define HELP_COLUMN 26

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Copies one word from *line to *to and ends it with NUL. False: a quote stays open. */
static bool take_word(const char **line, char **to)
{
    const char *p = *line;
    char *out = *to, quote = '\0';

    for (; *p != '\0' && (quote != '\0' || !is_blank(*p)); p++) {
        if (quote == '\0' && (*p == '"' || *p == '\'')) {
            quote = *p;
        } else if (*p == quote) {
            quote = '\0';
        } else {
            if (quote == '"' && *p == '\\' && p[1] != '\0') {
                p++;
            }
            *out++ = *p;
        }
    }
    *out++ = '\0';
    *line = p;
    *to = out;
    return quote == '\0';
}

enum status command_split(const char *line, struct command_words *w, char *why, size_t why_size)
{
    size_t n = strnlen(line, COMMAND_LINE);
    char *to = w->buf;

    w->argc = 0;
    w->argv[0] = NULL;
    if (n == COMMAND_LINE) {
        (void)format(why, why_size, "the line is longer than %u characters", COMMAND_LINE - 1);
        return E_RANGE;
    }
    for (size_t i = 0; i < n; i++) {
        if ((line[i] < 0x20 || line[i] > 0x7e) && line[i] != '\t') {
            (void)format(why, why_size, "the line has a character that cannot be printed");
            return E_INVAL;
        }
    }
    for (;;) {
        while (is_blank(*line)) {
            line++;
        }
        if (*line == '\0') {
            w->argv[w->argc] = NULL;
            return OK;
        }
        if (w->argc == COMMAND_WORDS) {
            (void)format(why, why_size, "the line has more than %u words", COMMAND_WORDS);
            w->argc = 0;
            w->argv[0] = NULL;
            return E_RANGE;
        }
        /* A word never takes more bytes than it had in the line, its NUL in the blank's place. */
        w->argv[w->argc++] = to;
        if (!take_word(&line, &to)) {
            (void)format(why, why_size, "a quote is not closed");
            w->argc = 0;
            w->argv[0] = NULL;
            return E_INVAL;
        }
    }
}

/* The names that `name` is short for, as a list. */
static void list_matches(const struct command *table, unsigned n, const char *name, char *list,
                         size_t size)
{
    size_t at = 0;

    list[0] = '\0';
    for (unsigned i = 0; i < n && at < size; i++) {
        if (!table[i].exact && strncmp(table[i].name, name, strlen(name)) == 0) {
            at += format(list + at, size - at, "%s%s", at > 0 ? ", " : "", table[i].name);
        }
    }
}

/* There is no command of that name, nor one that it is short for. */
static enum status not_found(const struct command *table, unsigned n, const char *name, char *why,
                             size_t why_size)
{
    struct guess g;

    guess_init(&g, name);
    for (unsigned i = 0; i < n; i++) {
        if (name[0] != '\0' && strncmp(table[i].name, name, strlen(name)) == 0) {
            (void)format(why, why_size, "'%.40s' is too short for %s: type it in full", name,
                         table[i].name);
            return E_NOTFOUND;
        }
        guess_try(&g, table[i].name);
    }
    if (g.best) {
        (void)format(why, why_size, "unknown command '%.40s'; did you mean '%s'?", name, g.best);
    } else {
        (void)format(why, why_size, "unknown command '%.40s'; `help` lists them", name);
    }
    return E_NOTFOUND;
}

enum status command_find(const struct command *table, unsigned n, unsigned argc, char *const *argv,
                         const struct command **out, char *why, size_t why_size)
{
    const struct command *found = NULL;
    unsigned matches = 0;
    char list[160];

    if (argc == 0) {
        (void)format(why, why_size, "no command");
        return E_NOTFOUND;
    }
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(table[i].name, argv[0]) == 0) {
            found = &table[i];
            matches = 1;
            break;
        }
        if (argv[0][0] != '\0' && !table[i].exact &&
            strncmp(table[i].name, argv[0], strlen(argv[0])) == 0) {
            found = &table[i];
            matches++;
        }
    }
    if (matches == 0) {
        return not_found(table, n, argv[0], why, why_size);
    }
    if (matches > 1) {
        list_matches(table, n, argv[0], list, sizeof(list));
        (void)format(why, why_size, "'%.40s' could be %s", argv[0], list);
        return E_NOTFOUND;
    }
    if (argc - 1 < found->min_args || argc - 1 > found->max_args) {
        (void)format(why, why_size, "usage: %s%s%s", found->name, found->args[0] ? " " : "",
                     found->args);
        return E_INVAL;
    }
    *out = found;
    return OK;
}

enum status command_run(const struct command *table, unsigned n, const char *line, void *ctx,
                        char *why, size_t why_size)
{
    const struct command *c;
    struct command_words w;
    enum status s = command_split(line, &w, why, why_size);

    if (s != OK || w.argc == 0) {
        return s;
    }
    s = command_find(table, n, w.argc, w.argv, &c, why, why_size);
    if (s == OK) {
        c->run(ctx, w.argc, w.argv);
    }
    return s;
}

size_t command_help(const struct command *c, char *buf, size_t size)
{
    char usage[64];

    (void)format(usage, sizeof(usage), "%s%s%s", c->name, c->args[0] ? " " : "", c->args);
    return format(buf, size, "%-*s %s", HELP_COLUMN, usage, c->help);
}
