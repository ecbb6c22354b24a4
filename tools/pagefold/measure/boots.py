# SPDX-License-Identifier: BSD-2-Clause
"""Boots of Pagefold in Bochs, with their files in build/bench, and what measured guests print."""

import os
import re
import struct
import subprocess

from pagefold import calls, texts
from pagefold.paths import BUILD, shown
from pagefold.problem import Problem, last_line

CPU = "corei7_skylake_x"
FOLDER = os.path.join(BUILD, "bench")
TIMEOUT_SECONDS = 1500
DISK_BLOCKS = 4096
BLOCK_BYTES = 4096
MIN_SAMPLES = 1000
BENCH_END = r"BENCH-(DONE|FAILED.*)\r?\n"
SERIES_KEYS = ("n", "mean", "median", "min", "p99")


def write(name, text):
    return texts.write(os.path.join(FOLDER, name), text)


def guest(name):
    """The path of a bare-metal guest, which must have been built."""
    path = os.path.join(BUILD, "guests", name + ".elf")
    if not os.path.exists(path):
        raise Problem(f"build/guests/{name}.elf is missing: run make bench")
    return path


def command(words, log):
    """Runs a tool and returns what it printed."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise Problem(f"{last_line(done.stderr, f'status {done.returncode}')}; see {shown(log)}")
    return done.stdout


def log_of(name):
    return os.path.join(FOLDER, name + ".log")


def read_log(name):
    return texts.read(log_of(name))


def pagefold(name, conf, until, *options):
    """Boots it with the configuration conf until the output has this; returns the output."""
    command(calls.run_command(conf, "--machine", "bochs", "--cpu", CPU, "--until", until,
                              "--timeout", str(TIMEOUT_SECONDS), "--log", log_of(name), *options),
            log_of(name))
    return read_log(name)


def pagefold_unless_refused(name, conf, until, *options):
    """The same; None, after a line that says so, when this build does not know the configuration."""
    try:
        text = pagefold(name, conf, until, *options)
    except Problem:
        text = read_log(name)
        if not re.search(r"cannot start: ", text):
            raise
    refused = re.search(r"cannot start: (.*)", text)
    if not refused:
        return text
    print(f"bench: {name}: refused: {refused.group(1).strip()}", flush=True)
    return None


# ---- guests/bench ---------------------------------------------------------------------------


def make_numbered_disk():
    """Each word of a block is the block's number."""
    return texts.replace(os.path.join(FOLDER, "blocks.img"),
                         b"".join(struct.pack("<I", block) * (BLOCK_BYTES // 4)
                                  for block in range(DISK_BLOCKS)))


def read_series(name, text, wanted):
    """name -> n, mean, median, min, p99 of what the guest has timed; all of `wanted` must be there."""
    failed = re.search(r"BENCH-FAILED (.*)", text)
    if failed:
        raise Problem(f"{name}: the guest could not measure: {failed.group(1).strip()}")
    found = {line.group(1): dict(zip(SERIES_KEYS, map(int, line.groups()[1:])))
             for line in re.finditer(r"BENCH (\w+) (\d+) (\d+) (\d+) (\d+) (\d+)", text)}
    for series in wanted:
        if found.get(series, {"n": 0})["n"] < MIN_SAMPLES:
            raise Problem(f"{name}: fewer than {MIN_SAMPLES} samples of {series}")
    return found
