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
#include "work.h"
#include "world_platform.h"

#define CPUS 2

struct platform {
    struct iobus ports, mmio;
    struct timerq q;
    struct vuart uart;
    struct vpic pic;
    struct vpit pit;
    struct vrtc rtc;
    struct vacpi_pm pm;
    struct vpci_bus pci;
    struct vpci_dev dev;
    struct vlapic apics[CPUS];
    struct vlapic *all[CPUS];
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
    vpic_set_line(&p.pic, line, level);
}

static void message(void *ctx, uint64_t addr, uint32_t value)
{
    (void)ctx;
    p.calls++;
    vlapic_message(p.all, CPUS, addr, value);
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
    (void)vuart_rx(&p.uart, 'x');
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void ipi(void *ctx, struct vlapic *from, uint64_t icr)
{
    (void)ctx;
    vlapic_route_ipi(p.all, CPUS, from, icr);
}

static void on_init(void *ctx)
{
    vlapic_init_signal(ctx);
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
    vpci_set_intx(ctx, value & 1);
    vpci_msix_notify(ctx, (unsigned)off);
}

static void start(void)
{
    static const struct vuart_ops vuart_ops = {tx, tx_room, rx_room};
    static const struct vacpi_pm_ops pm_ops = {nothing, nothing};
    static const struct vlapic_ops vlapic_ops = {.ipi = ipi,
                                                 .nmi = nothing,
                                                 .init = on_init,
                                                 .sipi = sipi,
                                                 .changed = nothing,
                                                 .tsc_to_ns = tsc_to_ns};
    static const struct vpci_ids ids = {0x1af4, 0x1042, 0x1af4, 2, 0x018000, 1};
    struct irq_sink sink = {set_line, message, NULL};

    fake_ns = 0;
    memset(&p, 0, sizeof(p));
    timerq_init(&p.q, fake_now);
    iobus_init(&p.ports);
    iobus_init(&p.mmio);
    for (uint32_t i = 0; i < CPUS; i++) {
        p.all[i] = &p.apics[i];
        vlapic_init(&p.apics[i], i, &vlapic_ops, &p.apics[i], &p.q, 1000000000, i == 0);
        vlapic_virtual_wire(&p.apics[i]);
        p.apics[i].floor = &p.floor;
    }
    vpic_init(&p.pic, intr_changed, NULL);
    vuart_init(&p.uart, &vuart_ops, NULL, &sink, VUART_COM1_IRQ);
    vpit_init(&p.pit, &p.q, &sink);
    vrtc_init(&p.rtc, &p.q, &sink, 1700000000);
    p.pit.floor = p.rtc.floor = &p.floor;
    vacpi_pm_init(&p.pm, &p.q, &sink, &pm_ops, NULL);
    vpci_bus_init(&p.pci, &p.ports, &p.mmio, &sink);
    vpci_dev_init(&p.dev, &ids, NULL, NULL);
    ASSERT(vpic_attach(&p.pic, &p.ports) == OK && vuart_attach(&p.uart, &p.ports) == OK);
    ASSERT(vpit_attach(&p.pit, &p.ports) == OK && vrtc_attach(&p.rtc, &p.ports) == OK);
    ASSERT(vacpi_pm_attach(&p.pm, &p.ports) == OK && vpci_attach(&p.pci) == OK);
    ASSERT(vpci_add_bar(&p.dev, 0, true, 32, bar_read, bar_write, &p.dev) == OK);
    ASSERT(vpci_add_bar(&p.dev, 1, false, 4096, bar_read, bar_write, &p.dev) == OK);
    ASSERT(vpci_add_msix(&p.dev, 2, 4) == OK && vpci_add(&p.pci, &p.dev, 1) == OK);
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
    vpit_stop(&p.pit);
    vacpi_pm_freeze(&p.pm);
    for (unsigned i = 0; i < CPUS; i++) {
        vlapic_stop(p.all[i]);
    }
    fake_ns = MIN(fake_ns + ns, BIT(62));
    for (unsigned i = 0; i < CPUS; i++) {
        vlapic_tsc_moved(p.all[i]);
    }
    vpit_skip(&p.pit, ns);
    vacpi_pm_thaw(&p.pm);
    for (unsigned i = 0; i < CPUS; i++) {
        vlapic_skip(p.all[i], ns);
    }
}

static void take_interrupts(uint8_t x)
{
    for (unsigned i = 0; i < CPUS; i++) {
        int vector = vlapic_highest(p.all[i]);
        if (vector >= 0) {
            ASSERT(vector >= 16 && vector < 256);
            vlapic_ack(p.all[i], (unsigned)vector);
            ASSERT(vlapic_highest(p.all[i]) < vector || vlapic_highest(p.all[i]) == -1);
        }
    }
    if (vpic_pending(&p.pic) && x & 1) {
        (void)vpic_ack(&p.pic);
    }
    (void)vlapic_accepts_extint(p.all[0]);
}

static void check(void)
{
    ASSERT(vpic_pending(&p.pic) == p.intr);
    for (unsigned i = 0; i < p.mmio.n; i++) {
        const struct io_range *r = &p.mmio.ranges[i];
        ASSERT(r->base >= VPCI_MEM_BASE && r->base + r->len <= VPCI_MEM_END);
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
    struct vlapic *l = p.all[op[2] >> 7];
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
        addr = VPCI_MEM_BASE + (op[3] * 0x1000u) + op[1] * 8u + (op[2] >> 2 & 7);
        if (op[2] & 0x40) {
            iobus_write(&p.mmio, addr, size, value);
        } else {
            (void)iobus_read(&p.mmio, addr, size);
        }
        break;
    case 4:
        (void)vpci_config_read(&p.pci, 0x80000000u | (op[3] & 3u) << 11 | op[1], size);
        vpci_config_write(&p.pci, (op[3] & 3u) << 11 | op[1], size, value);
        break;
    case 5:
        if (vlapic_claims(l, 0xfee00000u)) {
            vlapic_mmio_write(l, op[1] * 16u + (op[3] >> 6), size, value);
            (void)vlapic_mmio_read(l, op[1] * 16u, size);
        }
        break;
    case 6:
        (void)vlapic_msr_write(l, VLAPIC_MSR_X2APIC + op[1], value | (uint64_t)op[3] << 32);
        (void)vlapic_msr_read(l, VLAPIC_MSR_X2APIC + op[1], &msr);
        break;
    case 7:
        if (op[1] & 1) {
            (void)vlapic_msr_write(l, VLAPIC_MSR_BASE, 0xfee00000u | (value & 0xd00));
        } else {
            (void)vlapic_msr_write(l, VLAPIC_MSR_TSC_DEADLINE, (uint64_t)value << (op[3] & 63));
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
            (void)vuart_rx(&p.uart, op[2]);
        } else {
            p.room = value & 31;
            vuart_tx_resume(&p.uart);
        }
        break;
    default:
        switch (op[1] & 7) {
        case 0:
            message(NULL, 0xfee00000u | (value & 0xfffffu), value >> 8);
            break;
        case 1:
            vacpi_pm_press_power(&p.pm);
            break;
        case 2:
            vpci_bus_reset(&p.pci);
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
    vuart_tx_resume(&p.uart);
    vpit_stop(&p.pit);
    vrtc_stop(&p.rtc);
    vacpi_pm_stop(&p.pm);
    for (unsigned i = 0; i < CPUS; i++) {
        vlapic_stop(p.all[i]);
    }
    ASSERT(timerq_next(&p.q) == TIMER_NEVER);
    return 0;
}

FUZZ_ENTRY(one_input, 10000, 300)
