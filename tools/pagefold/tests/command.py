# SPDX-License-Identifier: BSD-2-Clause
"""Runs the tests that are built: tools/test [--seed N] [KIND...]

Without arguments: host, fuzz and emu. The kinds:

  host    unit tests: build/host/test_*
  fuzz    fuzzers: build/host/fuzz_*. They begin with what tests/fuzz/seeds makes; then what they
          reached is held against tests/fuzz/coverage.txt
  quick   of the emulated tests (tests/emu), a few that go through each area
  emu     these, and the others that take no more than a minute or two
  slow    all emulated tests
  cuts    a hundred power cuts (tools/powercut)
  soak    an hour's soak (tools/soak)
  tenth   a part of what `slow`, cuts and soak have beside `emu`: a tenth of the tests and of the
          cuts, and a minute of soak. --seed says which; without it, the commit does

At the end stands what failed, with its log; the last line is `N passed, N failed`, and the exit
status is 1 when one failed. FUZZ_SECONDS says how long each fuzzer runs (default 5; 0: only through
what it begins with).
"""

import argparse
import os

from pagefold import problem
from pagefold.tests import choice, emulated, fuzz, host, outside
from pagefold.tests.outcome import LOGS, summary

USUAL = ("host", "fuzz", "emu")
EMULATED = ("quick", "emu", "slow", "tenth")
OUTSIDE = ("cuts", "soak", "tenth")
KINDS = ("host", "fuzz", "quick", "emu", "slow", "tenth", "cuts", "soak")


def arguments(argv):
    parser = argparse.ArgumentParser(prog="tools/test", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, metavar="N", help="of what is drawn by lot")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    args = parser.parse_args(argv)
    args.kinds = args.kinds or list(USUAL)
    unknown = [word for word in args.kinds if word not in KINDS]
    if unknown:
        parser.error(f"unknown kind {unknown[0]!r}; there are: {', '.join(KINDS)}")
    return args


def seed_of(args):
    """The seed, which is told when something is drawn by it."""
    seed, whose = (args.seed, "given") if args.seed is not None else choice.seed_of_today()
    if set(args.kinds) & set(OUTSIDE):
        print(f"test: seed {seed} ({whose}; make SEED=N ... for another)", flush=True)
    return seed


def test(args):
    os.makedirs(LOGS, exist_ok=True)
    outcomes, seed = [], seed_of(args)
    if "host" in args.kinds:
        outcomes += host.run()
    if "fuzz" in args.kinds:
        outcomes += fuzz.run()
    if set(args.kinds) & set(EMULATED):
        tests = choice.wanted(emulated.all_tests(), args.kinds, seed)
        outcomes += emulated.run(tests, emulated.JOBS)
    if set(args.kinds) & set(OUTSIDE):
        outcomes += outside.run(args.kinds, seed)
    return summary(outcomes)


def main(argv):
    return problem.report("test", test, arguments(argv))
