# SPDX-License-Identifier: BSD-2-Clause
"""What the guests of the cache's measurements boot and read: a disk, an initramfs, lists of files.

The disk is the Debian root as one partition. The lists name files of it with a sum of their contents,
taken here, on the host, from the tar archive that the root was made of: what a guest reads through
the cache is compared with what was put on its disk.
"""

import array
import os
import random
import subprocess
import tarfile

from pagefold import calls, texts
from pagefold.emu.cpio import demo_initrd_with
from pagefold.measure.boots import FOLDER
from pagefold.paths import guest_file, source
from pagefold.problem import Problem, last_line

BLOCK = 4096
FACTOR = 0x9e3779b97f4a7c15
MASK = (1 << 64) - 1
ZIPF = 0.9
GCC = ["gcc", "-O2", "-Wall", "-static", "-s", "-Wl,--build-id=none"]
FREESTANDING = ["-ffreestanding", "-nostdlib", "-no-pie", "-fno-stack-protector",
                "-fno-asynchronous-unwind-tables"]


def content_sum(data):
    """As guests/cache/reader.c has it."""
    total = 0
    for at in range(0, len(data), BLOCK):
        block = data[at:at + BLOCK]
        words = array.array("Q", block + b"\0" * (-len(block) % 8))
        total = (total * FACTOR + sum(words)) & MASK
    return total


def blocks_of(count_bytes):
    return (count_bytes + BLOCK - 1) // BLOCK


def root_files():
    """(path, contents) of the root's programs, libraries and data, each content once, by path."""
    found = {}
    with tarfile.open(guest_file("root.tar")) as tar:
        for member in tar:
            path = member.name.removeprefix(".")
            if member.isreg() and member.size and path.startswith(("/usr/", "/var/lib/")):
                found[path] = tar.extractfile(member).read()
    return sorted(found.items())


def spread(files, blocks):
    """Evenly from the whole list, in its order, so many blocks."""
    every, due, taken, chosen = sum(blocks_of(len(data)) for _, data in files), 0, 0, []
    for path, data in files:
        size = blocks_of(len(data))
        due += size * blocks / every
        if taken + size <= due + 32:
            taken += size
            chosen.append((path, data))
    return chosen


def list_text(files, seed):
    """Popularity by Zipf's law, its order by lot."""
    ranks = list(range(1, len(files) + 1))
    random.Random(seed).shuffle(ranks)
    return "".join(f"{len(data)} {content_sum(data):x} {int(1e9 * rank ** -ZIPF)} {path}\n"
                   for rank, (path, data) in zip(ranks, files))


def make_lists(mib):
    """Two lists of so many MiB without a common file: name -> (text, blocks)."""
    files = root_files()
    lists = {}
    for number, name in enumerate(("a", "b")):
        chosen = spread(files[number::2], mib << 20 >> 12)
        lists[name] = (list_text(chosen, number), sum(blocks_of(len(data)) for _, data in chosen))
    return lists


def compiled(name, *flags):
    out = os.path.join(FOLDER, os.path.basename(name) + ".out")
    done = subprocess.run([*GCC, *flags, "-o", out, source(name)],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Problem(f"{name}: {last_line(done.stderr, 'gcc failed')}")
    with open(out, "rb") as file:
        return file.read()


def make_initrd(lists):
    """The demo's initramfs, and beside it what goes to the guest's /mnt."""
    with open(source("guests", "cache", "storm"), "rb") as file:
        storm = file.read()
    extra = [("extra", b"", 0o040755),
             ("extra/reader", compiled("guests/cache/reader.c", "-std=gnu11", "-Wextra"), 0o100755),
             ("extra/storm", storm, 0o100755),
             ("extra/tsc", compiled("guests/tsc.c", *FREESTANDING), 0o100755)]
    extra += [("extra/list-" + name, text.encode(), 0o100644) for name, (text, _) in lists.items()]
    return texts.replace(os.path.join(FOLDER, "cache-initrd.gz"), demo_initrd_with(extra))


def make_disk():
    return calls.make_disk(os.path.join(FOLDER, "cache-disk.img"), guest_file("root.ext4"))
