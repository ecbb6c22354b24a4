# SPDX-License-Identifier: BSD-2-Clause
"""Makes memory images of real Debian guests: tools/images [options]

    --guests N      how many (default 3)
    --memory SIZE   each guest's memory, 128M to 3072M (default 256M)
    --load NAME     what they do: serve (default) or compress; guests/images has the programs
    --out FOLDER    where to (default build/images, and build/images-NAME for other loads)
    --again         make them anew even if they are there

The guests are Debian's kernel and the Debian root that tools/guests makes, booted in QEMU without
hardware virtualization, so that any host will do. All run the same load, but each has a number
that decides its host name, the order in which it reads files, its data and how long it is up: they
are alike as a site's guests are alike, and no clones. When a guest's load says that it is ready the
guest is stopped, and its memory is written to FOLDER/vmN.raw: byte i of the file is byte i of its
RAM.
"""

import argparse
import concurrent.futures
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from pagefold import problem, texts
from pagefold.emu.cpio import demo_initrd_with
from pagefold.paths import BUILD, guest_file, source
from pagefold.problem import Problem, last_line
from pagefold.values import MIB, parse_size

QEMU = "qemu-system-x86_64"
LOADS = ("serve", "compress")
GUESTS_MAX = 64
TIMEOUT_SECONDS = 400
FIRST_DAY = 1767225600  # every guest's clock starts on a day of its own


def make_initrd(load, path):
    """The small initramfs, and behind it what makes a guest of ours do the load."""

    def script(name):
        with open(source("guests", "images", name), "rb") as file:
            return file.read()

    ours = [("image", b"", 0o040755), ("image/start", script("start"), 0o100755),
            ("image/load", script(load), 0o100755)]
    with open(path, "wb") as file:
        file.write(demo_initrd_with(ours))


class Qmp:
    """QEMU's control socket: one command at a time, waiting for its answer."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT_SECONDS)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.lines.readline()
        self.call("qmp_capabilities")

    def call(self, name, **arguments):
        words = {"execute": name, "arguments": arguments}
        self.socket.sendall(json.dumps(words).encode() + b"\n")
        for line in self.lines:
            answer = json.loads(line)
            if "error" in answer:
                raise Problem(f"QEMU: {name}: {answer['error']['desc']}")
            if "return" in answer:
                return
        raise Problem(f"QEMU ended during {name}")


def wait_ready(process, serial, number):
    end = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end:
        text = texts.read_if_any(serial)
        if "IMAGE-FAILED" in text or "Kernel panic" in text:
            break
        if f"IMAGE-READY {number}" in text:
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    last = last_line(texts.read_if_any(serial), "no output")
    raise Problem(f"guest {number} did not become ready: {last[:120]}; see {serial}")


def qemu(number, options, work, qmp, serial):
    """QEMU's command, for guest `number`."""
    day = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(FIRST_DAY + number * 86477))
    return [QEMU, "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", str(options.bytes // MIB),
            "-nodefaults", "-display", "none", "-nic", "none", "-no-reboot", "-seed", str(number),
            "-rtc", f"base={day}", "-qmp", f"unix:{qmp},server=on,wait=off",
            "-serial", f"file:{serial}", "-kernel", guest_file("vmlinuz"),
            "-initrd", os.path.join(work, "initrd"),
            "-drive", f"file={guest_file('root.ext4')},format=raw,if=virtio,snapshot=on",
            "-append", f"console=ttyS0 quiet rdinit=/image/start image.vm={number}"]


def make_image(number, options, work, sockets):
    """Boots guest `number`, waits for its load, and writes its RAM to vmN.raw."""
    qmp, part = os.path.join(sockets, f"{number}.qmp"), os.path.join(work, f"vm{number}.raw")
    serial = os.path.join(options.out, f"vm{number}.log")
    if os.path.exists(serial):
        os.unlink(serial)
    process = subprocess.Popen(qemu(number, options, work, qmp, serial), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_ready(process, serial, number)
        control = Qmp(qmp)
        control.call("stop")
        control.call("pmemsave", val=0, size=options.bytes, filename=part)
    finally:
        process.kill()
        trouble = process.communicate()[1].strip()
        if trouble:
            print(f"images: guest {number}: {trouble.splitlines()[-1]}", file=sys.stderr)
    if os.path.getsize(part) != options.bytes:
        raise Problem(f"guest {number}: its image is cut short; is the disk full?")
    image = os.path.join(options.out, f"vm{number}.raw")
    os.replace(part, image)
    print(f"images: {os.path.relpath(image)}: {options.bytes // MIB} MiB", flush=True)


def stamp(options):
    """What the images in a folder were made of; equal stamps, equal images."""
    return json.dumps({"guests": options.guests, "bytes": options.bytes, "load": options.load})


def fresh(options):
    return texts.read_if_any(os.path.join(options.out, "made")) == stamp(options)


def arguments(argv):
    parser = argparse.ArgumentParser(prog="tools/images", allow_abbrev=False, description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guests", type=int, default=3, metavar="N")
    parser.add_argument("--memory", default="256M", metavar="SIZE")
    parser.add_argument("--load", choices=LOADS, default=LOADS[0])
    parser.add_argument("--out", metavar="FOLDER")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args(argv)
    if not 1 <= options.guests <= GUESTS_MAX:
        raise Problem(f"--guests is a number from 1 to {GUESTS_MAX}")
    options.bytes = parse_size(options.memory, "--memory")
    # Below 3 GiB QEMU's RAM is one piece from address 0 on.
    if options.bytes % MIB or not 128 * MIB <= options.bytes <= 3072 * MIB:
        raise Problem("--memory is 128M to 3072M, in whole MiB")
    options.out = os.path.abspath(options.out or folder_of(options.load))
    return options


def folder_of(load):
    """Where the images of a load are, unless --out says another place."""
    return os.path.join(BUILD, "images" + ("" if load == LOADS[0] else "-" + load))


def clear(folder):
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if name == "made" or name.startswith("vm") and name.endswith(".raw"):
            os.unlink(os.path.join(folder, name))


def images(argv):
    options = arguments(argv)
    if fresh(options) and not options.again:
        return
    if not shutil.which(QEMU):
        raise Problem(f"{QEMU} not found: run tools/setup")
    for name in ("vmlinuz", "initrd-demo.gz", "root.ext4"):
        guest_file(name)
    clear(options.out)
    # As many at a time as there are CPUs: TCG uses one each. A socket's path must be short.
    with tempfile.TemporaryDirectory(dir=options.out) as work, \
            tempfile.TemporaryDirectory() as sockets, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        make_initrd(options.load, os.path.join(work, "initrd"))
        made = [pool.submit(make_image, number, options, work, sockets)
                for number in range(1, options.guests + 1)]
        for one in made:
            one.result()
    texts.write(os.path.join(options.out, "made"), stamp(options))


def main(argv):
    return problem.report("images", images, argv)
