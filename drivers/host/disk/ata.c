/* SPDX-License-Identifier: BSD-2-Clause */
/* Running commands on an ATA channel: interrupts, errors, resets. */
#include "drivers/host/disk/ata.h"

#include "base/bits.h"
#include "base/log.h"
#include "drivers/host/disk/ata_internal.h"

#define NEVER UINT64_MAX

/* The batch's first request, which its disk, kind and first sector are those of. */
static struct blk_req *first_of(const struct ata_channel *ch)
{
    return STAILQ_FIRST(&ch->batch);
}

static struct ata_disk *disk_of(const struct ata_channel *ch)
{
    return first_of(ch)->dev_priv;
}

/* Where the running command begins. */
static uint64_t lba_of(const struct ata_channel *ch)
{
    return first_of(ch)->sector + ch->done_sectors;
}

static void set_deadline(struct ata_channel *ch, uint64_t in_ns)
{
    ch->deadline_ns = ch->host->now_ns() + in_ns;
    if (ch->host->deadline_changed != NULL) {
        ch->host->deadline_changed(ch->host->ctx);
    }
}

static void stop_dma(struct ata_channel *ch)
{
    port_out8((uint16_t)(ch->bm + BM_COMMAND), 0);
    /* The two flags are cleared by writing ones; the drive-is-capable bits stay as they are. */
    uint8_t keep = port_in8((uint16_t)(ch->bm + BM_STATUS)) & 0x60;
    port_out8((uint16_t)(ch->bm + BM_STATUS), keep | BM_S_ERROR | BM_S_IRQ);
}

/* ---- issuing ---- */

static void taskfile(struct ata_channel *ch, uint8_t command, bool ext, uint64_t lba,
                     uint32_t count, uint8_t features)
{
    uint8_t dev =
        (uint8_t)(ATA_DEV_BASE | ATA_DEV_LBA | (disk_of(ch)->drive != 0 ? ATA_DEV_SLAVE : 0));

    if (ext) {
        /* The registers are two deep: the high halves first. */
        port_out8((uint16_t)(ch->cmd + ATA_FEATURES), 0);
        port_out8((uint16_t)(ch->cmd + ATA_COUNT), (uint8_t)(count >> 8));
        port_out8((uint16_t)(ch->cmd + ATA_LBA0), (uint8_t)(lba >> 24));
        port_out8((uint16_t)(ch->cmd + ATA_LBA1), (uint8_t)(lba >> 32));
        port_out8((uint16_t)(ch->cmd + ATA_LBA2), (uint8_t)(lba >> 40));
    } else {
        dev |= (uint8_t)((lba >> 24) & 0x0f);
    }
    port_out8((uint16_t)(ch->cmd + ATA_FEATURES), features);
    port_out8((uint16_t)(ch->cmd + ATA_COUNT), (uint8_t)count);
    port_out8((uint16_t)(ch->cmd + ATA_LBA0), (uint8_t)lba);
    port_out8((uint16_t)(ch->cmd + ATA_LBA1), (uint8_t)(lba >> 8));
    port_out8((uint16_t)(ch->cmd + ATA_LBA2), (uint8_t)(lba >> 16));
    port_out8((uint16_t)(ch->cmd + ATA_DEVICE), dev);
    port_out8((uint16_t)(ch->cmd + ATA_COMMAND), command);
}

static void select_drive(struct ata_channel *ch)
{
    uint8_t slave = disk_of(ch)->drive != 0 ? ATA_DEV_SLAVE : 0;

    port_out8((uint16_t)(ch->cmd + ATA_DEVICE), (uint8_t)(ATA_DEV_BASE | ATA_DEV_LBA | slave));
    for (unsigned i = 0; i < 4; i++) {
        (void)port_in8(ch->ctl); /* 400 ns until the status is the drive's */
    }
}

/* Whether the selected drive takes commands; between commands that is at once. */
static bool is_ready(const struct ata_channel *ch)
{
    for (unsigned i = 0; i < ATA_POLL_ISSUE; i++) {
        if ((port_in8(ch->ctl) & (ATA_S_BSY | ATA_S_DRQ)) == 0) {
            return true;
        }
    }
    return false;
}

static void begin_reset(struct ata_channel *ch)
{
    stop_dma(ch);
    ch->n_resets++;
    port_out8(ch->ctl, ATA_CTL_SRST | ATA_CTL_NIEN);
    ch->state = ATA_RESET_HOLD;
    ch->reset_end_ns = ch->host->now_ns() + ATA_RESET_TIMEOUT_NS;
    set_deadline(ch, 10000); /* SRST for at least 5 us */
}

static void issue_dma(struct ata_channel *ch, bool in, uint8_t command, bool ext, uint64_t lba,
                      uint32_t count, uint8_t features)
{
    stop_dma(ch);
    port_out32((uint16_t)(ch->bm + BM_PRD), (uint32_t)ch->mem.pa.a);
    port_out8((uint16_t)(ch->bm + BM_COMMAND), in ? BM_C_READ : 0);
    taskfile(ch, command, ext, lba, count, features);
    port_out8((uint16_t)(ch->bm + BM_COMMAND), (uint8_t)((in ? BM_C_READ : 0) | BM_C_START));
}

static uint64_t batch_sectors(const struct ata_channel *ch)
{
    const struct blk_req *r;
    uint64_t n = 0;

    STAILQ_FOREACH(r, &ch->batch, link)
    {
        n += r->sectors;
    }
    return n;
}

/* Starts the next command of the batch, whose drive is selected and ready. */
static void start_command(struct ata_channel *ch)
{
    const struct blk_req *r = first_of(ch);
    const struct ata_disk *d = disk_of(ch);

    ch->n_commands++;
    ch->state = ATA_RUNNING;
    if (r->op == BLK_FLUSH) {
        ch->cmd_sectors = 0;
        stop_dma(ch);
        set_deadline(ch, ATA_FLUSH_TIMEOUT_NS);
        taskfile(ch, d->flush_ext ? ATA_CMD_FLUSH_EXT : ATA_CMD_FLUSH, d->flush_ext, 0, 0, 0);
        return;
    }
    if (r->op == BLK_DISCARD) {
        ch->cmd_sectors = (uint32_t)ata_prd_trim(ch, r, ch->done_sectors);
        set_deadline(ch, ATA_TIMEOUT_NS);
        issue_dma(ch, false, ATA_CMD_DSM, true, 0, 1, 1);
        return;
    }
    uint64_t left = batch_sectors(ch) - ch->done_sectors, lba = lba_of(ch);
    uint32_t n = ata_prd_build(ch, ch->done_sectors, (uint32_t)MIN(left, ata_cmd_max(d)));
    bool in = r->op == BLK_READ;
    bool ext = n > ATA_CMD_SECTORS || lba + n > ATA_LBA28_SECTORS;
    ch->cmd_sectors = n;
    set_deadline(ch, ATA_TIMEOUT_NS);
    uint8_t command = in ? (ext ? ATA_CMD_READ_DMA_EXT : ATA_CMD_READ_DMA)
                         : (ext ? ATA_CMD_WRITE_DMA_EXT : ATA_CMD_WRITE_DMA);
    /* A 28-bit count of 256 is written as 0, which the 8-bit register makes by itself. */
    issue_dma(ch, in, command, ext, lba, n, 0);
}

/* Starts it at once, or as soon as the drive is ready. */
static void issue(struct ata_channel *ch)
{
    select_drive(ch);
    if (is_ready(ch)) {
        start_command(ch);
        return;
    }
    ch->state = ATA_SELECTED;
    ch->select_end_ns = ch->host->now_ns() + ATA_SELECT_TIMEOUT_NS;
    set_deadline(ch, ATA_SELECT_LOOK_NS);
}

static void start_next(struct ata_channel *ch)
{
    if (ch->state != ATA_IDLE || !ata_queue_take(ch)) {
        return;
    }
    ch->done_sectors = 0;
    ch->retries = 0;
    issue(ch);
}

/* Answers requests that have left the batch. */
static void answer(struct blk_req_list *list, enum status s)
{
    struct blk_req *r;

    while ((r = STAILQ_FIRST(list)) != NULL) {
        STAILQ_REMOVE_HEAD(list, link);
        r->done(r, s);
    }
}

/* The batch is answered; the disk already works on the next one meanwhile. */
static void finish(struct ata_channel *ch, enum status s)
{
    struct blk_req_list list = STAILQ_HEAD_INITIALIZER(list);

    STAILQ_CONCAT(&list, &ch->batch);
    ch->deadline_ns = NEVER;
    if (ch->state != ATA_DEAD) {
        ch->state = ATA_IDLE;
        start_next(ch);
    }
    answer(&list, s);
}

/* ---- ending ---- */

/* `status` and `bm` are what the drive and the bus master ended with. */
static void command_failed(struct ata_channel *ch, uint8_t status, uint8_t bm)
{
    ch->n_errors++;
    log_warn("%s: command failed at sector %llu: status %02x, error %02x, bus master %02x",
             disk_of(ch)->dev.name, (unsigned long long)lba_of(ch), status,
             (status & ATA_S_ERR) != 0 ? port_in8((uint16_t)(ch->cmd + ATA_ERROR)) : 0, bm);
    begin_reset(ch); /* ends in a retry or in finish() */
}

/* What the command has brought to its end leaves the batch; the rest goes on. */
static void command_done(struct ata_channel *ch)
{
    struct blk_req_list list = STAILQ_HEAD_INITIALIZER(list);
    struct blk_req *r;

    ch->done_sectors += ch->cmd_sectors;
    while ((r = first_of(ch)) != NULL && ch->done_sectors >= r->sectors) {
        ch->done_sectors -= r->sectors;
        STAILQ_REMOVE_HEAD(&ch->batch, link);
        STAILQ_INSERT_TAIL(&list, r, link);
    }
    if (r != NULL) {
        issue(ch);
    } else {
        ch->deadline_ns = NEVER;
        ch->state = ATA_IDLE;
        start_next(ch);
    }
    answer(&list, OK);
}

static void command_ended(struct ata_channel *ch, uint8_t bm)
{
    bool dma = first_of(ch)->op != BLK_FLUSH;

    stop_dma(ch);
    uint8_t status = port_in8((uint16_t)(ch->cmd + ATA_STATUS));
    /* A bus master that is still active was given more memory than the drive had data. */
    if ((status & (ATA_S_BSY | ATA_S_DRQ | ATA_S_DF | ATA_S_ERR)) != 0 ||
        (dma && (bm & (BM_S_ERROR | BM_S_ACTIVE)) != 0)) {
        command_failed(ch, status, bm);
        return;
    }
    if (first_of(ch)->op == BLK_READ) {
        ata_prd_unbounce(ch, ch->done_sectors, ch->cmd_sectors);
        ch->n_read_sectors += ch->cmd_sectors;
    } else if (first_of(ch)->op == BLK_WRITE) {
        ch->n_written_sectors += ch->cmd_sectors;
    }
    ch->retries = 0;
    command_done(ch);
}

bool ata_irq(struct ata_channel *ch)
{
    uint8_t bm = port_in8((uint16_t)(ch->bm + BM_STATUS));

    if ((bm & BM_S_IRQ) == 0) {
        return false; /* a neighbour on the line, or nobody */
    }
    if (ch->state != ATA_RUNNING) {
        /* Late or spurious: take it back, so that a level-triggered line goes down. */
        (void)port_in8((uint16_t)(ch->cmd + ATA_STATUS));
        port_out8((uint16_t)(ch->bm + BM_STATUS), (uint8_t)((bm & 0x60) | BM_S_IRQ));
        return true;
    }
    command_ended(ch, bm);
    return true;
}

/* The drive does not come back: whatever waits fails, and so will all that follows. */
static void die(struct ata_channel *ch)
{
    log_error("%s: the channel does not come out of reset; its disks are gone",
              disk_of(ch)->dev.name);
    ch->state = ATA_DEAD;
    STAILQ_CONCAT(&ch->batch, &ch->queue);
    finish(ch, E_IO);
}

static void reset_done(struct ata_channel *ch)
{
    (void)port_in8((uint16_t)(ch->cmd + ATA_STATUS));
    stop_dma(ch);
    if (STAILQ_NEXT(first_of(ch), link) != NULL) {
        /* Nobody knows whose sectors are bad: the others shall not suffer for them. */
        ata_queue_split(ch);
        ch->state = ATA_IDLE;
        start_next(ch);
        return;
    }
    if (ch->retries++ < ATA_RETRIES) {
        issue(ch);
        return;
    }
    log_error("%s: giving up at sector %llu", disk_of(ch)->dev.name,
              (unsigned long long)lba_of(ch));
    finish(ch, E_IO);
}

uint64_t ata_tick(struct ata_channel *ch, uint64_t now_ns)
{
    if (ch->deadline_ns == NEVER || now_ns < ch->deadline_ns) {
        return ch->deadline_ns;
    }
    switch (ch->state) {
    case ATA_SELECTED:
        if (is_ready(ch)) {
            start_command(ch);
        } else if (now_ns < ch->select_end_ns) {
            set_deadline(ch, ATA_SELECT_LOOK_NS);
        } else {
            ch->n_timeouts++;
            log_warn("%s: the drive takes no command", disk_of(ch)->dev.name);
            begin_reset(ch);
        }
        break;
    case ATA_RUNNING:
        if (ata_irq(ch)) {
            break; /* it had ended; the interrupt was lost */
        }
        ch->n_timeouts++;
        log_warn("%s: command timed out at sector %llu", disk_of(ch)->dev.name,
                 (unsigned long long)lba_of(ch));
        begin_reset(ch);
        break;
    case ATA_RESET_HOLD:
        port_out8(ch->ctl, 0);
        ch->state = ATA_RESET_SETTLE;
        set_deadline(ch, 2000000); /* ATA-7: 2 ms before the status means anything */
        break;
    case ATA_RESET_SETTLE:
    case ATA_RESET_BUSY:
        if ((port_in8(ch->ctl) & ATA_S_BSY) == 0) {
            reset_done(ch);
        } else if (now_ns >= ch->reset_end_ns) {
            die(ch);
        } else {
            ch->state = ATA_RESET_BUSY;
            set_deadline(ch, 10000000);
        }
        break;
    case ATA_IDLE:
    case ATA_DEAD:
        ch->deadline_ns = NEVER;
        break;
    }
    return ch->deadline_ns;
}

void ata_submit(struct blk_dev *dev, struct blk_req *r)
{
    struct ata_disk *d = (struct ata_disk *)dev;
    struct ata_channel *ch = d->ch;

    if (ch->state == ATA_DEAD) {
        r->done(r, E_IO);
        return;
    }
    if (r->op == BLK_FLUSH && !d->flush) {
        r->done(r, OK); /* an old drive: what it has completed is on the disk */
        return;
    }
    r->dev_priv = d;
    ata_queue_add(ch, r);
    if (!r->more) {
        start_next(ch);
    }
}
