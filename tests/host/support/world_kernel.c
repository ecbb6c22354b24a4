/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole of kernel/ on the host: see world_kernel.h. */
#include "world_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/x86_64/clock.h"
#include "arch/x86_64/early_uart.h"
#include "arch/x86_64/image.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/poweroff.h"
#include "arch/x86_64/tsc.h"
#include "base/bits.h"
#include "base/log.h"
#include "drivers/host/cmos.h"
#include "drivers/host/uart.h"
#include "fake_portio.h"
#include "kernel/console/console.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"
#include "kernel/monitor/monitor.h"
#include "kernel/monitor/settings.h"
#include "kernel/scan/classes.h"
#include "kernel/scan/scan.h"
#include "kernel/stats/stats.h"
#include "kernel/storage/disks.h"
#include "kernel/storage/overlays.h"
#include "kernel/vm/images.h"
#include "mm/content/content.h"

#define MIB (UINT64_C(1) << 20)
/* The prompt has been there for long: the log comes out at once. */
#define SETTLED_NS (2000 * MS)
#define SAID_BYTES (256u << 10)

int kernel_off;
/* No part of the RAM: the kernel's image takes none of it. */
char image_phys_start[1], image_phys_end[1];

static struct mb2_info boot;
static struct {
    const char *name;
    const void *bytes;
    size_t n;
} modules[8];
static unsigned n_modules;

/* ---- the serial port ----------------------------------------------------------------------- */

static char said[SAID_BYTES];
static size_t n_said;
static struct {
    uint8_t ier, lcr;
    bool empty; /* the transmitter's event */
    bool stalled;
    char typed[1024];
    size_t n_typed, at;
} port;

static void say(char c)
{
    if (n_said == SAID_BYTES - 1) {
        n_said = SAID_BYTES / 2;
        memmove(said, said + SAID_BYTES / 2 - 1, n_said);
    }
    said[n_said++] = c;
    said[n_said] = '\0';
}

const char *kernel_said(void)
{
    return said;
}

void kernel_hush(void)
{
    n_said = 0;
    said[0] = '\0';
}

static void update(void)
{
    if (((port.ier & 1) && port.at < port.n_typed) || ((port.ier & 2) && port.empty)) {
        machine_raise(HOST_UART_COM1_IRQ);
    }
}

static uint32_t port_in(void *ctx, uint16_t reg, unsigned size)
{
    uint32_t v = 0;

    (void)ctx;
    (void)size;
    switch (reg) {
    case 0:
        v = port.at < port.n_typed ? (uint8_t)port.typed[port.at++] : 0u;
        break;
    case 1:
        v = port.ier;
        break;
    case 2:
        if ((port.ier & 1) && port.at < port.n_typed) {
            v = 0xc4;
        } else if ((port.ier & 2) && port.empty) {
            v = 0xc2;
            port.empty = false;
        } else {
            v = 0xc1;
        }
        break;
    case 3:
        v = port.lcr;
        break;
    case 5:
        v = (port.at < port.n_typed ? 1u : 0) | (port.stalled ? 0 : 0x60u);
        break;
    default:
        break;
    }
    update();
    return v;
}

static void port_out(void *ctx, uint16_t reg, unsigned size, uint32_t value)
{
    (void)ctx;
    (void)size;
    if (reg == 3) {
        port.lcr = (uint8_t)value;
    } else if (reg == 0 && !(port.lcr & 0x80)) {
        say((char)value);
        port.empty = !port.stalled;
    } else if (reg == 1 && !(port.lcr & 0x80)) {
        port.empty |= !(port.ier & 2) && (value & 2) && !port.stalled;
        port.ier = (uint8_t)value;
    }
    update();
}

static const struct fake_ports ports = {
    .first = HOST_UART_COM1, .count = 8, .in = port_in, .out = port_out};

void kernel_type(const char *text)
{
    if (port.at == port.n_typed) {
        port.at = port.n_typed = 0;
    }
    ASSERT(port.n_typed + strlen(text) <= sizeof(port.typed));
    memcpy(port.typed + port.n_typed, text, strlen(text));
    port.n_typed += strlen(text);
    update();
}

void kernel_stall_port(bool stalled)
{
    port.stalled = stalled;
    port.empty = !stalled;
    update();
}

void early_uart_puts(const char *s)
{
    while (*s) {
        say(*s++);
    }
}

void early_uart_set_mark(const char *mark)
{
    (void)mark;
}

/* ---- what else is the machine's ------------------------------------------------------------ */

uint64_t clock_tsc_khz(void)
{
    return 2000000;
}

uint64_t clock_tsc_to_ns(uint64_t tsc)
{
    return clock_ticks_to_ns(tsc);
}

_Noreturn void machine_exit(int code)
{
    kernel_off = 1 + code;
    machine_leave();
}

_Noreturn void machine_reboot(void)
{
    kernel_off = -1;
    machine_leave();
}

/* ---- start-up ------------------------------------------------------------------------------ */

void kernel_add_module(const char *name, const void *bytes, size_t n)
{
    ASSERT(n_modules < sizeof(modules) / sizeof(modules[0]));
    modules[n_modules].name = name;
    modules[n_modules].bytes = bytes;
    modules[n_modules++].n = n;
}

/* A static ELF file that has a page of ones for 1 MiB, its entry. */
static void add_elf(void)
{
    static uint8_t elf[2 * PAGE_SIZE] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    uint8_t *ph = elf + 64;

    store_le16(elf + 16, 2);
    store_le16(elf + 18, 62);
    store_le64(elf + 24, MIB);
    store_le64(elf + 32, 64);
    store_le16(elf + 54, 56);
    store_le16(elf + 56, 1);
    store_le32(ph, 1);
    store_le64(ph + 8, PAGE_SIZE);
    store_le64(ph + 24, MIB);
    store_le64(ph + 32, PAGE_SIZE);
    store_le64(ph + 40, PAGE_SIZE);
    memset(elf + PAGE_SIZE, 1, PAGE_SIZE);
    kernel_add_module("kernel", elf, sizeof(elf));
}

/* The modules lie at the end of memory, each in pages of its own. */
static void place_modules(uint64_t end)
{
    for (unsigned i = 0; i < n_modules; i++) {
        end -= ALIGN_UP(modules[i].n, PAGE_SIZE);
        memcpy(fake_ram + end, modules[i].bytes, modules[i].n);
        boot.modules[i].start = end;
        boot.modules[i].end = end + modules[i].n;
        snprintf(boot.modules[i].name, MB2_NAME, "%s", modules[i].name);
    }
    boot.n_modules = n_modules;
}

static void *alloc_page_aligned(uint64_t bytes)
{
    void *p = aligned_alloc(PAGE_SIZE, bytes);

    ASSERT(p);
    return memset(p, 0xa5, bytes);
}

static void init_memory(uint64_t memory_mib)
{
    unsigned n;

    fake_ram = alloc_page_aligned(memory_mib * MIB);
    boot.mem[0].base = MIB;
    boot.mem[0].len = (memory_mib - 1) * MIB;
    boot.mem[0].type = MB2_MEM_AVAILABLE;
    boot.n_mem = 1;
    place_modules(memory_mib * MIB);
    bootmem_init(&boot, HPA(0), PAGE_SIZE);
    bootmem_set_limit(UINT64_MAX);
    const struct phys_range *ram = bootmem_ram(&n);
    machine_set_memory(ram, n);
}

static struct random secrets;

static void init_cache(void)
{
    const struct config_host *h = &machine_config.host;
    uint64_t memory = machine_memory_bytes();
    uint64_t blocks = MAX(config_cache_bytes(h, memory) >> PAGE_SHIFT, 1u);
    uint64_t room = MAX(blocks, memory >> PAGE_SHIFT), bytes = cache_bytes(room);
    enum status s = cache_init(&machine_cache, &machine_frames, boot_alloc(bytes, 64), room,
                               random_word(&secrets));

    ASSERT(s == OK);
    mrc_init(&machine_curve, boot_alloc(MRC_BYTES, 64), blocks, random_word(&secrets));
}

/* As kernel/start.c's list. */
void kernel_boot(uint64_t memory_mib, const char *config)
{
    char why[256];

    machine_init_bare();
    machine.now_ns = 1000000;
    add_elf();
    init_memory(memory_mib);
    fake_ports_add(&ports);
    port.empty = true;

    machine_set_boot(&boot);
    if (config_parse(config, strlen(config), &machine_config, why, sizeof(why)) != OK) {
        panic("the test's configuration: %s", why);
    }
    cmos_init(machine.now_ns);
    uint64_t frames = bootmem_frame_count();
    uint32_t *roots = boot_alloc(fold_roots(frames) * sizeof(*roots), 64);
    frames_init(&machine_frames, boot_alloc(frames * sizeof(struct frame), PAGE_SIZE), frames,
                window(HPA(0)));
    charge_init();
    sched_init();
    console_init("");
    random_stir(&secrets, 1);
    machine_list_groups(boot_alloc(sizeof(*groups) * MAX(machine_config.n_vms, 1u), 64));
    init_cache();
    disks_init(&machine_config);
    aside_init(&machine_config);
    vms_init(&machine_config);
    images_init(&machine_config);
    stats_init();
    monitor_init(&machine_config);
    machine_join_loop();
    bootmem_finish(&machine_frames);
    frames_add_reclaimer(&machine_frames, cache_reclaim, &machine_cache);
    frames_add_reclaimer(&machine_frames, images_reclaim, NULL);
    for (unsigned i = 0; i < n_groups; i++) {
        enum status s = share_group_init(&groups[i], &machine_frames, groups[i].name, i);
        ASSERT(s == OK);
    }
    fold_init(&machine_fold, &machine_frames, rdtsc, &secrets, roots);
    machine_fold.cache = &machine_cache;
    machine_fold.several_groups = n_groups > 1;
    scan_init(&machine_config.host);
    settings_apply(NULL, &machine_config.host, NULL);
    machine_fold.classify = classes_of;
    sched_add_work(vms_look, NULL);
    aside_open();
    kernel_run_ns(SETTLED_NS);
    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i]->config->start) {
            enum status s = vm_start(vms[i]);
            ASSERT(s == OK);
        }
    }
}

void kernel_run_ns(uint64_t ns)
{
    if (kernel_off == 0) {
        machine_run(machine.now_ns + ns);
    }
}

/* ---- frames -------------------------------------------------------------------------------- */

static mfn_t taken[65536];
static unsigned n_taken;

void kernel_take_frames(uint64_t left)
{
    while (machine_frames.by_state[FRAME_FREE] > left) {
        ASSERT(n_taken < sizeof(taken) / sizeof(taken[0]));
        enum status s = frames_alloc(&machine_frames, FRAME_HYP, &taken[n_taken++]);
        ASSERT(s == OK);
    }
}

void kernel_give_frames(uint64_t n)
{
    while (n-- > 0 && n_taken > 0) {
        frames_free(&machine_frames, taken[--n_taken]);
    }
}

/* ---- tests --------------------------------------------------------------------------------- */

int kernel_main_of_tests(const struct CMUnitTest *tests, size_t n)
{
    int failed = 0;

    for (size_t i = 0; i < n; i++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            const struct CMUnitTest one[] = {tests[i]};
            int bad = cmocka_run_group_tests_name(tests[i].name, one, NULL, NULL);
            fflush(NULL);
            _exit(bad); /* what the machine has is no leak */
        }
        int status = 1;
        failed += child < 0 || waitpid(child, &status, 0) != child || status != 0;
    }
    return failed;
}
