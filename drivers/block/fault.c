/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks that fail on purpose: see fault.h. */
#include "drivers/block/fault.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"

#define NEVER UINT64_MAX

static uint8_t op_bit(enum blk_op op)
{
    switch (op) {
    case BLK_READ:
        return FAULTY_READ;
    case BLK_FLUSH:
        return FAULTY_FLUSH;
    case BLK_FETCH: /* never comes to a leaf */
        return 0;
    default:
        return FAULTY_WRITE;
    }
}

static bool fits(const struct faulty_rule *rule, const struct faulty_dev *d,
                 const struct blk_req *r)
{
    if ((rule->ops & op_bit(r->op)) == 0 || strcmp(rule->disk, d->name) != 0 ||
        (rule->times != 0 && rule->hits >= rule->times)) {
        return false;
    }
    return r->op == BLK_FLUSH ||
           (r->sector < rule->sector + rule->sectors && rule->sector < r->sector + r->sectors);
}

static struct faulty_rule *find(struct faulty_dev *d, const struct blk_req *r)
{
    struct faulty *f = d->faulty;

    for (unsigned i = 0; i < f->n_rules; i++) {
        if (fits(&f->rules[i], d, r)) {
            return &f->rules[i];
        }
    }
    return NULL;
}

static struct faulty_pending *keep(struct faulty_dev *d, struct blk_req *r, enum faulty_kind kind,
                                   uint64_t due_ns)
{
    for (unsigned i = 0; i < FAULTY_PENDING; i++) {
        struct faulty_pending *p = &d->faulty->pending[i];
        if (p->r == NULL) {
            p->r = r;
            p->lower = d->lower;
            p->kind = kind;
            p->due_ns = due_ns;
            return p;
        }
    }
    return NULL;
}

/* The disk has done what nobody is to hear of. */
static void lost_done(struct blk_req *copy, enum status s)
{
    struct faulty_pending *p = copy->ctx;
    struct blk_req *r = p->r;

    (void)s;
    p->r = NULL;
    r->done(r, E_IO);
}

static void lose(struct faulty_dev *d, struct blk_req *r)
{
    struct faulty_pending *p = keep(d, r, FAULTY_LOST, NEVER);

    if (p == NULL) {
        r->done(r, E_IO);
        return;
    }
    p->copy = *r;
    p->copy.done = lost_done;
    p->copy.ctx = p;
    blk_submit(d->lower, &p->copy);
}

static void put_off(struct faulty_dev *d, struct blk_req *r, const struct faulty_rule *rule)
{
    struct faulty *f = d->faulty;
    uint64_t now = f->now_ns();
    uint64_t due = rule->delay_ns < NEVER - 1 - now ? now + rule->delay_ns : NEVER - 1;

    if (keep(d, r, rule->kind, due) != NULL) {
        f->deadline_changed(f->ctx);
    } else if (rule->kind == FAULTY_SLOW) {
        blk_submit(d->lower, r);
    } else {
        r->done(r, E_IO);
    }
}

static void faulty_submit(struct blk_dev *dev, struct blk_req *r)
{
    struct faulty_dev *d = (struct faulty_dev *)dev;
    struct faulty_rule *rule = find(d, r);

    if (rule == NULL) {
        blk_submit(d->lower, r);
        return;
    }
    if (rule->hits++ == 0) {
        log_warn("%s: disk.fault %u strikes for the first time: sector %llu, %llu sectors", d->name,
                 (unsigned)(rule - d->faulty->rules) + 1, (unsigned long long)r->sector,
                 (unsigned long long)r->sectors);
    }
    d->faulty->struck++;
    switch (rule->kind) {
    case FAULTY_ERROR:
        r->done(r, E_IO);
        break;
    case FAULTY_LOST:
        lose(d, r);
        break;
    case FAULTY_TIMEOUT:
    case FAULTY_SLOW:
        put_off(d, r, rule);
        break;
    }
}

static const struct blk_ops faulty_ops = {.submit = faulty_submit};

void faulty_init(struct faulty *f, uint64_t (*now_ns)(void), void (*deadline_changed)(void *ctx),
                 void *ctx)
{
    memset(f, 0, sizeof(*f));
    f->now_ns = now_ns;
    f->deadline_changed = deadline_changed;
    f->ctx = ctx;
}

void faulty_dev_init(struct faulty_dev *d, struct faulty *f, struct blk_dev *lower,
                     const char *name)
{
    *d = (struct faulty_dev){.dev = *lower, .lower = lower, .faulty = f, .name = name};
    d->dev.ops = &faulty_ops;
}

enum status faulty_add(struct faulty *f, const struct faulty_rule *rule)
{
    if (rule->disk[0] == '\0' || strnlen(rule->disk, FAULTY_NAME) == FAULTY_NAME ||
        rule->ops == 0 || rule->sector > UINT64_MAX - rule->sectors) {
        return E_INVAL;
    }
    if (f->n_rules == FAULTY_RULES) {
        return E_NOMEM;
    }
    f->rules[f->n_rules] = *rule;
    f->rules[f->n_rules++].hits = 0;
    return OK;
}

void faulty_clear(struct faulty *f)
{
    f->n_rules = 0;
}

uint64_t faulty_next(const struct faulty *f)
{
    uint64_t next = NEVER;

    for (unsigned i = 0; i < FAULTY_PENDING; i++) {
        if (f->pending[i].r != NULL) {
            next = MIN(next, f->pending[i].due_ns);
        }
    }
    return next;
}

void faulty_tick(struct faulty *f, uint64_t now_ns)
{
    for (unsigned i = 0; i < FAULTY_PENDING; i++) {
        struct faulty_pending *p = &f->pending[i];
        struct blk_req *r = p->r;
        if (r == NULL || p->due_ns > now_ns) {
            continue;
        }
        p->r = NULL; /* what is called now may come back with more */
        if (p->kind == FAULTY_SLOW) {
            blk_submit(p->lower, r);
        } else {
            r->done(r, E_IO);
        }
    }
}
