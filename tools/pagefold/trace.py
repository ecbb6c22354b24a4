# SPDX-License-Identifier: BSD-2-Clause
"""Traces of what Debian guests want of the disk cache, for build/host/cache-bench.

    tools/trace [--again] [NAME ...]

Runs each workload in an emulator and writes build/traces/NAME.trace; what is there already is kept.
Without names: all of them.

    boot    one guest boots, reads 8 MiB of files, drops its page cache and reads them again
    pair    two such guests on one disk
    storm   four of them from one base, each with its writes kept aside, all started at once
    files   two guests of 88 MiB on one disk, which read more files than their memory holds, the
            popular ones more often

A line of a trace is `T_US VM DISK BLOCK BLOCKS OP`: microseconds since boot, the VM's number, the
disk's, the first block of 4 KiB and how many, and r, w or d (a discard or zeroes).
"""

import argparse
import os
import re
import subprocess
import tempfile

from pagefold import calls, problem, texts
from pagefold.emu.cpio import demo_initrd_with
from pagefold.paths import BUILD, guest_file, guests_folder, source
from pagefold.problem import Problem

FOLDER = os.path.join(BUILD, "traces")
TIMEOUT_SECONDS = 1500
# What a dump leaves in the console's buffer is printed by the next one.
DUMPS = 12
HOST = "[host]\nstats.interval = off\ncache.max = 25%\ncache.trace = 400000\nscan.cpu_max = 10%\n"


def demo(name, disk):
    return ("160M", "{guests}/initrd-demo.gz",
            f"init=/usr/sbin/pagefold-demo demo.name={name} demo.wait=1 quiet", disk)


def files(name, seed):
    return ("88M", "{work}/initrd",
            f"init=/mnt/start trace.name={name} trace.seed={seed} trace.mib=96 quiet", "ata0p1,ro")


# name -> (the machine's memory, the guests, what each says at its end)
WORKLOADS = {
    "boot": ("320M", [demo("one", "ata0p1,ro")], r"DEMO vm=\w+ done"),
    "pair": ("448M", [demo(n, "ata0p1,ro") for n in ("one", "two")], r"DEMO vm=\w+ done"),
    "storm": ("768M", [demo(n, "ata0p1,snapshot") for n in ("one", "two", "three", "four")],
              r"DEMO vm=\w+ done"),
    "files": ("320M", [files("one", 11), files("two", 22)], r"TRACE vm=\w+ done"),
}


def write_config(guests, work):
    text = HOST
    for number, (memory, initrd, words, disk) in enumerate(guests, 1):
        where = {"guests": guests_folder(), "work": work}
        text += (f"[vm vm{number}]\nmemory = {memory}\nkernel = {where['guests']}/vmlinuz\n"
                 f"initrd = {initrd.format(**where)}\ndisk = {disk}\n"
                 f"cmdline = console=ttyS0 root=/dev/vda ro {words}\n")
    return texts.write(os.path.join(work, "trace.conf"), text)


def make_files(work):
    """The disk, and the initramfs with the reading guest's program beside its own files."""
    disk = calls.make_disk(os.path.join(work, "disk.img"), guest_file("root.ext4"))
    with open(source("guests", "trace", "start"), "rb") as file:
        ours = [("extra", b"", 0o040755), ("extra/start", file.read(), 0o100755)]
    with open(os.path.join(work, "initrd"), "wb") as file:
        file.write(demo_initrd_with(ours))
    return disk


def run(name, disk, work):
    """The console of one workload's machine; its guests have done their work, and nothing of the
    trace is missing."""
    memory, guests, end = WORKLOADS[name]
    log = os.path.join(FOLDER, name + ".log")
    sends = [(r"(?s)(?:(?:powered off|not started).*?){%d}" % len(guests), "cache")]
    sends += [(None, "cache trace")] * DUMPS + [(None, "poweroff now")]
    command = calls.run_command(write_config(guests, work), "--memory", memory, "--disk", disk,
                                "--log", log, "--timeout", str(TIMEOUT_SECONDS), sends=sends)
    status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            check=False).returncode
    text = texts.read(log).replace("\r", "")
    if status != 0:
        raise Problem(f"{name}: tools/run ended with status {status}; see {os.path.relpath(log)}")
    if len(re.findall(end, text)) != len(guests) or "sha256=WRONG" in text:
        raise Problem(f"{name}: a guest did not do its work; see {os.path.relpath(log)}")
    left = re.findall(r"^trace: # (\d+) more are kept, (\d+) found no room$", text, re.M)
    if not left or left[-1] != ("0", "0"):
        raise Problem(f"{name}: the trace is not whole; see {os.path.relpath(log)}")
    return text


def write_trace(name, text):
    lines = re.findall(r"^trace: (\d[\d ]* [rwd])$", text, re.M)
    whole = f"# {name}: T_US VM DISK BLOCK BLOCKS OP\n" + "\n".join(lines) + "\n"
    path = texts.replace(os.path.join(FOLDER, name + ".trace"), whole.encode())
    print(f"trace: {os.path.relpath(path)}: {len(lines)} requests", flush=True)


def trace(argv):
    parser = argparse.ArgumentParser(prog="tools/trace", allow_abbrev=False, description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--again", action="store_true", help="make them anew even if they are there")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(WORKLOADS))
    options = parser.parse_args(argv)
    for name in options.names:
        if name not in WORKLOADS:
            raise Problem(f"there is no workload '{name}'; there are: {', '.join(WORKLOADS)}")
    os.makedirs(FOLDER, exist_ok=True)
    wanted = [name for name in options.names or WORKLOADS
              if options.again or not os.path.exists(os.path.join(FOLDER, name + ".trace"))]
    if not wanted:
        return
    with tempfile.TemporaryDirectory(dir=FOLDER) as work:
        disk = make_files(work)
        for name in wanted:
            write_trace(name, run(name, disk, work))


def main(argv):
    return problem.report("trace", trace, argv)
