/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pace of what is known of the guests' pages: see classes.h. It is paid from the scanner's
 * time, in small pieces, and waits when a piece took more than there was.
 */
#include "kernel/scan/classes.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/hvm/hvm.h"
#include "base/bits.h"
#include "base/log.h"
#include "base/timer.h"
#include "kernel/vm/vm.h"

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

static int64_t credit_ns; /* below 0: the last piece took more than there was */
static unsigned turn;     /* the VM whose turn it is */

void classes_begin(struct vm *vm)
{
    guest_pages_init(&vm->classes.pages, &vm->p2m);
    vm->classes.search_ns = clock_now_ns() + SEARCH_MIN_NS;
    vm->classes.searched_ns = SEARCH_MIN_NS;
    vm->classes.sweep_ns = 0;
}

void classes_end(struct vm *vm)
{
    guest_pages_forget(&vm->classes.pages);
}

enum page_class classes_of(void *ctx, struct p2m *p, gfn_t gfn, bool from_disk)
{
    struct vm *vm = container_of(p, struct vm, p2m);

    (void)ctx;
    return guest_pages_class(&vm->classes.pages, gfn, from_disk);
}

static void search(struct vm *vm, uint64_t now_ns)
{
    struct vm_classes *c = &vm->classes;
    bool known = c->pages.known;

    if (!guest_pages_search(&c->pages, hvm_guest_cr3(vm->vcpus[0].hvm), SEARCH_PAGES)) {
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
        log_info("%s: page classes from Linux %s", vm->config->name, c->pages.info.release);
    }
}

/* One piece of work for a VM; false when there is none for now. */
static bool piece(struct vm *vm, uint64_t now_ns)
{
    struct vm_classes *c = &vm->classes;

    if (!vm_is_up(vm)) {
        return false;
    }
    if (now_ns >= c->search_ns) {
        search(vm, now_ns);
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

    for (unsigned i = 0; i < n_vms; i++) {
        const struct vm_classes *c = &vms[i]->classes;
        if (vm_is_up(vms[i])) {
            next = MIN(next, c->search_ns);
            next = c->pages.known ? MIN(next, c->sweep_ns) : next;
        }
    }
    return next;
}

uint64_t classes_step(uint64_t allowance_ns)
{
    uint64_t start = clock_now_ns(), now = start;
    unsigned idle = 0; /* VMs in a row that had nothing to do */

    credit_ns = MIN(credit_ns + (int64_t)MIN(allowance_ns, CREDIT_MAX_NS), (int64_t)CREDIT_MAX_NS);
    while (credit_ns > 0 && idle < n_vms && now - start < STEP_NS) {
        idle = piece(vms[turn % n_vms], now) ? 0 : idle + 1;
        turn = (turn + 1) % n_vms;
        uint64_t end = clock_now_ns();
        credit_ns -= (int64_t)(end - now);
        now = end;
    }
    return now - start;
}
