/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake IDE channel. */
#include "fake_ata.h"

#include "base/bits.h"
#include "require.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *ata_fake_mem(struct ata_fake *f, hpa_t a, uint64_t bytes)
{
    if (a.a >= ATA_FAKE_LOW && range_within(a.a - ATA_FAKE_LOW, bytes, ATA_FAKE_BYTES)) {
        return f->low + (a.a - ATA_FAKE_LOW);
    }
    REQUIRE(a.a >= ATA_FAKE_HIGH && range_within(a.a - ATA_FAKE_HIGH, bytes, ATA_FAKE_BYTES));
    return f->high + (a.a - ATA_FAKE_HIGH);
}

static struct ata_fake_drive *selected(struct ata_fake *f)
{
    return &f->drive[(f->device & 0x10) != 0];
}

static void raise_irq(struct ata_fake *f)
{
    if ((f->control & 2) == 0) {
        f->irq = true;
        f->bm_status |= 4;
    }
}

static void put_word(struct ata_fake *f, unsigned i, unsigned v)
{
    f->pio[i] = (uint16_t)v;
}

static void identify(struct ata_fake *f, const struct ata_fake_drive *d)
{
    uint64_t s28 = MIN(d->sectors, UINT64_C(0x0fffffff));

    memset(f->pio, 0, sizeof(f->pio));
    for (unsigned i = 0; i < 20; i++) {
        put_word(f, 27 + i, i == 0 ? 'F' << 8 | 'a' : i == 1 ? 'k' << 8 | 'e' : ' ' << 8 | ' ');
    }
    put_word(f, 49, 0x0300);
    put_word(f, 60, (unsigned)(s28 & 0xffff));
    put_word(f, 61, (unsigned)(s28 >> 16));
    put_word(f, 83, 0x4000 | 1 << 12 | (d->lba48 ? 1 << 10 | 1 << 13 : 0));
    for (unsigned i = 0; i < 4 && d->lba48; i++) {
        put_word(f, 100 + i, (unsigned)((d->sectors >> (16 * i)) & 0xffff));
    }
    put_word(f, 169, d->trim);
    f->pio_left = 256;
    f->status = 0x48;
    raise_irq(f);
}

/* Moves n bytes between memory, by PRDs, and p. */
static void dma(struct ata_fake *f, uint8_t *p, uint32_t n, bool to_memory)
{
    uint64_t at = f->bm_prd;

    REQUIRE((f->bm_command & 1) != 0 && ((f->bm_command & 8) != 0) == to_memory);
    for (;;) {
        const uint8_t *e = ata_fake_mem(f, HPA(at), 8);
        uint32_t addr = load_le32(e), word = load_le32(e + 4);
        uint32_t bytes = (word & 0xffff) == 0 ? 0x10000 : word & 0xffff;
        REQUIRE((addr & 1) == 0 && (bytes & 1) == 0 && (word & 0x7fff0000) == 0);
        REQUIRE((addr & 0xffff) + bytes <= 0x10000);
        uint32_t part = MIN(bytes, n);
        uint8_t *mem = ata_fake_mem(f, HPA(addr), bytes);
        memcpy(to_memory ? mem : p, to_memory ? p : mem, part);
        p += part;
        n -= part;
        if (part < bytes) {
            return; /* the drive had no more: the bus master stays active */
        }
        if ((word >> 31) != 0) {
            f->bm_status &= 0xfe;
            REQUIRE(n == 0);
            return;
        }
        at += 8;
    }
}

static void finish(struct ata_fake *f, uint8_t status, uint8_t error)
{
    f->status = status;
    f->error = error;
    f->running = false;
    if (f->lose_irq != 0) {
        f->lose_irq--;
        f->bm_status |= (f->control & 2) == 0 ? 4 : 0; /* the latch knows, the line is lost */
        return;
    }
    raise_irq(f);
}

bool ata_fake_complete(struct ata_fake *f)
{
    struct ata_fake_drive *d = selected(f);
    bool ext = f->command == 0x25 || f->command == 0x35;

    if (!f->running) {
        return f->irq;
    }
    if (f->hang != 0) {
        f->hang--;
        f->running = false; /* BSY stays until a reset */
        return f->irq;
    }
    if (f->fail != 0) {
        f->fail--;
        finish(f, 0x51, 0x40);
        return f->irq;
    }
    if (f->command == 0xe7 || f->command == 0xea) {
        f->n_flushes++;
        finish(f, 0x50, 0);
        return f->irq;
    }
    if (f->command == 0x06) {
        uint8_t list[512];
        REQUIRE(d->trim && f->features == 1 && f->count[0] == 1);
        dma(f, list, sizeof(list), false);
        for (unsigned i = 0; i < 64; i++) {
            uint64_t e = load_le64(list + (size_t)i * 8), at = e & (BIT(48) - 1), n = e >> 48;
            REQUIRE(range_within(at, n, d->sectors));
            memset(d->data + at * 512, 0xdd, n * 512);
        }
        finish(f, 0x50, 0);
        return f->irq;
    }
    uint64_t lba = f->lba[0][0] | (uint64_t)f->lba[1][0] << 8 | (uint64_t)f->lba[2][0] << 16;
    uint32_t n = f->count[0];
    REQUIRE((f->device & 0x40) != 0);
    if (ext) {
        REQUIRE(d->lba48);
        lba |= (uint64_t)f->lba[0][1] << 24 | (uint64_t)f->lba[1][1] << 32 |
               (uint64_t)f->lba[2][1] << 40;
        n |= (uint32_t)f->count[1] << 8;
        n = n == 0 ? 65536 : n;
    } else {
        lba |= (uint64_t)(f->device & 15) << 24;
        n = n == 0 ? 256 : n;
    }
    REQUIRE(range_within(lba, n, d->sectors) && lba >= d->base &&
            range_within(lba - d->base, n, d->stored));
    bool in = f->command == 0x25 || f->command == 0xc8;
    if (f->lost_lba >= lba && f->lost_lba - lba < n) {
        f->running = false;
        return f->irq;
    }
    if (f->bad_lba >= lba && f->bad_lba - lba < n) {
        finish(f, 0x51, 0x40);
        return f->irq;
    }
    dma(f, d->data + (lba - d->base) * 512, n * 512, in);
    f->moves[f->n_moves++ % ATA_FAKE_MOVES] =
        (struct ata_fake_move){(f->device & 0x10) != 0, in, lba, n};
    finish(f, 0x50, 0);
    return f->irq;
}

static void command(struct ata_fake *f, uint8_t c)
{
    const struct ata_fake_drive *d = selected(f);

    if (!d->present) {
        return;
    }
    REQUIRE((f->status & 0x88) == 0 && !f->running);
    f->command = c;
    f->n_commands++;
    if (d->atapi) {
        f->lba[1][0] = 0x14;
        f->lba[2][0] = 0xeb;
        f->status = 0x51;
        raise_irq(f);
    } else if (c == 0xec) {
        identify(f, d);
    } else {
        REQUIRE(c == 0x06 || c == 0x25 || c == 0x35 || c == 0xc8 || c == 0xca || c == 0xe7 ||
                c == 0xea);
        f->status = 0xd0;
        f->running = true;
    }
}

static uint32_t cmd_in(void *ctx, uint16_t port, unsigned size)
{
    struct ata_fake *f = ctx;

    (void)size;
    if (!f->drive[0].present && !f->drive[1].present) {
        return 0xff;
    }
    switch (port) {
    case 0:
        REQUIRE(f->pio_left != 0);
        if (--f->pio_left == 0) {
            f->status = 0x50;
        }
        return f->pio[255 - f->pio_left];
    case 1:
        return f->error;
    case 7:
        f->irq = false;
        return selected(f)->present ? f->status : 0;
    default:
        return 0;
    }
}

static void shift(uint8_t r[2], uint32_t v)
{
    r[1] = r[0];
    r[0] = (uint8_t)v;
}

static void cmd_out(void *ctx, uint16_t port, unsigned size, uint32_t v)
{
    struct ata_fake *f = ctx;

    (void)size;
    switch (port) {
    case 1:
        f->features = (uint8_t)v;
        break;
    case 2:
        shift(f->count, v);
        break;
    case 3:
    case 4:
    case 5:
        shift(f->lba[port - 3], v);
        break;
    case 6:
        REQUIRE(!f->running);
        f->device = (uint8_t)v;
        break;
    case 7:
        command(f, (uint8_t)v);
        break;
    default:
        abort();
    }
}

static uint32_t ctl_in(void *ctx, uint16_t port, unsigned size)
{
    struct ata_fake *f = ctx;

    (void)port;
    (void)size;
    f->n_looks++;
    if (!f->drive[0].present && !f->drive[1].present) {
        return 0xff;
    }
    return selected(f)->present ? f->status : 0;
}

static void ctl_out(void *ctx, uint16_t port, unsigned size, uint32_t v)
{
    struct ata_fake *f = ctx;

    (void)port;
    (void)size;
    if ((v & 4) != 0 && (f->control & 4) == 0) {
        f->n_resets++;
        f->running = false;
        f->status = 0x80;
    } else if ((v & 4) == 0 && (f->control & 4) != 0) {
        f->status = f->dead ? 0x80 : 0x50;
        f->device = 0;
    }
    f->control = (uint8_t)v;
}

static uint32_t bm_in(void *ctx, uint16_t port, unsigned size)
{
    struct ata_fake *f = ctx;

    (void)size;
    return port == 0 ? f->bm_command : port == 2 ? f->bm_status : 0xff;
}

static void bm_out(void *ctx, uint16_t port, unsigned size, uint32_t v)
{
    struct ata_fake *f = ctx;

    switch (port) {
    case 0:
        REQUIRE((v & 0xf6) == 0);
        if ((v & 1) != 0 && (f->bm_command & 1) == 0) {
            f->bm_status |= 1;
        } else if ((v & 1) == 0) {
            f->bm_status &= 0xfe;
        }
        f->bm_command = (uint8_t)v;
        break;
    case 2:
        f->bm_status = (uint8_t)((f->bm_status & ~(v & 6) & 7) | (v & 0x60));
        break;
    case 4:
        REQUIRE(size == 4 && (v & 3) == 0);
        f->bm_prd = v;
        break;
    default:
        abort();
    }
}

void ata_fake_init(struct ata_fake *f)
{
    *f = (struct ata_fake){.low = calloc(1, ATA_FAKE_BYTES),
                           .high = calloc(1, ATA_FAKE_BYTES),
                           .status = 0x50,
                           .bad_lba = UINT64_MAX,
                           .lost_lba = UINT64_MAX};
    f->ports[0] = (struct fake_ports){ATA_FAKE_CMD, 8, cmd_in, cmd_out, f};
    f->ports[1] = (struct fake_ports){ATA_FAKE_CTL, 1, ctl_in, ctl_out, f};
    f->ports[2] = (struct fake_ports){ATA_FAKE_BM, 8, bm_in, bm_out, f};
    fake_ports_clear();
    for (unsigned i = 0; i < 3; i++) {
        fake_ports_add(&f->ports[i]);
    }
}

void ata_fake_insert(struct ata_fake *f, const struct ata_fake_drive *like)
{
    for (unsigned i = 0; i < ARRAY_LEN(f->drive); i++) {
        struct ata_fake_drive *d = &f->drive[i];
        *d = *like;
        d->data = malloc(d->stored * 512);
        REQUIRE(d->data);
        for (size_t b = 0; b < d->stored * 512; b++) {
            d->data[b] = (uint8_t)(b * 7 + b / 512 + i);
        }
    }
}

static struct ata_fake *started;

static uint64_t fake_now(void)
{
    return started->now_ns += 1000;
}

static void *fake_bytes(void *ctx, hpa_t a)
{
    (void)ctx;
    return ata_fake_mem(started, a, 512);
}

enum status ata_fake_start(struct ata_fake *f, struct ata_channel *ch)
{
    static const struct ata_host host = {.now_ns = fake_now, .bytes_at = fake_bytes};
    struct ata_dma_mem mem = {f->low, HPA(ATA_FAKE_LOW), ATA_DMA_BYTES};

    started = f;
    return ata_channel_init(ch, &host, &mem, ATA_FAKE_CMD, ATA_FAKE_CTL, ATA_FAKE_BM, 14);
}

void ata_fake_free(struct ata_fake *f)
{
    fake_ports_clear();
    free(f->low);
    free(f->high);
    free(f->drive[0].data);
    free(f->drive[1].data);
}
