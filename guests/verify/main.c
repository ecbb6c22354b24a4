/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options, on the command line (numbers): me= (this guest's number), writers= (how many there are
 * on the disk), seed=, requests=, depth= (in flight), sectors= (how much of the disk), and switches
 * as in struct options.
 *
 * With report=1 it tells what it does to the disk: "w SEQ SECTOR COUNT" before a write is offered,
 * "d SEQ" when it has come back, and "f SEQ" when a flush has that was offered when all writes up
 * to this one had come back.
 */
#include "verify.h"

#define WRONG_SHOWN 12u
#define PHASES 10u
#define TORN_BYTES (BLOCK_SECTORS * SECTOR)

struct options options;

static uint64_t random_state, counts[5], bytes_read, bytes_written, failed, n_wrong;
static uint32_t seq;
static uint64_t torn_hashes[TORN_BLOCKS]; /* 0: not read since it was written */

uint64_t rnd(void)
{
    random_state += 0x9e3779b97f4a7c15ul;
    return mix(random_state);
}

uint32_t below(uint32_t limit)
{
    return limit == 0 ? 0 : (uint32_t)(rnd() % limit);
}

void wrong(const char *fmt, ...)
{
    va_list ap;

    if (n_wrong++ < WRONG_SHOWN) {
        va_start(ap, fmt);
        print_list(fmt, ap);
        va_end(ap);
        put_char('\n');
    }
}

/* ---- what is asked ---- */

static uint32_t some_size(uint32_t most)
{
    uint32_t kind = below(20), n;

    if (kind < 5) {
        n = 1 + below(4);
    } else if (kind < 14) {
        n = BLOCK_SECTORS * (1 + below(4));
    } else if (kind < 18) {
        n = 1 + below(64);
    } else {
        n = BLOCK_SECTORS * (1 + below(MOST_SECTORS / BLOCK_SECTORS));
    }
    return n < most ? n : most;
}

/* Half of it all is about the first eighth of the place, so that something is found in the cache.
 */
static uint64_t somewhere(uint64_t sectors)
{
    return rnd() % (below(2) ? sectors / 8 + 1 : sectors);
}

static void choose_read(struct slot *s)
{
    uint64_t all = options.sectors - BOARD_AT;

    s->op = READ;
    if (below(12) == 0) {
        s->sector = BOARD_AT + below(options.writers) * BOARD_SECTORS;
        s->sectors = BOARD_SECTORS;
        return;
    }
    s->sector = BOARD_AT + (below(8) == 0 ? below(COARSE_AT - BOARD_AT) : somewhere(all));
    if (below(3) > 0) {
        s->sector -= s->sector % BLOCK_SECTORS;
    }
    uint64_t left = options.sectors - s->sector;
    s->sectors = some_size(left < MOST_SECTORS ? (uint32_t)left : MOST_SECTORS);
}

/* A part of one of this guest's chunks. */
static void choose_own(struct slot *s)
{
    uint64_t chunks = (options.sectors - COARSE_AT) / CHUNK_SECTORS / options.writers;
    uint64_t chunk = somewhere(chunks) * options.writers + options.me;

    s->sectors = some_size(CHUNK_SECTORS);
    uint32_t at = below(CHUNK_SECTORS - s->sectors + 1);
    if (below(3) > 0 && s->sectors % BLOCK_SECTORS == 0) {
        at -= at % BLOCK_SECTORS;
    }
    s->sector = COARSE_AT + chunk * CHUNK_SECTORS + at;
}

static void choose_write(struct slot *s)
{
    uint32_t kind = below(20);

    s->op = WRITE;
    if (kind == 0) {
        s->board = true;
        s->sector = BOARD_AT + options.me * BOARD_SECTORS + below(BOARD_SECTORS);
        s->sectors = 1;
    } else if (kind < 3) {
        s->sector = COMMON_AT + below(COMMON_SECTORS);
        uint32_t left = (uint32_t)(COMMON_AT + COMMON_SECTORS - s->sector);
        s->sectors = 1 + below(left < 24 ? left : 24);
    } else if (kind < 6) {
        uint32_t runs = FINE_SECTORS / FINE_RUN / options.writers;
        uint32_t skip = below(FINE_RUN);
        s->sector = FINE_AT + (below(runs) * options.writers + options.me) * FINE_RUN + skip;
        s->sectors = 1 + below(FINE_RUN - skip);
    } else {
        choose_own(s);
        s->twin = !options.report && s->sector % BLOCK_SECTORS == 0 &&
                  s->sectors % BLOCK_SECTORS == 0 && below(3) == 0;
    }
}

static void choose(struct slot *s)
{
    uint32_t kind = below(100);
    uint64_t features = queue_features();

    s->twin = s->torn = s->board = false;
    if (kind < (options.report ? 10 : 52)) {
        choose_read(s);
    } else if (kind < (options.report ? 84 : 92)) {
        choose_write(s);
    } else if (kind < 95 && options.flush) {
        s->op = FLUSH;
        s->sector = s->sectors = 0;
    } else if (kind < 97 && !options.report && (features & VIRTIO_F_ZEROES)) {
        choose_own(s);
        s->op = ZERO;
    } else if (kind < 98 && options.private && (features & VIRTIO_F_DISCARD)) {
        choose_own(s);
        s->op = DISCARD;
    } else if (!options.report) {
        s->op = below(3) == 0 ? WRITE : READ;
        s->torn = true;
        s->sector = torn_sector(below(TORN_BLOCKS));
        s->sectors = BLOCK_SECTORS;
    } else {
        choose_write(s);
    }
}

static void fill(const struct slot *s)
{
    for (uint32_t i = 0; i < s->sectors; i++) {
        uint8_t *p = buffer_sector(&s->buffer, i);
        uint64_t bytes[SECTOR_WORDS];
        if (s->board) {
            struct board *b = (struct board *)bytes;
            model_board(b, (uint32_t)(s->sector % BOARD_SECTORS));
            b->number = s->seq;
            b->sum = board_sum(b);
        } else if (s->twin) {
            fill_twin(bytes, s->seq / TWIN_ROUND, (uint32_t)(s->sector + i) % BLOCK_SECTORS);
        } else {
            fill_version(bytes, options.me, s->seq, s->sector + i);
        }
        memcpy(p, bytes, SECTOR);
    }
}

/* While the disk has it. */
static void scribble(const struct slot *s)
{
    for (unsigned n = below(64); n > 0; n--) {
        *(buffer_sector(&s->buffer, below(s->sectors)) + below(SECTOR)) = (uint8_t)rnd();
    }
}

/* What a flush that begins now stands for. */
static uint32_t all_done_up_to(void)
{
    uint32_t least = seq;

    for (unsigned i = 0; i < DEPTH; i++) {
        if (slots[i].busy && slots[i].op == WRITE && slots[i].seq <= least) {
            least = slots[i].seq - 1;
        }
    }
    return least;
}

static bool ask(struct slot *s)
{
    choose(s);
    if (!model_may_begin(s)) {
        return false;
    }
    if ((s->op == READ || s->op == WRITE) && !pool_take(&s->buffer, s->sectors * SECTOR)) {
        return false;
    }
    s->seq = s->op == FLUSH ? all_done_up_to() : s->op == READ ? 0 : ++seq;
    if (s->op == WRITE) {
        fill(s);
    }
    if (!s->torn) {
        model_begin(s);
    }
    if (options.report && s->op == WRITE && !s->board) {
        print("w %u %lu %u\n", s->seq, s->sector, s->sectors);
    }
    queue_offer(s);
    return true;
}

/* ---- what has come ---- */

static void end_torn(const struct slot *s)
{
    uint32_t block = (uint32_t)((s->sector - torn_sector(0)) / BLOCK_SECTORS);
    uint64_t h = 1;

    if (s->op == WRITE) {
        torn_hashes[block] = 0;
        return;
    }
    if (s->status != 0) {
        return;
    }
    for (uint32_t i = 0; i < s->sectors; i++) {
        h = mix(h) + hash_bytes(buffer_sector(&s->buffer, i), SECTOR);
    }
    if (torn_hashes[block] != 0 && torn_hashes[block] != h) {
        wrong("block %u, whose buffer changed while it was written, reads differently now", block);
    }
    torn_hashes[block] = h;
}

static void end(struct slot *s)
{
    counts[s->op]++;
    if (s->status != 0) {
        failed++;
        if (!options.errors || s->status != 1) {
            wrong("request %u of %u sectors at %lu: status %u", s->op, s->sectors, s->sector,
                  s->status);
        }
    }
    if (s->torn) {
        end_torn(s);
    } else {
        model_end_of(s);
    }
    if (s->op == READ || s->op == WRITE) {
        *(s->op == READ ? &bytes_read : &bytes_written) += s->sectors * SECTOR;
        pool_give_back(&s->buffer, s->op == WRITE || below(4) == 0);
    }
    if (options.report && s->status == 0) {
        if (s->op == FLUSH) {
            print("f %u\n", s->seq);
        } else if (s->op == WRITE && !s->board) {
            print("d %u\n", s->seq);
        }
    }
}

static void take_all(void)
{
    struct slot *s;

    while ((s = queue_poll()) != NULL) {
        end(s);
    }
}

static void drain(void)
{
    while (queue_in_flight() > 0) {
        take_all();
        __asm__ volatile("pause");
    }
}

static void mixed(void)
{
    for (uint64_t n = 0, phase = 1; n < options.requests;) {
        unsigned want = 1 + below(options.depth), offered = 0;
        struct slot *s;
        for (unsigned tries = 0; offered < want && tries < 20 && (s = queue_free()); tries++) {
            offered += ask(s);
        }
        if (offered > 0) {
            queue_kick();
            n += offered;
        } else {
            __asm__ volatile("pause");
        }
        for (unsigned i = 0; i < DEPTH; i++) {
            if (slots[i].busy && slots[i].torn && slots[i].op == WRITE) {
                scribble(&slots[i]);
            }
        }
        pool_churn();
        take_all();
        if (!options.report && n * PHASES >= phase * options.requests) {
            tap_ok(n_wrong == 0, "phase %lu: %lu requests, %lu wrong", phase, n, n_wrong);
            phase++;
        }
    }
    drain();
}

/* All of the disk once, in order. */
static void read_all(void)
{
    for (uint64_t at = BOARD_AT; at < options.sectors;) {
        struct slot *s;
        while ((s = queue_free()) != NULL && at < options.sectors) {
            s->twin = s->torn = s->board = false;
            s->op = READ;
            s->sector = at;
            s->sectors = options.sectors - at < 128 ? (uint32_t)(options.sectors - at) : 128;
            if (!pool_take(&s->buffer, s->sectors * SECTOR)) {
                break;
            }
            model_begin(s);
            queue_offer(s);
            at += s->sectors;
        }
        queue_kick();
        take_all();
    }
    drain();
}

static void read_options(const uint8_t *boot_params)
{
    options = (struct options){
        .me = (uint32_t)kit_option(boot_params, "me", 0),
        .writers = (uint32_t)kit_option(boot_params, "writers", 1),
        .depth = (uint32_t)kit_option(boot_params, "depth", 8),
        .requests = kit_option(boot_params, "requests", 2000),
        .sectors = kit_option(boot_params, "sectors", 0),
        .known = kit_option(boot_params, "known", 1) != 0,
        .flush = kit_option(boot_params, "flush", 1) != 0,
        .errors = kit_option(boot_params, "errors", 0) != 0,
        .report = kit_option(boot_params, "report", 0) != 0,
        .zeroes = kit_option(boot_params, "zeroes", 0) != 0,
        .private = kit_option(boot_params, "private", 0) != 0,
    };
    random_state = kit_option(boot_params, "seed", 1) * WRITERS + options.me;
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t ram = kit_ram_end(boot_params);

    read_options(boot_params);
    bool ok = options.writers >= 1 && options.writers <= WRITERS && options.me < options.writers &&
              options.depth >= 1 && options.depth <= DEPTH;
    ok = ok && queue_start() &&
         options.sectors >= COARSE_AT + (uint64_t)options.writers * CHUNK_SECTORS &&
         KIT_HEAP + options.sectors * 20 + (2ul << 20) < ram;
    if (!tap_ok(ok, "writer %u of %u, %lu sectors, features %lx", options.me, options.writers,
                options.sectors, queue_features())) {
        return;
    }
    model_init(KIT_HEAP);
    pool_init(model_end(), ram);
    mixed();
    read_all();
    pool_check_all();
    print("verify: %lu reads, %lu writes, %lu flushes, %lu zeroed, %lu discarded, %lu failed; "
          "%lu MiB read, %lu MiB written\n",
          counts[READ], counts[WRITE], counts[FLUSH], counts[ZERO], counts[DISCARD], failed,
          bytes_read >> 20, bytes_written >> 20);
    tap_ok(n_wrong == 0, "all of the disk and of the memory: %lu wrong", n_wrong);
}
