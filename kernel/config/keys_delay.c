/* SPDX-License-Identifier: BSD-2-Clause */
/* disk.delay: how slow a disk is made, as text, and back. */
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/config/keys.h"
#include "kernel/config/value.h"

#define WORDS 3
#define TEXT 64
#define COMMAND_MAX_NS UINT64_C(1000000000)
#define BLOCK_MAX_NS UINT64_C(10000000)

static bool parse_disk(const char *word, char *name)
{
    if (strlen(word) != CONFIG_DELAY_NAME - 1 || memcmp(word, "ata", 3) != 0 || word[3] < '0' ||
        word[3] > '3') {
        return false; /* a partition, or a boot module, which has no commands */
    }
    memcpy(name, word, CONFIG_DELAY_NAME);
    return true;
}

static bool parse_time(const char *word, uint64_t max_ns, uint64_t *out)
{
    return value_parse_duration(word, out) && *out <= max_ns;
}

bool config_parse_delay(const char *text, struct config_delay *out)
{
    struct config_delay d = {.command_ns = 0};
    char copy[TEXT], *words[WORDS];
    size_t len = strnlen(text, sizeof(copy));

    if (len == sizeof(copy) || !key_is_printable(text, sizeof(copy), true)) {
        return false;
    }
    memcpy(copy, text, len + 1);
    unsigned n = key_split(copy, words, WORDS);
    if (n < 2 || n > WORDS || !parse_disk(words[0], d.disk)) {
        return false;
    }
    bool is_off = n == 2 && strcmp(words[1], "off") == 0;
    if (!is_off && (!parse_time(words[1], COMMAND_MAX_NS, &d.command_ns) ||
                    (n == WORDS && !parse_time(words[2], BLOCK_MAX_NS, &d.block_ns)))) {
        return false;
    }
    *out = d;
    return true;
}

void config_print_delay(const struct config_delay *delay, char *buf, size_t size)
{
    char command[32] = "off", block[32] = "";

    if (delay->command_ns != 0 || delay->block_ns != 0) {
        value_print_duration(command, sizeof(command), delay->command_ns);
    }
    if (delay->block_ns != 0) {
        block[0] = ' ';
        value_print_duration(block + 1, sizeof(block) - 1, delay->block_ns);
    }
    (void)format(buf, size, "%s %s%s", delay->disk, command, block);
}

enum status key_add_delay(const struct key *k, struct config_host *h, const char *value, char *why,
                          size_t why_size)
{
    struct config_delay d;
    char shown[48];

    if (!config_parse_delay(value, &d)) {
        (void)format(why, why_size, "%s = '%s': it must be %s", k->name,
                     key_quote(shown, sizeof(shown), value), k->help);
        return E_INVAL;
    }
    for (unsigned i = 0; i < h->n_delays; i++) {
        if (strcmp(h->delays[i].disk, d.disk) == 0) {
            (void)format(why, why_size, "%s is set twice for %s; remove one", k->name, d.disk);
            return E_EXISTS;
        }
    }
    ASSERT(h->n_delays < CONFIG_DELAYS); /* there are not more names */
    h->delays[h->n_delays++] = d;
    return OK;
}
