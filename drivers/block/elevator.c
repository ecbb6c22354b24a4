/* SPDX-License-Identifier: BSD-2-Clause */
/* Which request a disk gets next: see elevator.h. */
#include "drivers/block/elevator.h"

#include "base/bits.h"
#include "base/log.h"

static const struct elevator_dev *dev_of(const struct blk_req *r)
{
    return r->dev_priv;
}

/* The place of a sector on the way of the sweep: the first disk's sectors, then the next one's. */
static uint64_t place(const struct elevator_dev *d, uint64_t sector)
{
    return (uint64_t)d->number << 56 | sector;
}

/* Flushes come at the end of a sweep: what others still want to read need not wait for them. */
static uint64_t place_of(const struct blk_req *r)
{
    return r->op == BLK_FLUSH ? UINT64_MAX : place(dev_of(r), r->sector);
}

static bool is_change(const struct blk_req *r)
{
    return r->op != BLK_READ;
}

/* When a request came, by the elevator's clock. */
static uint32_t came(const struct blk_req *r)
{
    return r->dev_word;
}

/* Whether a came before b. */
static bool is_before(const struct blk_req *a, const struct blk_req *b)
{
    return (int32_t)(came(a) - came(b)) < 0;
}

/* Whether two requests must keep their order. */
static bool conflict(const struct blk_req *a, const struct blk_req *b)
{
    if (a->dev_priv != b->dev_priv || (!is_change(a) && !is_change(b))) {
        return false;
    }
    if (a->op == BLK_FLUSH || b->op == BLK_FLUSH) {
        return is_change(a) && is_change(b) && a->op != b->op;
    }
    return a->sector < b->sector + b->sectors && b->sector < a->sector + a->sectors;
}

/* Nobody waits for it, and it has not waited for ever. */
static bool comes_last(const struct elevator *e, const struct blk_req *r)
{
    return r->ahead && e->clock - came(r) < ELEVATOR_AHEAD_PATIENCE;
}

/* ---- choosing ---- */

static bool has_urgent(const struct elevator *e, const struct elevator_vm *v)
{
    const struct blk_req *r;

    STAILQ_FOREACH(r, &v->waiting, link)
    {
        if (!comes_last(e, r)) {
            return true;
        }
    }
    return false;
}

/* Whether v comes before w: it has had less, or as much but longer ago. */
static bool is_poorer(const struct elevator_vm *v, const struct elevator_vm *w)
{
    return v->used_ns != w->used_ns ? v->used_ns < w->used_ns
                                    : (int32_t)(v->served - w->served) < 0;
}

/* The VM that has had least, among those with requests that do not come last; if there is none,
 * among all with requests. NULL: nothing waits. */
static struct elevator_vm *choose_vm(struct elevator *e, bool *urgent)
{
    struct elevator_vm *best = NULL;

    *urgent = false;
    for (unsigned i = 0; i < e->n_vms; i++) {
        struct elevator_vm *v = &e->vms[i];
        if (STAILQ_EMPTY(&v->waiting)) {
            continue;
        }
        bool u = has_urgent(e, v);
        if (best == NULL || u > *urgent || (u == *urgent && is_poorer(v, best))) {
            best = v;
            *urgent = u;
        }
    }
    return best;
}

static struct blk_req *oldest_of(const struct elevator_vm *v)
{
    struct blk_req *r, *oldest = STAILQ_FIRST(&v->waiting);

    STAILQ_FOREACH(r, &v->waiting, link)
    {
        oldest = is_before(r, oldest) ? r : oldest;
    }
    return oldest;
}

/* The next on the VM's way over the disk, or its oldest when that was passed by too often. */
static struct blk_req *choose_of(struct elevator *e, struct elevator_vm *v, bool urgent)
{
    struct blk_req *r, *best = NULL, *oldest = oldest_of(v);

    if (v->passed > 0 && v->oldest != came(oldest)) {
        v->passed = 0;
    }
    v->oldest = came(oldest);
    if (v->passed++ >= ELEVATOR_PATIENCE) {
        return oldest;
    }
    STAILQ_FOREACH(r, &v->waiting, link)
    {
        if (urgent && comes_last(e, r)) {
            continue;
        }
        /* Behind the sweep the distance wraps, and is long. */
        if (best == NULL || place_of(r) - e->sweep < place_of(best) - e->sweep) {
            best = r;
        }
    }
    return best;
}

/* The first of all that wait that must go before r, and the VM it is of; r when there is none. */
static struct blk_req *first_before(struct elevator *e, struct blk_req *r, struct elevator_vm **of)
{
    struct blk_req *q, *first = r;

    if (e->n_changes == 0) {
        return r;
    }
    for (unsigned i = 0; i < e->n_vms; i++) {
        STAILQ_FOREACH(q, &e->vms[i].waiting, link)
        {
            if (is_before(q, first) && conflict(q, r)) {
                first = q;
                *of = &e->vms[i];
            }
        }
    }
    return first;
}

/* ---- a batch ---- */

struct batch {
    struct blk_req *r[ELEVATOR_BATCH]; /* in the order of their sectors */
    unsigned n;
    uint64_t from, end; /* sectors */
};

static uint64_t longest(const struct elevator *e, const struct elevator_vm *v)
{
    for (unsigned i = 0; i < e->n_vms; i++) {
        const struct elevator_vm *other = &e->vms[i];
        if (other != v &&
            (!STAILQ_EMPTY(&other->waiting) ||
             (other->served != 0 && e->batches - other->served < ELEVATOR_SHARED_BATCHES))) {
            return ELEVATOR_SHARED_SECTORS;
        }
    }
    return ELEVATOR_SECTORS;
}

/* The requests of v that lie in a row with r, from r on. */
static void gather_row(const struct elevator *e, const struct elevator_vm *v, struct blk_req *r,
                       struct batch *b)
{
    uint64_t max = longest(e, v);
    bool last = comes_last(e, r);

    *b = (struct batch){.r = {r}, .n = 1, .from = r->sector, .end = r->sector + r->sectors};
    while (b->n < ELEVATOR_BATCH && (r = STAILQ_NEXT(r, link)) != NULL && r->op == b->r[0]->op &&
           r->dev_priv == b->r[0]->dev_priv && r->sector == b->end &&
           r->sectors <= max - MIN(max, b->end - b->from) && (last || !comes_last(e, r))) {
        b->r[b->n++] = r;
        b->end += r->sectors;
    }
}

/* Cuts the batch where one of its requests must not go before q. */
static void cut(struct batch *b, const struct blk_req *q)
{
    if (q->dev_priv != b->r[0]->dev_priv ||
        (q->op != BLK_FLUSH && (q->sector >= b->end || q->sector + q->sectors <= b->from))) {
        return;
    }
    for (unsigned i = 1; i < b->n; i++) {
        if (q == b->r[i] || (is_before(q, b->r[i]) && conflict(q, b->r[i]))) {
            b->n = q == b->r[i] ? b->n : i;
            return;
        }
    }
}

static void cut_by_all(const struct elevator *e, struct batch *b)
{
    const struct blk_req *q;

    if (e->n_changes == 0 || b->n == 1) {
        return;
    }
    for (unsigned i = 0; i < e->n_vms; i++) {
        STAILQ_FOREACH(q, &e->vms[i].waiting, link)
        {
            cut(b, q);
        }
    }
}

/* One flush is everybody's: all of the disk that have no change before them. */
static void gather_flushes(const struct elevator *e, struct blk_req *r, struct batch *b)
{
    const struct blk_req *first = NULL;
    struct blk_req *q;

    *b = (struct batch){.r = {r}, .n = 1};
    for (unsigned i = 0; i < e->n_vms; i++) {
        STAILQ_FOREACH(q, &e->vms[i].waiting, link)
        {
            if (conflict(q, r) && (first == NULL || is_before(q, first))) {
                first = q;
            }
        }
    }
    for (unsigned i = 0; i < e->n_vms; i++) {
        STAILQ_FOREACH(q, &e->vms[i].waiting, link)
        {
            if (q != r && q->op == BLK_FLUSH && q->dev_priv == r->dev_priv &&
                b->n < ELEVATOR_BATCH && (first == NULL || is_before(q, first))) {
                b->r[b->n++] = q;
            }
        }
    }
}

static struct elevator_vm *vm_of(struct elevator *e, const struct blk_req *r)
{
    unsigned vm = r->account != NULL ? r->account->vm : 0;

    return &e->vms[vm < e->n_vms ? vm : 0];
}

static struct elevator_slot *free_slot(struct elevator *e)
{
    struct elevator_slot *s = e->slots;

    while (s->orig != NULL) {
        s++;
        ASSERT(s < e->slots + ELEVATOR_BATCH);
    }
    return s;
}

static void landed(struct blk_req *copy, enum status s);

/* The disk gets the batch, of which it begins nothing before it has all of it. */
static void submit(struct elevator *e, const struct batch *b)
{
    struct elevator_slot *slots[ELEVATOR_BATCH];

    e->n_flight = b->n;
    e->since_ns = e->now_ns();
    for (unsigned i = 0; i < b->n; i++) {
        struct blk_req *r = b->r[i];
        STAILQ_REMOVE(&vm_of(e, r)->waiting, r, blk_req, link);
        e->n_changes -= is_change(r);
        slots[i] = free_slot(e);
        slots[i]->orig = r;
        slots[i]->req = *r;
        slots[i]->req.done = landed;
        slots[i]->req.ctx = slots[i];
        slots[i]->req.more = i + 1 < b->n;
    }
    for (unsigned i = 0; i < b->n; i++) {
        struct blk_dev *lower = dev_of(b->r[i])->lower;
        /* The last one may be answered at once, and with it all that b names go away. */
        blk_submit(lower, &slots[i]->req);
    }
}

/* Gives the disk what comes next; false when nothing waits. */
static bool dispatch_one(struct elevator *e)
{
    bool urgent;
    struct elevator_vm *v = choose_vm(e, &urgent);
    struct blk_req *r, *before;
    struct batch b;

    if (v == NULL) {
        return false;
    }
    r = choose_of(e, v, urgent);
    while ((before = first_before(e, r, &v)) != r) {
        r = before; /* each step goes to an earlier one */
    }
    e->clock++;
    e->batches += e->batches == UINT32_MAX ? 2 : 1; /* 0 is no batch */
    v->served = e->batches;
    e->served = v;
    e->virtual_ns = MAX(e->virtual_ns, v->used_ns);
    if (r->op == BLK_FLUSH) {
        gather_flushes(e, r, &b);
    } else {
        gather_row(e, v, r, &b);
        cut_by_all(e, &b);
        e->sweep = place(dev_of(r), b.r[b.n - 1]->sector + b.r[b.n - 1]->sectors);
    }
    submit(e, &b);
    return true;
}

/* A disk that answers inside submit is given the next batch here, not from its answer. */
static void dispatch(struct elevator *e)
{
    if (e->dispatching) {
        return;
    }
    e->dispatching = true;
    while (e->n_flight == 0 && dispatch_one(e)) {
    }
    e->dispatching = false;
}

/* ---- from above and below ---- */

static void landed(struct blk_req *copy, enum status s)
{
    struct elevator_slot *slot = copy->ctx;
    struct elevator *e = slot->e;
    struct blk_req *r = slot->orig;

    slot->orig = NULL;
    ASSERT(e->n_flight > 0);
    e->n_flight--;
    if (e->n_flight == 0) {
        e->served->used_ns += e->now_ns() - e->since_ns;
        e->served = NULL;
        dispatch(e); /* the disk goes on before anybody is told */
    }
    r->done(r, s);
}

/* Puts the request at its place among the VM's. Those who read in a row add to the end. */
static void insert(struct elevator_vm *v, struct blk_req *r)
{
    struct blk_req *q, *before = STAILQ_LAST(&v->waiting, blk_req, link);

    if (before != NULL && place_of(before) > place_of(r)) {
        before = NULL;
        STAILQ_FOREACH(q, &v->waiting, link)
        {
            if (place_of(q) > place_of(r)) {
                break;
            }
            before = q;
        }
    }
    if (before == NULL) {
        STAILQ_INSERT_HEAD(&v->waiting, r, link);
    } else {
        STAILQ_INSERT_AFTER(&v->waiting, before, r, link);
    }
}

static void elevator_submit(struct blk_dev *dev, struct blk_req *r)
{
    struct elevator_dev *d = (struct elevator_dev *)dev;
    struct elevator *e = d->e;
    struct elevator_vm *v = vm_of(e, r);

    r->dev_priv = d;
    r->dev_word = e->clock++;
    if (STAILQ_EMPTY(&v->waiting) && v != e->served) {
        v->used_ns = MAX(v->used_ns, e->virtual_ns); /* what it did not use is gone */
    }
    insert(v, r);
    e->n_changes += is_change(r);
    if (e->n_flight == 0) {
        dispatch(e);
    }
}

static const struct blk_ops elevator_ops = {.submit = elevator_submit};

void elevator_init(struct elevator *e, uint64_t (*now_ns)(void), struct elevator_vm *vms,
                   unsigned n_vms)
{
    *e = (struct elevator){.now_ns = now_ns, .vms = vms, .n_vms = n_vms};
    for (unsigned i = 0; i < n_vms; i++) {
        vms[i] = (struct elevator_vm){0};
        STAILQ_INIT(&vms[i].waiting);
    }
    for (unsigned i = 0; i < ELEVATOR_BATCH; i++) {
        e->slots[i].e = e;
    }
}

void elevator_dev_init(struct elevator_dev *d, struct elevator *e, struct blk_dev *lower)
{
    *d = (struct elevator_dev){
        .dev = *lower, .lower = lower, .e = e, .number = (uint8_t)e->n_devs++};
    d->dev.ops = &elevator_ops;
}

uint16_t elevator_served(const struct elevator *e)
{
    return e->served != NULL ? (uint16_t)(e->served - e->vms) : 0;
}
