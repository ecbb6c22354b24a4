# SPDX-License-Identifier: BSD-2-Clause
"""Runs the emulated tests: tests/emu/run [--jobs N] [--list] [--slow] [NAME...]

A panic of the hypervisor fails every test of status 0. Exits 1 when a test failed.
"""

import argparse
import concurrent.futures
import fcntl
import glob
import os
import shutil
import time
from xml.sax.saxutils import quoteattr

from pagefold import problem, texts
from pagefold.paths import BUILD
from pagefold.problem import Problem
from pagefold.tests import files, part
from pagefold.tests.files import OUT
from pagefold.tests.outcome import Outcome, count, tell

JOBS = min(2, os.cpu_count() or 1)


def all_tests():
    return files.read()


def why_failed(test):
    """Why the test failed and the log of the run in which it did, or None and the last log."""
    why, run = None, test.parts[0]
    for run in test.parts:
        why = part.run(run)
        if why is not None:
            break
    for ending in (".disk*", ".elf"):
        for path in glob.glob(os.path.join(OUT, test.name + ending)):
            os.unlink(path)
    return why, run.log()


def one(test):
    began = time.monotonic()
    try:
        why, log = why_failed(test)
    except Exception as error:  # a mistake in one test file must not hide the others' results
        why, log = f"{type(error).__name__}: {error}", test.parts[0].log()
    seconds, bad = time.monotonic() - began, why is not None
    return Outcome(test.name, seconds, log, int(not bad), int(bad), why or "",
                   f" ({seconds:.1f} s)", test.place == "all")


def write_xml(outcomes):
    """build/test-emu.xml, as JUnit has it."""
    cases = ""
    for each in outcomes:
        inner = f"<failure message={quoteattr(each.why)}/>" if each.failed else ""
        cases += (f'<testcase classname="emu" name={quoteattr(each.name)} '
                  f'time="{each.seconds:.1f}">{inner}</testcase>\n')
    failed = sum(each.failed for each in outcomes)
    texts.write(os.path.join(BUILD, "test-emu.xml"),
                f'<testsuite name="emu" tests="{len(outcomes)}" failures="{failed}">\n'
                f"{cases}</testsuite>\n")


def run(tests, jobs):
    """Their outcomes, each told when it is there. Only one run at a time: they share a folder."""
    os.makedirs(os.path.dirname(OUT), exist_ok=True)
    with open(OUT + ".lock", "w", encoding="utf-8") as alone:
        try:
            fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem("another run is under way here; its files must stay") from None
        shutil.rmtree(OUT, ignore_errors=True)
        os.makedirs(OUT)
        # The long ones first, so that the last ones do not run alone.
        order = sorted(tests, key=lambda test: -test.seconds)
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(one, test) for test in order]
            outcomes = [tell(done.result()) for done in concurrent.futures.as_completed(futures)]
        write_xml(outcomes)
    return outcomes


def emulated(args):
    known = [files.name_of(path) for path in files.paths()]
    if args.list:
        print("\n".join(known))
        return 0
    for name in args.names:
        if name not in known:
            raise Problem(f"there is no test {name}; --list shows them")
    tests = [test for test in files.read(args.names)
             if args.slow or args.names or test.place in ("quick", "test")]
    return count(run(tests, args.jobs))


def main(argv):
    parser = argparse.ArgumentParser(prog="tests/emu/run", description=__doc__, epilog=files.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--slow", action="store_true",
                        help="also those that only make test-all has all of")
    parser.add_argument("names", nargs="*")
    return problem.report("tests/emu/run", emulated, parser.parse_args(argv))
