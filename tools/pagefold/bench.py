# SPDX-License-Identifier: BSD-2-Clause
"""Measures Pagefold in Bochs, in emulated ticks, and writes build/bench.json.

One tick is one emulated instruction, and one iteration of a REP instruction; entering or leaving a
guest counts as one. So ticks compare the lengths of code paths, not the latencies of hardware, and
they are the same in every run.
"""

import argparse
import concurrent.futures
import os

from pagefold import problem, texts
from pagefold.measure import boots, cache, cache_slow, disk, exits, fairness, fold
from pagefold.paths import BUILD, shown

OUT = os.path.join(BUILD, "bench.json")
PARTS = {"exits": exits, "fold": fold, "disk": disk, "cache": cache, "slow": cache_slow,
         "fairness": fairness}


def measure(names, full):
    """Each part's figures, by its name; `full` is for the parts that can do more than usual."""
    os.makedirs(boots.FOLDER, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        jobs = {name: PARTS[name].submit(pool, full) for name in names}
        try:
            return {name: PARTS[name].collect(jobs[name]) for name in names}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def read_before():
    """What another run measured: `--only` leaves the other parts as they were."""
    try:
        before = texts.read_json(OUT)
        return before if isinstance(before, dict) else {}
    except (OSError, ValueError):
        return {}


def write_result(args, names, found, missed):
    before = read_before()
    if args.row:
        found["fairness"] = {**before.get("fairness", {}), **found["fairness"]}
    result = {**before, "cpu": boots.CPU, "unit": "ticks", "missed": missed}
    result.update(found.get("exits", {}))  # these at the top
    result.update({name: found[name] for name in names if name != "exits"})
    texts.write_json(OUT, result)


def arguments(argv):
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append",
                        help="measure only this part (repeatable)")
    parser.add_argument("--full", action="store_true",
                        help="cache, slow: all sizes of it, not only one")
    parser.add_argument("--row", choices=[row[0] for row in fairness.ROWS], action="append",
                        help="fairness: measure only this row (repeatable); the others in "
                        "build/bench.json stay")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    return parser.parse_args(argv)


def bench(args):
    names = args.only or list(PARTS)
    if args.row:
        fairness.choose(args.row)
    found = measure(names, args.full)
    missed = [what for name in names for what in PARTS[name].missed(found[name])]
    write_result(args, names, found, missed)
    for name in names:
        print("\n".join(PARTS[name].table(found[name])) + "\n")
    print(f"bench: written to {shown(OUT)}; "
          + (f"missed: {', '.join(missed)}" if missed else "all targets reached"))
    return 1 if args.check and missed else 0


def main(argv):
    return problem.report("bench", bench, arguments(argv))
