/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests, a scanner, devices and a cache, driven by bytes, against an oracle that never shares. */
#include "world_disk.h"

#include "base/log.h"
#include "mm/cache/dirty.h"
#include "mm/promise.h"
#include "work_disk.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned world_byte(struct world *w)
{
    if (w->left == 0) {
        return 0;
    }
    w->left--;
    return *w->data++;
}

/* ---- the cache and the audit --------------------------------------------------------------- */

static uint64_t give_back(void *ctx, uint64_t want)
{
    struct world *w = ctx;

    return w->starving ? 0 : cache_reclaim(&w->cache, want);
}

static void print_violation(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "check: %s\n", line);
}

/*
 * The part of invariant 1 that no walk of the maps can see: between operations, no CPU holds a
 * translation to another frame than the map has, nor a right to write that the map has not.
 */
static void check_cached(const struct world *w, const struct fake_map *m)
{
    for (uint64_t i = 0; i < FAKE_CPUS * FAKE_ALIASES * m->pages; i++) {
        uint64_t gfn = i % m->pages, k = i / m->pages;
        const struct fake_slot *c = &m->cached[k / FAKE_ALIASES][k % FAKE_ALIASES][gfn];
        const struct fake_slot *e = &m->entries[gfn];

        if (c->present && (!e->present || c->mfn.n != e->mfn.n || c->writable > e->writable)) {
            panic("operation %u left a stale translation of gfn %llu", w->ops,
                  (unsigned long long)gfn);
        }
    }
}

/*
 * Isolation, seen without any of the engine's or the audit's own notes: no frame is mapped, or held
 * in a CPU's stale translation, by VMs of two share groups, but for a zero page in common.
 */
static void check_isolation(const struct world *w)
{
    const struct share_group **user = calloc(w->f.count, sizeof(*user));

    ASSERT(user);
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        const struct world_vm *v = &w->vms[i];
        uint64_t places = v->live ? (1 + FAKE_CPUS * FAKE_ALIASES) * v->map.pages : 0;

        for (uint64_t k = 0; k < places; k++) {
            uint64_t gfn = k % v->map.pages, n = k / v->map.pages;
            const struct fake_slot *s =
                n == 0 ? &v->map.entries[gfn]
                       : &v->map.cached[(n - 1) / FAKE_ALIASES][(n - 1) % FAKE_ALIASES][gfn];

            if (!s->present || (w->zero_in_common && s->mfn.n == w->groups[0].zero.n)) {
                continue;
            }
            if (user[s->mfn.n] && user[s->mfn.n] != v->p2m.group) {
                panic("operation %u: frame %llu is used by groups %s and %s", w->ops,
                      (unsigned long long)s->mfn.n, user[s->mfn.n]->name, v->p2m.group->name);
            }
            user[s->mfn.n] = v->p2m.group;
        }
    }
    free(user);
}

/* After a whole walk, the pages that hold a SHARED frame alone are just the ones that say so. */
static void check_sole(const struct world *w, struct world_vm *v)
{
    uint64_t sole = 0;
    gfn_t next = GFN(0);

    while (p2m_sole_walk(&v->p2m, &next, NULL)) {
    }
    for (uint64_t gfn = 0; gfn < v->map.pages; gfn++) {
        const struct fake_slot *s = &v->map.entries[gfn];
        unsigned mapped = 0;

        for (unsigned i = 0; s->present && i < WORLD_VMS; i++) {
            for (uint64_t k = 0; w->vms[i].live && k < w->vms[i].map.pages; k++) {
                const struct fake_slot *other = &w->vms[i].map.entries[k];
                mapped += other->present && other->mfn.n == s->mfn.n;
            }
        }
        sole += mapped == 1 && w->f.table[s->mfn.n].state == FRAME_SHARED;
    }
    if (sole != v->p2m.sole_maps) {
        panic("after operation %u vm %u holds %llu shared frames alone, counts %llu", w->ops,
              v->p2m.vm, (unsigned long long)sole, (unsigned long long)v->p2m.sole_maps);
    }
}

static void audit_all(struct world *w)
{
    struct p2m *maps[WORLD_VMS];
    struct share_group *groups[WORLD_GROUPS];
    struct audit a = {
        .frames = &w->f,
        .maps = maps,
        .groups = groups,
        .n_groups = WORLD_GROUPS,
        .fold = &w->fold,
        .scratch = malloc(w->f.count * sizeof(uint32_t)),
        .others = cache_references,
        .others_ctx = &w->cache,
        .report = print_violation,
    };

    for (unsigned i = 0; i < WORLD_GROUPS; i++) {
        groups[i] = &w->groups[i];
    }
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        if (w->vms[i].live) {
            maps[a.n_maps++] = &w->vms[i].p2m;
            check_cached(w, &w->vms[i].map);
        }
    }
    unsigned violations = audit_run(&a);
    free(a.scratch);
    check_isolation(w);
    world_disk_audit(w);
    if (violations > 0) {
        panic("%u violations after operation %u", violations, w->ops);
    }
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        if (w->vms[i].live) {
            check_sole(w, &w->vms[i]);
        }
    }
}

void world_audit(struct world *w)
{
    work_oracle_begin();
    audit_all(w);
    work_oracle_end();
}

/* ---- VMs ----------------------------------------------------------------------------------- */

/*
 * While this CPU is in the hypervisor, another one runs the same guest: it loads translations, and
 * writes through whatever it has cached, up to the moment of the flush.
 */
static void race(void *ctx, struct fake_map *m)
{
    struct world *w = ctx;

    for (unsigned i = 0; i < WORLD_VMS; i++) {
        struct world_vm *v = &w->vms[i];
        if (!v->live || &v->map != m || rnd_below(&w->race, 2) == 0) {
            continue;
        }
        for (unsigned k = 0; k < 16; k++) {
            uint64_t gfn = rnd_below(&w->race, WORLD_PAGES + 2);
            unsigned cpu = rnd_below(&w->race, FAKE_CPUS);
            unsigned alias = rnd_below(&w->race, FAKE_ALIASES);
            struct fake_slot *c = &m->cached[cpu][alias][gfn];
            fake_map_load(m, cpu, alias, GFN(gfn));
            if (c->present && c->writable) {
                if (!c->dirty) { /* a cached dirty bit is not set in memory again */
                    c->dirty = true;
                    m->entries[gfn].dirty = true;
                }
                uint8_t value = (uint8_t)rnd_below(&w->race, 2);
                ((uint8_t *)frame_bytes(&w->f, c->mfn))[7] = value;
                v->oracle[gfn][7] = value;
            }
        }
    }
}

static void vm_create(struct world *w, unsigned i)
{
    struct world_vm *v = &w->vms[i];
    /* Two runs, as a guest with a hole below 1 MiB has them. */
    const struct p2m_slot runs[] = {{GFN(0), WORLD_PAGES / 2},
                                    {GFN(WORLD_PAGES / 2 + 2), WORLD_PAGES - WORLD_PAGES / 2}};

    fake_map_init(&v->map, &w->f, WORLD_PAGES + 2);
    enum status s = p2m_init(&v->p2m, i == 2 ? &fake_map_ops_checksum : &fake_map_ops, &v->map,
                             &w->f, &w->groups[i == 3], (uint16_t)i, runs, 2, v->map.regions);
    ASSERT(s == OK);
    v->oracle = calloc(WORLD_PAGES + 2, PAGE_SIZE);
    ASSERT(v->oracle);
    v->map.race = race;
    v->map.race_ctx = w;
    v->live = true;
    v->life++;
    v->unmerge = (struct unmerge){0};
    fold_attach(&w->fold, &v->p2m);
}

static void vm_destroy(struct world *w, unsigned i, bool in_steps)
{
    struct world_vm *v = &w->vms[i];

    uint64_t wanted;
    enum status s = promise_make(&v->p2m, 0, NULL, &wanted);

    ASSERT(s == OK);
    fold_detach(&w->fold, &v->p2m);
    while (in_steps && p2m_drop_some(&v->p2m, 3, NULL)) {
        if (!w->starving) { /* the free list is hidden then */
            world_audit(w);
        }
        fold_step(&w->fold, 2, NULL);
        race(w, &v->map); /* what is gone from the map is gone from its CPUs */
    }
    p2m_drop_all(&v->p2m);
    fake_map_fini(&v->map);
    free(v->oracle);
    v->live = false;
}

gfn_t world_pick_gfn(struct world *w)
{
    unsigned n = world_byte(w) % WORLD_PAGES;

    return GFN(n < WORLD_PAGES / 2 ? n : n + 2);
}

/* The few places that are ever written to: first and last bytes, and some between. */
static unsigned pick_offset(struct world *w)
{
    static const unsigned offsets[] = {0, 7, 2048, PAGE_SIZE - 1};

    return offsets[world_byte(w) % 4];
}

/* Whether the cache could give a frame. */
static bool is_evictable(const struct world *w)
{
    for (uint64_t n = 0; n < w->f.count; n++) {
        if (w->f.table[n].state == FRAME_CACHE_ONLY && w->f.table[n].pins == 0 &&
            !cache_frame_is_dirty(&w->cache, MFN(n))) {
            return true;
        }
    }
    return false;
}

/* No frame and no table page at all is the only excuse. */
void world_excuse(const struct world *w, enum status s)
{
    bool none = w->f.by_state[FRAME_FREE] <= w->f.kept && !is_evictable(w);

    if (s != OK && (s != E_NOMEM || (!w->starving && !none))) {
        panic("%s without a reason in operation %u", status_name(s), w->ops);
    }
}

static void expect(const struct world *w, unsigned vm, gfn_t gfn, unsigned offset, uint8_t got)
{
    uint8_t want = w->vms[vm].oracle[gfn.n][offset];

    if (got != want) {
        panic("operation %u: vm %u gfn %llu offset %u reads %#x instead of %#x", w->ops, vm,
              (unsigned long long)gfn.n, offset, got, want);
    }
}

/* ---- operations ---------------------------------------------------------------------------- */

static void op_guest(struct world *w, unsigned vm, bool write)
{
    struct world_vm *v = &w->vms[vm];
    unsigned how = world_byte(w), cpu = how & 1, alias = how >> 1 & 1;
    gfn_t gfn = world_pick_gfn(w);
    unsigned offset = pick_offset(w);
    uint8_t value = 0;
    enum status s;
    /* A page within what the VM was promised is there, whatever has happened. */
    const struct p2m *p = &v->p2m;
    bool promised = p->promise.pages > 0 &&
                    (!write || p->present - p->zero_maps - p->shared_maps < p->promise.pages);

    if (write) {
        value = (uint8_t)(how >> 2 & 1);
        s = fake_guest_write(&v->p2m, cpu, alias, gfn, offset, value);
        if (s == OK) {
            v->oracle[gfn.n][offset] = value;
        }
    } else {
        s = fake_guest_read(&v->p2m, cpu, alias, gfn, offset, &value);
        if (s == OK) {
            expect(w, vm, gfn, offset, value);
        }
    }
    if (promised && !w->starving && s != OK) {
        panic("operation %u: vm %u has %llu pages promised, and gets none", w->ops, vm,
              (unsigned long long)p->promise.pages);
    }
    world_excuse(w, s);
}

/* A device model's access across a page boundary, or outside memory altogether. */
static void op_door(struct world *w, unsigned vm)
{
    struct world_vm *v = &w->vms[vm];
    uint8_t buffer[48], value = (uint8_t)(world_byte(w) & 1);
    uint64_t at = (world_byte(w) % (WORLD_PAGES + 3)) * (uint64_t)PAGE_SIZE + PAGE_SIZE - 24;

    memset(buffer, value, sizeof(buffer));
    enum status s = p2m_write(&v->p2m, GPA(at), buffer, sizeof(buffer));
    bool ram = p2m_is_ram(&v->p2m, gpa_to_gfn(GPA(at))) &&
               p2m_is_ram(&v->p2m, gpa_to_gfn(GPA(at + sizeof(buffer) - 1)));
    if (!ram) {
        ASSERT(s == E_FAULT || s == E_NOMEM);
    } else {
        world_excuse(w, s);
    }
    /* A failure may leave any part done; what is there now is what must stay. */
    for (unsigned i = 0; i < sizeof(buffer); i++) {
        gpa_t a = GPA(at + i);
        uint8_t now;
        if (!p2m_is_ram(&v->p2m, gpa_to_gfn(a))) {
            continue;
        }
        uint8_t *want = &v->oracle[a.a / PAGE_SIZE][a.a % PAGE_SIZE];
        ASSERT(p2m_read(&v->p2m, a, &now, 1) == OK);
        ASSERT(now == value || (s != OK && now == *want));
        *want = now;
    }
}

static void pin_release(struct world *w, struct world_pin *pin)
{
    if (pin->frozen) {
        ASSERT(memcmp(pin->frozen, frame_bytes(&w->f, pin->mfn), PAGE_SIZE) == 0);
        free(pin->frozen);
    }
    p2m_put(&w->vms[pin->vm].p2m, pin->mfn);
    *pin = (struct world_pin){0};
}

/* A device takes a page, uses it while other things go on, and lets go of it. */
static void op_device(struct world *w, unsigned vm)
{
    struct world_pin *pin = &w->pins[world_byte(w) % WORLD_PINS];

    if (!pin->used) {
        bool write = world_byte(w) & 1;
        gfn_t gfn = world_pick_gfn(w);
        mfn_t mfn;
        enum status s = write ? p2m_get_write(&w->vms[vm].p2m, gfn, &mfn)
                              : p2m_get_read(&w->vms[vm].p2m, gfn, &mfn);
        world_excuse(w, s);
        if (s != OK) {
            return;
        }
        *pin = (struct world_pin){true, write, vm, w->vms[vm].life, gfn, mfn, NULL};
        if (frame_of(&w->f, mfn)->state != FRAME_PRIVATE) {
            ASSERT(!write);
            pin->frozen = malloc(PAGE_SIZE);
            ASSERT(pin->frozen);
            memcpy(pin->frozen, frame_bytes(&w->f, mfn), PAGE_SIZE);
        }
        return;
    }
    if (pin->write && (world_byte(w) & 1)) {
        unsigned offset = pick_offset(w);
        uint8_t value = (uint8_t)(world_byte(w) & 1);
        struct world_vm *v = &w->vms[pin->vm];

        ((uint8_t *)frame_bytes(&w->f, pin->mfn))[offset] = value;
        if (v->live && v->life == pin->life) {
            v->oracle[pin->gfn.n][offset] = value;
        }
        return;
    }
    pin_release(w, pin);
}

static void op_vm(struct world *w, unsigned vm)
{
    struct world_vm *v = &w->vms[vm];
    unsigned how = world_byte(w);

    if (how % 4 == 0) {
        vm_destroy(w, vm, how & 64);
    } else if (how % 4 == 1) {
        uint64_t wanted, free = w->f.by_state[FRAME_FREE];
        enum status s = promise_make(&v->p2m, how >> 4, NULL, &wanted);
        ASSERT(s == OK || (s == E_NOMEM && wanted > v->p2m.promise.kept && w->f.kept <= free));
    } else if (v->p2m.fold_attached) {
        fold_detach(&w->fold, &v->p2m);
    } else if (!v->p2m.fold_off) {
        fold_attach(&w->fold, &v->p2m);
    }
}

static void op_config(struct world *w)
{
    struct fold_switches to = w->fold.on;
    unsigned how = world_byte(w), on = how >> 3 & 3; /* more often on than off */

    switch (how % 8) {
    case 0:
        to.run = on;
        break;
    case 1:
        to.zero = on;
        break;
    case 2:
        to.lookahead = on;
        break;
    case 3:
        to.backoff = on;
        break;
    case 4:
        to.index = on & 1 ? FOLD_HASH : FOLD_TREE;
        break;
    case 5:
        to.volatility = on & 1 ? FOLD_DIRTY : FOLD_CHECKSUM;
        break;
    case 6:
        to.skip = on ? 0 : (uint8_t)(1u << PAGE_FREE);
        break;
    default:
        to.pagecache = on;
        to.pagecache = to.pagecache == 3 ? FOLD_PAGECACHE_SCAN : to.pagecache;
        break;
    }
    fold_switch(&w->fold, &to);
}

/* A disk read has come in, or somebody says so. */
static void op_hint(struct world *w, unsigned vm)
{
    fold_hint(&w->fold, &w->vms[vm].p2m, world_pick_gfn(w));
}

/* Once its folds are undone, a VM whose folding is off shares nothing, and nothing of it is known.
 */
static void check_unfolded(const struct world *w, const struct world_vm *v)
{
    if (!v->p2m.fold_off || v->unmerge.on) {
        return;
    }
    for (uint64_t gfn = 0; gfn < v->map.pages; gfn++) {
        const struct fake_slot *s = &v->map.entries[gfn];
        const struct frame *fr = &w->f.table[s->mfn.n];
        bool folded = s->present && fr->state == FRAME_ZERO &&
                      (p2m_page(&v->p2m, GFN(gfn))->flags & GPAGE_F_FOLDED) != 0;
        if (s->present && (fr->state == FRAME_SHARED || folded || (fr->flags & FRAME_F_INDEXED))) {
            panic("operation %u: gfn %llu of an unfolded VM maps a %s frame, flags %#x", w->ops,
                  (unsigned long long)gfn, frame_state_name((enum frame_state)fr->state),
                  fr->flags);
        }
    }
}

/* A VM's folding is turned, or what was folded is given frames, a bit of it. */
static void op_unfold(struct world *w, unsigned vm)
{
    struct world_vm *v = &w->vms[vm];
    unsigned how = world_byte(w);

    if (!v->unmerge.on && how % 4 == 0) {
        v->p2m.fold_off = !v->p2m.fold_off;
        if (v->p2m.fold_off) {
            fold_detach(&w->fold, &v->p2m);
            unmerge_begin(&v->unmerge, &v->p2m);
        } else {
            fold_attach(&w->fold, &v->p2m);
        }
    } else if (!v->unmerge.on && how % 4 == 1) {
        unmerge_begin(&v->unmerge, &v->p2m); /* it may be folded again at once */
    } else if (v->unmerge.on) {
        uint64_t reserve = how >> 2 & 3, room = unmerge_room(&w->f), given = v->unmerge.given;
        enum unmerge_end end =
            unmerge_step(&v->unmerge, &w->fold, &v->p2m, 1 + (how >> 4) * UNMERGE_COST, reserve);
        if (end == UNMERGE_SHORT && !w->starving && room > reserve && given == v->unmerge.given) {
            world_excuse(w, E_NOMEM);
        }
    }
    check_unfolded(w, v);
}

/* ---- running ------------------------------------------------------------------------------- */

static void set_fail(struct world *w, bool fail)
{
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        w->vms[i].map.fail_maps = fail;
    }
}

static void operation(struct world *w)
{
    unsigned what = world_byte(w), vm = what >> 6;

    if (!w->vms[vm].live) {
        vm_create(w, vm);
    }
    switch (what & 31) {
    case 0 ... 9:
        op_guest(w, vm, true);
        break;
    case 10 ... 14:
        op_guest(w, vm, false);
        break;
    case 15 ... 16:
        op_door(w, vm);
        break;
    case 17 ... 19:
        op_device(w, vm);
        break;
    case 20:
        op_vm(w, vm);
        break;
    case 21:
        op_config(w);
        break;
    case 22:
        world_disk_turn(w);
        break;
    case 23:
        op_hint(w, vm);
        break;
    case 28:
        op_unfold(w, vm);
        break;
    case 24 ... 26:
        world_disk_read(w, vm);
        break;
    case 27:
        world_disk_write(w, vm);
        break;
    default:
        fold_step(&w->fold, 1 + world_byte(w) % 12, NULL);
        break;
    }
}

void world_run(struct world *w, const uint8_t *data, size_t n, unsigned audit_every)
{
    w->data = data;
    w->left = n;
    while (w->left > 0) {
        uint32_t hidden = w->f.free_head;

        w->starving = w->ops == w->starve_at;
        if (w->starving && w->starve_maps) {
            set_fail(w, true);
        } else if (w->starving) {
            /* The free frames are hidden; what this operation frees goes on a list of its own. */
            w->f.free_head = FRAME_NIL;
        }
        operation(w);
        if (w->starving && w->starve_maps) {
            set_fail(w, false);
        } else if (w->starving) {
            uint32_t *end = &w->f.free_head;
            while (*end != FRAME_NIL) {
                end = &w->f.table[*end].left;
            }
            *end = hidden;
        }
        w->starving = false;
        w->ops++;
        if (w->ops % audit_every == 0) {
            world_audit(w);
        }
    }
}

void world_init(struct world *w, uint64_t frames)
{
    memset(w, 0, sizeof(*w));
    fake_frames_init(&w->f, frames);
    frames_add_reclaimer(&w->f, give_back, w);
    ASSERT(fold_roots(w->f.count) <= WORLD_ROOTS);
    fold_init(&w->fold, &w->f, NULL, &(struct random){.key = {1}}, w->roots);
    for (unsigned i = 0; i < WORLD_GROUPS; i++) {
        ASSERT(share_group_init(&w->groups[i], &w->f, i ? "one" : "zero", i) == OK);
    }
    world_disk_init(w);
    w->starve_at = UINT_MAX;
    w->race.state = 88172645463325252u;
}

void world_join_zero(struct world *w)
{
    share_group_join_zero(&w->groups[1], &w->f, &w->groups[0]);
    w->zero_in_common = true;
}

void world_compare(struct world *w)
{
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        struct world_vm *v = &w->vms[i];

        for (uint64_t g = 0; v->live && g < WORLD_PAGES + 2; g++) {
            uint8_t page[PAGE_SIZE], got;

            if (!p2m_is_ram(&v->p2m, GFN(g))) {
                continue;
            }
            ASSERT(p2m_read(&v->p2m, GPA(g * PAGE_SIZE), page, PAGE_SIZE) == OK);
            for (unsigned offset = 0; offset < PAGE_SIZE; offset++) {
                expect(w, i, GFN(g), offset, page[offset]);
            }
            for (unsigned c = 0; c < FAKE_CPUS * FAKE_ALIASES * 2; c++) {
                unsigned offset = c & 4 ? 0 : PAGE_SIZE - 1;
                enum status s = fake_guest_read(&v->p2m, c & 1, c >> 1 & 1, GFN(g), offset, &got);
                if (s == OK) {
                    expect(w, i, GFN(g), offset, got);
                }
            }
        }
    }
}

/* The pages of a group that are mapped, by what they should hold, each content once. */
static uint64_t count_distinct(struct world *w, const struct share_group *g, uint64_t *pages,
                               uint64_t *zeroes)
{
    const uint8_t *seen[WORLD_VMS * WORLD_PAGES];
    static const uint8_t zero[PAGE_SIZE];
    uint64_t n = 0;

    for (unsigned i = 0; i < WORLD_VMS; i++) {
        struct world_vm *v = &w->vms[i];

        for (uint64_t p = 0; v->live && v->p2m.group == g && p < v->map.pages; p++) {
            uint64_t k = 0;
            if (!v->map.entries[p].present) {
                continue;
            }
            if (memcmp(v->oracle[p], zero, PAGE_SIZE) == 0) {
                ++*zeroes;
                continue;
            }
            ++*pages;
            while (k < n && memcmp(seen[k], v->oracle[p], PAGE_SIZE) != 0) {
                k++;
            }
            if (k == n) {
                seen[n++] = v->oracle[p];
            }
        }
    }
    return n;
}

void world_settle(struct world *w)
{
    struct fold_counters c;
    uint64_t distinct = 0, pages = 0, zeroes = 0, frames = 0, zero_frames = 0;

    for (unsigned i = 0; i < WORLD_PINS; i++) {
        if (w->pins[i].used) {
            pin_release(w, &w->pins[i]);
        }
    }
    world_disk_arrive(w);
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        uint64_t wanted; /* what is kept for promises can keep two pages from being one */
        if (w->vms[i].live && promise_make(&w->vms[i].p2m, 0, NULL, &wanted) != OK) {
            panic("no promise costs %llu frames", (unsigned long long)wanted);
        }
        w->vms[i].p2m.fold_off = w->vms[i].unmerge.on = false;
        if (w->vms[i].live && !w->vms[i].p2m.fold_attached) {
            fold_attach(&w->fold, &w->vms[i].p2m);
        }
    }
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        w->vms[i].map.race = NULL; /* nobody writes any more */
    }
    struct fold_switches to = w->fold.on;
    to.run = true;
    to.zero = true;
    to.backoff = false;
    to.skip = 0;
    to.pagecache = FOLD_PAGECACHE_SCAN;
    fold_switch(&w->fold, &to);
    /* What is left of this pass, then one that learns what is written, and one that merges. Where
     * two pages were taken for volatile while the other was looked at, another one. */
    uint64_t until = w->fold.full_scans + 4;
    while (w->fold.maps && w->fold.full_scans < until) {
        fold_step(&w->fold, 7, NULL);
    }
    world_audit(w);

    for (unsigned i = 0; i < WORLD_GROUPS; i++) {
        distinct += count_distinct(w, &w->groups[i], &pages, &zeroes);
    }
    /* A page of zeroes may have been folded as any other while fold.zero was off. */
    for (uint64_t n = 0; n < w->f.count; n++) {
        static const uint8_t zero[PAGE_SIZE];
        const struct frame *fr = &w->f.table[n];
        if (fr->state == FRAME_PRIVATE || fr->state == FRAME_SHARED) {
            bool is_zero = memcmp(frame_bytes(&w->f, MFN(n)), zero, PAGE_SIZE) == 0;
            ASSERT(fr->state != FRAME_PRIVATE || !is_zero);
            frames += !is_zero;
            zero_frames += is_zero;
            pages += is_zero ? fr->refs : 0;
            zeroes -= is_zero ? fr->refs : 0;
        }
    }
    fold_read(&w->fold, &c);
    if (frames != distinct || c.pages_zero != zeroes ||
        c.pages_sharing + frames + zero_frames != pages) {
        panic("%llu frames for %llu contents of %llu pages; sharing %llu, zero %llu of %llu",
              (unsigned long long)frames, (unsigned long long)distinct, (unsigned long long)pages,
              (unsigned long long)c.pages_sharing, (unsigned long long)c.pages_zero,
              (unsigned long long)zeroes);
    }
    world_disk_settled(w);
}

void world_fini(struct world *w)
{
    for (unsigned i = 0; i < WORLD_VMS; i++) {
        if (w->vms[i].live) {
            vm_destroy(w, i, true);
        }
    }
    for (unsigned i = 0; i < WORLD_PINS; i++) {
        if (w->pins[i].used) {
            pin_release(w, &w->pins[i]);
        }
    }
    world_disk_empty(w);
    world_audit(w);
    for (unsigned i = WORLD_GROUPS; i-- > 0;) { /* who lends its zero page goes last */
        ASSERT(fold_forget(&w->fold, &w->groups[i]) == OK);
        ASSERT(share_group_fini(&w->groups[i], &w->f) == OK);
    }
    ASSERT(w->f.by_state[FRAME_FREE] == w->f.count - w->f.by_state[FRAME_RESERVED]);
    ASSERT(w->f.pinned == 0);
    fake_frames_fini(&w->f);
    free(w->cache_mem);
}
