# SPDX-License-Identifier: BSD-2-Clause
"""What exits cost, and what a boot.

Two things: what a guest pays for each kind of exit, fault and disk read (guests/bench times itself
by RDTSC), and how long Debian's kernel takes from its start to its init, under Pagefold and booted
without it, on the same emulated CPU with the same memory, initramfs and command line.

How the boot is counted: under Pagefold, the time-stamp counter that the initramfs prints when it
starts (guests/tsc.c). It counts from the moment in which the vCPU is made, so loading the kernel is
in it. Natively the same, less the tick at which GRUB has loaded everything and starts the kernel,
so GRUB's loading is not. `quiet` keeps the kernel's messages from the serial line, because the
native machine's waits about 52,000 ticks for each character at the default 9600 baud while a
guest's takes it at once; the figures with messages are told as well. tsc_early_khz tells both
kernels the emulated clock's true rate: CPUID claims 3.5 GHz for the native one, which would make
its delay loops 70 times too long and its timer ticks 70 times too rare.
"""

import json
import re

from pagefold import texts
from pagefold.measure.boots import (BENCH_END, CPU, TIMEOUT_SECONDS, command, guest, log_of,
                                    make_numbered_disk, pagefold, read_series, write)
from pagefold.paths import guests_folder, tool

# name, what it is, the target for median and mean (None: no target), and what Linux KVM needs in the
# same emulator (6.1 and 6.12 cloud kernels).
SERIES = (
    ("empty", "two RDTSC, nothing between them", None, None),
    ("cpuid", "CPUID exit", 300, (969, 1072)),
    ("cpuid_leaf1", "CPUID exit, a leaf that depends on the guest's state", None, None),
    ("pio_out_uart", "OUT to the UART's scratch register", 700, (3058, 3374)),
    ("pio_in_uart", "IN from the UART's scratch register", 700, (3058, 3374)),
    ("pio_out_rtc", "OUT to the RTC's index", 700, (3058, 3374)),
    ("pio_in_rtc", "IN of an RTC register", 700, (3058, 3374)),
    ("pio_out_nobody", "OUT to a port that nobody answers", None, None),
    ("rdmsr_x2apic", "RDMSR exit, x2APIC id", None, None),
    ("wrmsr_x2apic_tpr", "WRMSR exit, x2APIC TPR", None, None),
    ("wrmsr_x2apic_eoi", "WRMSR exit, x2APIC EOI", None, None),
    ("timer_deadline", "WRMSR exit, arming the TSC deadline", None, None),
    ("timer_wake_from_hlt", "from the deadline back out of HLT", None, None),
    ("demand_zero_write", "first write to a page", 1200, (6097, 6984)),
    ("demand_zero_read", "first read of a page", None, None),
    ("zero_break", "write to a page that was folded with the zero page", 1300, (12163, 10787)),
    ("cow_break_two_vms", "write to a page folded with another VM's", 1300, (12163, 14513)),
    ("cow_break_one_vm", "write to a page folded with one of the same VM", 1300, (12163, 14513)),
    ("take_over", "write to a folded page that nobody else has any more", None, None),
    ("no_fault_write", "write to a page that is mapped", None, None),
    ("virtio_read_miss", "virtio-blk, 4 KiB from the disk, polled", None, None),
    ("virtio_read_hit", "virtio-blk, 4 KiB from the cache, polled", None, None),
    ("virtio_read_hit_irq", "virtio-blk, 4 KiB from the cache, MSI-X interrupt", None, None),
)
BOOT_TARGET = 1.25
INIT = r"INIT-TSC (\d+)\r?\n"  # the whole line: it comes in pieces

EXITS_CONF = """\
; The folder makes a whole pass at a time and then sleeps, so that the guest can measure in peace.
[host]
stats.interval = 1s
scan.pages = 1000000
scan.sleep = 10s
scan.pass = off
scan.cpu_max = 90%
cache.mode = inclusive
cache.readahead = 0
[vm twin]
memory = 96M
kernel = {guest}
cmdline = role=2
[vm bench]
memory = 128M
kernel = {guest}
cmdline = role=1
disk = ata0
"""

BOOT_CONF = """\
[host]
stats.interval = 1s
{host}
[vm debian]
memory = 256M
kernel = {guests}/vmlinuz
initrd = {guests}/initrd-demo.gz
cmdline = console=ttyS0 root=/dev/vda ro rescue tsc_early_khz=50000{words}
"""
# name -> the host's keys (None: native), words for the guest's command line
BOOTS = {
    "native": (None, " quiet"),
    "pagefold": ("", " quiet"),
    "pagefold_no_folding": ("fold.run = off", " quiet"),
    "native_messages": (None, ""),
    "pagefold_messages": ("", ""),
}


# ---- exits ----------------------------------------------------------------------------------


def measure_exits():
    conf = write("exits.conf", EXITS_CONF.format(guest=guest("bench")))
    text = pagefold("exits", conf, BENCH_END, "--disk", make_numbered_disk() + ",snapshot")
    return read_series("exits", text, [name for name, *_ in SERIES])


# ---- boot -----------------------------------------------------------------------------------


def measure_boot(name):
    host, words = BOOTS[name]
    conf = write(name + ".conf", BOOT_CONF.format(host=host or "", words=words,
                                                  guests=guests_folder()))
    if host is None:
        log = log_of(name)
        told = command([tool("native"), "--cpu", CPU, "--log", log,
                        "--timeout", str(TIMEOUT_SECONDS), conf], log)
        return {"ticks": json.loads(told)["boot_ticks"]}
    text = pagefold(name, conf, INIT)
    init = re.search(INIT, text)
    stats = texts.statistics(text[:init.start()])
    return {"ticks": int(init.group(1)), "stats": stats[-1] if stats else {}}


def where_it_goes(boots, series):
    """What a boot under Pagefold has that a native one has not, in ticks: the scanner by its own
    count, and the exits by kind, at their medians. From the last statistics line before init."""
    last = boots["pagefold"]["stats"]
    vm = last["vms"][0]

    def median(name):
        return series[name]["median"]

    return {
        "scanner": last["fold"]["scan_ticks"],
        "ept_violations": vm["exits_ept"] * median("demand_zero_write"),
        "msr": vm["exits_msr"] * (median("wrmsr_x2apic_eoi") + median("timer_deadline")) // 2,
        "timer_and_quantum": vm["exits_irq"] * median("timer_wake_from_hlt"),
        "port_io": vm["exits_io"] * median("pio_out_uart"),
        "cpuid": vm["exits_cpuid"] * median("cpuid_leaf1"),
    }


# ---- the whole ------------------------------------------------------------------------------


def submit(pool, _full):
    """Starts all boots; their results are taken by collect."""
    return (pool.submit(measure_exits),
            {name: pool.submit(measure_boot, name) for name in BOOTS})


def collect(jobs):
    series, boots = jobs[0].result(), {name: job.result() for name, job in jobs[1].items()}

    def ratio(a, b):
        return round(boots[a]["ticks"] / boots[b]["ticks"], 4)

    return {
        "series": series,
        "boot": {
            "ticks": {name: boot["ticks"] for name, boot in boots.items()},
            "ratio": ratio("pagefold", "native"),
            "ratio_no_folding": ratio("pagefold_no_folding", "native"),
            "ratio_messages": ratio("pagefold_messages", "native_messages"),
            "extra_ticks": where_it_goes(boots, series),
            "stats": boots["pagefold"]["stats"],
        },
    }


def missed(result):
    """Names of the targets that were not reached."""
    series = result["series"]
    names = [name for name, _, target, _ in SERIES
             if target and max(series[name]["median"], series[name]["mean"]) > target]
    return names + (["boot_ratio"] if result["boot"]["ratio"] > BOOT_TARGET else [])


def table(result):
    yield f"{'':22} {'median':>8} {'mean':>8} {'min':>8} {'p99':>8} {'n':>5}  {'target':>6}  KVM"
    for name, what, target, kvm in SERIES:
        s = result["series"][name]
        yield (f"{name:22} {s['median']:8} {s['mean']:8} {s['min']:8} {s['p99']:8} {s['n']:5}  "
               f"{target or '':>6}  {'{} / {}'.format(*kvm) if kvm else '':15} {what}")
    boot = result["boot"]
    yield ""
    yield "from the kernel's start to its init, ticks"
    for name, ticks in boot["ticks"].items():
        yield f"  {name:22} {ticks:13,}"
    yield (f"boot ratio {boot['ratio']:.3f} (target {BOOT_TARGET}); "
           f"{boot['ratio_no_folding']:.3f} without folding, "
           f"{boot['ratio_messages']:.3f} with the kernel's messages on the serial line")
    native = boot["ticks"]["native"]
    yield "of that, by the counters of the last second before init and the medians above:"
    for name, ticks in boot["extra_ticks"].items():
        yield f"  {name:22} {ticks:13,}  {100 * ticks / native:5.1f}% of the native boot"
