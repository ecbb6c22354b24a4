/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration's text: lines, sections, comments and quotes; the keys themselves are tables.
 */
#include "kernel/config/config.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/config/keys.h"

#define LINE_MAX 1280 /* a command line's key, its longest value and some blanks */
#define REASON 200

struct parser {
    struct config *out;
    char *why;
    size_t why_size;
    unsigned line;
    struct config_vm *vm; /* the section: a VM's, or the host's if NULL and in_host */
    bool in_host, had_host;
    uint32_t given; /* bit i: the section's i-th key has been set */
};

/* The one message there will be. */
static enum status refuse(struct parser *p, enum status s, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static enum status refuse(struct parser *p, enum status s, unsigned line, const char *fmt, ...)
{
    va_list ap;
    size_t n = format(p->why, p->why_size, "config:%u: ", line);

    va_start(ap, fmt);
    if (n < p->why_size) {
        (void)format_va(p->why + n, p->why_size - n, fmt, ap);
    }
    va_end(ap);
    return s;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Takes blanks off both ends, in place. */
static char *trim(char *text)
{
    size_t n;

    while (is_blank(*text)) {
        text++;
    }
    for (n = strlen(text); n > 0 && is_blank(text[n - 1]); n--) {
    }
    text[n] = '\0';
    return text;
}

/* Ends the line where its comment begins. False: a quote is not closed. */
static bool cut_comment(char *text)
{
    bool quoted = false;

    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] == '"') {
            quoted = !quoted;
        } else if ((text[i] == ';' || text[i] == '#') && !quoted &&
                   (i == 0 || is_blank(text[i - 1]))) {
            text[i] = '\0';
            break;
        }
    }
    return !quoted;
}

/* Quotes around the whole value, with none inside it. */
static char *unquote(char *value)
{
    size_t n = strlen(value);

    if (n >= 2 && value[0] == '"' && strchr(value + 1, '"') == value + n - 1) {
        value[n - 1] = '\0';
        return value + 1;
    }
    return value;
}

/* Whether a VM's promise and bound fit its memory, and one another. */
static enum status check_memory(struct parser *p)
{
    const struct config_vm *vm = p->vm;

    if (vm->memory_min > vm->memory_bytes) {
        return refuse(p, E_INVAL, vm->line, "[vm %s]: memory.min is more than its memory",
                      vm->name);
    }
    if (vm->memory_max > 0 && vm->memory_max < CONFIG_VM_BOUND_MIN) {
        return refuse(p, E_INVAL, vm->line, "[vm %s]: memory.max must be 1M or more, or 0",
                      vm->name);
    }
    /* Its tables take a 200th of a big VM's memory, a few frames of a small one's. */
    if (vm->memory_max > 0 && vm->memory_max < vm->memory_min + vm->memory_min / 128 + 65536) {
        return refuse(p, E_INVAL, vm->line,
                      "[vm %s]: memory.max must be memory.min and 1%% more, for the VM's tables",
                      vm->name);
    }
    return OK;
}

/* A section has ended: did it have what it needs? */
static enum status close_section(struct parser *p)
{
    for (unsigned i = 0; p->vm != NULL && i < n_vm_keys; i++) {
        if (vm_keys[i].def == NULL && !(p->given & BIT32(i))) {
            return refuse(p, E_INVAL, p->vm->line, "[vm %s] has no '%s'; add a line '%s = ...'",
                          p->vm->name, vm_keys[i].name, vm_keys[i].name);
        }
    }
    return p->vm != NULL ? check_memory(p) : OK;
}

static enum status set_defaults(const struct key *keys, unsigned n, void *section)
{
    char why[REASON];

    for (unsigned i = 0; i < n; i++) {
        const char *def = keys[i].def;

        if (def != NULL && def[0] != '\0') {
            enum status s = key_set(&keys[i], section, def, why, sizeof(why));

            if (s != OK) {
                return s;
            }
        }
    }
    return OK;
}

static enum status open_vm(struct parser *p, const char *name)
{
    struct config *c = p->out;
    char shown[40];

    if (!key_is_ident(name, CONFIG_VM_NAME)) {
        return refuse(p, E_INVAL, p->line,
                      "bad VM name '%s'; use 1 to 31 letters, digits, dots, underscores, hyphens",
                      key_quote(shown, sizeof(shown), name));
    }
    if (strcmp(name, "all") == 0) {
        return refuse(p, E_INVAL, p->line,
                      "a VM cannot be called 'all', which the monitor takes for all of them");
    }
    for (unsigned i = 0; i < c->n_vms; i++) {
        if (strcmp(c->vms[i].name, name) == 0) {
            return refuse(p, E_EXISTS, p->line,
                          "second VM of the name '%s' (the first is in line %u); rename one", name,
                          c->vms[i].line);
        }
    }
    if (c->n_vms == CONFIG_VMS) {
        return refuse(p, E_NOMEM, p->line, "more than %u VMs; remove some", CONFIG_VMS);
    }
    p->vm = &c->vms[c->n_vms++];
    memset(p->vm, 0, sizeof(*p->vm));
    memcpy(p->vm->name, name, strlen(name) + 1);
    p->vm->line = p->line;
    ASSERT(set_defaults(vm_keys, n_vm_keys, p->vm) == OK);
    return OK;
}

/* text: from the `[` on. */
static enum status open_section(struct parser *p, char *text)
{
    char *end = strchr(text, ']');
    char shown[40];
    enum status s = close_section(p);

    if (s != OK) {
        return s;
    }
    if (end == NULL || end[1] != '\0') {
        return refuse(p, E_INVAL, p->line, "a section is a line of its own: [host] or [vm NAME]");
    }
    *end = '\0';
    text = trim(text + 1);
    p->given = 0;
    p->vm = NULL;
    p->in_host = false;
    if (strcmp(text, "host") == 0) {
        if (p->had_host) {
            return refuse(p, E_EXISTS, p->line, "second [host] section; put its keys in the first");
        }
        p->in_host = p->had_host = true;
        return OK;
    }
    if (strncmp(text, "vm", 2) == 0 && (is_blank(text[2]) || text[2] == '\0')) {
        return open_vm(p, trim(text + 2));
    }
    return refuse(p, E_INVAL, p->line, "unknown section [%s]; there are [host] and [vm NAME]",
                  key_quote(shown, sizeof(shown), text));
}

static enum status unknown_key(struct parser *p, const struct key *keys, unsigned n,
                               const char *name, const char *section)
{
    const struct key *guess = key_guess(keys, n, name);
    char list[REASON], shown[40];
    size_t at = 0;

    (void)key_quote(shown, sizeof(shown), name);
    if (guess != NULL) {
        return refuse(p, E_NOTFOUND, p->line, "unknown key '%s' in %s; did you mean '%s'?", shown,
                      section, guess->name);
    }
    list[0] = '\0';
    for (unsigned i = 0; i < n && at < sizeof(list); i++) {
        at += format(list + at, sizeof(list) - at, "%s%s", i > 0 ? ", " : "", keys[i].name);
    }
    return refuse(p, E_NOTFOUND, p->line, "unknown key '%s' in %s; there are %s", shown, section,
                  list);
}

static bool may_repeat(const struct key *k)
{
    return k->kind == KEY_DISK || k->kind == KEY_FAULT || k->kind == KEY_DELAY;
}

/* text: KEY = VALUE. */
static enum status set_key(struct parser *p, char *text)
{
    char *equals = strchr(text, '=');
    char why[REASON], section[CONFIG_VM_NAME + 8], shown[40];
    const struct key *keys = p->vm != NULL ? vm_keys : host_keys, *k;
    unsigned n = p->vm != NULL ? n_vm_keys : n_host_keys;
    void *to = p->vm != NULL ? (void *)p->vm : (void *)&p->out->host;
    enum status s;

    if (equals == NULL) {
        return refuse(p, E_INVAL, p->line, "'%s' is neither a section nor KEY = VALUE",
                      key_quote(shown, sizeof(shown), text));
    }
    if (p->vm == NULL && !p->in_host) {
        return refuse(p, E_INVAL, p->line,
                      "a key outside a section; put [host] or [vm NAME] before it");
    }
    *equals = '\0';
    text = trim(text);
    (void)format(section, sizeof(section), p->vm != NULL ? "[vm %s]" : "[host]",
                 p->vm != NULL ? p->vm->name : "");
    k = key_find(keys, n, text);
    if (k == NULL) {
        return unknown_key(p, keys, n, text, section);
    }
    if (!may_repeat(k) && (p->given & BIT32(k - keys))) {
        return refuse(p, E_EXISTS, p->line, "'%s' is set twice in %s; remove one", k->name,
                      section);
    }
    s = key_set(k, to, unquote(trim(equals + 1)), why, sizeof(why));
    if (s != OK) {
        return refuse(p, s, p->line, "%s", why);
    }
    p->given |= BIT32(k - keys);
    return OK;
}

static enum status parse_line(struct parser *p, const char *text, size_t len)
{
    char line[LINE_MAX];
    char *t;

    if (memchr(text, '\0', len) != NULL) {
        return refuse(p, E_INVAL, p->line, "a NUL byte: this is not a text file");
    }
    if (len >= sizeof(line)) {
        return refuse(p, E_INVAL, p->line, "line longer than %zu characters; shorten it",
                      sizeof(line) - 1);
    }
    memcpy(line, text, len);
    line[len] = '\0';
    if (!cut_comment(line)) {
        return refuse(p, E_INVAL, p->line, "a double quote is not closed in this line");
    }
    t = trim(line);
    if (*t == '\0') {
        return OK;
    }
    return *t == '[' ? open_section(p, t) : set_key(p, t);
}

enum status config_parse(const char *text, size_t len, struct config *out, char *why,
                         size_t why_size)
{
    struct parser p = {.out = out, .why = why, .why_size = why_size};
    enum status s;

    out->n_vms = 0;
    config_host_defaults(&out->host);
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3; /* an editor's byte order mark */
        len -= 3;
    }
    while (len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t n = end != NULL ? (size_t)(end - text) : len;

        p.line++;
        s = parse_line(&p, text, n);
        if (s != OK) {
            return s;
        }
        n += end != NULL;
        text += n;
        len -= n;
    }
    s = close_section(&p);
    if (s == OK) {
        char reason[REASON];
        unsigned line;

        s = key_check_disks(out, &line, reason, sizeof(reason));
        if (s != OK) {
            return refuse(&p, s, line, "%s", reason);
        }
    }
    return s;
}

void config_host_defaults(struct config_host *h)
{
    memset(h, 0, sizeof(*h));
    ASSERT(set_defaults(host_keys, n_host_keys, h) == OK);
}

enum status config_host_set(struct config_host *h, const char *key, const char *value, char *why,
                            size_t why_size)
{
    const struct key *k = key_find(host_keys, n_host_keys, key);
    const struct key *guess;
    char shown[40];

    if (k != NULL && k->boot_only) {
        (void)format(why, why_size, "%s can only be set at boot, in the configuration's [host]",
                     k->name);
        return E_UNSUPPORTED;
    }
    if (k != NULL) {
        return key_set(k, h, value, why, why_size);
    }
    guess = key_guess(host_keys, n_host_keys, key);
    (void)format(why, why_size,
                 guess != NULL ? "unknown key '%s'; did you mean '%s'?" : "unknown key '%s'%s",
                 key_quote(shown, sizeof(shown), key), guess != NULL ? guess->name : "");
    return E_NOTFOUND;
}

bool config_host_get(const struct config_host *h, unsigned i, const char **key, char *value,
                     size_t value_size)
{
    if (i >= n_host_keys) {
        return false;
    }
    *key = host_keys[i].name;
    key_print(&host_keys[i], h, value, value_size);
    return true;
}

const char *config_host_help(unsigned i)
{
    return i < n_host_keys ? host_keys[i].help : NULL;
}

static uint64_t share_bytes(unsigned percent, uint64_t bytes, uint64_t memory_bytes)
{
    return percent == 0 ? bytes : memory_bytes / 100 * percent;
}

uint64_t config_cache_bytes(const struct config_host *h, uint64_t memory_bytes)
{
    return share_bytes(h->cache_max_percent, h->cache_max_bytes, memory_bytes);
}

uint64_t config_dirty_bytes(const struct config_host *h, uint64_t cache_bytes)
{
    return share_bytes(h->cache_dirty_percent, h->cache_dirty_bytes, cache_bytes);
}

uint64_t config_snapshot_bytes(const struct config_host *h, uint64_t memory_bytes)
{
    return share_bytes(h->snapshot_max_percent, h->snapshot_max_bytes, memory_bytes);
}
