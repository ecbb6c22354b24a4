/* SPDX-License-Identifier: BSD-2-Clause */
/* A key's value: from text into the configuration's structs, and back. */
#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"
#include "kernel/config/keys.h"
#include "kernel/config/value.h"

static bool set_text(const struct key *k, char *to, const char *value)
{
    bool ok = k->kind == KEY_IDENT ? key_is_ident(value, k->max)
                                   : key_is_printable(value, k->max, k->kind == KEY_TEXT);

    if (!ok || (k->kind == KEY_NAME && value[0] == '\0')) {
        return false;
    }
    memcpy(to, value, strlen(value) + 1);
    return true;
}

static bool in_bounds(const struct key *k, uint64_t v)
{
    return v >= k->min && v <= k->max;
}

static bool set_duration(const struct key *k, uint64_t *to, const char *value)
{
    uint64_t v;

    if (k->min > 0 && strcmp(value, "off") == 0) {
        *to = 0;
        return true;
    }
    if (!value_parse_duration(value, &v) || !in_bounds(k, v)) {
        return false;
    }
    *to = v;
    return true;
}

static bool set_share(const struct key *k, char *section, const char *value)
{
    unsigned percent;
    uint64_t bytes;

    if (value_parse_percent(value, &percent)) {
        if (percent < 1 || percent > 90) {
            return false;
        }
        *(unsigned *)(section + k->offset) = percent;
        *(uint64_t *)(section + k->offset2) = 0;
        return true;
    }
    if (!value_parse_size(value, &bytes) || !in_bounds(k, bytes)) {
        return false;
    }
    *(unsigned *)(section + k->offset) = 0;
    *(uint64_t *)(section + k->offset2) = bytes;
    return true;
}

static bool set_number(const struct key *k, char *to, const char *value)
{
    uint64_t v;
    unsigned percent;

    switch (k->kind) {
    case KEY_COUNT:
        if (!value_parse_count(value, &v) || !in_bounds(k, v)) {
            return false;
        }
        *(uint32_t *)to = (uint32_t)v;
        return true;
    case KEY_SIZE:
        if (!value_parse_size(value, &v) || !in_bounds(k, v) || (v & PAGE_MASK) != 0) {
            return false;
        }
        *(uint64_t *)to = v;
        return true;
    case KEY_PERCENT:
        if (!value_parse_percent(value, &percent) || !in_bounds(k, percent)) {
            return false;
        }
        *(unsigned *)to = percent;
        return true;
    case KEY_SWITCH:
        if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
            return false;
        }
        *(bool *)to = value[1] == 'n';
        return true;
    default:
        return false;
    }
}

static bool set_choice(const struct key *k, int *to, const char *value)
{
    for (int i = 0; i < KEY_CHOICES; i++) {
        if (k->choices[i] != NULL && strcmp(k->choices[i], value) == 0) {
            *to = i;
            return true;
        }
    }
    return false;
}

/* `none`, or names of classes with commas between them. */
static bool set_classes(uint8_t *to, const char *value)
{
    uint8_t mask = 0;

    if (strcmp(value, "none") == 0) {
        *to = 0;
        return true;
    }
    for (;;) {
        size_t n = 0;
        unsigned c = 0;

        while (value[n] && value[n] != ',') {
            n++;
        }
        while (c < PAGE_CLASSES && (strlen(page_class_name((enum page_class)c)) != n ||
                                    memcmp(value, page_class_name((enum page_class)c), n) != 0)) {
            c++;
        }
        if (c == PAGE_CLASSES) {
            return false;
        }
        mask |= (uint8_t)BIT32(c);
        if (!value[n]) {
            *to = mask;
            return true;
        }
        value += n + 1;
    }
}

enum status key_set(const struct key *k, void *section, const char *value, char *why,
                    size_t why_size)
{
    char *to = (char *)section + k->offset;
    char shown[40];
    bool ok;

    switch (k->kind) {
    case KEY_DISK:
        return key_add_disk(k, section, value, why, why_size);
    case KEY_FAULT:
        return key_add_fault(k, section, value, why, why_size);
    case KEY_DELAY:
        return key_add_delay(k, section, value, why, why_size);
    case KEY_CLASSES:
        ok = set_classes((uint8_t *)to, value);
        break;
    case KEY_CHOICE:
        ok = set_choice(k, (int *)to, value);
        break;
    case KEY_SHARE:
        ok = set_share(k, section, value);
        break;
    case KEY_DURATION:
        ok = set_duration(k, (uint64_t *)to, value);
        break;
    case KEY_NAME:
    case KEY_IDENT:
    case KEY_TEXT:
        ok = set_text(k, to, value);
        break;
    default:
        ok = set_number(k, to, value);
        break;
    }
    if (!ok) {
        (void)format(why, why_size, "%s = '%s': it must be %s", k->name,
                     key_quote(shown, sizeof(shown), value), k->help);
        return E_INVAL;
    }
    return OK;
}

static void print_classes(uint8_t mask, char *value, size_t value_size)
{
    size_t at = 0;

    value[0] = '\0';
    for (unsigned c = 0; c < PAGE_CLASSES; c++) {
        if (mask >> c & 1 && at < value_size) {
            at += format(value + at, value_size - at, "%s%s", at ? "," : "",
                         page_class_name((enum page_class)c));
        }
    }
    if (mask == 0) {
        format(value, value_size, "none");
    }
}

void key_print(const struct key *k, const void *section, char *value, size_t value_size)
{
    const char *at = (const char *)section + k->offset;
    uint64_t bytes;

    switch (k->kind) {
    case KEY_COUNT:
        (void)format(value, value_size, "%u", *(const uint32_t *)at);
        break;
    case KEY_SIZE:
        value_print_size(value, value_size, *(const uint64_t *)at);
        break;
    case KEY_DURATION:
        if (k->min > 0 && *(const uint64_t *)at == 0) {
            (void)format(value, value_size, "off");
        } else {
            value_print_duration(value, value_size, *(const uint64_t *)at);
        }
        break;
    case KEY_PERCENT:
        (void)format(value, value_size, "%u%%", *(const unsigned *)at);
        break;
    case KEY_SHARE:
        memcpy(&bytes, (const char *)section + k->offset2, sizeof(bytes));
        if (*(const unsigned *)at != 0) {
            (void)format(value, value_size, "%u%%", *(const unsigned *)at);
        } else {
            value_print_size(value, value_size, bytes);
        }
        break;
    case KEY_SWITCH:
        (void)format(value, value_size, "%s", *(const bool *)at ? "on" : "off");
        break;
    case KEY_CHOICE:
        (void)format(value, value_size, "%s", k->choices[*(const int *)at]);
        break;
    case KEY_CLASSES:
        print_classes(*(const uint8_t *)at, value, value_size);
        break;
    case KEY_NAME:
    case KEY_IDENT:
    case KEY_TEXT:
        (void)format(value, value_size, "%s", at);
        break;
    case KEY_FAULT:
    case KEY_DELAY:
        (void)format(value, value_size, "%u", *(const unsigned *)at);
        break;
    case KEY_DISK:
        (void)format(value, value_size, "%s", "");
        break;
    }
}
