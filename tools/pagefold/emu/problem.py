# SPDX-License-Identifier: BSD-2-Clause
"""The one exception for all that a user can mend; its text is the one-line message."""

import os


class Problem(Exception):
    pass


def readable_file(path, what):
    """Returns path if it is a file that can be read, else says what is wrong with it."""
    if not os.path.exists(path):
        raise Problem(f"{what}: there is no file {path}")
    if os.path.isdir(path):
        raise Problem(f"{what}: {path} is not a file")
    if not os.access(path, os.R_OK):
        raise Problem(f"{what}: {path} cannot be read")
    return path


def parse_size(text, what):
    """Bytes from 512M, 1G, 64K or a plain number of bytes."""
    units = {"K": 10, "M": 20, "G": 30}
    digits, shift = (text[:-1], units[text[-1:].upper()]) if text[-1:].upper() in units else (text, 0)
    if not digits.isascii() or not digits.isdigit() or int(digits) == 0:
        raise Problem(f"{what}: {text!r} is not a size; write for example 512M or 1G")
    return int(digits) << shift


def cache_folder():
    """Where tools/setup keeps what it built."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.environ.get("PAGEFOLD_CACHE") or os.path.join(base, "pagefold")
