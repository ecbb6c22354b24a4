# SPDX-License-Identifier: BSD-2-Clause
"""Boots Pagefold with a configuration in an emulator, its serial console on stdin and stdout."""

import argparse
import fcntl
import os
import re
import secrets
import shlex
import shutil
import signal
import sys
import tempfile

from pagefold import problem
from pagefold.emu import config, console, image, machine
from pagefold.paths import ELF
from pagefold.problem import Problem, readable_file
from pagefold.values import parse_size

EPILOG = """\
exit status:
  0    the --until text was seen, or the machine powered off by itself
  1    the hypervisor panicked, or ended with a failed check
  2    something is missing or wrong; one line says what
  124  --timeout is over
  130  quit by Ctrl-A x or an interrupt

On a terminal, Ctrl-A x quits and Ctrl-A Ctrl-A types a Ctrl-A. Input from a pipe is typed after the
monitor's first prompt. --send types a line when the next prompt shows; --send-after REGEX says what
the --send after it waits for instead. In a --send, \\xHH, \\r, \\n, \\t and \\e are what they are in C,
and \\c at the end leaves Enter out: --send '\\x1d\\c' types Ctrl-].
"""


class Send(argparse.Action):
    """--send and --send-after, in the order in which they stand."""

    def __call__(self, parser, args, value, option=None):
        if option == "--send-after":
            try:
                re.compile(value)
            except re.error as error:
                parser.error(f"--send-after: not a regular expression: {error}")
            args.gate = value
        else:
            args.sends.append((args.gate, console.unescape(value)))
            args.gate = console.AT_PROMPT


class Parser(argparse.ArgumentParser):
    def error(self, message):
        sys.stderr.write(f"run: {message}; see tools/run --help\n")
        sys.exit(2)


def arguments(argv):
    parser = Parser(prog="tools/run", description=__doc__, epilog=EPILOG,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(sends=[], gate=console.AT_PROMPT)
    add = parser.add_argument
    add("config", metavar="CONFIG", help="the configuration (INI)")
    add("--machine", choices=machine.MACHINES,
        help="default: qemu-kvm where the host has VT-x, else bochs")
    add("--cpu", metavar="MODEL", help="the emulator's name of a CPU model")
    add("--cpus", metavar="N", type=int, default=1)
    add("--memory", metavar="SIZE", default="512M", help="default: 512M")
    add("--disk", metavar="FILE[,snapshot]", action="append", default=[],
        help="an IDE disk, written in place unless ,snapshot (repeatable)")
    add("--send", metavar="COMMAND", action=Send, help="type this at the monitor (repeatable)")
    add("--send-after", metavar="REGEX", action=Send, help="what the next --send waits for")
    add("--until", metavar="REGEX", help="end the run when the output has this")
    add("--timeout", metavar="SECONDS", type=float)
    add("--log", metavar="FILE", help="also write the console's output here")
    add("--realtime", action="store_true",
        help="Bochs: an emulated second takes at least a second (the default on a terminal)")
    add("--print-command", action="store_true", help="print what would be started, and stop")
    add("--iso", metavar="FILE", help="only write the boot image")
    add("--elf", metavar="FILE", default=ELF)
    add("--append", metavar="WORDS", default="", help="the hypervisor's own command line")
    add("--module", metavar="FILE[=NAME]", action="append", default=[],
        help="one more boot module (repeatable)")
    add("--verbatim", action="store_true",
        help="hand CONFIG over as it is: its kernel= and initrd= are module names")
    add("--gdb", action="store_true", help="QEMU: wait for a debugger at localhost:1234")
    add("--keep", metavar="FOLDER", help="keep the image and the emulator's logs there")
    args = parser.parse_args(argv)
    if args.until is not None:
        try:
            re.compile(args.until)
        except re.error as error:
            parser.error(f"--until: not a regular expression: {error}")
    if args.timeout is not None and args.timeout <= 0:
        parser.error("--timeout: must be more than 0 seconds")
    if args.gate != console.AT_PROMPT:
        parser.error("--send-after: no --send follows it")
    return args


def make_image(args, work, out, words=""):
    modules = config.Modules()
    for text in args.module:
        path, _, name = text.partition("=")
        modules.add(readable_file(path, "--module"), name or None)
    if args.verbatim:
        readable_file(args.config, "configuration")
        with open(args.config, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    else:
        text = config.load(args.config, modules)
    image.hypervisor(out, work, args.elf, text, modules, f"{args.append} {words}".strip())


def lock_disks(disks):
    """Two runs that write one disk would ruin it; the locks go with the process."""
    held = []
    for disk in disks:
        file = open(disk.path, "rb")
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if disk.snapshot else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            raise Problem(f"--disk: {disk.path} is in use by another run") from None
        held.append(file)
    return held


def print_command(kind, out, work):
    print(shlex.join(kind.command(out, work, (0, os.path.join(work, "com1")))))
    rc = os.path.join(work, "bochsrc")
    if os.path.exists(rc):
        with open(rc, encoding="utf-8") as file:
            print("".join("  | " + line for line in file), end="")


def open_log(path):
    if not path:
        return None
    try:
        return open(path, "wb")
    except OSError as error:
        raise Problem(f"--log: {path}: {error.strerror}") from None


def run(args, work):
    realtime = args.realtime or sys.stdin is not None and sys.stdin.isatty()
    kind = machine.Machine(args.machine, args.cpu, args.cpus, parse_size(args.memory, "--memory"),
                           [machine.Disk(text) for text in args.disk], realtime, args.gdb)
    out = os.path.join(work, "boot.iso")
    if args.print_command:
        print_command(kind, out, work)
        return 0
    kind.check_host()
    locks = lock_disks(kind.disks)
    log = open_log(args.log)
    token = secrets.token_hex(16)
    make_image(args, work, out, "console.token=" + token)
    listener = console.Listener(work, kind.kind)
    process, link = console.start(kind.command(out, work, listener.places()), listener, work)
    try:
        session = console.Session(process, link, args.sends, args.until, args.timeout, log,
                                  token)
        status = session.run()
        link.close()
    finally:
        console.stop(process)
        for disk in kind.disks:
            if os.path.exists(disk.path + ".lock"):
                os.unlink(disk.path + ".lock")  # Bochs leaves it behind when it is ended
        del locks
    return verdict(status, machine.last_words(kind, work), args.timeout)


def verdict(status, why, timeout):
    """The exit status, when the emulator may have said why it stopped; tells of what went wrong."""
    if status == 0 and why:
        sys.stderr.write(f"run: the emulator stopped: {why}\n")
        status = 1
    if status == console.TIMED_OUT:
        sys.stderr.write(f"run: not finished after {timeout:g} s\n")
    return status


def in_folder(args):
    """Runs in the folder that --keep names, or in one that goes with the run."""
    work = None
    try:
        if args.keep:
            os.makedirs(args.keep, exist_ok=True)
        work = os.path.abspath(args.keep or tempfile.mkdtemp(prefix="pagefold-"))
        shutil.rmtree(os.path.join(work, "image"), ignore_errors=True)
        if args.iso:
            make_image(args, work, os.path.abspath(args.iso))
            return 0
        return run(args, work)
    finally:
        if work and not args.keep:
            shutil.rmtree(work, ignore_errors=True)


def main(argv):
    args = arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return problem.report("run", in_folder, args)
