# SPDX-License-Identifier: BSD-2-Clause
"""Guests that verify all of their memory during a long emulated time of folding.

    tools/soak [MINUTES] [--set KEY=VALUE ...] [--seed N]

Three Debian guests rewrite and verify their memory (guests/load/memhash.c) and a fourth compresses
its files, on a machine that has less memory than they believe to have, for MINUTES (default 60) of
emulated time, while the scanner runs without a pause. Each emulated minute the monitor runs `check`,
and a line tells how far it is. `--set` gives keys of [host], such as fold.index=hash.

Fails when a guest finds one wrong word, when a check fails, or when a guest does not get to its end.
All that was printed is in build/soak/console.log.
"""

import argparse
import os
import re
import subprocess
import time

from pagefold import calls, problem, texts
from pagefold.paths import BUILD, guest_file, guests_folder
from pagefold.problem import Failed
from pagefold.values import add_settings, host_section, settings

FOLDER = os.path.join(BUILD, "soak")
LOG = os.path.join(FOLDER, "console.log")
MEMORY = "320M"
HASHERS = ("one", "two", "three")
ZIPPER = "zip"
# Emulated seconds until all guests run, and wall seconds for an emulated one at the very most.
BOOT_SECONDS = 300
SLOWEST = 20


def vm(name, memory, words, more=""):
    guests = guests_folder()
    return (f"[vm {name}]\nmemory = {memory}\nkernel = {guests}/vmlinuz\n"
            f"initrd = {guests}/initrd-load.gz\n"
            f"cmdline = console=ttyS0 quiet {words} load.name={name}\n{more}")


def write_config(args):
    text = host_section({"stats.interval": "60s", "scan.pages": "20000", "scan.sleep": "1ms",
                         "scan.pass": "off", "scan.cpu_max": "50%", **args.settings})
    for number, name in enumerate(HASHERS):
        text += vm(name, "112M", f"rdinit=/extra/start load.seconds={args.minutes * 60} "
                                 f"load.seed={args.seed + number} load.percent=80")
    text += vm(ZIPPER, "128M", f"root=/dev/vda ro init=/mnt/start "
                               f"load.seconds={args.minutes * 60} load.zip",
               "disk = ata0p1,ro\n")
    return texts.write(os.path.join(FOLDER, "soak.conf"), text)


class Progress:
    """What the run has told so far; prints a line for each emulated minute."""

    def __init__(self):
        self.began = time.monotonic()
        self.checks = 0
        self.guests = {}
        self.lines = 0

    def take(self, line):
        told = re.search(r"\[(\w+)\] (?:MEMHASH|LOAD) .*", line)
        if told:
            self.guests[told.group(1)] = told.group()
            if "WRONG" in line:
                print(line, flush=True)
        elif re.search(r"check: (OK|FAILED)", line):
            self.checks += "check: OK" in line
        elif re.search(r"PANIC|warning: .*paused|check:", line):
            print("  " + line.strip()[:120], flush=True)
        for stats in texts.statistics(line):
            self.show(stats)

    def verified(self):
        return sum(int(n) for text in self.guests.values()
                   for n in re.findall(r"verified=(\d+)", text))

    def show(self, stats):
        fold, self.lines = stats["fold"], self.lines + 1
        saved = (fold["pages_sharing"] + fold["pages_zero"]) * 4096 >> 20
        print(f"soak: {stats['t_ms'] / 60000:5.1f} min emulated, "
              f"{(time.monotonic() - self.began) / 60:5.1f} min here: {fold['full_scans']} passes, "
              f"{saved} MiB saved, {fold['merges'] + fold['zero_merges']} merges, "
              f"{fold['cow_breaks'] + fold['zero_breaks']} breaks; "
              f"{self.verified()} pages verified; check OK {self.checks} times", flush=True)


def run(config, disk, minutes):
    sends = [(r"@\{", "check")] * (minutes + 2)  # the guests' boot takes two minutes or so
    sends += [(r'"vms_on":0', "check"), (None, "poweroff now")]
    command = calls.run_command(config, "--memory", MEMORY, "--disk", disk, "--log", LOG, "--timeout",
                                str((BOOT_SECONDS + minutes * 60) * SLOWEST), sends=sends)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    progress = Progress()
    for line in process.stdout:
        progress.take(line.decode("utf-8", "replace"))
    return process.wait(), progress


def judge(status, progress, minutes):
    """Raises Failed unless each guest found its memory as it must be, to the end."""
    where = f"see {os.path.relpath(LOG)}"
    if status != 0:
        raise Failed(f"tools/run ended with status {status}; {where}")
    for name in HASHERS + (ZIPPER,):
        last = progress.guests.get(name, "nothing")
        print(f"soak: {last}")
        if "VERDICT=OK" not in last:
            raise Failed(f"the last words of {name} are no good verdict; {where}")
    if progress.checks <= minutes:
        raise Failed(f"only {progress.checks} checks passed; {where}")


def arguments(argv):
    parser = argparse.ArgumentParser(prog="tools/soak", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", nargs="?", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1, metavar="N",
                        help="what the guests write begins with it (default: 1)")
    add_settings(parser)
    args = parser.parse_args(argv)
    if args.minutes < 1:
        parser.error("MINUTES must be 1 or more")
    args.settings = settings(parser, args)
    return args


def soak(args):
    os.makedirs(FOLDER, exist_ok=True)
    disk = calls.make_disk(os.path.join(FOLDER, "disk.img"), guest_file("root.ext4"))
    try:
        status, progress = run(write_config(args), disk, args.minutes)
    finally:
        os.unlink(disk)
    judge(status, progress, args.minutes)
    print(f"soak: passed: {args.minutes} emulated minutes under load in "
          f"{(time.monotonic() - progress.began) / 60:.0f} min; {progress.verified()} pages verified "
          f"by their guests, {progress.checks} checks")


def main(argv):
    return problem.report("soak", soak, arguments(argv))
