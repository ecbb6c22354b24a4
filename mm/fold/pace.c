/* SPDX-License-Identifier: BSD-2-Clause */
/* How fast the scanner goes: see pace.h. */
#include "mm/fold/pace.h"

#include "base/bits.h"

/* Weight of the newest in the running means: of a page's cost 1/8, of a pass's 1/4. */
#define PAGE_SHIFT_MEAN 3
#define PASS_SHIFT_MEAN 2
/* What a page is taken to cost until one has been measured. */
#define FIRST_PAGE_NS 8000
/* A pass's work is spread over this part of the target time; the rest is for what is unexpected. */
#define SPREAD(ns) ((ns) - (ns) / 8)
/* No pause in a pass is longer than this part of the target time: what lies ahead may be more than
 * anything has told, and only going on shows it. */
#define PAUSE_MAX(ns) ((ns) / 16)
/* A burst that comes late has the next one earlier by as much, up to this: so the share is kept,
 * though the scanner gets a turn only when a guest's is over. */
#define LATE_MAX_NS UINT64_C(10000000)
/* Passes, or looks at nothing, never follow one another faster. */
#define LEAST_NS UINT64_C(1000000)

static bool is_valid(const struct pace_config *c)
{
    return c->pages > 0 && c->cpu_max >= 1 && c->cpu_max <= 100 && c->burst_ns > 0;
}

static uint64_t add_clamped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* a * b / c, or about that where the product overflows; UINT64_MAX when it is beyond. c > 0. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t product;

    if (!__builtin_mul_overflow(a, b, &product)) {
        return product / c;
    }
    return __builtin_mul_overflow(MAX(a, b) / c, MIN(a, b), &product) ? UINT64_MAX : product;
}

enum status pace_init(struct pace *p, const struct pace_config *config)
{
    if (!is_valid(config)) {
        return E_INVAL;
    }
    *p = (struct pace){
        .config = *config,
        .left = config->pages,
        .page_ns = FIRST_PAGE_NS,
    };
    return OK;
}

enum status pace_set(struct pace *p, const struct pace_config *config)
{
    if (!is_valid(config)) {
        return E_INVAL;
    }
    p->config = *config;
    p->left = MIN(p->left, config->pages);
    return OK;
}

/* ---- when ---------------------------------------------------------------------------------- */

uint64_t pace_next(const struct pace *p, unsigned flags)
{
    bool wanted = flags & PACE_WANTED;
    uint64_t at = wanted && (flags & PACE_IDLE) ? 0 : p->awake_ns;

    if (!(flags & PACE_IDLE)) {
        at = MAX(at, p->cap_ns);
    }
    if (flags & PACE_URGENT || !p->begun) {
        return at;
    }
    if (!p->in_pass) {
        uint64_t pass = wanted ? LEAST_NS : MAX(p->config.pass_ns, LEAST_NS);
        return MAX(at, add_clamped(p->begin_ns, pass));
    }
    return flags & PACE_IDLE || wanted ? at : MAX(at, p->due_ns);
}

uint32_t pace_pages(const struct pace *p, uint64_t now_ns, unsigned flags)
{
    if (now_ns < pace_next(p, flags)) {
        return 0;
    }
    uint64_t burst = MAX(p->config.burst_ns / p->page_ns, (uint64_t)1);

    return (uint32_t)MIN((uint64_t)p->left, burst);
}

/* ---- after a burst ------------------------------------------------------------------------- */

/* The time of which cost_ns is the scanner's share. */
static uint64_t capped_time(const struct pace *p, uint64_t cost_ns)
{
    return add_clamped(cost_ns, scale(cost_ns, 100 - p->config.cpu_max, p->config.cpu_max));
}

/* The share's next moment after work from start_ns to end_ns that was due at due_ns. */
static void charge(struct pace *p, uint64_t due_ns, uint64_t start_ns, uint64_t end_ns,
                   unsigned flags)
{
    uint64_t cost = end_ns - start_ns, late = MIN(start_ns - MIN(due_ns, start_ns), LATE_MAX_NS);

    if (flags & PACE_IDLE) {
        p->cap_ns = end_ns;
    } else {
        uint64_t base = MAX(p->cap_ns, start_ns - late);
        p->cap_ns = add_clamped(base, capped_time(p, cost));
    }
}

void pace_charge(struct pace *p, uint64_t start_ns, uint64_t end_ns, unsigned flags)
{
    charge(p, start_ns, start_ns, end_ns, flags);
}

static void learn_page(struct pace *p, uint32_t pages, uint64_t cost_ns)
{
    if (pages > 0) {
        uint64_t each = MAX(cost_ns / pages, (uint64_t)1);
        uint64_t mean = p->page_ns - (p->page_ns >> PAGE_SHIFT_MEAN) + (each >> PAGE_SHIFT_MEAN);
        p->page_ns = MAX(mean, (uint64_t)1);
    }
}

/* scan.pages and scan.sleep. */
static void end_wake_up(struct pace *p, const struct pace_burst *b)
{
    bool nothing = b->pages == 0 && !b->pass_over;
    uint64_t sleep = MAX(p->config.sleep_ns, nothing ? LEAST_NS : 0);

    if (b->pages < p->left && !b->pass_over && !nothing) {
        p->left -= b->pages;
        return;
    }
    p->left = p->config.pages;
    p->awake_ns = sleep > 0 ? add_clamped(b->end_ns, sleep) : 0;
}

/*
 * What is left to do in the pass: what the last ones would have left, or what this one's mean or
 * its last burst would have, whichever is most. To be quicker than needed for a while is made up
 * for; to be slower is not, where the CPU's share is scarce.
 */
static uint64_t rest_of_pass(const struct pace *p, uint64_t cost_ns, uint32_t progress)
{
    uint64_t rest = p->expected_ns - MIN(p->spent_ns, p->expected_ns);
    uint32_t done = MIN(progress, PACE_WHOLE), step = done - MIN(p->progress, done);

    rest = MAX(rest, scale(p->spent_ns, PACE_WHOLE - done, MAX(done, 1u)));
    rest = MAX(rest, scale(cost_ns, PACE_WHOLE - done, MAX(step, 1u)));
    return MAX(rest, (uint64_t)1);
}

/* When the next burst is due if the rest of the work is spread over the rest of the time; 0: as
 * soon as its share allows. */
static uint64_t spread(const struct pace *p, const struct pace_burst *b)
{
    uint64_t cost = b->end_ns - b->start_ns;
    uint64_t goal = add_clamped(p->begin_ns, SPREAD(p->config.pass_ns));

    if (p->config.pass_ns == 0 || p->expected_ns == 0 || b->end_ns >= goal) {
        return 0;
    }
    uint64_t left = goal - b->end_ns, rest = rest_of_pass(p, cost, b->progress);
    uint64_t gap = MIN(scale(cost, left, rest), PAUSE_MAX(p->config.pass_ns));

    return gap > capped_time(p, cost) ? add_clamped(b->end_ns, gap - cost) : 0;
}

static void note_waits(struct pace *p, const struct pace_burst *b)
{
    uint64_t slept = p->awake_ns - MIN(p->awake_ns, b->end_ns);
    uint64_t capped = p->cap_ns - MIN(p->cap_ns, b->end_ns);

    if (b->flags & PACE_IDLE) {
        capped = 0;
    }
    if (slept > capped) {
        p->slept_ns = add_clamped(p->slept_ns, slept);
    } else {
        p->capped_ns = add_clamped(p->capped_ns, capped);
    }
}

/* What made, or makes, a pass late. */
static enum pace_why why_late(const struct pace *p)
{
    if (!p->was_busy && p->slept_ns == 0) {
        return PACE_FREE;
    }
    return p->slept_ns > p->capped_ns ? PACE_PAGES : PACE_CPU_CAP;
}

static void end_pass(struct pace *p, uint64_t now_ns)
{
    uint64_t spent = MAX(p->spent_ns, (uint64_t)1);

    p->in_pass = false;
    p->pass_took_ns = now_ns - p->begin_ns;
    p->pass_spent_ns = p->spent_ns;
    p->why = p->pass_took_ns > p->config.pass_ns || !p->was_busy ? why_late(p) : PACE_PASS_TIME;
    if (p->expected_ns == 0) {
        p->expected_ns = spent;
    } else {
        p->expected_ns =
            MAX(p->expected_ns - (p->expected_ns >> PASS_SHIFT_MEAN) + (spent >> PASS_SHIFT_MEAN),
                (uint64_t)1);
    }
}

void pace_done(struct pace *p, const struct pace_burst *b)
{
    uint64_t cost = b->end_ns - b->start_ns;
    bool urgent = b->flags & PACE_URGENT;

    learn_page(p, b->pages, cost);
    charge(p, urgent ? b->start_ns : pace_next(p, b->flags), b->start_ns, b->end_ns, b->flags);
    end_wake_up(p, b);
    if (urgent) {
        return;
    }
    if (!p->in_pass) {
        p->begun = p->in_pass = true;
        p->begin_ns = b->start_ns;
        p->spent_ns = p->capped_ns = p->slept_ns = 0;
        p->progress = 0;
        p->was_busy = false;
    }
    p->spent_ns = add_clamped(p->spent_ns, cost);
    p->was_busy |= !(b->flags & PACE_IDLE);
    if (b->pass_over) {
        end_pass(p, b->end_ns);
        return;
    }
    note_waits(p, b);
    p->due_ns = spread(p, b);
    p->progress = MIN(b->progress, PACE_WHOLE);
}

void pace_drop(struct pace *p, uint64_t now_ns)
{
    p->begun = true;
    p->in_pass = false;
    p->begin_ns = now_ns;
}

/* ---- told ---------------------------------------------------------------------------------- */

enum pace_why pace_why(const struct pace *p, uint64_t now_ns)
{
    bool late = p->in_pass && now_ns - MIN(now_ns, p->begin_ns) > p->config.pass_ns;

    return late && p->config.pass_ns > 0 ? why_late(p) : p->why;
}

const char *pace_why_name(enum pace_why why)
{
    static const char *const names[] = {
        [PACE_NONE] = "none",   [PACE_PASS_TIME] = "pass-time", [PACE_CPU_CAP] = "cpu-cap",
        [PACE_PAGES] = "pages", [PACE_FREE] = "idle",
    };

    return names[why];
}
