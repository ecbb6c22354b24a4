/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk: data against an oracle disk, odd buffers, errors, resets, hostile requests. */
#include "base/bits.h"
#include "drivers/guest/virtio/blk_slot.h"
#include "steps.h"
#include "world_vblk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define T_IN 0
#define T_OUT 1
#define T_FLUSH 4
#define T_GET_ID 8
#define T_DISCARD 11
#define T_ZEROES 13
#define S_OK 0
#define S_IOERR 1
#define S_UNSUPP 2

#define F_RO 5
#define F_FLUSH 9
#define F_DISCARD 13
#define F_ZEROES 14
#define FEATURES                                                                                   \
    (BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(F_FLUSH) |              \
     BIT(F_DISCARD) | BIT(F_ZEROES))

#define SECTORS 16384u
#define RING 0x10000u
#define HEADERS 0x20000u /* 64 bytes for each request: header and status */
#define TABLES 0x30000u  /* 4 KiB each */
#define DATA 0x80000u
#define RAM_PAGES 2400u

static uint64_t header_at(unsigned id)
{
    return HEADERS + 64u * id;
}

static uint8_t status_of(struct tvblk *r, unsigned id)
{
    return tvblk_status(r, header_at(id));
}

static int send(struct tvblk *r, unsigned id, uint32_t type, uint64_t sector,
                const struct tdesc *data, unsigned n, bool table)
{
    return tvblk_send(r, header_at(id), type, sector, data, n, table ? TABLES + id * PAGE_SIZE : 0);
}

static uint8_t ask(struct tvblk *r, uint32_t type, uint64_t sector, const struct tdesc *data,
                   unsigned n)
{
    return tvblk_ask(r, header_at(0), type, sector, data, n);
}

static struct tvblk *rig_new(unsigned n_slots)
{
    struct tvblk *r = calloc(1, sizeof(*r));

    tvblk_init(r, RAM_PAGES + 200, RAM_PAGES, SECTORS, n_slots);
    return r;
}

static void rig_free(struct tvblk *r)
{
    tvblk_fini(r);
    free(r);
}

static void fill(struct tvblk *r, uint64_t gpa, uint32_t n, unsigned seed)
{
    for (uint32_t i = 0; i < n; i += 4) {
        tguest_put32(&r->g, gpa + i, (i + 1) * 2654435761u + seed);
    }
}

/* ---- the transport ------------------------------------------------------------------------- */

static void registers_speak_virtio(void **state)
{
    struct tvblk *r = rig_new(1);

    (void)state;
    assert_int_equal(load_le16(r->d.pci.pci.config), 0x1af4);
    assert_int_equal(load_le16(r->d.pci.pci.config + 2), 0x1042);
    assert_int_equal(tvblk_in(r, 0x12, 2), 1);
    tvblk_out(r, 0x00, 4, 1);
    assert_int_equal(tvblk_in(r, 0x04, 4), 1); /* VERSION_1 */
    tvblk_out(r, 0x00, 4, 2);
    assert_int_equal(tvblk_in(r, 0x04, 4), 0);
    assert_int_equal(tvblk_in(r, 0x18, 2), 256);
    tvblk_out(r, 0x16, 2, 1);
    assert_int_equal(tvblk_in(r, 0x18, 2), 0); /* there is no second queue */
    tvblk_out(r, 0x1c, 2, 1);
    tvblk_out(r, 0x16, 2, 0);
    assert_int_equal(tvblk_in(r, 0x1c, 2), 0);
    assert_int_equal(tvblk_in(r, 0x80, 4), SECTORS);
    assert_int_equal(tvblk_in(r, 0x84, 4), 0);
    assert_int_equal(tvblk_in(r, 0x80 + 20, 4), 512);
    tvblk_out(r, 0x1a, 2, 2); /* there are two vectors: 0 and 1 */
    assert_int_equal(tvblk_in(r, 0x1a, 2), 0xffff);
    tvblk_out(r, 0x1a, 2, 1);
    assert_int_equal(tvblk_in(r, 0x1a, 2), 1);
    /* Every offset and width answers something. */
    for (unsigned off = 0; off < 256; off++) {
        for (unsigned size = 1; size <= 4; size *= 2) {
            (void)tvblk_in(r, off, size);
            tvblk_out(r, off, size, 0);
        }
    }
    rig_free(r);
}

static void features_are_checked(void **state)
{
    static const struct {
        uint64_t features;
        bool ok;
    } cases[] = {
        {BIT(VIRTIO_F_VERSION_1), true},
        {BIT(VIRTIO_F_VERSION_1) | FEATURES, true},
        {FEATURES, false}, /* a legacy driver */
        {BIT(VIRTIO_F_VERSION_1) | BIT(F_RO), false},
        {BIT(VIRTIO_F_VERSION_1) | BIT(63), false},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct tvblk *r = rig_new(1);

        for (unsigned h = 0; h < 2; h++) {
            tvblk_out(r, 0x08, 4, h);
            tvblk_out(r, 0x0c, 4, (uint32_t)(cases[i].features >> (32 * h)));
        }
        tvblk_out(r, 0x14, 1, 0x0b);
        assert_int_equal(tvblk_in(r, 0x14, 1), cases[i].ok ? 0x0b : 0x03);
        tvblk_out(r, 0x14, 1, 0x0f);
        assert_int_equal(tvblk_in(r, 0x14, 1) & VIRTIO_CONFIG_S_DRIVER_OK, cases[i].ok ? 4 : 0);
        rig_free(r);
    }
}

/* Finds the vendor capability of a type by walking the list, as a driver does. */
static unsigned find_cap(struct tvblk *r, unsigned type)
{
    uint32_t dev = 0x80000000u | TVBLK_SLOT << 11;
    unsigned at = vpci_config_read(&r->bus, dev | 0x34, 1) & 0xff;

    for (unsigned i = 0; at != 0 && i < 48; i++) {
        if ((vpci_config_read(&r->bus, dev | at, 1) & 0xff) == 0x09 &&
            (vpci_config_read(&r->bus, dev | (at + 3), 1) & 0xff) == type) {
            return at;
        }
        at = vpci_config_read(&r->bus, dev | (at + 1), 1) & 0xff;
    }
    return 0;
}

static void the_config_window_reaches_the_bar(void **state)
{
    struct tvblk *r = rig_new(1);
    uint32_t dev = 0x80000000u | TVBLK_SLOT << 11;
    unsigned cap = find_cap(r, 5);

    (void)state;
    for (unsigned type = 1; type <= 5; type++) {
        assert_true(find_cap(r, type) != 0);
    }
    assert_int_equal(vpci_config_read(&r->bus, dev | (find_cap(r, 2) + 16), 4), 4);
    vpci_config_write(&r->bus, dev | (cap + 4), 1, 0);
    vpci_config_write(&r->bus, dev | (cap + 8), 4, 0x80);
    vpci_config_write(&r->bus, dev | (cap + 12), 4, 4);
    assert_int_equal(vpci_config_read(&r->bus, dev | (cap + 16), 4), SECTORS);
    vpci_config_write(&r->bus, dev | (cap + 8), 4, 0x14);
    vpci_config_write(&r->bus, dev | (cap + 12), 4, 1);
    vpci_config_write(&r->bus, dev | (cap + 16), 4, 3);
    assert_int_equal(tvblk_in(r, 0x14, 1), 3);
    /* What names nothing does nothing. */
    static const uint32_t bad[][3] = {{1, 0, 4},          {0, 254, 4}, {0, 0xfffffffc, 4},
                                      {0, 1, 2},          {0, 0, 3},   {0, 0, 0},
                                      {0, 0, 0xffffffff}, {0, 256, 1}, {0xff, 0x14, 1}};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        vpci_config_write(&r->bus, dev | (cap + 4), 1, bad[i][0]);
        vpci_config_write(&r->bus, dev | (cap + 8), 4, bad[i][1]);
        vpci_config_write(&r->bus, dev | (cap + 12), 4, bad[i][2]);
        (void)vpci_config_read(&r->bus, dev | (cap + 16), 4);
        vpci_config_write(&r->bus, dev | (cap + 16), 4, 0);
        assert_int_equal(tvblk_in(r, 0x14, 1), 3);
    }
    rig_free(r);
}

static void intx_is_taken_back_by_the_isr(void **state)
{
    struct tvblk *r = rig_new(4);
    struct tdesc d = {DATA, 512, true};

    (void)state;
    tvblk_start(r, FEATURES, 16, RING);
    assert_int_equal(ask(r, T_IN, 0, &d, 1), S_OK);
    assert_true(r->line);
    assert_int_equal(tvblk_in(r, VIRTIO_PCI_ISR_AT, 1), 1);
    assert_false(r->line);
    assert_int_equal(tvblk_in(r, VIRTIO_PCI_ISR_AT, 1), 0);
    rig_free(r);
}

static void msix_replaces_intx(void **state)
{
    struct tvblk *r = rig_new(4);
    struct tdesc d = {DATA, 512, true};
    const struct vpci_bar *table = &r->d.pci.pci.bars[VIRTIO_PCI_MSIX_BAR];
    uint32_t control = 0x80000000u | TVBLK_SLOT << 11 | (r->d.pci.pci.msix.cap + 2);

    (void)state;
    vpci_config_write(&r->bus, 0x80000000u | TVBLK_SLOT << 11 | PCI_COMMAND, 2,
                      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    vpci_config_write(&r->bus, control, 2, 0x8000);
    for (unsigned v = 0; v < 2; v++) {
        table->write(table->ctx, 16 * v, 4, 0xfee00000);
        table->write(table->ctx, 16 * v + 4, 4, 0);
        table->write(table->ctx, 16 * v + 8, 4, 0x40 + v);
        table->write(table->ctx, 16 * v + 12, 4, 0);
    }
    tvblk_start(r, FEATURES, 16, RING);
    tvblk_out(r, 0x1a, 2, 1);
    tvblk_out(r, 0x10, 2, 0);
    assert_int_equal(ask(r, T_IN, 0, &d, 1), S_OK);
    assert_int_equal(r->messages, 1);
    assert_int_equal(r->last_message, 0x41);
    assert_int_equal(tvblk_in(r, VIRTIO_PCI_ISR_AT, 1), 0);
    tdriver_offer(&r->t, 99);
    tvblk_kick(r); /* the queue breaks: configuration interrupt */
    assert_int_equal(r->messages, 2);
    assert_int_equal(r->last_message, 0x40);
    assert_int_equal(r->line_raised, 0);
    rig_free(r);
}

/* ---- data ---------------------------------------------------------------------------------- */

#define REGIONS 8
#define REGION_SECTORS 1400u
#define REGION_BYTES 0x100000u /* of guest memory */

struct flight {
    bool busy;
    uint32_t type;
    int head;
    uint64_t sector;
    uint32_t sectors, bytes;
    struct tdesc d[72];
    unsigned n;
    bool failed; /* the disk refused a piece */
};

/* Cuts `bytes` of data into buffers of one of several kinds, in the region's guest memory. */
static unsigned cut(struct tdesc *d, unsigned region, uint32_t bytes, bool write)
{
    uint64_t at = DATA + region * (uint64_t)REGION_BYTES;
    unsigned kind = (unsigned)rand() % 4, n = 0;

    while (bytes > 0) {
        uint32_t len = bytes;

        if (n < 60) {
            switch (kind) {
            case 0: /* pages, apart */
                at = ALIGN_UP(at + 1, PAGE_SIZE);
                len = PAGE_SIZE;
                break;
            case 1: /* sectors */
                at = ALIGN_UP(at, 512) + 512u * ((unsigned)rand() % 3);
                len = 512u * (1 + (unsigned)rand() % 20);
                break;
            case 2: /* anything */
                at += (unsigned)rand() % 7;
                len = 1 + (unsigned)rand() % 9000;
                break;
            default: /* now this, now that */
                at = rand() % 2 ? ALIGN_UP(at, 512) : at + 3;
                len = rand() % 2 ? 512u * (1 + (unsigned)rand() % 20) : 1 + (unsigned)rand() % 900;
                break;
            }
        }
        len = MIN(len, bytes);
        d[n++] = (struct tdesc){at, len, write};
        at += len;
        bytes -= len;
    }
    assert_true(at <= DATA + (region + 1) * (uint64_t)REGION_BYTES);
    return n;
}

static void compare(struct tvblk *r, const struct flight *f, const uint8_t *want)
{
    static uint8_t got[REGION_SECTORS * 512];

    for (unsigned i = 0; i < f->n; i++) {
        tguest_get(&r->g, f->d[i].addr, got, f->d[i].len);
        assert_memory_equal(got, want, f->d[i].len);
        want += f->d[i].len;
    }
}

static void launch(struct tvblk *r, struct flight *f, unsigned region)
{
    uint32_t types[] = {T_IN, T_IN, T_OUT, T_OUT, T_FLUSH};
    uint32_t start = (unsigned)rand() % REGION_SECTORS;

    f->type = types[(unsigned)rand() % ARRAY_LEN(types)];
    f->sectors = f->type == T_FLUSH ? 0 : (unsigned)rand() % (REGION_SECTORS - start);
    if (rand() % 4 != 0) {
        f->sectors = MIN(f->sectors, 64u);
    }
    f->sector = region * REGION_SECTORS + start;
    f->bytes = f->sectors * 512;
    f->failed = false;
    f->n = cut(f->d, region, f->bytes, f->type == T_IN);
    if (f->type == T_OUT) {
        for (unsigned i = 0; i < f->n; i++) {
            uint8_t b[9000];

            for (uint32_t done = 0; done < f->d[i].len;) {
                uint32_t n = MIN(f->d[i].len - done, (uint32_t)sizeof(b));

                for (uint32_t j = 0; j < n; j++) {
                    b[j] = (uint8_t)rand();
                }
                tguest_put(&r->g, f->d[i].addr + done, b, n);
                done += n;
            }
        }
    }
    f->head = send(r, region, f->type, f->sector, f->d, f->n, true);
    assert_true(f->head >= 0);
    f->busy = true;
}

static void land(struct tvblk *r, struct flight *f, unsigned region, uint32_t len, uint8_t *oracle)
{
    uint8_t *want = oracle + f->sector * 512;

    f->busy = false;
    if (f->failed) {
        assert_int_equal(status_of(r, region), S_IOERR);
        memcpy(want, r->disk.data + f->sector * 512, f->bytes);
        return;
    }
    assert_int_equal(status_of(r, region), S_OK);
    if (f->type == T_IN) {
        assert_int_equal(len, f->bytes + 1);
        compare(r, f, want);
    } else {
        assert_int_equal(len, 1);
        for (unsigned i = 0; i < f->n; i++) {
            tguest_get(&r->g, f->d[i].addr, want, f->d[i].len);
            want += f->d[i].len;
        }
    }
    assert_memory_equal(oracle + region * REGION_SECTORS * 512,
                        r->disk.data + region * REGION_SECTORS * 512, REGION_SECTORS * 512);
}

/* Many requests in flight in regions of their own, completed in any order, some by an error. */
static void data_agrees_with_the_oracle(void **state)
{
    struct tvblk *r = rig_new(5); /* fewer slots than requests */
    static struct flight flights[REGIONS];
    uint8_t *oracle = malloc(SECTORS * 512);
    unsigned done = 0;

    (void)state;
    srand(3);
    memcpy(oracle, r->disk.data, SECTORS * 512);
    memset(flights, 0, sizeof(flights));
    tvblk_start(r, FEATURES, 64, RING);
    while (done < 1500) {
        unsigned region = (unsigned)rand() % REGIONS;
        uint32_t len;
        int head;

        if (!flights[region].busy) {
            launch(r, &flights[region], region);
            tvblk_kick(r);
        }
        while (r->disk.n > 0 && rand() % 3 != 0) {
            unsigned i = (unsigned)rand() % r->disk.n;
            const struct blk_req *q = r->disk.waiting[i];
            bool bad = rand() % 64 == 0;

            if (bad) {
                const struct virtio_blk_slot *slot = q->ctx;

                for (unsigned k = 0; k < REGIONS; k++) {
                    if (flights[k].busy && flights[k].head == slot->chain.head) {
                        flights[k].failed = true;
                    }
                }
            }
            tdisk_complete(&r->disk, i, bad ? E_IO : OK);
        }
        tvblk_work(r);
        while ((head = tdriver_take(&r->t, &len)) >= 0) {
            for (unsigned k = 0; k < REGIONS; k++) {
                if (flights[k].busy && flights[k].head == head) {
                    land(r, &flights[k], k, len, oracle);
                    done++;
                    break;
                }
            }
        }
    }
    assert_true(r->d.stats.bounced > 0 && r->d.stats.no_slot > 0 && r->d.stats.errors > 0);
    rig_free(r);
    free(oracle);
}

/* ---- single requests ----------------------------------------------------------------------- */

static void the_header_may_be_split(void **state)
{
    struct tvblk *r = rig_new(2);
    uint8_t got[512];
    uint32_t len;

    (void)state;
    tvblk_start(r, FEATURES, 64, RING);
    tvblk_put_header(r, header_at(0), T_IN, 7);
    /* The status byte shares a buffer with data. */
    struct tdesc d[] = {{header_at(0), 3, false},      {header_at(0) + 3, 1, false},
                        {header_at(0) + 4, 11, false}, {header_at(0) + 15, 1, false},
                        {DATA + 1, 100, true},         {DATA + 101, 413, true}};
    assert_true(tdriver_add(&r->t, d, 6, 0) >= 0);
    r->disk.immediate = true;
    tvblk_kick(r);
    assert_true(tdriver_take(&r->t, &len) >= 0);
    assert_int_equal(len, 513);
    tguest_get(&r->g, DATA + 1, got, 512);
    assert_memory_equal(got, r->disk.data + 7 * 512, 512);
    tguest_get(&r->g, DATA + 513, got, 1);
    assert_int_equal(got[0], S_OK);
    rig_free(r);
}

static void the_id_is_the_serial(void **state)
{
    struct tvblk *r = rig_new(2);
    struct tdesc d = {DATA + 5, 20, true};
    char id[21] = {0};

    (void)state;
    tvblk_start(r, FEATURES, 16, RING);
    assert_int_equal(ask(r, T_GET_ID, 0, &d, 1), S_OK);
    tguest_get(&r->g, DATA + 5, id, 20);
    assert_string_equal(id, "web1-disk0");
    /* The ring is empty, and a kick is asked for when that changes. */
    assert_int_equal(tguest_get16(&r->g, r->t.used + 4 + 8 * 16), r->t.avail_idx);
    rig_free(r);
}

static void the_id_waits_for_a_frame(void **state)
{
    struct tvblk *r = calloc(1, sizeof(*r));
    struct tdesc d = {0x60000, 20, true};
    uint32_t len;

    (void)state;
    tvblk_init(r, 200, 180, SECTORS, 1);
    tvblk_start(r, FEATURES, 16, RING);
    assert_true(send(r, 0, T_GET_ID, 0, &d, 1, false) >= 0);
    tguest_starve(&r->g, 0);
    tvblk_kick(r);
    assert_true(r->d.wants_memory && r->wakes > 0);
    assert_false(virtio_blk_work(&r->d, NULL));
    assert_int_equal(tdriver_take(&r->t, &len), -1);
    tguest_feed(&r->g);
    tvblk_work(r);
    assert_false(r->d.wants_memory);
    assert_true(tdriver_take(&r->t, &len) >= 0);
    assert_int_equal(status_of(r, 0), S_OK);
    tvblk_fini(r); /* finds a page that was pinned twice */
    free(r);
}

static void bad_requests_fail_by_themselves(void **state)
{
    static const struct {
        uint32_t type;
        uint64_t sector;
        struct tdesc d;
        uint8_t want;
    } cases[] = {
        {T_IN, SECTORS, {DATA, 512, true}, S_IOERR},
        {T_IN, SECTORS - 1, {DATA, 1024, true}, S_IOERR},
        {T_IN, UINT64_MAX, {DATA, 512, true}, S_IOERR},
        {T_IN, UINT64_MAX - 1, {DATA, 1024, true}, S_IOERR},
        {T_IN, 0, {DATA, 511, true}, S_IOERR},
        {T_IN, 0, {RAM_PAGES * PAGE_SIZE, 512, true}, S_IOERR},
        {T_IN, 0, {RAM_PAGES * PAGE_SIZE - 512, 1024, true}, S_IOERR},
        {T_IN, 0, {UINT64_C(1) << 60, 4096, true}, S_IOERR},
        {T_OUT, 0, {UINT64_C(1) << 52, 4096, false}, S_IOERR},
        {T_OUT, SECTORS, {DATA, 512, false}, S_IOERR},
        {T_OUT, 0, {DATA, 513, false}, S_IOERR},
        {T_IN, 0, {RAM_PAGES * PAGE_SIZE - 511, 512, true}, S_IOERR},
        {T_OUT, 0, {RAM_PAGES * PAGE_SIZE - 511, 512, false}, S_IOERR},
        {T_GET_ID, 0, {RAM_PAGES * PAGE_SIZE, 20, true}, S_IOERR},
        {2, 0, {DATA, 512, true}, S_UNSUPP},
        {T_DISCARD, 0, {DATA, 15, false}, S_IOERR},
        {T_DISCARD, 0, {DATA, 16 * 17, false}, S_IOERR},
        {T_ZEROES, 0, {RAM_PAGES * PAGE_SIZE, 16, false}, S_IOERR},
        {UINT32_MAX, 0, {DATA, 512, false}, S_UNSUPP},
        /* and to see that it still lives */
        {T_IN, SECTORS - 1, {DATA, 512, true}, S_OK},
        {T_FLUSH, 0, {DATA, 512, false}, S_OK},
    };
    struct tvblk *r = rig_new(2);
    uint8_t *before = malloc(SECTORS * 512);

    (void)state;
    memcpy(before, r->disk.data, SECTORS * 512);
    tvblk_start(r, FEATURES, 16, RING);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(ask(r, cases[i].type, cases[i].sector, &cases[i].d, 1), cases[i].want);
    }
    assert_memory_equal(before, r->disk.data, SECTORS * 512);
    free(before);
    rig_free(r);
}

static void zones(struct tvblk *r, unsigned i, uint64_t sector, uint32_t n, uint32_t flags)
{
    tguest_put64(&r->g, DATA + 16 * i, sector);
    tguest_put32(&r->g, DATA + 16 * i + 8, n);
    tguest_put32(&r->g, DATA + 16 * i + 12, flags);
}

static void zeroes_and_discards(void **state)
{
    struct tvblk *r = rig_new(2);
    struct tdesc one = {DATA, 16, false};
    struct tdesc three[2] = {{DATA, 21, false}, {DATA + 21, 27, false}};
    static const uint8_t zero[5 * 512];

    (void)state;
    tvblk_start(r, FEATURES, 16, RING);
    zones(r, 0, 10, 5, 0);
    zones(r, 1, 0, 0, 1);
    zones(r, 2, 100, 5, 1);
    assert_int_equal(ask(r, T_ZEROES, 0, three, 2), S_OK);
    assert_memory_equal(r->disk.data + 10 * 512, zero, sizeof(zero));
    assert_memory_equal(r->disk.data + 100 * 512, zero, sizeof(zero));
    assert_int_equal(r->disk.seen, 2);
    zones(r, 0, 3, 1, 0);
    zones(r, 2, 200, 5, 2); /* one bad zone: none is carried out */
    assert_int_equal(ask(r, T_ZEROES, 0, three, 2), S_UNSUPP);
    zones(r, 2, SECTORS - 4, 5, 0);
    assert_int_equal(ask(r, T_ZEROES, 0, three, 2), S_IOERR);
    zones(r, 2, UINT64_MAX, 5, 0);
    assert_int_equal(ask(r, T_ZEROES, 0, three, 2), S_IOERR);
    zones(r, 2, 0, 65537, 0);
    assert_int_equal(ask(r, T_ZEROES, 0, three, 2), S_IOERR);
    zones(r, 0, 0, 8, 1);
    assert_int_equal(ask(r, T_DISCARD, 0, &one, 1), S_UNSUPP);
    assert_int_equal(r->disk.seen, 2);
    zones(r, 0, 0, 8, 0);
    assert_int_equal(ask(r, T_DISCARD, 0, &one, 1), S_OK);
    assert_int_equal(r->disk.seen, 3);
    rig_free(r);
}

static void a_read_only_disk_stays_as_it_is(void **state)
{
    struct tvblk *r = calloc(1, sizeof(*r));
    struct tdesc out = {DATA, 512, false}, in = {DATA, 512, true};

    (void)state;
    tvblk_init(r, 300, 256, SECTORS, 2);
    r->disk.dev.read_only = true;
    virtio_blk_init(&r->d, &(struct virtio_blk_cfg){.p2m = r->d.cfg.p2m,
                                                    .disk = r->d.cfg.disk,
                                                    .serial = "a serial longer than 20 bytes",
                                                    .bounce = r->bounce,
                                                    .wake = r->d.cfg.wake,
                                                    .wake_ctx = r});
    assert_int_equal(virtio_blk_add_slot(&r->d, r->slots[0]), OK);
    r->bus.slots[TVBLK_SLOT] = NULL;
    r->ports.n = 0;
    r->mmio.n = 0;
    assert_int_equal(vpci_add(&r->bus, &r->d.pci.pci, TVBLK_SLOT), OK);
    tvblk_start(r, BIT(F_RO) | BIT(F_FLUSH), 16, RING);
    assert_int_equal(ask(r, T_OUT, 0, &out, 1), S_IOERR);
    assert_int_equal(ask(r, T_ZEROES, 0, &out, 1), S_UNSUPP);
    assert_int_equal(r->disk.seen, 0);
    assert_int_equal(ask(r, T_IN, 0, &in, 1), S_OK);
    assert_int_equal(ask(r, T_FLUSH, 0, NULL, 0), S_OK);
    rig_free(r);
}

static void writes_are_durable_without_flush(void **state)
{
    struct tvblk *r = rig_new(2);
    struct tdesc d = {DATA, 4096, false};

    (void)state;
    tvblk_start(r, 0, 16, RING);
    assert_int_equal(ask(r, T_OUT, 0, &d, 1), S_OK);
    assert_int_equal(r->disk.flushed, 1);
    tvblk_start(r, BIT(F_FLUSH), 16, RING);
    assert_int_equal(ask(r, T_OUT, 0, &d, 1), S_OK);
    assert_int_equal(r->disk.flushed, 1);
    rig_free(r);
}

/* A disk that completes inside submit, and a request of very many pieces: no recursion, no one call
 * that does it all. */
static void a_long_request_is_done_in_bounded_steps(void **state)
{
    struct tvblk *r = rig_new(2);
    struct tdesc d = {DATA + 1, 4 << 20, false};
    struct looks looks;
    unsigned steps = 0;
    uint32_t len;

    (void)state;
    tvblk_start(r, FEATURES, 16, RING);
    fill(r, DATA, (4 << 20) + 4, 9);
    r->disk.immediate = true;
    assert_true(send(r, 0, T_OUT, 0, &d, 1, false) >= 0);
    r->until = looks_begin(&looks, 10);
    tvblk_kick(r);
    assert_int_equal(tdriver_take(&r->t, &len), -1);
    assert_true(r->wakes > 0);
    while (virtio_blk_work(&r->d, looks_begin(&looks, 10))) {
        assert_true(looks.n <= 12); /* a look for each loop on the way out */
        steps++;
    }
    assert_true(steps > 200);
    assert_true(tdriver_take(&r->t, &len) >= 0);
    for (uint32_t i = 0; i < 4 << 20; i += 512) {
        uint8_t b[512];

        tguest_get(&r->g, d.addr + i, b, 512);
        assert_memory_equal(b, r->disk.data + i, 512);
    }
    rig_free(r);
}

/* What lies side by side in the machine goes to the disk as one segment. */
static void neighbours_are_coalesced(void **state)
{
    struct tvblk *r = rig_new(2);
    struct tdesc d = {DATA, 16 * PAGE_SIZE, true};
    uint64_t bytes = 0;

    (void)state;
    tvblk_start(r, FEATURES, 16, RING);
    assert_true(send(r, 0, T_IN, 0, &d, 1, false) >= 0);
    tvblk_kick(r);
    assert_int_equal(r->disk.n, 1);
    for (unsigned i = 0; i < r->disk.waiting[0]->n_segs; i++) {
        const struct blk_seg *s = &r->disk.waiting[0]->segs[i];

        bytes += s->bytes;
        assert_true(i == 0 || s[-1].addr.a + s[-1].bytes != s->addr.a);
    }
    assert_int_equal(bytes, 16 * PAGE_SIZE);
    rig_free(r);
}

/* ---- batches, resets, memory --------------------------------------------------------------- */

/* The pages that a read has filled are named, no others: not a write's, not a failed read's. */
static void arrivals_are_told(void **state)
{
    struct tvblk *r = rig_new(4);
    uint64_t first = DATA / PAGE_SIZE, want = 0;
    struct tdesc data[2] = {{DATA, 2 * PAGE_SIZE, true}, {DATA + 5 * PAGE_SIZE, 512, true}};

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        want |= i < 2 || i == 5 ? UINT64_C(1) << (first + i) % 64 : 0;
    }
    tvblk_start(r, FEATURES, 16, RING);
    assert_int_equal(ask(r, T_IN, 8, data, 2), 0);
    assert_true(r->arrived == want);
    r->arrived = 0;
    data[0].write = false;
    data[1].write = false;
    assert_int_equal(ask(r, T_OUT, 8, data, 2), 0);
    assert_true(r->arrived == 0);
    rig_free(r);
}

static void one_interrupt_for_a_batch(void **state)
{
    struct tvblk *r = rig_new(16);
    uint32_t len;

    (void)state;
    tvblk_start(r, FEATURES, 256, RING);
    for (unsigned i = 0; i < 10; i++) {
        struct tdesc d = {DATA + i * PAGE_SIZE, 4096, true};

        assert_true(send(r, i, T_IN, i * 8, &d, 1, false) >= 0);
    }
    tvblk_kick(r);
    assert_int_equal(r->disk.n, 10);
    for (unsigned i = 0; i < 10; i++) {
        tdisk_complete(&r->disk, 0, OK);
    }
    assert_int_equal(tdriver_take(&r->t, &len), -1); /* only work touches the ring */
    tvblk_work(r);
    assert_int_equal(r->d.stats.interrupts, 1);
    for (unsigned i = 0; i < 10; i++) {
        assert_true(tdriver_take(&r->t, &len) >= 0);
        assert_int_equal(status_of(r, i), S_OK);
    }
    rig_free(r);
}

static void more_requests_than_slots(void **state)
{
    struct tvblk *r = rig_new(3);
    unsigned done = 0;
    uint32_t len;

    (void)state;
    tvblk_start(r, FEATURES, 64, RING);
    for (unsigned i = 0; i < 15; i++) {
        struct tdesc d = {DATA + i * PAGE_SIZE, 4096, true};

        assert_true(send(r, i, T_IN, i * 8, &d, 1, false) >= 0);
    }
    tvblk_kick(r); /* once */
    while (done < 15) {
        assert_true(r->disk.n > 0 && r->disk.n <= 3);
        tdisk_complete(&r->disk, r->disk.n - 1, OK);
        tvblk_work(r);
        while (tdriver_take(&r->t, &len) >= 0) {
            done++;
        }
    }
    rig_free(r);
}

static void a_reset_waits_for_what_is_in_flight(void **state)
{
    struct tvblk *r = rig_new(4);
    struct tdesc d = {DATA, 3 << 20, true}, odd = {DATA + 1, 8192, true}, in = {DATA, 512, true};

    (void)state;
    tvblk_start(r, FEATURES, 64, RING);
    assert_true(send(r, 0, T_IN, 0, &d, 1, false) >= 0);
    assert_true(send(r, 1, T_IN, 0, &odd, 1, false) >= 0);
    assert_true(send(r, 2, T_IN, 0, &odd, 1, false) >= 0); /* waits for the bounce page */
    tvblk_kick(r);
    assert_int_equal(r->disk.n, 2);
    tvblk_out(r, 0x14, 1, 0);
    assert_true(tvblk_in(r, 0x14, 1) != 0);
    tvblk_out(r, 0x14, 1, 1);
    tvblk_out(r, 0x20, 4, RING); /* too early: ignored */
    tvblk_kick(r);
    tdisk_complete(&r->disk, 0, OK);
    tvblk_work(r);
    assert_true(tvblk_in(r, 0x14, 1) != 0);
    tdisk_complete(&r->disk, 0, E_IO);
    tvblk_work(r);
    assert_int_equal(tvblk_in(r, 0x14, 1), 0);
    assert_int_equal(tvblk_in(r, 0x20, 4), 0);
    assert_int_equal(r->disk.n, 0);
    assert_int_equal(r->g.frames.pinned, 0);
    assert_int_equal(status_of(r, 0), TVBLK_STATUS_NONE);
    tvblk_start(r, FEATURES, 64, RING);
    assert_int_equal(ask(r, T_IN, 0, &in, 1), S_OK);
    rig_free(r);
}

static void a_broken_queue_asks_for_a_reset(void **state)
{
    struct tvblk *r = rig_new(4);
    struct tdesc in = {DATA, 512, true};
    struct tdesc no_status = {DATA, 512, false};
    uint32_t len;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        tvblk_start(r, FEATURES, 64, RING);
        assert_true(send(r, 1, T_IN, 0, &in, 1, false) >= 0);
        tvblk_kick(r);
        if (i == 0) {
            tdriver_offer(&r->t, 64); /* no such descriptor */
        } else if (i == 1) {
            tdriver_add(&r->t, &no_status, 1, 0);
        } else {
            struct tdesc d[2] = {{header_at(0), 16, false}, {RAM_PAGES * PAGE_SIZE, 1, true}};

            tdriver_add(&r->t, d, 2, 0);
        }
        (void)tvblk_in(r, VIRTIO_PCI_ISR_AT, 1);
        tvblk_kick(r);
        assert_int_equal(tvblk_in(r, 0x14, 1), 0x4f);
        assert_int_equal(tvblk_in(r, VIRTIO_PCI_ISR_AT, 1), 2);
        tdisk_complete(&r->disk, 0, OK);
        tvblk_work(r);
        assert_int_equal(tdriver_take(&r->t, &len), -1);
    }
    tvblk_start(r, FEATURES, 64, RING);
    assert_int_equal(ask(r, T_IN, 0, &in, 1), S_OK);
    rig_free(r);
}

static void out_of_frames_loses_nothing(void **state)
{
    (void)state;
    for (unsigned odd = 0; odd < 2; odd++) {
        for (uint64_t leave = 0; leave < 14; leave++) {
            struct tvblk *r = calloc(1, sizeof(*r));
            uint8_t got[512];
            uint32_t len;
            unsigned paused = 0, done = 0;

            tvblk_init(r, 200, 180, SECTORS, 4);
            tvblk_start(r, FEATURES, 64, RING);
            for (unsigned i = 0; i < 3; i++) {
                /* Pages that were never touched. */
                struct tdesc d = {0x50000 + i * 0x8000 + odd, 6 * 4096, true};

                assert_true(send(r, i, T_IN, i * 100, &d, 1, false) >= 0);
            }
            tguest_starve(&r->g, leave);
            tvblk_kick(r);
            for (unsigned i = 0; done < 3; i++) {
                assert_true(i < 1000);
                while (r->disk.n > 0) {
                    tdisk_complete(&r->disk, r->disk.n - 1, OK);
                }
                tvblk_work(r);
                if (r->d.wants_memory && r->disk.n == 0) {
                    paused++;
                    /* One frame at a time: each is enough for progress. */
                    assert_true(r->g.n_hoard > 0);
                    frames_free(&r->g.frames, r->g.hoard[--r->g.n_hoard]);
                    tvblk_work(r);
                }
                while (tdriver_take(&r->t, &len) >= 0) {
                    assert_int_equal(len, 6 * 4096 + 1);
                    done++;
                }
            }
            assert_true(paused > 0);
            for (unsigned i = 0; i < 3; i++) {
                for (unsigned s = 0; s < 48; s++) {
                    tguest_get(&r->g, 0x50000 + i * 0x8000 + odd + s * 512, got, 512);
                    assert_memory_equal(got, r->disk.data + (i * 100 + s) * 512, 512);
                }
                assert_int_equal(status_of(r, i), S_OK);
            }
            tvblk_fini(r);
            free(r);
        }
    }
}

static void pins_are_bounded(void **state)
{
    struct tvblk *r = rig_new(64);
    uint32_t len;
    unsigned done = 0, most = 0;

    (void)state;
    tvblk_start(r, FEATURES, 256, RING);
    for (unsigned i = 0; i < 40; i++) {
        struct tdesc d = {DATA, 2 << 20, false};

        assert_true(send(r, i, T_OUT, 0, &d, 1, false) >= 0);
    }
    tvblk_kick(r);
    while (done < 40) {
        tvblk_work(r);
        most = MAX(most, r->d.n_pins);
        assert_true(r->disk.n > 0 || r->d.n_busy == 0);
        if (r->disk.n > 0) {
            tdisk_complete(&r->disk, (unsigned)rand() % r->disk.n, OK);
        }
        tvblk_work(r);
        while (tdriver_take(&r->t, &len) >= 0) {
            done++;
        }
    }
    assert_int_equal(most, VIRTIO_BLK_PINS);
    rig_free(r);
}

static void quiesce_ends_everything(void **state)
{
    struct tvblk *r = rig_new(4);
    struct tdesc d = {DATA, 3 << 20, true}, odd = {DATA + 1, 8192, true};

    (void)state;
    tvblk_start(r, FEATURES, 64, RING);
    assert_true(send(r, 0, T_IN, 0, &d, 1, false) >= 0);
    assert_true(send(r, 1, T_IN, 0, &odd, 1, false) >= 0);
    assert_true(send(r, 2, T_IN, 0, &odd, 1, false) >= 0);
    tvblk_kick(r);
    assert_false(virtio_blk_quiesce(&r->d));
    assert_true(send(r, 3, T_IN, 0, &d, 1, false) >= 0);
    tvblk_kick(r);
    tvblk_work(r);
    assert_int_equal(r->disk.n, 2);
    tdisk_complete(&r->disk, 0, OK);
    assert_false(virtio_blk_quiesce(&r->d));
    r->wakes = 0;
    tdisk_complete(&r->disk, 0, OK);
    assert_true(r->wakes > 0);
    assert_false(virtio_blk_quiesce(&r->d)); /* what waits is dropped as work */
    tvblk_work(r);
    assert_true(virtio_blk_quiesce(&r->d));
    assert_int_equal(r->g.frames.pinned, 0);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_speak_virtio),
        cmocka_unit_test(features_are_checked),
        cmocka_unit_test(the_config_window_reaches_the_bar),
        cmocka_unit_test(intx_is_taken_back_by_the_isr),
        cmocka_unit_test(msix_replaces_intx),
        cmocka_unit_test(data_agrees_with_the_oracle),
        cmocka_unit_test(the_header_may_be_split),
        cmocka_unit_test(the_id_is_the_serial),
        cmocka_unit_test(the_id_waits_for_a_frame),
        cmocka_unit_test(bad_requests_fail_by_themselves),
        cmocka_unit_test(zeroes_and_discards),
        cmocka_unit_test(a_read_only_disk_stays_as_it_is),
        cmocka_unit_test(writes_are_durable_without_flush),
        cmocka_unit_test(a_long_request_is_done_in_bounded_steps),
        cmocka_unit_test(neighbours_are_coalesced),
        cmocka_unit_test(arrivals_are_told),
        cmocka_unit_test(one_interrupt_for_a_batch),
        cmocka_unit_test(more_requests_than_slots),
        cmocka_unit_test(a_reset_waits_for_what_is_in_flight),
        cmocka_unit_test(a_broken_queue_asks_for_a_reset),
        cmocka_unit_test(out_of_frames_loses_nothing),
        cmocka_unit_test(pins_are_bounded),
        cmocka_unit_test(quiesce_ends_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
