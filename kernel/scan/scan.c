/* SPDX-License-Identifier: BSD-2-Clause */
/* The scanner's pacing: mm/fold/pace says when and how much, mm/fold does it. */
#include "kernel/scan/scan.h"

#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "base/log.h"
#include "base/timer.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"
#include "kernel/core/step.h"
#include "kernel/scan/classes.h"
#include "mm/fold/pace.h"

/* The longest that a guest is to wait behind the scanner, but for the page that is under way then.
 */
#define BURST_NS UINT64_C(500000)
/* So long after the last burst, or when so many wait, hints are worth a burst of their own. */
#define HINTS_NS UINT64_C(5000000)
#define HINTS_ENOUGH 64u

/* The share of the scanner's share that goes to the guests' page classes: one in this many. */
#define CLASSES_PART 20u
#define CLASSES_SINCE_MAX_NS UINT64_C(100000000)
/* They have a turn as often as this, if they want one. */
#define CLASSES_NS UINT64_C(10000000)

/* While VMs wait for frames, pages that rest are looked at too, after 256 passes at the latest:
 * with so many that merged nothing, no page is left that could be folded. */
#define FRUITLESS_PASSES 300u

static struct pace pace;
static unsigned attached;
static bool frames_are_short;    /* VMs wait for some */
static uint64_t classes_paid_ns; /* up to then the page classes have had their share */
static uint64_t burst_ns;        /* the end of the last burst */
static bool under_way;           /* a pass has begun and not ended */
/* Passes in a row that merged nothing, and the merges up to the last one's end. */
static unsigned fruitless;
static uint64_t merges_then;
/* Whole passes at once; none while n is 0. */
static struct {
    unsigned n, ended;
    bool begun; /* the pass that was under way has ended */
    bool owed;  /* the event of the last pass's end: what it prints is a step of its own */
    scan_pass_fn *event;
} whole;

static struct pace_config pace_of(const struct config_host *host)
{
    return (struct pace_config){
        .pages = host->scan_pages,
        .sleep_ns = host->scan_sleep_ns,
        .cpu_max = host->scan_cpu_max,
        .burst_ns = BURST_NS,
        .pass_ns = host->scan_pass_ns,
    };
}

static void charge_hint(uint16_t vm)
{
    if (vm > 0) {
        charge_vm_number(vm);
    } else {
        charge(&charge_scanner);
    }
}

void scan_attach(struct p2m *p)
{
    fold_attach(&machine_fold, p);
    attached++;
}

void scan_detach(struct p2m *p)
{
    attached -= p->fold_attached;
    fold_detach(&machine_fold, p);
}

static bool is_on(void)
{
    return attached > 0 && machine_fold.on.run;
}

/* How the scanner stands: `busy`, and whether frames are waited for that it may find. */
static unsigned pace_flags(bool busy)
{
    bool wanted = frames_are_short && fruitless < FRUITLESS_PASSES;

    return (busy ? 0 : PACE_IDLE) | (wanted ? PACE_WANTED : 0);
}

void scan_set_short(bool is_short)
{
    frames_are_short = is_short;
}

bool scan_is_fruitless(void)
{
    return !is_on() || fruitless >= FRUITLESS_PASSES;
}

static void note_pass(void)
{
    uint64_t merges = 0;

    for (unsigned c = 0; c < PAGE_CLASSES; c++) {
        merges += machine_fold.by_class[c].merges;
    }
    fruitless = merges == merges_then && frames_are_short ? fruitless + 1 : 0;
    merges_then = merges;
}

/* ---- when ---------------------------------------------------------------------------------- */

static uint64_t hints_next_ns(unsigned flags)
{
    uint32_t n = fold_hints(&machine_fold);
    uint64_t wait = n < HINTS_ENOUGH ? HINTS_NS : 0;

    return n > 0 ? MAX(pace_next(&pace, flags | PACE_URGENT), burst_ns + wait) : TIMER_NEVER;
}

static uint64_t classes_due_ns(void)
{
    return MAX(classes_next_ns(), classes_paid_ns + CLASSES_NS);
}

static uint64_t next_ns(bool busy)
{
    unsigned flags = pace_flags(busy);

    if (whole.n > 0) {
        return 0;
    }
    if (!is_on()) {
        return TIMER_NEVER;
    }
    return MIN(MIN(pace_next(&pace, flags), hints_next_ns(flags)), classes_due_ns());
}

/* fold_step, and a note of where in a pass that leaves us. */
static unsigned step(unsigned budget, const struct deadline *until)
{
    uint64_t before = machine_fold.full_scans;
    unsigned done = fold_step(&machine_fold, budget, until);

    under_way = machine_fold.full_scans == before && (under_way || done > 0);
    if (machine_fold.full_scans != before) {
        note_pass();
    }
    return done;
}

/* ---- whole passes at once ------------------------------------------------------------------ */

enum status scan_passes(unsigned n, scan_pass_fn *event)
{
    if (whole.n > 0) {
        return E_BUSY;
    }
    if (attached == 0) {
        return E_NOTFOUND;
    }
    whole.n = n;
    whole.ended = 0;
    whole.begun = whole.owed = false;
    whole.event = event;
    return OK;
}

bool scan_passes_stop(void)
{
    bool any = whole.n > 0;

    whole.n = 0;
    return any;
}

/* As far as the burst goes, or the pass; false when a pass has ended, or there is nothing to scan.
 */
static bool whole_step(const struct deadline *until)
{
    uint64_t before = machine_fold.full_scans;

    if (!whole.begun && !under_way) {
        whole.begun = true;
        whole.event(0);
    }
    unsigned done = step(UINT_MAX, until);
    if (machine_fold.full_scans != before) {
        if (whole.begun) {
            whole.ended++;
            whole.owed = true;
            return false;
        }
    } else if (done == 0) {
        whole.n = 0;
        whole.event(SCAN_PASSES_OVER);
        return false;
    }
    return true;
}

static void tell_pass(void)
{
    whole.owed = false;
    whole.event(whole.ended);
    if (whole.ended == whole.n) {
        whole.n = 0;
    }
}

static void whole_burst(void)
{
    bool run = machine_fold.on.run;
    struct deadline until = step_begin_of(BURST_NS);

    if (whole.owed) {
        tell_pass();
        return;
    }
    machine_fold.on.run = true;
    while (whole_step(&until) && !deadline_passed(&until)) {
    }
    machine_fold.on.run = run;
    pace_drop(&pace, clock_now_ns());
}

/* ---- in bursts ----------------------------------------------------------------------------- */

static void end_burst(struct pace_burst *b, unsigned pages, unsigned flags)
{
    burst_ns = clock_now_ns();
    b->end_ns = burst_ns;
    b->pages = pages;
    b->flags = flags;
    pace_done(&pace, b);
}

/* Part of a pass, or only the hints, if any of it is due. */
static void fold_burst(uint64_t start, unsigned flags)
{
    struct pace_burst b = {.start_ns = start};
    struct deadline until = step_begin_of(BURST_NS);
    uint32_t n = pace_pages(&pace, start, flags);

    if (n > 0) {
        uint64_t before = machine_fold.full_scans;
        unsigned done = step(n, &until);
        b.pass_over = machine_fold.full_scans != before;
        b.progress = fold_progress(&machine_fold, PACE_WHOLE);
        end_burst(&b, done, flags);
    } else if (start >= hints_next_ns(flags)) {
        flags |= PACE_URGENT;
        n = pace_pages(&pace, start, flags);
        end_burst(&b, fold_step_hints(&machine_fold, n, &until), flags);
    }
}

/* The page classes' part of the time since the last call. */
static void classes_burst(uint64_t now_ns, unsigned flags)
{
    uint64_t since = MIN(now_ns - classes_paid_ns, CLASSES_SINCE_MAX_NS);

    classes_paid_ns = now_ns;
    uint64_t used = classes_step(since * pace.config.cpu_max / 100 / CLASSES_PART);
    pace_charge(&pace, now_ns, now_ns + used, flags);
}

/* Scans a bounded number of pages, if it is time to. */
static void burst(bool busy)
{
    uint64_t start = clock_now_ns();
    unsigned flags = pace_flags(busy);

    if (whole.n > 0) {
        whole_burst();
        return;
    }
    if (!is_on()) {
        return;
    }
    fold_burst(start, flags);
    uint64_t now = clock_now_ns();
    if (now >= classes_due_ns() && now - start < BURST_NS / 2) {
        classes_burst(now, flags);
    }
}

/* ---- settings and figures ------------------------------------------------------------------ */

void scan_init(const struct config_host *host)
{
    static const struct sched_background job = {
        .name = "the page scanner", .account = &charge_scanner, .next_ns = next_ns, .step = burst};
    const struct pace_config c = pace_of(host);
    enum status s = pace_init(&pace, &c);

    ASSERT(s == OK); /* the configuration's bounds are pace's */
    machine_fold.charge = charge_hint;
    sched_set_background(&job);
}

enum status scan_configure(const struct config_host *host)
{
    const struct pace_config c = pace_of(host);

    if (host->fold.run && !machine_fold.on.run) {
        pace_drop(&pace, clock_now_ns()); /* the time in which it was off is no pass's */
    }
    fold_switch(&machine_fold, &host->fold);
    return pace_set(&pace, &c);
}

void scan_status(struct scan_status *out)
{
    *out = (struct scan_status){
        .binds = pace_why_name(is_on() ? pace_why(&pace, clock_now_ns()) : PACE_NONE),
        .pass_ns = pace.pass_took_ns,
        .pass_scan_ns = pace.pass_spent_ns,
    };
}
