/* SPDX-License-Identifier: BSD-2-Clause */
/* The switches of mm/fold that can be turned while it runs. */
#include "base/bits.h"
#include "base/string.h"
#include "mm/fold.h"

static const struct key {
    const char *name;
    size_t offset;    /* of the bool in struct fold; unused when there is one value only */
    const char *only; /* the one value there is, or NULL for on and off */
    const char *why;  /* what is said to any other value */
} keys[] = {
    {"run", offsetof(struct fold, run), NULL, "run is on or off"},
    {"fold.zero", offsetof(struct fold, zero), NULL, "fold.zero is on or off"},
    {"fold.index", 0, "tree", "fold.index can only be tree"},
    {"fold.volatility", 0, "checksum", "fold.volatility can only be checksum"},
};

static bool *switch_of(struct fold *f, const struct key *k)
{
    return (bool *)((char *)f + k->offset);
}

enum status fold_set(struct fold *f, const char *key, const char *value, const char **why)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct key *k = &keys[i];

        if (strcmp(key, k->name) != 0) {
            continue;
        }
        if (k->only) {
            if (strcmp(value, k->only) == 0) {
                return OK;
            }
        } else if (strcmp(value, "on") == 0 || strcmp(value, "off") == 0) {
            *switch_of(f, k) = value[1] == 'n';
            return OK;
        }
        *why = k->why;
        return E_INVAL;
    }
    *why = "no such key; there are run, fold.zero, fold.index, fold.volatility";
    return E_NOTFOUND;
}

bool fold_get(const struct fold *f, unsigned i, const char **key, const char **value)
{
    if (i >= ARRAY_LEN(keys)) {
        return false;
    }
    const struct key *k = &keys[i];
    const bool *on = (const bool *)((const char *)f + k->offset);

    *key = k->name;
    *value = k->only ? k->only : *on ? "on" : "off";
    return true;
}
