/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The statistics as a JSON line, straight from the table of names in stats.c.
 *
 * A line for 64 VMs takes the wire seconds. So the counters are read when it begins, and the text
 * is made some fields at a time as it goes out; until it is out there is no other.
 */
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/console/console.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/machine.h"
#include "kernel/stats/json.h"
#include "kernel/stats/stats.h"

/* The longest piece: a field is at most its name, 20 digits and four more characters. */
#define PIECE_BYTES 6144u

static struct {
    struct stats stats; /* read when the line began */
    struct stats_vm *vms;
    const char **states;
    struct json json;
    unsigned next; /* section or VM, */
    unsigned part; /* and what of it */
    char text[PIECE_BYTES];
    size_t n, sent; /* of it */
} line;

static uint64_t begun, ended; /* lines since boot */
static bool asked_waits;      /* the user wants one, and another is on its way */
static uint64_t asked_line;   /* the user's, by its number */

void stats_json_init(void)
{
    line.vms = boot_alloc(sizeof(*line.vms) * MAX(n_vms, 1u), 8);
    line.states = boot_alloc(sizeof(*line.states) * MAX(n_vms, 1u), 8);
}

/* Fields that one piece has at most. */
#define PIECE_FIELDS 24u

static unsigned pieces_of(enum stats_section which)
{
    unsigned n;

    (void)stats_fields(which, &n);
    return (n + PIECE_FIELDS - 1) / PIECE_FIELDS;
}

static void add_fields(struct json *j, enum stats_section which, const void *section,
                       unsigned piece)
{
    unsigned n, first = piece * PIECE_FIELDS;
    const struct stats_field *f = stats_fields(which, &n);

    for (unsigned i = first; i < MIN(n, first + PIECE_FIELDS); i++) {
        json_number(j, f[i].name, stats_value(section, &f[i]));
    }
}

/* One class of pages, the first and the last with what is around all of them. */
static void add_class(struct json *j, const struct stats_fold *f, unsigned i)
{
    if (i == 0) {
        json_string(j, "advisor_binds", f->advisor_binds);
        json_open(j, stats_section_name(STATS_CLASS), '{');
    }
    json_open(j, page_class_name((enum page_class)i), '{');
    for (unsigned k = 0; k < pieces_of(STATS_CLASS); k++) {
        add_fields(j, STATS_CLASS, &f->classes[i], k);
    }
    json_close(j);
    if (i + 1 == PAGE_CLASSES) {
        json_close(j);
    }
}

/* The miss-ratio curve: sizes, and what a cache of each would miss, in the same order. */
static void add_curve(struct json *j)
{
    struct mrc_point points[MRC_POINTS];

    mrc_curve(&machine_curve, points);
    json_open(j, "curve_blocks", '[');
    for (unsigned i = 0; i < MRC_POINTS; i++) {
        json_number(j, NULL, points[i].blocks);
    }
    json_close(j);
    json_open(j, "curve_miss_ppm", '[');
    for (unsigned i = 0; i < MRC_POINTS; i++) {
        json_number(j, NULL, points[i].miss_ppm);
    }
    json_close(j);
}

static void add_vm(struct json *j, unsigned i, unsigned part)
{
    if (part == 0) {
        json_open(j, NULL, '{');
        json_string(j, "name", vms[i]->config->name);
        json_string(j, "state", line.states[i]);
    }
    add_fields(j, STATS_VM, &line.vms[i], part);
    if (part + 1 == pieces_of(STATS_VM)) {
        json_close(j);
    }
}

/* A section's fields, and then what there is besides. */
static unsigned parts_of(enum stats_section w)
{
    return pieces_of(w) + (w == STATS_FOLD ? PAGE_CLASSES : w == STATS_CACHE ? 1u : 0u);
}

static void add_section(struct json *j, enum stats_section w, unsigned part)
{
    unsigned pieces = pieces_of(w);

    if (part == 0) {
        json_open(j, stats_section_name(w), '{');
    }
    if (part < pieces) {
        add_fields(j, w, stats_section(&line.stats, w), part);
    } else if (w == STATS_FOLD) {
        add_class(j, &line.stats.fold, part - pieces);
    } else {
        json_string(j, "mode", cache_mode_name(machine_cache.mode));
        json_string(j, "stays", machine_cache.oldest_stay ? "oldest" : "newest");
        add_curve(j);
    }
    if (part + 1 == parts_of(w)) {
        json_close(j);
    }
}

/* Makes the next piece; false: there was none left. */
static bool make_piece(void)
{
    struct json *j = &line.json;
    unsigned n = line.next, part = line.part;

    line.n = line.sent = 0;
    if (n == 0 && part == 0) {
        line.text[line.n++] = '@';
        json_init(j, line.text + 1, sizeof(line.text) - 1);
        json_open(j, NULL, '{');
        json_number(j, "t_ms", line.stats.t_ms);
    } else {
        json_go_on(j);
    }
    bool is_vm = n > STATS_VM && n - STATS_VM - 1 < n_vms;
    unsigned parts = n < STATS_VM ? parts_of((enum stats_section)n)
                     : is_vm      ? pieces_of(STATS_VM)
                                  : 1;
    line.part = part + 1 < parts ? part + 1 : 0;
    line.next += line.part == 0;
    if (n < STATS_VM) {
        add_section(j, (enum stats_section)n, part);
    } else if (n == STATS_VM) {
        json_open(j, stats_section_name(STATS_VM), '[');
    } else if (is_vm) {
        add_vm(j, n - STATS_VM - 1, part);
    } else if (n - STATS_VM - 1 == n_vms) {
        json_close(j);
        json_close(j);
        ASSERT(json_finish(j));
    } else {
        return false;
    }
    memmove(line.text + line.n, j->buf, j->n);
    line.n += j->n;
    return true;
}

static size_t more(void *ctx, char *buf, size_t size)
{
    (void)ctx;
    if (line.sent == line.n && !make_piece()) {
        ended = begun;
        return 0;
    }
    size_t n = MIN(size, line.n - line.sent);
    memcpy(buf, line.text + line.sent, n);
    line.sent += n;
    return n;
}

static bool begin(bool by_user)
{
    if (!console_send_stats(more, NULL, by_user)) {
        return false;
    }
    begun++;
    stats_read(&line.stats);
    for (unsigned i = 0; i < n_vms; i++) {
        stats_read_vm(vms[i], &line.vms[i]);
        line.states[i] = vm_state_name(vms[i]);
    }
    line.next = line.part = 0;
    line.n = line.sent = 0;
    return true;
}

bool stats_json_send(void)
{
    return !asked_waits && begin(false);
}

void stats_json_ask(void)
{
    asked_waits = true;
}

bool stats_json_asked(void)
{
    if (asked_waits && begin(true)) {
        asked_waits = false;
        asked_line = begun;
    }
    return asked_waits || ended < asked_line;
}

void stats_json_unask(void)
{
    asked_waits = false;
}
