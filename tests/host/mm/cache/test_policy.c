/* SPDX-License-Identifier: BSD-2-Clause */
/* The replacement policies of cache-bench against models that are slow and plain: arrays, searched
 * from one end to the other, written from the papers' descriptions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/host/policy.h"
#include "tools/host/synth.h"

#define ROOM 4096

/* A list of blocks, the newest first. */
struct row {
    uint32_t id[ROOM];
    unsigned bits[ROOM]; /* what the policy keeps with each */
    int n;
};

static struct row rows[4];
static int size, target, hand; /* of the model at work */

static int find(const struct row *r, uint32_t id)
{
    for (int i = 0; i < r->n; i++) {
        if (r->id[i] == id) {
            return i;
        }
    }
    return -1;
}

static void cut(struct row *r, int at)
{
    r->n--;
    memmove(&r->id[at], &r->id[at + 1], sizeof(r->id[0]) * (size_t)(r->n - at));
    memmove(&r->bits[at], &r->bits[at + 1], sizeof(r->bits[0]) * (size_t)(r->n - at));
}

static void push(struct row *r, uint32_t id, unsigned bits)
{
    assert_true(r->n < ROOM);
    memmove(&r->id[1], &r->id[0], sizeof(r->id[0]) * (size_t)r->n);
    memmove(&r->bits[1], &r->bits[0], sizeof(r->bits[0]) * (size_t)r->n);
    r->id[0] = id;
    r->bits[0] = bits;
    r->n++;
}

static uint32_t last(const struct row *r)
{
    assert_true(r->n > 0);
    return r->id[r->n - 1];
}

static bool cut_id(struct row *r, uint32_t id)
{
    int at = find(r, id);

    if (at >= 0) {
        cut(r, at);
    }
    return at >= 0;
}

/* ---- LRU ---- */

static bool model_lru(char op, uint32_t id)
{
    bool held = cut_id(&rows[0], id);

    if (op == 'd' || (op == 'w' && !held)) {
        return held;
    }
    push(&rows[0], id, 0);
    if (rows[0].n > size) {
        rows[0].n--;
    }
    return held;
}

/* ---- SIEVE: a hand that is an index into the row, moving towards its front ---- */

static void sieve_cut(int at)
{
    cut(&rows[0], at);
    if (hand == at) {
        hand = at - 1; /* the next newer one has moved nowhere: it is before the gap */
    } else if (hand > at) {
        hand--;
    }
}

static void sieve_evict(void)
{
    for (;;) {
        int at = hand >= 0 ? hand : rows[0].n - 1;
        if (!rows[0].bits[at]) {
            hand = at;
            sieve_cut(at);
            return;
        }
        rows[0].bits[at] = 0;
        hand = at - 1;
    }
}

static bool model_sieve(char op, uint32_t id)
{
    int at = find(&rows[0], id);

    if (at >= 0 && op == 'd') {
        sieve_cut(at);
    } else if (at >= 0) {
        rows[0].bits[at] = 1;
    }
    if (at >= 0 || op != 'r') {
        return at >= 0;
    }
    if (rows[0].n == size) {
        sieve_evict();
    }
    push(&rows[0], id, 0);
    hand += hand >= 0;
    return false;
}

/* ---- ARC: T1, T2, B1, B2 are rows 0 to 3; the cases have the paper's numbers ---- */

static void arc_replace(bool in_b2)
{
    bool from_t1;

    if (rows[0].n + rows[1].n < size) {
        return; /* not in the paper, which has no discards */
    }
    from_t1 = rows[0].n >= 1 && ((in_b2 && rows[0].n == target) || rows[0].n > target);
    from_t1 |= rows[1].n == 0;
    push(&rows[from_t1 ? 2 : 3], last(&rows[from_t1 ? 0 : 1]), 0);
    rows[from_t1 ? 0 : 1].n--;
}

static bool model_arc(char op, uint32_t id)
{
    bool held = find(&rows[0], id) >= 0 || find(&rows[1], id) >= 0;

    if (op == 'd') {
        for (int i = 0; i < 4; i++) {
            cut_id(&rows[i], id);
        }
        return held;
    }
    if (held) { /* case I */
        if (!cut_id(&rows[0], id)) {
            cut_id(&rows[1], id);
        }
        push(&rows[1], id, 0);
        return true;
    }
    if (op == 'w') {
        return false;
    }
    int b1 = rows[2].n, b2 = rows[3].n;
    if (find(&rows[2], id) >= 0) { /* case II */
        int step = b1 >= b2 ? 1 : b2 / b1;
        target = target + step < size ? target + step : size;
        arc_replace(false);
        cut_id(&rows[2], id);
        push(&rows[1], id, 0);
        return false;
    }
    if (find(&rows[3], id) >= 0) { /* case III */
        int step = b2 >= b1 ? 1 : b1 / b2;
        target = target - step > 0 ? target - step : 0;
        arc_replace(true);
        cut_id(&rows[3], id);
        push(&rows[1], id, 0);
        return false;
    }
    if (rows[0].n + b1 == size) { /* case IV A */
        if (rows[0].n < size) {
            rows[2].n--;
            arc_replace(false);
        } else {
            rows[0].n--;
        }
    } else if (rows[0].n + rows[1].n + b1 + b2 >= size) { /* case IV B */
        if (rows[0].n + rows[1].n + b1 + b2 == 2 * size) {
            rows[3].n--;
        }
        arc_replace(false);
    }
    push(&rows[0], id, 0);
    return false;
}

/* ---- S3-FIFO: small, main, ghosts are rows 0 to 2 ---- */

static int s3_small(void)
{
    return size / 10 > 0 ? size / 10 : 1;
}

static int s3_spared; /* in the search under way */

/* Whether one more may have another round. */
static bool s3_spare(void)
{
    return s3_spared++ < 256;
}

static void s3_evict_main(void)
{
    while (rows[1].n > 0) {
        unsigned uses = rows[1].bits[rows[1].n - 1];
        uint32_t id = last(&rows[1]);
        rows[1].n--;
        if (uses == 0 || !s3_spare()) {
            return;
        }
        push(&rows[1], id, uses - 1);
    }
}

static void s3_evict(void)
{
    s3_spared = 0;
    if (rows[0].n < s3_small()) {
        s3_evict_main();
        return;
    }
    while (rows[0].n > 0) {
        unsigned uses = rows[0].bits[rows[0].n - 1];
        uint32_t id = last(&rows[0]);
        rows[0].n--;
        if (uses > 1 && size > s3_small() && s3_spare()) {
            push(&rows[1], id, 0);
            if (rows[1].n > size - s3_small()) {
                s3_evict_main();
                return;
            }
            continue;
        }
        push(&rows[2], id, 0);
        if (rows[2].n > size - s3_small()) {
            rows[2].n--;
        }
        return;
    }
}

static bool model_s3fifo(char op, uint32_t id)
{
    for (int i = 0; i < 2; i++) {
        int at = find(&rows[i], id);
        if (at < 0) {
            continue;
        }
        if (op == 'd') {
            cut(&rows[i], at);
        } else if (rows[i].bits[at] < 3) {
            rows[i].bits[at]++;
        }
        return true;
    }
    if (op == 'd') {
        cut_id(&rows[2], id);
    }
    if (op != 'r') {
        return false;
    }
    while (rows[0].n + rows[1].n >= size) {
        s3_evict();
    }
    push(&rows[cut_id(&rows[2], id) ? 1 : 0], id, 0);
    return false;
}

/* ---- the comparison ---- */

/* The hypervisor's own store is no exact S3-FIFO, as its ghosts are fingerprints: see below. */
#define EXACT 4u
static bool (*const models[EXACT])(char op, uint32_t id) = {model_lru, model_arc, model_sieve,
                                                            model_s3fifo};

static char random_op(unsigned percent_other)
{
    unsigned r = (unsigned)rand() % 100;

    return r >= percent_other ? 'r' : r % 4 == 0 ? 'd' : 'w';
}

static void compare(unsigned k, const char *name, uint32_t blocks, int held, unsigned percent_other)
{
    const struct policy_ops *ops = policies[k];
    struct synth s;
    unsigned hits = 0;

    assert_true(synth_make(&s, name, blocks, (uint64_t)rand()));
    struct policy *p = ops->make((uint32_t)held, synth_blocks(&s));
    memset(rows, 0, sizeof(rows));
    size = held;
    target = 0;
    hand = -1;
    for (unsigned i = 0; i < 3000; i++) {
        char op = random_op(percent_other);
        uint32_t id = synth_next(&s);
        bool want = models[k](op, id);
        if (op == 'r') {
            bool got = ops->read(p, id);
            if (got != want) {
                fail_msg("%s, %s of %u, size %d: read %u: held %d, the model says %d", ops->name,
                         name, blocks, held, i, got, want);
            }
            hits += got;
        } else {
            (op == 'w' ? ops->write : ops->drop)(p, id);
        }
    }
    assert_true(hits > 0 || held < 20 || strcmp(name, "loop") == 0);
    ops->free(p);
    synth_free(&s);
}

static void test_models(void **state)
{
    static const char *const names[] = {"zipf:0.8", "zipf:1.2", "scan", "loop"};
    static const int sizes[] = {1, 2, 3, 10, 37, 120, 400};

    (void)state;
    srand(7);
    for (unsigned k = 0; k < EXACT; k++) {
        for (unsigned n = 0; n < 4; n++) {
            for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                compare(k, names[n], 300, sizes[i], 0);
                compare(k, names[n], 300, sizes[i], 25);
                compare(k, names[n], 60, sizes[i], 10);
            }
        }
    }
}

/* What each is for: a loop just larger than the cache defeats LRU, a scan does not flush the rest.
 */
static double hit_ratio(const struct policy_ops *ops, const char *name, uint32_t held)
{
    struct synth s;
    unsigned hits = 0, n = 100000;

    assert_true(synth_make(&s, name, 2000, 5));
    struct policy *p = ops->make(held, synth_blocks(&s));
    for (unsigned i = 0; i < n; i++) {
        hits += ops->read(p, synth_next(&s));
    }
    ops->free(p);
    synth_free(&s);
    return (double)hits / n;
}

static void test_character(void **state)
{
    (void)state;
    assert_true(hit_ratio(&policy_lru, "loop", 1999) == 0);
    assert_true(hit_ratio(&policy_lru, "loop", 2000) > 0.97);
    double lru = hit_ratio(&policy_lru, "scan", 400);
    assert_true(lru > 0.2 && lru < 0.6);
    for (unsigned k = 1; k < POLICIES; k++) {
        assert_true(hit_ratio(policies[k], "scan", 400) > lru + 0.03);
    }
}

/*
 * Two guests read one disk in turn, each its next run of blocks some time after the other: every
 * block is read twice and never again. The second read of each must hit.
 */
static void test_in_turn(void **state)
{
    enum { N = 20000, LAG = 40, HELD = 200 };

    (void)state;
    for (unsigned k = 0; k < POLICIES; k++) {
        struct policy *p = policies[k]->make(HELD, N);
        unsigned hits = 0;
        srand(3);
        for (uint32_t first = 0, second = 0; second < N;) {
            for (unsigned run = 1 + (unsigned)rand() % 16; run > 0 && first < N; run--) {
                hits += policies[k]->read(p, first++);
            }
            while (second < N && (second + LAG < first || first == N)) {
                hits += policies[k]->read(p, second++);
            }
        }
        policies[k]->free(p);
        print_message("%s: %u of %u second reads hit\n", policies[k]->name, hits, N);
        if (policies[k] == &policy_lru || policies[k] == &policy_store) {
            assert_true(hits > N - N / 100);
        }
    }
}

/* The hypervisor's store hits as often as S3-FIFO does, within a hundredth of all reads. */
static void test_store(void **state)
{
    static const char *const names[] = {"zipf:0.8", "zipf:1.0", "scan", "loop"};
    static const uint32_t held[] = {20, 100, 400, 1000, 1600};

    (void)state;
    for (unsigned n = 0; n < 4; n++) {
        for (unsigned i = 0; i < 5; i++) {
            double exact = hit_ratio(&policy_s3fifo, names[n], held[i]);
            double ours = hit_ratio(&policy_store, names[n], held[i]);
            print_message("%s, %u blocks: s3fifo %.4f, pagefold %.4f\n", names[n], held[i], exact,
                          ours);
            assert_true(ours > exact - 0.01 && ours < exact + 0.01);
        }
    }
}

/* Zipf's frequencies are what they should be, and a seed makes the sequence. */
static void test_synth(void **state)
{
    struct synth a, b;
    unsigned first = 0, second = 0, differ = 0;

    (void)state;
    assert_true(synth_make(&a, "zipf:1.0", 100, 1));
    assert_true(synth_make(&b, "zipf:1.0", 100, 1));
    for (unsigned i = 0; i < 100000; i++) {
        uint32_t id = synth_next(&a);
        assert_int_equal(id, synth_next(&b));
        first += id == 0;
        second += id == 1;
    }
    /* 1 / H(100) is 0.1928. */
    assert_in_range(first, 18800, 19760);
    assert_in_range(second, 9300, 9980);
    synth_free(&b);
    assert_true(synth_make(&b, "zipf:1.0", 100, 2));
    for (unsigned i = 0; i < 1000; i++) {
        differ += synth_next(&a) != synth_next(&b);
    }
    assert_true(differ > 500);
    synth_free(&a);
    synth_free(&b);
    assert_false(synth_make(&a, "zipf:", 100, 2));
    assert_false(synth_make(&a, "zipf:1x", 100, 2));
    assert_false(synth_make(&a, "loops", 100, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),  cmocka_unit_test(test_character),
        cmocka_unit_test(test_in_turn), cmocka_unit_test(test_store),
        cmocka_unit_test(test_synth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
