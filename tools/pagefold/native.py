# SPDX-License-Identifier: BSD-2-Clause
"""Boots a VM's kernel without Pagefold, in the same emulator, and counts the ticks to its init.

The baseline for the boot-time ratio. GRUB's own `linux` command starts the kernel and the initrd of
CONFIG's VM with its command line, on a machine with as much memory. The last thing before `boot` is
a write to Bochs' information port, which Bochs notes in its log with the tick; the end is the
time-stamp counter that the initramfs prints as `INIT-TSC n` (guests/tsc.c) when it starts. In Bochs
the counter is 0 at reset and counts ticks, so the difference of the two is the boot, kernel
decompression included and GRUB's reading of files left out.
"""

import argparse
import json
import os
import re
import secrets
import sys
import tempfile

from pagefold import problem, texts
from pagefold.emu import config, console, image, machine
from pagefold.problem import Problem
from pagefold.values import parse_size

INFO_PORT = 0x402
MARK = "native-start"


def grub_cfg(cmdline, initrd):
    note = "\n    ".join(f"outb {INFO_PORT:#x} {byte:#x}" for byte in (MARK + "\n").encode())
    initrd_line = "initrd /boot/initrd" if initrd else ""
    return f"""set timeout=0
insmod iorw
menuentry native {{
    linux /boot/vmlinuz {cmdline}
    {initrd_line}
    {note}
    boot
}}
"""


def start_tick(work):
    for line in texts.read(os.path.join(work, "bochs.log")).splitlines():
        if MARK in line:
            return int(re.match(r"\d+", line).group())
    raise Problem("GRUB's mark is not in Bochs' log; was the kernel started at all?")


def arguments(argv):
    parser = argparse.ArgumentParser(prog="tools/native", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("config", metavar="CONFIG")
    add("--vm", metavar="NAME", help="default: the first of CONFIG")
    add("--cpu", metavar="MODEL")
    add("--memory", metavar="SIZE", help="default: the VM's memory")
    add("--append", metavar="WORDS", default="", help="more for the kernel's command line")
    add("--timeout", metavar="SECONDS", type=float, default=300)
    add("--log", metavar="FILE", default=os.devnull, help="what the kernel printed")
    return parser.parse_args(argv)


def native(args, work):
    vm = config.vm_section(args.config, args.vm)
    if "kernel" not in vm:
        raise Problem(f"{args.config}: the VM has no kernel")
    memory = parse_size(args.memory or vm.get("memory", "256M"), "memory")
    kind = machine.Machine("bochs", args.cpu, 1, memory, [])
    kind.check_host()
    out = os.path.join(work, "boot.iso")
    files = {"vmlinuz": vm["kernel"]}
    if "initrd" in vm:
        files["initrd"] = vm["initrd"]
    image.make(out, work, grub_cfg(f"{vm.get('cmdline', '')} {args.append}".strip(),
                                   "initrd" in vm), files, "iorw")
    listener = console.Listener(work, kind.kind)
    process, link = console.start(kind.command(out, work, listener.places()), listener, work)
    sys.stdin = None
    try:
        with open(args.log, "wb") as log:
            session = console.Session(process, link, [], r"INIT-TSC \d+\n", args.timeout, log,
                                      token=secrets.token_hex(16))  # nothing here writes marks
            session.show = lambda data: None
            status = session.run()
    finally:
        console.stop(process)
    found = re.search(r"INIT-TSC (\d+)\n", session.text)
    if not found:
        raise Problem("no INIT-TSC line came " + ("in time" if status == console.TIMED_OUT else
                                                  "before the machine stopped"))
    first, last = start_tick(work), int(found.group(1))
    print(json.dumps({"start_tick": first, "init_tick": last, "boot_ticks": last - first}))
    return 0


def in_folder(args):
    with tempfile.TemporaryDirectory(prefix="pagefold-") as work:
        return native(args, work)


def main(argv):
    return problem.report("native", in_folder, arguments(argv))
