/* SPDX-License-Identifier: BSD-2-Clause */
/* Does one greedy thing for ever, `how`: see the table at the end. */
#include "timers.h"
#include "virtio.h"

#define NOBODY 0x3ff        /* a port of no device */
#define IOAPIC 0xfec00000ul /* its select register */
#define DISKS 8u
#define CHAIN 3u /* descriptors of a request: header, data, status */
#define DEPTH (VIRTIO_QUEUE / CHAIN)
#define CHUNK (4ul << 20) /* of a large request */
#define BUFFER (KIT_HEAP + PAGE)
#define ZONE_SECTORS 65536u /* of a zone, at most */

static uint64_t ram_end;
static uint64_t nap_ms; /* between two looks at its disks; 0: it looks all the time */

/* ---- exits ---- */

static void compute(void)
{
    for (;;) {
        (void)rdtsc();
    }
}

static void exit_cpuid(void)
{
    uint32_t r[4];

    for (;;) {
        cpuid(0, 0, r);
    }
}

static void exit_mmio(void)
{
    for (;;) {
        (void)*(volatile uint32_t *)IOAPIC;
    }
}

static void exit_ports(void)
{
    for (;;) {
        (void)inb(NOBODY);
    }
}

static void spin(void)
{
    for (;;) {
        __asm__ volatile("pause");
    }
}

static void string_in(void)
{
    for (;;) {
        void *to = (void *)BUFFER;
        uint64_t n = CHUNK / 2;
        __asm__ volatile("rep insw" : "+D"(to), "+c"(n) : "d"(NOBODY) : "memory");
    }
}

static void string_mmio(void)
{
    for (;;) {
        void *to = (void *)(IOAPIC + 0x20);
        const void *from = (const void *)BUFFER;
        uint64_t n = 0x1000 / 4 - 8;
        __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n)::"memory");
    }
}

static void flood(void)
{
    for (uint64_t n = 0;; n++) {
        print("flood %lu flood flood flood flood flood flood flood flood\n", n);
    }
}

/* ---- timers ---- */

static void timers_hlt(void)
{
    timers_fastest();
    for (;;) {
        __asm__ volatile("sti; hlt" ::: "memory");
    }
}

static void timers_deaf(void)
{
    timers_fastest();
    for (;;) {
        __asm__ volatile("cli; hlt" ::: "memory");
    }
}

static void timers_masked(void)
{
    timers_fastest();
    outb(0x21, 0xff);
    wrmsr(0x808, 0xff); /* no vector is above this priority */
    for (;;) {
        __asm__ volatile("sti; hlt" ::: "memory");
    }
}

static void timers_compute(void)
{
    timers_fastest();
    __asm__ volatile("sti");
    compute();
}

static void one_shot(void)
{
    apic_init();
    kit_on_irq = timers_on_irq;
    wrmsr(0x83e, 0xb);
    wrmsr(0x832, 0x50);
    __asm__ volatile("sti");
    for (;;) {
        wrmsr(0x838, 2000);
    }
}

static void naps(void)
{
    apic_init();
    kit_on_irq = timers_on_irq;
    for (;;) {
        apic_timer_deadline(rdtsc() + kit_tsc_hz() / 10000, 0x50);
        __asm__ volatile("sti; hlt; cli" ::: "memory");
    }
}

/* A deadline that has passed, set anew by each interrupt that it brings. */
static void on_deadline(unsigned vector)
{
    wrmsr(0x6e0, 1);
    timers_on_irq(vector);
}

static void deadline_past(void)
{
    apic_init();
    kit_on_irq = on_deadline;
    apic_timer_deadline(1, 0x50);
    __asm__ volatile("sti");
    for (;;) {
        wrmsr(0x6e0, 1);
    }
}

/* Interrupts to itself, as fast as it can send them. */
static void self_ipi(void)
{
    apic_init();
    kit_on_irq = timers_on_irq;
    __asm__ volatile("sti");
    for (;;) {
        wrmsr(0x83f, 0x50);
    }
}

/* ---- memory ---- */

/* Throws its translations away: by CR0 and CR4, where a write exits, by CR3 and by INVLPG. */
static void control_registers(void)
{
    uint64_t cr0, cr3, cr4;

    __asm__ volatile("mov %%cr0, %0; mov %%cr3, %1; mov %%cr4, %2"
                     : "=r"(cr0), "=r"(cr3), "=r"(cr4));
    for (;;) {
        cr0 ^= 1u << 30; /* CD */
        cr4 ^= 1u << 7;  /* PGE */
        __asm__ volatile("mov %0, %%cr0; mov %1, %%cr3; mov %2, %%cr4; invlpg (%3)" ::"r"(cr0),
                         "r"(cr3), "r"(cr4), "r"(BUFFER)
                         : "memory");
    }
}

static void touch_all(uint64_t value)
{
    for (uint64_t at = BUFFER; at < ram_end; at += PAGE) {
        *(volatile uint64_t *)at = value ? value : at;
    }
}

static void touch_and_reset(void)
{
    touch_all(0);
    kit_reset();
}

static void reset_at_once(void)
{
    kit_reset();
}

/* Equal pages, which folding merges, and then not. */
static void refold(void)
{
    for (uint64_t value = 1;; value++) {
        touch_all(value);
        kit_spin_ms(100);
    }
}

/* ---- disks ---- */

static struct virtio_disk disks[DISKS];
static unsigned n_disks;
static volatile struct virtio_request requests[DISKS][DEPTH];
static volatile uint8_t statuses[DISKS][DEPTH];
static struct {
    uint64_t sector;
    uint32_t sectors, flags;
} zones[DISKS][16];

static void find_disks(void)
{
    while (n_disks < DISKS && virtio_find(&disks[n_disks], n_disks) &&
           virtio_start(&disks[n_disks], VIRTIO_F_FLUSH | VIRTIO_F_DISCARD | VIRTIO_F_ZEROES)) {
        n_disks++;
    }
    if (n_disks == 0) {
        tap_ok(false, "it has disks");
        tap_plan_end();
        kit_power_off();
    }
}

/* The k-th request of a disk; `bytes` may be 0. */
static void prepare(unsigned disk, unsigned k, uint32_t type, uint64_t sector, const void *data,
                    uint64_t bytes)
{
    volatile struct virtio_desc *desc = disks[disk].rings->desc + k * CHAIN;
    bool reads = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
    uint16_t head = (uint16_t)(k * CHAIN), to_memory = reads ? VRING_DESC_F_WRITE : 0;

    requests[disk][k] = (struct virtio_request){type, 0, sector};
    desc[0] = (struct virtio_desc){(uint64_t)&requests[disk][k], 16, VRING_DESC_F_NEXT,
                                   (uint16_t)(head + (bytes ? 1 : 2))};
    desc[1] = (struct virtio_desc){(uint64_t)data, (uint32_t)bytes, VRING_DESC_F_NEXT | to_memory,
                                   (uint16_t)(head + 2)};
    desc[2] = (struct virtio_desc){(uint64_t)&statuses[disk][k], 1, VRING_DESC_F_WRITE, 0};
    virtio_offer(&disks[disk], head);
}

/* Keeps the queues of all disks full of requests of one kind, or of two in turn. */
static void keep_busy(uint32_t type, uint32_t other, uint64_t bytes)
{
    uint64_t at[DISKS] = {0};

    for (unsigned d = 0; d < n_disks; d++) {
        for (unsigned z = 0; z < 16; z++) {
            zones[d][z].sectors =
                disks[d].sectors < ZONE_SECTORS ? (uint32_t)disks[d].sectors : ZONE_SECTORS;
        }
        disks[d].seen = (uint16_t)-DEPTH; /* as if so many had just come back */
    }
    for (uint64_t n = 0;; n++) {
        for (unsigned d = 0; d < n_disks; d++) {
            bool any = false;
            for (; disks[d].seen != disks[d].rings->used.idx; disks[d].seen++, any = true) {
                unsigned k =
                    n < 1 ? (uint16_t)(disks[d].seen + DEPTH) % DEPTH
                          : disks[d].rings->used.ring[disks[d].seen % VIRTIO_QUEUE].id / CHAIN;
                uint32_t what = disks[d].seen & 1 ? other : type;
                if (what == VIRTIO_BLK_T_DISCARD || what == VIRTIO_BLK_T_WRITE_ZEROES) {
                    prepare(d, k, what, 0, zones[d], bytes);
                } else if (what == VIRTIO_BLK_T_FLUSH) {
                    prepare(d, k, what, 0, NULL, 0);
                } else {
                    at[d] = at[d] + bytes / 512 * 2 <= disks[d].sectors ? at[d] + bytes / 512 : 0;
                    prepare(d, k, what, at[d], (void *)(BUFFER + k * PAGE), bytes);
                }
            }
            if (any) {
                virtio_kick(&disks[d]);
            }
        }
        if (nap_ms) {
            kit_sleep_ms(nap_ms);
        }
    }
}

static void read_large(void)
{
    find_disks();
    keep_busy(VIRTIO_BLK_T_IN, VIRTIO_BLK_T_IN, CHUNK);
}

static void read_small(void)
{
    find_disks();
    keep_busy(VIRTIO_BLK_T_IN, VIRTIO_BLK_T_IN, PAGE);
}

static void discard(void)
{
    find_disks();
    keep_busy(VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_DISCARD, sizeof(zones[0]));
}

static void zero(void)
{
    find_disks();
    keep_busy(VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_WRITE_ZEROES, sizeof(zones[0]));
}

static void write_flush(void)
{
    find_disks();
    keep_busy(VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH, 16 * PAGE);
}

static void write_only(void)
{
    find_disks();
    keep_busy(VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_OUT, 16 * PAGE);
}

static void ask_ids(void)
{
    find_disks();
    keep_busy(VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_GET_ID, 20);
}

/* Notifies by string instructions, with large reads in the queue. */
static void string_kick(void)
{
    static uint16_t zeroes[2048];

    find_disks();
    for (;;) {
        struct virtio_disk *d = &disks[0];
        for (unsigned k = 0; k < DEPTH; k++) {
            prepare(0, k, VIRTIO_BLK_T_IN, 0, (void *)BUFFER, CHUNK);
        }
        const void *from = zeroes;
        uint64_t n = sizeof(zeroes) / 2;
        __asm__ volatile("rep outsw" : "+S"(from), "+c"(n) : "d"(d->notify) : "memory");
        while (d->seen != d->rings->avail.idx && virtio_wait(d) == 0) {
        }
    }
}

static void (*const ways[])(void) = {
    compute,           /* 0 */
    exit_cpuid,        /* 1 */
    exit_mmio,         /* 2 */
    exit_ports,        /* 3 */
    spin,              /* 4: with PAUSE */
    string_in,         /* 5: REP INSW */
    string_mmio,       /* 6: REP MOVSD to a device */
    flood,             /* 7: its console */
    timers_hlt,        /* 8: PIT, RTC and APIC at their fastest, and HLT */
    timers_deaf,       /* 9: likewise, with interrupts off */
    timers_masked,     /* 10: likewise, with interrupts on but held back by PIC and TPR */
    timers_compute,    /* 11: likewise, without HLT */
    one_shot,          /* 12: sets a one-shot timer again and again */
    naps,              /* 13: of 100 us */
    touch_and_reset,   /* 14: all its memory */
    reset_at_once,     /* 15 */
    refold,            /* 16: makes all its pages equal, again and again */
    read_large,        /* 17: 4 MiB at a time, from all its disks */
    read_small,        /* 18: 4 KiB */
    discard,           /* 19 */
    zero,              /* 20 */
    write_flush,       /* 21 */
    string_kick,       /* 22: REP OUTSW to the notify port */
    write_only,        /* 23: and never flushes */
    deadline_past,     /* 24: a TSC deadline that has passed */
    self_ipi,          /* 25 */
    control_registers, /* 26: writes CR0, CR3, CR4, and INVLPG */
    ask_ids,           /* 27: what the disks are called */
};

void guest_main(const uint8_t *boot_params)
{
    uint64_t how = kit_option(boot_params, "how", 0);

    ram_end = kit_ram_end(boot_params);
    nap_ms = kit_option(boot_params, "nap", 0);
    apic_init();
    __asm__ volatile("sti");
    if (tap_ok(how < sizeof(ways) / sizeof(*ways), "how=%lu is known", how)) {
        ways[how]();
    }
}
