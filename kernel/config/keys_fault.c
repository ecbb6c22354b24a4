/* SPDX-License-Identifier: BSD-2-Clause */
/* disk.fault: a rule of drivers/block/fault.h as text, and back. */
#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"
#include "kernel/config/keys.h"
#include "kernel/config/value.h"

#define WORDS 6
#define TEXT 128

static const struct {
    const char *name;
    uint8_t ops;
} ops[] = {{"read", FAULTY_READ},
           {"write", FAULTY_WRITE},
           {"any", FAULTY_READ | FAULTY_WRITE},
           {"flush", FAULTY_FLUSH}};

static const struct {
    const char *name;
    bool has_delay;
} kinds[] = {[FAULTY_ERROR] = {"error", false},
             [FAULTY_LOST] = {"lost", false},
             [FAULTY_TIMEOUT] = {"timeout", true},
             [FAULTY_SLOW] = {"slow", true}};

static bool parse_op(const char *word, uint8_t *out)
{
    for (unsigned i = 0; i < ARRAY_LEN(ops); i++) {
        if (strcmp(word, ops[i].name) == 0) {
            *out = ops[i].ops;
            return true;
        }
    }
    return false;
}

static bool parse_range(char *word, struct faulty_rule *rule)
{
    char *plus = strchr(word, '+');

    if (plus == NULL) {
        return false;
    }
    *plus = '\0';
    return value_parse_count(word, &rule->sector) && value_parse_count(plus + 1, &rule->sectors) &&
           rule->sectors > 0 && rule->sector <= UINT64_MAX - rule->sectors;
}

static bool parse_kind(const char *word, struct faulty_rule *rule)
{
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(word, kinds[i].name) == 0) {
            rule->kind = (enum faulty_kind)i;
            return true;
        }
    }
    return false;
}

static bool parse(char *text, struct faulty_rule *rule)
{
    char *words[WORDS];
    unsigned n = key_split(text, words, WORDS), at = 2;
    uint64_t times;

    if (n < 3 || n > WORDS || !parse_op(words[1], &rule->ops) ||
        strlen(words[0]) >= sizeof(rule->disk)) {
        return false;
    }
    memcpy(rule->disk, words[0], strlen(words[0]) + 1);
    if (rule->ops != FAULTY_FLUSH && !parse_range(words[at++], rule)) {
        return false;
    }
    if (at >= n || !parse_kind(words[at++], rule)) {
        return false;
    }
    if (kinds[rule->kind].has_delay &&
        (at >= n || !value_parse_duration(words[at++], &rule->delay_ns) ||
         rule->delay_ns > UINT64_C(3600000000000))) {
        return false;
    }
    if (at < n) {
        if (words[at][0] != 'x' || !value_parse_count(words[at] + 1, &times) || times == 0 ||
            times > UINT32_MAX) {
            return false;
        }
        rule->times = (uint32_t)times;
        at++;
    }
    return at == n;
}

bool config_parse_fault(const char *text, struct faulty_rule *out)
{
    struct faulty_rule rule = {.ops = 0};
    char copy[TEXT];
    size_t n = strnlen(text, sizeof(copy));

    if (n == sizeof(copy) || !key_is_printable(text, sizeof(copy), true)) {
        return false;
    }
    memcpy(copy, text, n + 1);
    if (!parse(copy, &rule)) {
        return false;
    }
    *out = rule;
    return true;
}

void config_print_fault(const struct faulty_rule *rule, char *buf, size_t size)
{
    char range[48] = "", delay[32] = "", times[16] = "";
    const char *op = "flush";

    for (unsigned i = 0; i < ARRAY_LEN(ops); i++) {
        op = ops[i].ops == rule->ops ? ops[i].name : op;
    }
    if (rule->ops != FAULTY_FLUSH) {
        (void)format(range, sizeof(range), " %llu+%llu", (unsigned long long)rule->sector,
                     (unsigned long long)rule->sectors);
    }
    if (kinds[rule->kind].has_delay) {
        delay[0] = ' ';
        value_print_duration(delay + 1, sizeof(delay) - 1, rule->delay_ns);
    }
    if (rule->times != 0) {
        (void)format(times, sizeof(times), " x%u", rule->times);
    }
    (void)format(buf, size, "%s %s%s %s%s%s", rule->disk, op, range, kinds[rule->kind].name, delay,
                 times);
}

enum status key_add_fault(const struct key *k, struct config_host *h, const char *value, char *why,
                          size_t why_size)
{
    char shown[48];

    if (h->n_faults == FAULTY_RULES) {
        (void)format(why, why_size, "there are at most %u of %s; remove this one", FAULTY_RULES,
                     k->name);
        return E_NOMEM;
    }
    if (!config_parse_fault(value, &h->faults[h->n_faults])) {
        (void)format(why, why_size, "%s = '%s': it must be %s", k->name,
                     key_quote(shown, sizeof(shown), value), k->help);
        return E_INVAL;
    }
    h->n_faults++;
    return OK;
}
