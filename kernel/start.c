/* SPDX-License-Identifier: BSD-2-Clause */
/* The second half of start-up: from the boot modules to the loop, an ordered list. */
#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/entropy.h"
#include "arch/x86_64/hvm/hvm.h"
#include "arch/x86_64/hvm/vector.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/poweroff.h"
#include "base/bits.h"
#include "base/log.h"
#include "drivers/host/cmos.h"
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
#include "kernel/vm/vm.h"

#define CONFIG_MODULE "config"

/* What the user gave us to work with is wrong: say it in one line and stop. */
static _Noreturn void refuse(const char *why)
{
    log_error("Pagefold cannot start: %s", why);
    machine_exit(1);
}

static void read_config(void)
{
    const uint8_t *text;
    uint64_t n;
    char why[256];

    if (!machine_module(CONFIG_MODULE, &text, &n)) {
        refuse("there is no boot module 'config'; add `module2 FILE config` to grub.cfg, or use "
               "tools/run");
    }
    if (config_parse((const char *)text, n, &machine_config, why, sizeof(why)) != OK) {
        refuse(why);
    }
}

static void init_groups(void)
{
    for (unsigned i = 0; i < n_groups; i++) {
        if (share_group_init(&groups[i], &machine_frames, groups[i].name, i) != OK) {
            refuse("no memory for the share groups' zero pages");
        }
        if (i > 0 && machine_config.host.fold_zero_across_groups) {
            share_group_join_zero(&groups[i], &machine_frames, &groups[0]);
        }
    }
}

/* What all keys are drawn from: guests know none of it. */
static struct random secrets;

static void make_secrets(void)
{
    const char *source;
    bool generator = entropy_stir(&secrets, &source);

    if (generator) {
        log_info("the keys of hashes are drawn from %s", source);
    } else {
        log_warn("the keys of hashes are drawn from %s: this CPU has no random number generator "
                 "that delivers (RDSEED, RDRAND)",
                 source);
    }
}

static void make_cache(void)
{
    const struct config_host *h = &machine_config.host;
    uint64_t memory = machine_memory_bytes();
    uint64_t blocks = MAX(config_cache_bytes(h, memory) >> PAGE_SHIFT, 1u);
    /* What guests map does not count towards the bound, but wants an entry. */
    uint64_t room = h->cache_mode == CACHE_FOLD ? MAX(blocks, memory >> PAGE_SHIFT) : blocks;
    uint64_t bytes = cache_bytes(room);
    if (bytes == 0 || cache_init(&machine_cache, &machine_frames, boot_alloc(bytes, 64), room,
                                 random_word(&secrets)) != OK) {
        refuse("config: cache.max is too large");
    }
    mrc_init(&machine_curve, boot_alloc(MRC_BYTES, 64), blocks, random_word(&secrets));
    if (h->cache_trace > 0) {
        void *mem = boot_alloc(blktrace_bytes(h->cache_trace), 64);
        blktrace_init(&machine_trace, mem, h->cache_trace, clock_now_ns);
    }
}

static void start_vms(void)
{
    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i]->config->start && vm_start(vms[i]) != OK) {
            log_error("%s: not started", vms[i]->config->name);
        }
    }
}

void kernel_run(const struct mb2_info *boot)
{
    uint64_t frames = bootmem_frame_count();

    machine_set_boot(boot);
    read_config();
    cmos_init(clock_now_ns());
    uint32_t *roots = boot_alloc(fold_roots(frames) * sizeof(*roots), 64);
    frames_init(&machine_frames, boot_alloc(frames * sizeof(struct frame), PAGE_SIZE), frames,
                window(HPA(0)));
    charge_init();
    sched_init();
    console_init(boot->cmdline); /* interrupts on the serial line from here */
    make_secrets();
    machine_list_groups(boot_alloc(sizeof(*groups) * MAX(machine_config.n_vms, 1u), 64));
    make_cache();
    disks_init(&machine_config);
    aside_init(&machine_config);
    vms_init(&machine_config);
    images_init(&machine_config);
    stats_init();
    monitor_init(&machine_config);

    bootmem_finish(&machine_frames); /* no boot_alloc below */
    frames_add_reclaimer(&machine_frames, cache_reclaim, &machine_cache);
    frames_add_reclaimer(&machine_frames, images_reclaim, NULL); /* what it gives is copied again */
    init_groups();
    fold_init(&machine_fold, &machine_frames, rdtsc, &secrets, roots);
    machine_fold.cache = &machine_cache;
    machine_fold.several_groups = n_groups > 1;
    scan_init(&machine_config.host);
    settings_apply(NULL, &machine_config.host, NULL);
    if (hvm_init(&machine_frames) != OK) {
        refuse("VT-x could not be switched on; the lines above say why");
    }
    machine_fold.unit = vector_unit();
    machine_fold.classify = classes_of;
    log_info("pages are compared and hashed with %s instructions", vector_unit()->ops->name);
    sched_add_work(vms_look, NULL);
    if (n_vms == 0) {
        log_warn("the configuration has no [vm NAME] section: only the monitor runs");
    }
    aside_open();
    start_vms();
    sched_loop();
}
