/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading traces: every number checked, and each (disk, block) given a number of its own. */
#include "tools/host/trace.h"

#include "tools/host/synth.h"

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS_MAX (UINT64_C(1) << 40) /* of a disk */
#define REQUEST_MAX (UINT64_C(1) << 20)
#define USES_MAX (UINT64_C(1) << 31)

/* An open-addressed table from (disk, block) to the block's number. */
struct ids {
    struct id {
        uint64_t block;
        uint32_t disk;
        uint32_t id_plus_1; /* 0: empty */
    } * table;
    size_t size; /* a power of two, at least twice n */
    uint32_t n;
};

static void *must_alloc(void *p)
{
    if (!p) {
        err(2, "memory");
    }
    return p;
}

static struct id *place(const struct ids *ids, uint32_t disk, uint64_t block)
{
    uint64_t h = (block ^ (uint64_t)disk << 44) * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (size_t)(h >> 20) & (ids->size - 1);

    while (ids->table[i].id_plus_1 &&
           (ids->table[i].block != block || ids->table[i].disk != disk)) {
        i = (i + 1) & (ids->size - 1);
    }
    return &ids->table[i];
}

static void grow(struct ids *ids)
{
    struct ids old = *ids;

    ids->size = old.size ? 2 * old.size : 1024;
    ids->table = must_alloc(calloc(ids->size, sizeof(*ids->table)));
    for (size_t i = 0; i < old.size; i++) {
        if (old.table[i].id_plus_1) {
            *place(ids, old.table[i].disk, old.table[i].block) = old.table[i];
        }
    }
    free(old.table);
}

static uint32_t id_of(struct ids *ids, uint32_t disk, uint64_t block)
{
    if (2 * ((size_t)ids->n + 1) > ids->size) {
        grow(ids);
    }
    struct id *x = place(ids, disk, block);
    if (!x->id_plus_1) {
        *x = (struct id){block, disk, ++ids->n};
    }
    return x->id_plus_1 - 1;
}

static void add(struct trace *t, size_t *room, uint32_t id, char op)
{
    if (t->n == *room) {
        *room = *room ? 2 * *room : 4096;
        t->uses = must_alloc(realloc(t->uses, *room * sizeof(*t->uses)));
    }
    t->uses[t->n++] = (struct trace_use){id, op};
    t->reads += op == 'r';
}

/* A number up to max and the blank behind it; false when there is none. */
static bool number(char **at, uint64_t max, uint64_t *out)
{
    char *end;

    if (!isdigit((unsigned char)**at)) {
        return false;
    }
    errno = 0;
    *out = strtoull(*at, &end, 10);
    if (errno || *out > max || *end != ' ') {
        return false;
    }
    *at = end + 1;
    return true;
}

static const char *add_line(struct trace *t, struct ids *ids, size_t *room, char *text)
{
    uint64_t t_us, vm, disk, block, blocks;
    char *at = text;

    if (!number(&at, UINT64_MAX, &t_us) || !number(&at, UINT16_MAX, &vm) ||
        !number(&at, UINT32_MAX, &disk) || !number(&at, BLOCKS_MAX, &block) ||
        !number(&at, REQUEST_MAX, &blocks)) {
        return "a line is T_US VM DISK BLOCK BLOCKS OP";
    }
    if (!*at || !strchr("rwd", *at) || (at[1] && strcmp(at + 1, "\n") != 0)) {
        return "the operation is r, w or d";
    }
    if (blocks == 0) {
        return "a request has at least one block";
    }
    if (t->n + blocks > USES_MAX) {
        return "the trace is too long";
    }
    for (uint64_t i = 0; i < blocks; i++) {
        add(t, room, id_of(ids, (uint32_t)disk, block + i), *at);
    }
    t->requests++;
    return NULL;
}

/* How many distinct blocks are read. */
static void count_read(struct trace *t)
{
    bool *seen = must_alloc(calloc((size_t)t->n_ids + 1, sizeof(*seen)));

    for (size_t i = 0; i < t->n; i++) {
        if (t->uses[i].op == 'r' && !seen[t->uses[i].id]) {
            seen[t->uses[i].id] = true;
            t->n_read++;
        }
    }
    free(seen);
}

const char *trace_read(struct trace *t, FILE *f, unsigned *line)
{
    struct ids ids = {0};
    const char *wrong = NULL;
    char text[200];
    size_t room = 0;

    *t = (struct trace){0};
    *line = 0;
    while (!wrong && fgets(text, sizeof(text), f)) {
        ++*line;
        if (text[0] != '#') {
            wrong = add_line(t, &ids, &room, text);
        }
    }
    t->n_ids = ids.n;
    free(ids.table);
    count_read(t);
    if (!wrong && ferror(f)) {
        wrong = "it cannot be read";
    }
    if (!wrong && t->reads == 0) {
        wrong = "there is no read in it";
    }
    if (wrong) {
        trace_free(t);
    }
    return wrong;
}

bool trace_make(struct trace *t, const char *name, uint32_t blocks, size_t reads, uint64_t seed)
{
    struct synth s;
    size_t room = 0;

    *t = (struct trace){0};
    if (!synth_make(&s, name, blocks, seed)) {
        return false;
    }
    for (size_t i = 0; i < reads; i++) {
        add(t, &room, synth_next(&s), 'r');
    }
    t->n_ids = synth_blocks(&s);
    t->requests = reads;
    count_read(t);
    synth_free(&s);
    return true;
}

void trace_free(struct trace *t)
{
    free(t->uses);
    *t = (struct trace){0};
}
