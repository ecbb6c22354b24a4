/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's disks: their suffixes, and whether all VMs' disks go together. */
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/config/keys.h"

#define MODULE "module:"
#define OVERLAY "overlay="

static bool is_module(const char *name)
{
    return strncmp(name, MODULE, strlen(MODULE)) == 0;
}

/* The n characters at `text` are a disk's name. */
static bool set_name(char *to, const char *text, size_t n)
{
    if (n == 0 || n >= CONFIG_NAME) {
        return false;
    }
    memcpy(to, text, n);
    to[n] = '\0';
    return !is_module(to) || n > strlen(MODULE);
}

static bool equals(const char *text, size_t n, const char *word)
{
    return n == strlen(word) && strncmp(text, word, n) == 0;
}

static enum status set_overlay(struct config_disk *d, const char *name, size_t n, char *why,
                               size_t why_size)
{
    if (!set_name(d->overlay, name, n)) {
        (void)format(why, why_size,
                     "disk '%s': `,overlay=` needs the disk or partition that keeps the writes",
                     d->name);
        return E_INVAL;
    }
    if (is_module(d->overlay)) {
        (void)format(why, why_size,
                     "disk '%s': an overlay on a boot module would be gone at power-off; use "
                     "`,snapshot`",
                     d->name);
        return E_INVAL;
    }
    return OK;
}

static enum status set_suffix(struct config_disk *d, const char *suffix, size_t n, char *why,
                              size_t why_size)
{
    size_t skip = strlen(OVERLAY);
    char shown[24];

    if (equals(suffix, n, "ro")) {
        d->read_only = true;
    } else if (equals(suffix, n, "snapshot")) {
        d->snapshot = true;
    } else if (equals(suffix, n, "shared")) {
        d->shared = true;
    } else if (n >= skip && strncmp(suffix, OVERLAY, skip) == 0) {
        return set_overlay(d, suffix + skip, n - skip, why, why_size);
    } else {
        (void)format(why, why_size,
                     "disk '%s': unknown suffix ',%s'; there are `,ro`, `,snapshot`, "
                     "`,overlay=DISK` and `,shared`",
                     d->name, key_quote(shown, MIN(sizeof(shown), n + 1), suffix));
        return E_INVAL;
    }
    return OK;
}

enum status key_add_disk(const struct key *k, struct config_vm *vm, const char *value, char *why,
                         size_t why_size)
{
    struct config_disk d = {.read_only = false};
    const char *comma = strchr(value, ',');

    if (!key_is_printable(value, SIZE_MAX, false) ||
        !set_name(d.name, value, comma != NULL ? (size_t)(comma - value) : strlen(value))) {
        (void)format(why, why_size, "disk must be %s", k->help);
        return E_INVAL;
    }
    while (comma != NULL) {
        const char *suffix = comma + 1;

        comma = strchr(suffix, ',');
        enum status s = set_suffix(
            &d, suffix, comma != NULL ? (size_t)(comma - suffix) : strlen(suffix), why, why_size);
        if (s != OK) {
            return s;
        }
    }
    if (d.snapshot && d.overlay[0] != '\0') {
        (void)format(why, why_size,
                     "disk '%s': `,snapshot` drops what `,overlay` keeps; remove one", d.name);
        return E_INVAL;
    }
    if (d.shared && (d.read_only || d.snapshot || d.overlay[0] != '\0')) {
        (void)format(why, why_size,
                     "disk '%s': `,shared` is for a disk that several VMs write; remove it, or the "
                     "other suffix",
                     d.name);
        return E_INVAL;
    }
    for (unsigned i = 0; i < vm->n_disks; i++) {
        if (strcmp(vm->disks[i].name, d.name) == 0) {
            (void)format(why, why_size, "disk '%s' is given twice to this VM; remove one", d.name);
            return E_EXISTS;
        }
    }
    if (vm->n_disks == CONFIG_DISKS) {
        (void)format(why, why_size, "a VM has at most %u disks; remove this one", CONFIG_DISKS);
        return E_NOMEM;
    }
    vm->disks[vm->n_disks++] = d;
    return OK;
}

/* ---- all VMs' disks together ---- */

/* What a VM does to a disk that its configuration names: two for each of its disks. */
enum use { USE_NONE, USE_READ, USE_WRITE, USE_BASE, USE_STORE };

struct named {
    const struct config_vm *vm;
    const char *name;
    enum use use;
};

#define USES (CONFIG_DISKS * 2)

static struct named use_at(const struct config *c, unsigned i)
{
    const struct config_vm *vm = &c->vms[i / USES];
    const struct config_disk *d = &vm->disks[i % USES / 2];
    bool aside = d->snapshot || d->overlay[0] != '\0';

    if (i % USES / 2 >= vm->n_disks || (i % 2 == 1 && d->overlay[0] == '\0')) {
        return (struct named){vm, "", USE_NONE};
    }
    if (i % 2 == 1) {
        return (struct named){vm, d->overlay, USE_STORE};
    }
    return (struct named){vm, d->name, aside ? USE_BASE : d->read_only ? USE_READ : USE_WRITE};
}

/* E_EXISTS: the two cannot both be. */
static enum status check_pair(const struct named *a, const struct named *b, bool *warned, char *why,
                              size_t why_size)
{
    if (a->use == USE_STORE || b->use == USE_STORE) {
        const struct named *store = b->use == USE_STORE ? b : a;
        (void)format(why, why_size,
                     "disk '%s' keeps an overlay of VM '%s', and can be nothing else's as well",
                     a->name, store->vm->name);
        return E_EXISTS;
    }
    if ((a->use == USE_BASE && b->use == USE_WRITE) ||
        (a->use == USE_WRITE && b->use == USE_BASE)) {
        (void)format(why, why_size,
                     "disk '%s' is the base of a `,snapshot` or `,overlay`, and VM '%s' could "
                     "write it; add `,ro` or `,snapshot` there",
                     a->name, (a->use == USE_WRITE ? a : b)->vm->name);
        return E_EXISTS;
    }
    /* Two that may write are a matter of which VMs are on at a time: config_disks_clash. */
    if ((a->use == USE_WRITE) != (b->use == USE_WRITE) && !*warned) {
        *warned = true;
        log_warn("config:%u: disk '%s' is also %s's, and may be written; `,ro` on both is safe",
                 a->vm->line, a->name, b->vm->name);
    }
    return OK;
}

/* Whether one of them is a partition of the other, or both are the same. */
static bool overlaps(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    const char *longer = n > m ? a : b;

    if (strncmp(a, b, MIN(n, m)) != 0) {
        return false;
    }
    return n == m || (!is_module(longer) && longer[MIN(n, m)] == 'p');
}

static bool may_write(const struct config_disk *d)
{
    return !d->read_only && !d->snapshot && d->overlay[0] == '\0';
}

bool config_disks_clash(const struct config_disk *a, const struct config_disk *b)
{
    return may_write(a) && may_write(b) && !(a->shared && b->shared) && overlaps(a->name, b->name);
}

enum status key_check_disks(const struct config *c, unsigned *line, char *why, size_t why_size)
{
    bool warned = false;

    for (unsigned i = 0; i < c->n_vms * USES; i++) {
        struct named a = use_at(c, i);

        for (unsigned j = 0; a.use != USE_NONE && j < i; j++) {
            struct named b = use_at(c, j);

            /* What an overlay's own sectors are in is told by its VM's start, which knows them. */
            bool store = a.use == USE_STORE || b.use == USE_STORE;
            bool meet = store ? strcmp(a.name, b.name) == 0 : overlaps(a.name, b.name);
            if (b.use == USE_NONE || !meet) {
                continue;
            }
            enum status s = check_pair(&a, &b, &warned, why, why_size);
            if (s != OK) {
                *line = a.vm->line;
                return s;
            }
        }
    }
    return OK;
}
