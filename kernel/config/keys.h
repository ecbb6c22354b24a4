/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of the configuration's sections as tables; internal to kernel/config. */
#ifndef KERNEL_CONFIG_KEYS_H
#define KERNEL_CONFIG_KEYS_H

#include "kernel/config/config.h"

enum key_kind {
    KEY_COUNT,    /* uint32_t */
    KEY_SIZE,     /* uint64_t; a multiple of PAGE_SIZE */
    KEY_DURATION, /* uint64_t; `off` is 0 where min is not 0 */
    KEY_PERCENT,  /* unsigned */
    KEY_SHARE,    /* unsigned percent, and the uint64_t bytes at offset2 */
    KEY_SWITCH,   /* bool */
    KEY_CHOICE,   /* an enum (int), its index in `choices` being its value */
    KEY_CLASSES,  /* uint8_t, BIT(class) for each class of guest pages */
    KEY_NAME,     /* char[max]: what a module can be called */
    KEY_IDENT,    /* char[max]: letters, digits, . _ - */
    KEY_TEXT,     /* char[max] */
    KEY_DISK,     /* appends to struct config_vm; may be repeated */
    KEY_FAULT,    /* appends to struct config_host; may be repeated */
    KEY_DELAY,    /* likewise */
};

#define KEY_CHOICES 4

struct key {
    const char *name;
    enum key_kind kind;
    size_t offset, offset2;
    uint64_t min, max;
    const char *def;  /* as it would be written; NULL: must be given */
    const char *help; /* which values there are; follows "must be" in messages */
    const char *choices[KEY_CHOICES];
    bool boot_only; /* cannot be changed while it runs */
};

extern const struct key host_keys[];
extern const unsigned n_host_keys;
extern const struct key vm_keys[];
extern const unsigned n_vm_keys;

/* The key of exactly this name, or NULL. */
const struct key *key_find(const struct key *keys, unsigned n, const char *name);
/* The key that was probably meant, or NULL. */
const struct key *key_guess(const struct key *keys, unsigned n, const char *name);

/* Sets what the key stands for in `section` (a struct config_host or config_vm); on an error why
 * says what is possible. */
enum status key_set(const struct key *k, void *section, const char *value, char *why,
                    size_t why_size) MUST_CHECK;
/* KEY_DISK: NAME[,SUFFIX]... is one more of the VM's disks. */
enum status key_add_disk(const struct key *k, struct config_vm *vm, const char *value, char *why,
                         size_t why_size) MUST_CHECK;
/* KEY_FAULT: one more rule of how a disk fails. */
enum status key_add_fault(const struct key *k, struct config_host *h, const char *value, char *why,
                          size_t why_size) MUST_CHECK;
/* KEY_DELAY: how slow one more disk is. */
enum status key_add_delay(const struct key *k, struct config_host *h, const char *value, char *why,
                          size_t why_size) MUST_CHECK;
/* Whether all VMs' disks go together; warns of what is merely odd. *line: of the VM to blame. */
enum status key_check_disks(const struct config *c, unsigned *line, char *why,
                            size_t why_size) MUST_CHECK;
/* The value as text; for the kinds that [host] has. */
void key_print(const struct key *k, const void *section, char *value, size_t value_size);

/* Whether text is 1 to size - 1 letters, digits, dots, underscores and hyphens, no hyphen first. */
bool key_is_ident(const char *text, size_t size);
/* Whether text fits into size bytes and holds no control characters, and no blanks unless wanted.
 */
bool key_is_printable(const char *text, size_t size, bool blanks);
/* Splits text at blanks, in place. Returns how many words there are; no more than max are in words.
 */
unsigned key_split(char *text, char **words, unsigned max);
/* Copies text for a message: printable characters only, at most size - 1. */
const char *key_quote(char *to, size_t size, const char *text);

#endif
