/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding IDE channels and the disks on them, at start-up and by polling. */
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/host/disk/ata_internal.h"

#define IDENTIFY_WORDS 256
#define PROBE_TIMEOUT_NS UINT64_C(5000000000)
#define PROBE_POLLS 20000000u /* should the clock stand still */

enum status ata_channel_init(struct ata_channel *ch, const struct ata_host *host,
                             const struct ata_dma_mem *mem, uint16_t cmd, uint16_t ctl, uint16_t bm,
                             uint8_t irq)
{
    if (mem->va == NULL || mem->bytes < 3 * PAGE_SIZE || mem->bytes % PAGE_SIZE != 0 ||
        (mem->pa.a & PAGE_MASK) != 0 || !range_within(mem->pa.a, mem->bytes, BIT(32))) {
        return E_INVAL;
    }
    *ch = (struct ata_channel){
        .host = host,
        .mem = *mem,
        .cmd = cmd,
        .ctl = ctl,
        .bm = bm,
        .irq = irq,
        .state = ATA_IDLE,
        .deadline_ns = UINT64_MAX,
    };
    STAILQ_INIT(&ch->queue);
    STAILQ_INIT(&ch->batch);
    memset((uint8_t *)mem->va + PAGE_SIZE, 0, PAGE_SIZE);
    return OK;
}

static enum status channel_ports(const struct pci_func *f, unsigned i, uint16_t *cmd, uint16_t *ctl)
{
    struct vpci_bar c, d;

    if ((f->prog_if & (1u << (2 * i))) == 0) {
        *cmd = i == 0 ? 0x1f0 : 0x170;
        *ctl = i == 0 ? 0x3f6 : 0x376;
        return OK;
    }
    enum status s = pci_read_bar(f->at, 2 * i, &c);
    if (s == OK) {
        s = pci_read_bar(f->at, 2 * i + 1, &d);
    }
    if (s != OK) {
        return s;
    }
    if (!c.io || !d.io || c.base == 0 || d.base == 0) {
        return E_NOTFOUND;
    }
    *cmd = (uint16_t)c.base;
    *ctl = (uint16_t)(d.base + 2); /* the device control register's place in its block */
    return OK;
}

static enum status use_controller(const struct pci_func *f, struct ata_channel ch[2],
                                  const struct ata_host *host, const struct ata_dma_mem mem[2])
{
    struct vpci_bar bm;
    uint16_t cmd, ctl;

    enum status s = pci_read_bar(f->at, 4, &bm);
    if (s != OK) {
        return s;
    }
    if (!bm.io || bm.base == 0 || bm.base > 0xfff0) {
        return E_NOTFOUND;
    }
    pci_write16(f->at, PCI_COMMAND,
                (uint16_t)(pci_read16(f->at, PCI_COMMAND) | PCI_COMMAND_IO | PCI_COMMAND_MASTER));
    for (unsigned i = 0; i < 2; i++) {
        bool native = (f->prog_if & (1u << (2 * i))) != 0;
        s = channel_ports(f, i, &cmd, &ctl);
        if (s == OK) {
            s = ata_channel_init(&ch[i], host, &mem[i], cmd, ctl, (uint16_t)(bm.base + 8 * i),
                                 native ? f->irq_line : (uint8_t)(14 + i));
        }
        if (s != OK) {
            return s;
        }
    }
    return OK;
}

enum status ata_find_pci(struct ata_channel ch[2], const struct ata_host *host,
                         const struct ata_dma_mem mem[2])
{
    struct pci_func f;

    for (unsigned i = 0; pci_find_class(0x01, 0x01, i, &f) == OK; i++) {
        if ((f.prog_if & 0x80) == 0) {
            continue; /* not a bus master */
        }
        enum status s = use_controller(&f, ch, host, mem);
        if (s != E_NOTFOUND) {
            return s;
        }
    }
    return E_NOTFOUND;
}

/* Polls the alternate status until none of `clear` is set. */
static bool poll_clear(struct ata_channel *ch, uint8_t clear, uint8_t *status)
{
    uint64_t end = ch->host->now_ns() + PROBE_TIMEOUT_NS;

    for (unsigned i = 0; i < PROBE_POLLS; i++) {
        *status = port_in8(ch->ctl);
        if ((*status & clear) == 0) {
            return true;
        }
        if ((i & 0xff) == 0xff && ch->host->now_ns() > end) {
            break;
        }
    }
    return false;
}

static bool identify(struct ata_channel *ch, unsigned drive, uint16_t *words)
{
    uint8_t status;

    port_out8((uint16_t)(ch->cmd + ATA_DEVICE),
              (uint8_t)(ATA_DEV_BASE | (drive != 0 ? ATA_DEV_SLAVE : 0)));
    for (unsigned i = 0; i < 4; i++) {
        status = port_in8(ch->ctl);
    }
    if (status == 0xff || status == 0x7f || !poll_clear(ch, ATA_S_BSY, &status) || status == 0) {
        return false; /* an empty channel floats; an absent slave answers 0 */
    }
    for (unsigned reg = ATA_COUNT; reg <= ATA_LBA2; reg++) {
        port_out8((uint16_t)(ch->cmd + reg), 0);
    }
    port_out8((uint16_t)(ch->cmd + ATA_COMMAND), ATA_CMD_IDENTIFY);
    for (unsigned i = 0; i < 4; i++) {
        status = port_in8(ch->ctl);
    }
    if (status == 0 || !poll_clear(ch, ATA_S_BSY, &status) ||
        (status & (ATA_S_ERR | ATA_S_DF)) != 0 || (status & ATA_S_DRQ) == 0) {
        (void)port_in8((uint16_t)(ch->cmd + ATA_STATUS));
        return false; /* ATAPI devices refuse it with an error */
    }
    port_in16s((uint16_t)(ch->cmd + ATA_DATA), words, IDENTIFY_WORDS);
    (void)port_in8((uint16_t)(ch->cmd + ATA_STATUS));
    return true;
}

/* Strings are in big-endian words, padded with blanks. */
static void model_name(char out[41], const uint16_t *words)
{
    size_t n = 40;

    for (unsigned i = 0; i < 20; i++) {
        out[2 * i] = (char)(words[27 + i] >> 8);
        out[2 * i + 1] = (char)words[27 + i];
    }
    for (size_t i = 0; i < 40; i++) {
        if (out[i] < 0x20 || out[i] > 0x7e) {
            out[i] = ' '; /* it goes to the console */
        }
    }
    while (n > 0 && out[n - 1] == ' ') {
        n--;
    }
    out[n] = '\0';
}

/* Words 82..84 and 106 are valid when bits 15:14 of the last are 01. */
static bool valid_word(uint16_t w)
{
    return (w & 0xc000) == 0x4000;
}

static bool take_disk(struct ata_disk *d, const uint16_t *w)
{
    static const struct blk_ops ops = {.submit = ata_submit};
    bool sets = valid_word(w[83]);
    uint64_t sectors = (uint64_t)w[61] << 16 | w[60];

    model_name(d->model, w);
    if ((w[0] & 0x8000) != 0 || (w[49] & 0x0300) != 0x0300) {
        log_warn("%s: %s has no LBA or no DMA; not used", d->dev.name, d->model);
        return false;
    }
    if (valid_word(w[106]) && (w[106] & BIT32(12)) != 0) {
        log_warn("%s: %s has sectors of more than 512 bytes; not used", d->dev.name, d->model);
        return false;
    }
    d->lba48 = sets && (w[83] & BIT32(10)) != 0;
    d->flush_ext = d->lba48 && (w[83] & BIT32(13)) != 0;
    d->flush = d->flush_ext || (sets && (w[83] & BIT32(12)) != 0);
    if (d->lba48) {
        sectors = (uint64_t)w[103] << 48 | (uint64_t)w[102] << 32 | (uint64_t)w[101] << 16 | w[100];
        sectors = MIN(sectors, BIT(48));
    } else {
        sectors = MIN(sectors, ATA_LBA28_SECTORS);
    }
    if (sectors == 0) {
        return false;
    }
    d->dev.ops = &ops;
    d->dev.sectors = sectors;
    d->dev.can_zero = true;
    d->dev.can_discard = d->lba48 && (w[169] & 1) != 0;
    d->present = true;
    log_info("%s: %s, %llu MiB%s", d->dev.name, d->model, (unsigned long long)(sectors >> 11),
             d->lba48 ? ", LBA48" : "");
    return true;
}

unsigned ata_probe(struct ata_channel *ch, unsigned first_number, uint32_t first_id)
{
    uint16_t words[IDENTIFY_WORDS];
    unsigned n = 0;

    port_out8(ch->ctl, ATA_CTL_NIEN);
    for (unsigned i = 0; i < 2; i++) {
        struct ata_disk *d = &ch->disks[i];
        *d = (struct ata_disk){.ch = ch, .drive = (uint8_t)i};
        d->dev.id = first_id + first_number + i;
        format(d->dev.name, sizeof(d->dev.name), "ata%u", first_number + i);
        if (identify(ch, i, words) && take_disk(d, words)) {
            n++;
        }
    }
    /* Forget what the polling left behind before interrupts are let through. */
    (void)port_in8((uint16_t)(ch->cmd + ATA_STATUS));
    port_out8((uint16_t)(ch->bm + BM_STATUS), BM_S_ERROR | BM_S_IRQ);
    port_out8(ch->ctl, 0);
    return n;
}
