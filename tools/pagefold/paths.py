# SPDX-License-Identifier: BSD-2-Clause
"""Where things are: the source, what is built of it, and the cache that tools/setup fills."""

import os

from pagefold.problem import readable_file

TOOLS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
ROOT = os.path.dirname(TOOLS)
BUILD = os.path.join(ROOT, "build")
ELF = os.environ.get("PAGEFOLD_ELF", os.path.join(BUILD, "pagefold.elf"))
DEBUG_ELF = os.path.join(BUILD, "debug", "pagefold.elf")
HOST_BINARIES = os.environ.get("HOST_BINARIES", os.path.join(BUILD, "host"))


def source(*names):
    return os.path.join(ROOT, *names)


def tool(name):
    return os.path.join(TOOLS, name)


def shown(path):
    """As a message names it: from the root of the source."""
    return os.path.relpath(path, ROOT)


def cache_folder():
    """Where tools/setup keeps what it built."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.environ.get("PAGEFOLD_CACHE") or os.path.join(base, "pagefold")


def guests_folder():
    """The Debian guests' files, which tools/guests makes."""
    return os.path.join(cache_folder(), "guests")


def guest_file(name):
    return readable_file(os.path.join(guests_folder(), name), "tools/setup makes the guests")
