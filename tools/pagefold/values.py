# SPDX-License-Identifier: BSD-2-Clause
"""What is typed as a value: sizes, and settings of the configuration."""

from pagefold.problem import Problem

MIB = 1 << 20


def parse_size(text, what):
    """Bytes from 512M, 1G, 64K or a plain number of bytes."""
    units = {"K": 10, "M": 20, "G": 30}
    digits, shift = (text[:-1], units[text[-1:].upper()]) if text[-1:].upper() in units else (text, 0)
    if not digits.isascii() or not digits.isdigit() or int(digits) == 0:
        raise Problem(f"{what}: {text!r} is not a size; write for example 512M or 1G")
    return int(digits) << shift


def add_settings(parser):
    """The option --set KEY=VALUE; see settings()."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")


def settings(parser, args):
    """The keys of [host] that --set has given, as a dict."""
    if any("=" not in text for text in args.set):
        parser.error("--set takes KEY=VALUE")
    return dict(text.split("=", 1) for text in args.set)


def host_section(keys):
    return "[host]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
