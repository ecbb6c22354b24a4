# SPDX-License-Identifier: BSD-2-Clause
"""What test-all has besides tests: a hundred power cuts and an hour's soak; and what make test has of
these: a tenth of the cuts, by its seed, and a minute. Each is a tool of its own."""

import concurrent.futures
import os
import subprocess
import time

from pagefold import texts
from pagefold.paths import ROOT, tool
from pagefold.problem import last_line
from pagefold.tests.outcome import LOGS, Outcome, log_of, tell

CUTS = 100
SOAK_MINUTES = 60


def power_cuts(count, seed):
    return ["powercut", str(count), "--seed", str(seed), "--jobs", "1",
            "--out", os.path.join(LOGS, "powercut-lot")]


def soak(minutes, seed):
    return ["soak", str(minutes), "--seed", str(seed % 1000 + 1)]


def run_tool(words):
    name, *options = words
    began, log = time.monotonic(), log_of(name)
    done = subprocess.run([tool(name), *options], stdin=subprocess.DEVNULL, cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    texts.write(log, done.stdout)
    seconds, bad = time.monotonic() - began, done.returncode != 0
    return Outcome(name, seconds, log, int(not bad), int(bad),
                   last_line(done.stdout, f"ended with status {done.returncode}") if bad else "",
                   f" {options[0]} ({seconds:.1f} s)")


def run(kinds, seed):
    """`cuts` and `soak` are the whole of each; `tenth` a part of both."""
    wanted = [power_cuts(CUTS, seed)] if "cuts" in kinds else []
    wanted += [soak(SOAK_MINUTES, seed)] if "soak" in kinds else []
    if "tenth" in kinds:
        wanted += [power_cuts(CUTS // 10, seed), soak(1, seed)]
    with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        outcomes = [tell(outcome) for outcome in pool.map(run_tool, wanted)]
    for outcome in outcomes:
        outcome.long = "tenth" not in kinds
    return outcomes
