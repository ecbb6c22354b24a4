/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A whole guest platform under random port, MMIO and MSR accesses, interrupts and steps of time.
 *
 * Beyond the sanitizers it checks what must hold whatever a guest does: no step of time fires more
 * timer events than the models' limits allow, what the APIC offers is above its priority and can be
 * acknowledged, no BAR leaves its window, and the PIC says INTR exactly when it told so.
 */
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/guest/vacpi_pm.h"
#include "drivers/guest/vlapic.h"
#include "drivers/guest/vpci.h"
#include "drivers/guest/vpic.h"
#include "drivers/guest/vpit.h"
#include "drivers/guest/vrtc.h"
#include "drivers/guest/vuart.h"
#include "support_platform.h"
#include "work.h"

#define CPUS 2

struct platform {
    struct iobus ports, mmio;
    struct timerq q;
    struct uart uart;
    struct pic pic;
    struct pit pit;
    struct rtc rtc;
    struct acpipm pm;
    struct pci_bus pci;
    struct pci_dev dev;
    struct lapic apics[CPUS];
    struct lapic *all[CPUS];
    struct tick_floor floor;
    unsigned room;
    unsigned calls; /* interrupts of any kind since the last operation */
    bool intr;
};

static struct platform p;

static void set_line(void *ctx, unsigned line, bool level)
{
    (void)ctx;
    p.calls++;
    pic_set_line(&p.pic, line, level);
}

static void message(void *ctx, uint64_t addr, uint32_t value)
{
    (void)ctx;
    p.calls++;
    lapic_message(p.all, CPUS, addr, value);
}

static void intr_changed(void *ctx, bool level)
{
    (void)ctx;
    ASSERT(level != p.intr);
    p.intr = level;
}

static void tx(void *ctx, uint8_t byte)
{
    (void)ctx;
    (void)byte;
    p.room--;
}

static bool tx_room(void *ctx)
{
    (void)ctx;
    return p.room > 0;
}

static void rx_room(void *ctx)
{
    (void)ctx;
    (void)uart_rx(&p.uart, 'x');
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void ipi(void *ctx, struct lapic *from, uint64_t icr)
{
    (void)ctx;
    lapic_route_ipi(p.all, CPUS, from, icr);
}

static void on_init(void *ctx)
{
    lapic_init_signal(ctx);
}

static void sipi(void *ctx, uint8_t vector)
{
    (void)ctx;
    (void)vector;
}

static uint64_t tsc_to_ns(void *ctx, uint64_t tsc)
{
    (void)ctx;
    return tsc / 2;
}

static uint64_t bar_read(void *ctx, uint64_t off, unsigned size)
{
    (void)ctx;
    return off * size;
}

static void bar_write(void *ctx, uint64_t off, unsigned size, uint64_t value)
{
    (void)size;
    pci_set_intx(ctx, value & 1);
    pci_msix_notify(ctx, (unsigned)off);
}

static void start(void)
{
    static const struct uart_ops uart_ops = {tx, tx_room, rx_room};
    static const struct acpipm_ops pm_ops = {nothing, nothing};
    static const struct lapic_ops lapic_ops = {.ipi = ipi,
                                               .nmi = nothing,
                                               .init = on_init,
                                               .sipi = sipi,
                                               .changed = nothing,
                                               .tsc_to_ns = tsc_to_ns};
    static const struct pci_ids ids = {0x1af4, 0x1042, 0x1af4, 2, 0x018000, 1};
    struct irq_sink sink = {set_line, message, NULL};

    fake_ns = 0;
    memset(&p, 0, sizeof(p));
    timerq_init(&p.q, fake_now);
    iobus_init(&p.ports);
    iobus_init(&p.mmio);
    for (uint32_t i = 0; i < CPUS; i++) {
        p.all[i] = &p.apics[i];
        lapic_init(&p.apics[i], i, &lapic_ops, &p.apics[i], &p.q, 1000000000, i == 0);
        lapic_virtual_wire(&p.apics[i]);
        p.apics[i].floor = &p.floor;
    }
    pic_init(&p.pic, intr_changed, NULL);
    uart_init(&p.uart, &uart_ops, NULL, &sink, UART_COM1_IRQ);
    pit_init(&p.pit, &p.q, &sink);
    rtc_init(&p.rtc, &p.q, &sink, 1700000000);
    p.pit.floor = p.rtc.floor = &p.floor;
    acpipm_init(&p.pm, &p.q, &sink, &pm_ops, NULL);
    pci_bus_init(&p.pci, &p.ports, &p.mmio, &sink);
    pci_dev_init(&p.dev, &ids, NULL, NULL);
    ASSERT(pic_attach(&p.pic, &p.ports) == OK && uart_attach(&p.uart, &p.ports) == OK);
    ASSERT(pit_attach(&p.pit, &p.ports) == OK && rtc_attach(&p.rtc, &p.ports) == OK);
    ASSERT(acpipm_attach(&p.pm, &p.ports) == OK && pci_attach(&p.pci) == OK);
    ASSERT(pci_add_bar(&p.dev, 0, true, 32, bar_read, bar_write, &p.dev) == OK);
    ASSERT(pci_add_bar(&p.dev, 1, false, 4096, bar_read, bar_write, &p.dev) == OK);
    ASSERT(pci_add_msix(&p.dev, 2, 4) == OK && pci_add(&p.pci, &p.dev, 1) == OK);
}

/* Where something is: most accesses should hit a device. */
static uint64_t pick_port(uint8_t x)
{
    static const uint16_t at[] = {0x20,  0x21,  0xa0,  0xa1,  0x4d0,  0x40,   0x42,   0x43,
                                  0x61,  0x60,  0x64,  0x70,  0x71,   0x92,   0x3f8,  0x3f9,
                                  0x3fa, 0x3fc, 0x3fd, 0x600, 0x602,  0x604,  0x608,  0xcf8,
                                  0xcf9, 0xcfc, 0xcfd, 0xcff, 0xc000, 0xc010, 0xd000, 0x80};

    return at[x % ARRAY_LEN(at)];
}

static void step_time(uint64_t ns)
{
    /* The clock never wraps (base/timer.h): stay below 146 years, however long the input is. */
    uint64_t now = MIN(fake_ns + ns, BIT(62));

    /* Late and in one go, as after the VM was not scheduled: a handful of events, however long. */
    p.calls = 0;
    fake_ns = now;
    timerq_run(&p.q, now);
    ASSERT(p.calls <= 16);
    /* What is armed now is in the future, or fires once more and then is. */
    timerq_run(&p.q, now);
    timerq_run(&p.q, now);
    ASSERT(timerq_next(&p.q) > now);
}

/* The VM is paused and its clocks stand still, as kernel/vm/clock.c does it. */
static void pause_for(uint64_t ns)
{
    pit_stop(&p.pit);
    acpipm_freeze(&p.pm);
    for (unsigned i = 0; i < CPUS; i++) {
        lapic_stop(p.all[i]);
    }
    fake_ns = MIN(fake_ns + ns, BIT(62));
    for (unsigned i = 0; i < CPUS; i++) {
        lapic_tsc_moved(p.all[i]);
    }
    pit_skip(&p.pit, ns);
    acpipm_thaw(&p.pm);
    for (unsigned i = 0; i < CPUS; i++) {
        lapic_skip(p.all[i], ns);
    }
}

static void take_interrupts(uint8_t x)
{
    for (unsigned i = 0; i < CPUS; i++) {
        int vector = lapic_highest(p.all[i]);
        if (vector >= 0) {
            ASSERT(vector >= 16 && vector < 256);
            lapic_ack(p.all[i], (unsigned)vector);
            ASSERT(lapic_highest(p.all[i]) < vector || lapic_highest(p.all[i]) == -1);
        }
    }
    if (pic_pending(&p.pic) && x & 1) {
        (void)pic_ack(&p.pic);
    }
    (void)lapic_accepts_extint(p.all[0]);
}

static void check(void)
{
    ASSERT(pic_pending(&p.pic) == p.intr);
    for (unsigned i = 0; i < p.mmio.n; i++) {
        const struct io_range *r = &p.mmio.ranges[i];
        ASSERT(r->base >= PCI_MEM_BASE && r->base + r->len <= PCI_MEM_END);
        ASSERT(i == 0 || r[-1].base + r[-1].len <= r->base);
    }
    for (unsigned i = 1; i < p.ports.n; i++) {
        const struct io_range *r = &p.ports.ranges[i];
        ASSERT(r[-1].base + r[-1].len <= r->base && r->base + r->len <= 0x10000);
    }
}

/* Eight bytes an operation: kind, place, size, -, value. */
static void operate(const uint8_t *op)
{
    static const uint8_t sizes[] = {1, 2, 4, 8};
    uint32_t value = load_le32(op + 4);
    unsigned size = sizes[op[2] & 3];
    struct lapic *l = p.all[op[2] >> 7];
    uint64_t msr, addr;

    switch (op[0] % 12) {
    case 0:
        (void)iobus_read(&p.ports, op[3] == 0xff ? value : pick_port(op[1]), MIN(size, 4));
        break;
    case 1:
    case 2:
        iobus_write(&p.ports, op[3] == 0xff ? value : pick_port(op[1]), MIN(size, 4), value);
        break;
    case 3:
        addr = PCI_MEM_BASE + (op[3] * 0x1000u) + op[1] * 8u + (op[2] >> 2 & 7);
        if (op[2] & 0x40) {
            iobus_write(&p.mmio, addr, size, value);
        } else {
            (void)iobus_read(&p.mmio, addr, size);
        }
        break;
    case 4:
        (void)pci_config_read(&p.pci, 0x80000000u | (op[3] & 3u) << 11 | op[1], size);
        pci_config_write(&p.pci, (op[3] & 3u) << 11 | op[1], size, value);
        break;
    case 5:
        if (lapic_claims(l, 0xfee00000u)) {
            lapic_mmio_write(l, op[1] * 16u + (op[3] >> 6), size, value);
            (void)lapic_mmio_read(l, op[1] * 16u, size);
        }
        break;
    case 6:
        (void)lapic_msr_write(l, LAPIC_MSR_X2APIC + op[1], value | (uint64_t)op[3] << 32);
        (void)lapic_msr_read(l, LAPIC_MSR_X2APIC + op[1], &msr);
        break;
    case 7:
        if (op[1] & 1) {
            (void)lapic_msr_write(l, LAPIC_MSR_BASE, 0xfee00000u | (value & 0xd00));
        } else {
            (void)lapic_msr_write(l, LAPIC_MSR_TSC_DEADLINE, (uint64_t)value << (op[3] & 63));
        }
        break;
    case 8:
        step_time((uint64_t)value << (op[3] & 29));
        break;
    case 9:
        take_interrupts(op[1]);
        break;
    case 10:
        if (op[1] & 1) {
            (void)uart_rx(&p.uart, op[2]);
        } else {
            p.room = value & 31;
            uart_tx_resume(&p.uart);
        }
        break;
    default:
        switch (op[1] & 7) {
        case 0:
            message(NULL, 0xfee00000u | (value & 0xfffffu), value >> 8);
            break;
        case 1:
            acpipm_press_power(&p.pm);
            break;
        case 2:
            pci_bus_reset(&p.pci);
            break;
        case 3:
            pause_for((uint64_t)value << (op[3] & 15));
            break;
        case 4:
            p.floor = (struct tick_floor){.min_ns = value % 1000000};
            break;
        default:
            set_line(NULL, op[2], op[3] & 1);
            break;
        }
        break;
    }
}

static int one_input(const uint8_t *data, size_t size)
{
    start();
    for (size_t i = 0; i + 8 <= size && i < 8 * 4096; i += 8) {
        operate(data + i);
        check();
    }
    uart_tx_resume(&p.uart);
    pit_stop(&p.pit);
    rtc_stop(&p.rtc);
    acpipm_stop(&p.pm);
    for (unsigned i = 0; i < CPUS; i++) {
        lapic_stop(p.all[i]);
    }
    ASSERT(timerq_next(&p.q) == TIMER_NEVER);
    return 0;
}

FUZZ_ENTRY(one_input, 10000, 300)
