# SPDX-License-Identifier: BSD-2-Clause
"""Boots of Pagefold in Bochs, with their files in build/bench."""

import os
import subprocess

from pagefold.emu.problem import Problem

TOOLS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
ROOT = os.path.dirname(TOOLS)
CPU = "corei7_skylake_x"
FOLDER = os.path.join(ROOT, "build", "bench")
TIMEOUT_SECONDS = 1500


def write(name, text):
    path = os.path.join(FOLDER, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def guest(name):
    """The path of a bare-metal guest, which must have been built."""
    path = os.path.join(ROOT, "build", "guests", name + ".elf")
    if not os.path.exists(path):
        raise Problem(f"build/guests/{name}.elf is missing: run make bench")
    return path


def command(words, log):
    """Runs a tool and returns what it printed."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise Problem(f"{last}; see {os.path.relpath(log, ROOT)}")
    return done.stdout


def log_of(name):
    return os.path.join(FOLDER, name + ".log")


def read_log(name):
    with open(log_of(name), encoding="utf-8", errors="replace") as file:
        return file.read()


def pagefold(name, conf, until, *options):
    """Boots it with the configuration conf until the output has this; returns the output."""
    command([os.path.join(ROOT, "tools", "run"), "--machine", "bochs", "--cpu", CPU,
             "--until", until, "--timeout", str(TIMEOUT_SECONDS), "--log", log_of(name), *options,
             conf], log_of(name))
    return read_log(name)
