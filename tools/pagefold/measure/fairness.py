# SPDX-License-Identifier: BSD-2-Clause
"""What one guest can take from the others: a guest that computes (guests/tests/victim.c) beside guests
that do one greedy thing for ever (guests/tests/attack.c).

The first guest measures from inside: its share of the CPU, as the time that its rounds take without
an interruption, and its gap, the longest time between two of its RDTSCs. Beside one greedy guest it is
to have 0.45 and no gap over 25 ms of emulated time; beside three, 0.9 of its quarter and 50 ms.
"""

import os
import re

from pagefold import calls, texts
from pagefold.measure.boots import FOLDER, guest, pagefold, read_log, write
from pagefold.problem import Problem

# What a row wants of its greedy guests besides `how`: memory in MiB, lines of their section.
PLAIN = (40, ())
# In memory, so that they are in the cache at once.
READS = (40, tuple("disk = module:{folder}/read%d.img,ro" % i for i in range(8)))
ASIDE = (40, tuple(f"disk = ata0p{i},snapshot" for i in range(1, 9)))
# Plain disks: what is written goes to the disk itself, or through the cache.
PLAIN_DISK = (40, tuple(f"disk = ata0p{i},shared" for i in range(1, 9)))
MEMORY = (40, ("disk = module:{folder}/memory{n}.img",))
INITRD = (64, ("initrd = {folder}/initrd",))
# name, how, what it is, the above
ROWS = (
    ("computes", 0, "computes as well", PLAIN),
    ("cpuid", 1, "CPUID in a loop", PLAIN),
    ("mmio", 2, "reads a register in memory", PLAIN),
    ("ports", 3, "reads a port", PLAIN),
    ("pause", 4, "PAUSE in a loop", PLAIN),
    ("rep_in", 5, "REP INS", PLAIN),
    ("rep_movs", 6, "REP MOVS to a device", PLAIN),
    ("console", 7, "floods its console", PLAIN),
    ("timers_hlt", 8, "PIT, RTC, APIC at their fastest, HLT", PLAIN),
    ("timers_deaf", 9, "the same, interrupts off", PLAIN),
    ("timers_masked", 10, "the same, interrupts masked", PLAIN),
    ("timers_compute", 11, "the same, computes", PLAIN),
    ("one_shot", 12, "sets a one-shot timer for ever", PLAIN),
    ("naps", 13, "naps for 100 us", PLAIN),
    ("touch_reset", 14, "touches its memory, resets", PLAIN),
    ("reset", 15, "resets, initrd of 40 MiB", INITRD),
    ("refold", 16, "makes all its pages equal, again and again", PLAIN),
    ("read_4m", 17, "reads 4 MiB from each of 8 disks, cached", READS),
    ("read_4k", 18, "reads 4 KiB from each of 8 disks, cached", READS),
    ("discard", 19, "discards on 8 snapshots", ASIDE),
    ("zero", 20, "zeroes 8 snapshots", ASIDE),
    ("zero_memory", 20, "zeroes a disk in memory", MEMORY),
    ("write_flush", 21, "writes and flushes 8 snapshots", ASIDE),
    ("write_through", 21, "writes and flushes 8 partitions", PLAIN_DISK),
    ("write_back", 23, "writes 8 partitions, written back", PLAIN_DISK),
    ("start_stop", 0, "started and stopped by the monitor", INITRD),
    ("deadline_past", 24, "TSC deadlines that have passed", PLAIN),
    ("self_ipi", 25, "IPIs to itself", PLAIN),
    ("registers", 26, "writes CR0, CR3, CR4; INVLPG", PLAIN),
    ("ask_ids", 27, "asks 8 disks for their names", READS),
    ("rep_kick", 22, "REP OUTS to notify, reads queued", READS),
)
rows = ROWS  # those that are measured
# What a row wants in [host], and of the monitor: so often each greedy guest is stopped and started.
HOST = {"write_back": "cache.write = back\n"}
LIVES = {"start_stop": 4}
# name of a setting -> greedy guests, lines of [host], least share in thousandths, longest gap in us
SETTINGS = {
    "one": (1, "fold.run = off\n", 450, 25000),
    "one_folded": (1, "", 450, 25000),
    "three": (3, "", 225, 50000),
}
HEADS = {"one": "beside one, no folding", "one_folded": "beside one", "three": "beside three"}
PARTITION = "8M"
MEMORY_DISK_BYTES = 32 << 20
READ_DISK_BYTES = 4 << 20
INITRD_BYTES = 40 << 20
WAIT_MS = 500
WINDOW_MS = 1500


def make_file(name, size):
    return texts.replace(os.path.join(FOLDER, name), os.urandom(4096) * (size // 4096))


def conf(name, how, needs, setting):
    n, host, *_ = SETTINGS[setting]
    memory, lines = needs
    text = "[host]\nstats.interval = off\n" + host + HOST.get(name, "")
    for i in range(n):
        text += (f"[vm greedy{i}]\nmemory = {memory}M\nkernel = {guest('attack')}\n"
                 f"cmdline = how={how}\n")
        text += "".join(line.format(folder=FOLDER, n=i) + "\n" for line in lines)
    text += (f"[vm victim]\nmemory = 32M\nkernel = {guest('victim')}\n"
             f"cmdline = wait={WAIT_MS} ms={WINDOW_MS}\n")
    return write(f"fairness-{name}-{setting}.conf", text)


def lives(each, n):
    """What the monitor is told. One guest alone lives until it runs; of several, each is stopped
    wherever its start has come to."""
    for life in range(each * n):
        vm = f"greedy{life % n}"
        if n == 1 or life == 0:
            yield from ("--send-after", f"{vm}: started")
        yield from ("--send", f"stop {vm}", "--send-after", rf"{vm}: off \(stopped",
                    "--send", f"start {vm}")


def measure(row, setting, disk):
    """share in thousandths and gap in us; None: the victim did not come to an end."""
    name, how, _, needs = row
    log = f"fairness-{name}-{setting}"
    options = ["--memory", "512M"]
    if needs in (ASIDE, PLAIN_DISK):
        options += ["--disk", disk + ",snapshot"]
    options += lives(LIVES.get(name, 0), SETTINGS[setting][0])
    try:
        text = pagefold(log, conf(name, how, needs, setting), r"\[victim\] TAP-", *options,
                        "--timeout", "300")
    except Problem:
        text = read_log(log)
    found = re.search(r"victim: share (\d+) gap (\d+) us", text)
    return {"share": int(found.group(1)), "gap_us": int(found.group(2))} if found else None


def choose(names):
    """Only these rows are measured from now on."""
    global rows
    rows = tuple(row for row in ROWS if row[0] in names)


def submit(pool, _full):
    disk = calls.make_disk(os.path.join(FOLDER, "parts.img"), *[PARTITION] * 8)
    make_file("initrd", INITRD_BYTES)
    for n in range(max(setting[0] for setting in SETTINGS.values())):
        make_file(f"memory{n}.img", MEMORY_DISK_BYTES)
    for n in range(8):
        make_file(f"read{n}.img", READ_DISK_BYTES)
    return {(row[0], setting): pool.submit(measure, row, setting, disk)
            for row in rows for setting in SETTINGS}


def collect(jobs):
    result = {}
    for (name, setting), job in jobs.items():
        result.setdefault(name, {})[setting] = job.result()
    return result


def is_missed(cell, setting):
    _, _, share, gap_us = SETTINGS[setting]
    return not cell or cell["share"] < share or cell["gap_us"] > gap_us


def missed(result):
    return [f"fairness_{name}_{setting}" for name, cells in result.items()
            for setting, cell in cells.items() if is_missed(cell, setting)]


def shown(cell, setting):
    if not cell:
        return "never"
    text = f"{cell['share'] / 1000:.3f}, {cell['gap_us'] / 1000:.1f} ms"
    return text + (" (missed)" if is_missed(cell, setting) else "")


def table(result):
    """As it stands in docs/fairness.md."""
    yield "| the other guest | " + " | ".join(HEADS.values()) + " |"
    yield "|---|" + "---|" * len(HEADS)
    for name, _, what, _ in rows:
        yield (f"| {what} | "
               + " | ".join(shown(result[name][setting], setting) for setting in SETTINGS) + " |")
