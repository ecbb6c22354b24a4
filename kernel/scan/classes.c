/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pace of what is known of the guests' pages: see classes.h. It is paid from the scanner's
 * time, in small pieces, and waits when a piece took more than there was.
 */
#include "kernel/scan/classes.h"

#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "base/log.h"
#include "base/timer.h"

#define MS UINT64_C(1000000)
/* A known note is checked this often; the search for one that was not found begins anew after the
 * first, and each time twice as long up to the last. */
#define CHECK_NS (1000 * MS)
#define SEARCH_MIN_NS (250 * MS)
#define SEARCH_MAX_NS (16000 * MS)
/* From the end of a sweep to the next. */
#define SWEEP_NS (5000 * MS)
/* Pages in a piece: about ten thousand ticks at most. To classify one takes up to 1,500, where none
 * of the blocks that it may be in is free. */
#define SEARCH_PAGES 16u
#define SWEEP_PAGES 4u
/* A step ends after the piece that ends later than this. */
#define STEP_NS (MS / 4)
/* Time not used is not saved up beyond this. */
#define CREDIT_MAX_NS (1 * MS)

static struct classes_client *const *clients;
static unsigned n_clients;
static int64_t credit_ns; /* below 0: the last piece took more than there was */
static unsigned turn;     /* the client whose turn it is */

void classes_set_clients(struct classes_client *const *by_number, unsigned n)
{
    clients = by_number;
    n_clients = n;
}

void classes_begin(struct classes_client *c, struct p2m *p)
{
    guest_pages_init(&c->pages, p);
    c->search_ns = clock_now_ns() + SEARCH_MIN_NS;
    c->searched_ns = SEARCH_MIN_NS;
    c->sweep_ns = 0;
}

void classes_end(struct classes_client *c)
{
    guest_pages_forget(&c->pages);
}

enum page_class classes_of(void *ctx, struct p2m *p, gfn_t gfn, bool from_disk)
{
    (void)ctx;
    return guest_pages_class(&clients[p->vm - 1]->pages, gfn, from_disk);
}

static void search(struct classes_client *c, uint64_t now_ns)
{
    bool known = c->pages.known;

    if (!guest_pages_search(&c->pages, c->cr3(c->ctx), SEARCH_PAGES)) {
        return;
    }
    if (!c->pages.known) {
        c->searched_ns = MIN(c->searched_ns * 2, SEARCH_MAX_NS);
        c->search_ns = now_ns + c->searched_ns;
        return;
    }
    c->searched_ns = SEARCH_MIN_NS;
    c->search_ns = now_ns + CHECK_NS;
    if (!known) {
        c->sweep_ns = 0;
        log_info("%s: page classes from Linux %s", c->name, c->pages.info.release);
    }
}

/* One piece of work for a guest; false when there is none for now. */
static bool piece(struct classes_client *c, uint64_t now_ns)
{
    if (!c->runs) {
        return false;
    }
    if (now_ns >= c->search_ns) {
        search(c, now_ns);
        return true;
    }
    if (c->pages.known && now_ns >= c->sweep_ns) {
        if (guest_pages_sweep(&c->pages, SWEEP_PAGES)) {
            c->sweep_ns = now_ns + SWEEP_NS;
        }
        return true;
    }
    return false;
}

uint64_t classes_next_ns(void)
{
    uint64_t next = TIMER_NEVER;

    for (unsigned i = 0; i < n_clients; i++) {
        const struct classes_client *c = clients[i];
        if (c->runs) {
            next = MIN(next, c->search_ns);
            next = c->pages.known ? MIN(next, c->sweep_ns) : next;
        }
    }
    return next;
}

uint64_t classes_step(uint64_t allowance_ns)
{
    uint64_t start = clock_now_ns(), now = start;
    unsigned idle = 0; /* guests in a row that had nothing to do */

    credit_ns = MIN(credit_ns + (int64_t)MIN(allowance_ns, CREDIT_MAX_NS), (int64_t)CREDIT_MAX_NS);
    while (credit_ns > 0 && idle < n_clients && now - start < STEP_NS) {
        idle = piece(clients[turn % n_clients], now) ? 0 : idle + 1;
        turn = (turn + 1) % n_clients;
        uint64_t end = clock_now_ns();
        credit_ns -= (int64_t)(end - now);
        now = end;
    }
    return now - start;
}
