# SPDX-License-Identifier: BSD-2-Clause
"""Reads overlays, as `disk = BASE,overlay=STORE` makes them, on the machine that has their disks.

  tools/overlay info STORE             what it holds, and of which base
  tools/overlay merge BASE STORE OUT   writes BASE with STORE's chunks over it to the file OUT

BASE and STORE are files or devices; FILE#N is the N-th partition of the disk image FILE. A base that
is not the store's, or was written since, is refused. The format is dm-snapshot's (Linux,
drivers/md/dm-snap-persistent.c): where Linux has the disks, `dmsetup create NAME --table
"0 SECTORS snapshot BASE STORE P 8"` shows the same without a copy."""

import json
import os
import struct
import subprocess
import sys

from pagefold.problem import Problem

SECTOR = 512
CHUNK = 4096
ENTRIES = CHUNK // 16
MASK = (1 << 64) - 1
PRIME = (0, 0x9e3779b185ebca87, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9, 0x85ebca77c2b2ae63,
         0x27d4eb2f165667c5)  # XXH64's, from 1


class Disk:
    def __init__(self, name):
        path, mark, number = name.rpartition("#")
        if not mark or os.path.exists(name):
            path, number = name, None
        self.name, self.start = name, 0
        self.file = open(path, "rb")
        self.bytes = self.file.seek(0, os.SEEK_END)
        if number is not None:
            self.start, self.bytes = self.partition(path, number)

    def partition(self, path, number):
        """Where in the image the partition begins, and its bytes."""
        done = subprocess.run(["sfdisk", "--json", path], capture_output=True, text=True,
                              check=False)
        if done.returncode == 0 and number.isdecimal():
            for part in json.loads(done.stdout)["partitiontable"]["partitions"]:
                if part["node"].removeprefix(path).lstrip("p") == number:
                    return part["start"] * SECTOR, part["size"] * SECTOR
        raise Problem(f"{self.name}: no such partition")

    def chunk(self, n):
        """Chunk n, cut where the disk ends."""
        if not 0 <= n * CHUNK < self.bytes:
            raise Problem(f"{self.name}: has no chunk {n}")
        self.file.seek(self.start + n * CHUNK)
        return self.file.read(min(CHUNK, self.bytes - n * CHUNK))


def rotate(x, n):
    return (x << n | x >> (64 - n)) & MASK


def xxh64(data, seed):
    """XXH64 of whole 32-byte stripes or of words; its specification is in xxHash's documentation."""
    def turn(lane, word):
        return rotate((lane + word * PRIME[2]) & MASK, 31) * PRIME[1] & MASK

    words = struct.unpack(f"<{len(data) // 8}Q", data)
    lanes = [(seed + PRIME[1] + PRIME[2]) & MASK, (seed + PRIME[2]) & MASK, seed, (seed - PRIME[1]) & MASK]
    whole = len(words) // 4 * 4
    if whole == 0:
        h = (seed + PRIME[5]) & MASK
    else:
        for i in range(0, whole, 4):
            lanes = [turn(lane, word) for lane, word in zip(lanes, words[i:i + 4])]
        h = sum(rotate(lane, n) for lane, n in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            h = ((h ^ turn(0, lane)) * PRIME[1] + PRIME[4]) & MASK
    h = (h + len(data)) & MASK
    for word in words[whole:]:
        h = (rotate(h ^ turn(0, word), 27) * PRIME[1] + PRIME[4]) & MASK
    h = (h ^ h >> 33) * PRIME[2] & MASK
    h = (h ^ h >> 29) * PRIME[3] & MASK
    return h ^ h >> 32


def fingerprint(base):
    """Of the first 16 chunks and 48 others, evenly spread, as the hypervisor takes it."""
    value, last, whole = 0, None, base.bytes // CHUNK
    for i in range(16 + 48):
        n = i if i < 16 else 16 + whole * (i - 16) // 48
        if n < whole and n != last:
            value, last = xxh64(base.chunk(n), value), n
    return value


def check_base(base, store):
    """Refuses another base than the store's; nothing is known of stores that Linux made."""
    ident = store.chunk(0)[512:552]
    if ident[:8] != b"Pagefold":
        return
    sectors, value, total = struct.unpack_from("<3Q", ident, 16)
    if total != xxh64(ident[:32], 0):
        raise Problem(f"{store.name}: damaged: what it says of its base has another checksum")
    if sectors * SECTOR != base.bytes:
        raise Problem(f"{store.name}: belongs to a base of {sectors} sectors, not to {base.name}")
    if value != fingerprint(base):
        raise Problem(f"{store.name}: belongs to another base, or {base.name} was written since")


def header(store):
    """Checks the header; the base's sectors as the store has them, or None."""
    first = store.chunk(0)
    magic, valid, version, sectors = struct.unpack_from("<4I", first)
    if magic != 0x70416e53:
        raise Problem(f"{store.name}: no overlay" + ("" if any(first) else "; it is blank"))
    if valid != 1 or version != 1 or sectors * SECTOR != CHUNK:
        raise Problem(f"{store.name}: valid {valid}, version {version}, {sectors} sectors a chunk")
    return struct.unpack_from("<Q", first, 528)[0] if first[512:520] == b"Pagefold" else None


def exceptions(store):
    """The pairs (chunk of the base, chunk of the store), in order of writing."""
    area = 0
    while True:
        table = store.chunk(1 + area * (ENTRIES + 1))
        for old, new in struct.iter_unpack("<2Q", table):
            if new == 0:
                return
            yield old, new
        area += 1


def info(store):
    sectors = header(store)
    count = sum(1 for _ in exceptions(store))
    print(f"{store.name}: {count} chunks of 4 KiB"
          + ("" if sectors is None else f", of a base of {sectors} sectors"))


def merge(base, store, out):
    header(store)
    check_base(base, store)
    pairs = list(exceptions(store))
    for old, new in pairs:  # before anything is written
        base.chunk(old)
        store.chunk(new)
    with open(out, "wb") as file:
        for n in range((base.bytes + CHUNK - 1) // CHUNK):
            chunk = base.chunk(n)
            if any(chunk):
                file.seek(n * CHUNK)
                file.write(chunk)
        for old, new in pairs:
            chunk = store.chunk(new)[:len(base.chunk(old))]
            file.seek(old * CHUNK)
            file.write(chunk)
        file.truncate(base.bytes)


def main(argv):
    if argv in (["--help"], ["-h"]):
        print(__doc__)
        return 0
    try:
        if len(argv) == 2 and argv[0] == "info":
            info(Disk(argv[1]))
        elif len(argv) == 4 and argv[0] == "merge":
            merge(Disk(argv[1]), Disk(argv[2]), argv[3])
        else:
            sys.stderr.write(__doc__ + "\n")
            return 2
    except (Problem, OSError) as problem:
        sys.stderr.write(f"overlay: {problem}\n")
        return 1
    return 0
