# SPDX-License-Identifier: BSD-2-Clause
"""A hypervisor in which a function is broken on purpose."""

import re
import struct
import subprocess

from pagefold.paths import ELF
from pagefold.problem import Problem


def address_of(function):
    names = subprocess.run(["nm", ELF], capture_output=True, text=True, check=True).stdout
    found = re.search(rf"^([0-9a-f]+) [tT] {re.escape(function)}$", names, re.M)
    if not found:
        raise Problem(f"{ELF} has no function {function}")
    return int(found.group(1), 16)


def offset_of(elf, address):
    """Where in the file a program header puts what is loaded to the address."""
    table, size, count = *struct.unpack_from("<Q", elf, 32), *struct.unpack_from("<2H", elf, 54)
    for at in range(table, table + size * count, size):
        offset, start, _, length = struct.unpack_from("<4Q", elf, at + 8)
        if start <= address < start + length:
            return offset + address - start
    raise Problem(f"{ELF}: {address:#x} is not in the file")


def make(path, function, code):
    """Writes a copy of the hypervisor whose function begins with these bytes (in hex)."""
    with open(ELF, "rb") as file:
        elf = bytearray(file.read())
    place, data = offset_of(elf, address_of(function)), bytes.fromhex(code)
    elf[place:place + len(data)] = data
    with open(path, "wb") as file:
        file.write(elf)
    return path
