# SPDX-License-Identifier: BSD-2-Clause
"""Small cpio archives, for what is added to a guest's initramfs. The same files, the same bytes."""

import gzip

from pagefold.paths import guest_file

DAY = 1767225600  # when all of it was last changed


def cpio(names):
    """A cpio archive, newc format, of (name, bytes, mode) triples."""
    out = b""
    for number, (name, data, mode) in enumerate(names + [("TRAILER!!!", b"", 0)], 1):
        fields = [number, mode, 0, 0, 1, DAY, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        for part in (head, data):
            out += part + b"\0" * (-len(part) % 4)
    return out


def demo_initrd_with(names):
    """The demo's initramfs with more files behind it, which the kernel unpacks over it."""
    with open(guest_file("initrd-demo.gz"), "rb") as file:
        base = file.read()
    return base + b"\0" * (-len(base) % 4) + gzip.compress(cpio(names), mtime=0)
