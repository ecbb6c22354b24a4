# SPDX-License-Identifier: BSD-2-Clause
"""Compares Pagefold's folding core with Linux KSM, on the same memory images in one run.

    tools/bench-ksm [options] [IMAGE...]

    --repeat N         how often each side is measured, in turn (default 5)
    --passes N         passes over memory in each measurement (default 20)
    --write PERCENT    of the pages are written between two passes (default 0)
    --fold KEY=VALUE   a setting of the core, such as fold.lookahead=off; repeatable
    --load NAME        without IMAGE: which load's images (tools/images; default serve)
    --check            fail when a target is missed
    --table            print the README's table from build/bench-ksm.json, and measure nothing

Both sides are told in CPU time of one thread: ksmd's by the kernel's own account, the core's by the
process's. Each pass's time is divided by all pages held, looked at or not. A steady pass is the mean
of the last nine passes, because KSM's smart_scan skips most pages in eight passes of nine. Then the
median over the repetitions, in which the two sides take turns, so that whatever else the machine
does meets both.

The core is measured with its defaults and as the paper's baseline (content-ordered trees,
checksums); KSM with use_zero_pages, with smart_scan and without. An independent program counts what
is equal in the images. Everything goes to build/bench-ksm.json. Nanoseconds change from run to run
and from machine to machine: only the ratios mean something.
"""

import argparse
import glob
import json
import os
import shutil
import statistics
import subprocess
import sys

from pagefold import images, problem, texts
from pagefold.paths import BUILD, HOST_BINARIES, tool
from pagefold.problem import Problem, last_line, readable_file

OUT = os.path.join(BUILD, "bench-ksm.json")
STEADY_PASSES = 9
BASELINE = ("fold.index=tree", "fold.volatility=checksum", "fold.lookahead=off")
# what is told, and the target for Pagefold's figure over the better of KSM's two
COSTS = (
    ("pass1", "pass 1", 1 / 5),
    ("pass2", "pass 2", None),
    ("merged", "passes 1 and 2 together", None),
    ("steady", "a steady pass", 1 / 100),
)
SIDES = (
    ("fold", "Pagefold"),
    ("fold_baseline", "Pagefold, the paper's baseline"),
    ("ksm", "KSM"),
    ("ksm_smart", "KSM, smart_scan"),
)


def program(name, *words, root=False):
    """Runs build/host/NAME and returns its JSON."""
    sudo = ["sudo"] if root and os.geteuid() != 0 and shutil.which("sudo") else []
    done = subprocess.run(sudo + [os.path.join(HOST_BINARIES, name), *words],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode != 0:
        raise Problem(last_line(done.stderr, f"{name}: status {done.returncode}"))
    return json.loads(done.stdout)


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown"


# ---- measuring ------------------------------------------------------------------------------


def costs(told):
    """CPU ns for each page held, in each kind of pass of one measurement."""
    pages = told["pages"]
    each = [one["cpu_ns"] / pages for one in told["passes"]]
    return {"pass1": each[0], "pass2": each[1], "merged": each[0] + each[1],
            "steady": statistics.mean(each[-STEADY_PASSES:])}


def compares(told):
    each = [one["compares"] for one in told["passes"]]
    if None in each:
        return None
    return {"pass1": each[0], "pass2": each[1], "steady": statistics.mean(each[-STEADY_PASSES:])}


def metadata(told):
    """Bytes for each page held: what is reserved for the core, the highest of all passes for KSM."""
    if "metadata_bytes_per_page" in told:
        return told["metadata_bytes_per_page"]
    if "metadata_bytes_per_frame" in told:
        return told["metadata_bytes_per_frame"]
    peak = [one["metadata_bytes"] for one in told["passes"]]
    return None if None in peak else max(peak) / told["pages"]


def summary(runs):
    """One side: medians over its measurements, and the lowest and highest."""
    each = [costs(told) for told in runs]
    return {
        "config": runs[0]["config"],
        "ns_per_page": {key: statistics.median(one[key] for one in each) for key, *_ in COSTS},
        "ns_per_page_range": {key: [min(one[key] for one in each), max(one[key] for one in each)]
                              for key, *_ in COSTS},
        "pages_saved": statistics.median(told["passes"][-1]["frames_saved"] for told in runs),
        "compares": compares(runs[0]),
        "metadata_bytes_per_page": metadata(runs[0]),
    }


def measure(options):
    common = [f"--passes={options.passes}"]
    if options.write:
        common += [f"--write={options.write}", f"--seed={options.seed}"]
    ours = [f"--{words}" for words in options.fold]
    sides = {
        "ksm": ("ksm-bench", ["--smart-scan=off"]),
        "fold": ("fold-bench", ours),
        "ksm_smart": ("ksm-bench", ["--smart-scan=on"]),
        "fold_baseline": ("fold-bench", [f"--{words}" for words in BASELINE]),
    }
    runs = {side: [] for side in sides}
    for turn in range(options.repeat):
        print(f"bench-ksm: measuring, {turn + 1} of {options.repeat}", file=sys.stderr, flush=True)
        for side, (name, words) in sides.items():
            runs[side].append(program(name, *common, *words, *options.images,
                                      root=name == "ksm-bench"))
    return runs


# ---- judging --------------------------------------------------------------------------------


def judge(sides, exact):
    """Each target: what was reached, what was asked for, and whether that holds. Where pages are
    written between the passes (no exact count then), no pass is a steady one."""
    ours, targets = sides["fold"], {}
    for key, _, most in COSTS:
        if most and (key != "steady" or exact is not None):
            peer = min(sides["ksm"]["ns_per_page"][key], sides["ksm_smart"]["ns_per_page"][key])
            ratio = ours["ns_per_page"][key] / peer
            targets[f"{key}_ratio"] = {"is": ratio, "at_most": most, "holds": ratio <= most}
    saved = ours["pages_saved"]
    peer = max(sides["ksm"]["pages_saved"], sides["ksm_smart"]["pages_saved"])
    targets["saved_over_ksm"] = {"is": saved / peer if peer else None, "at_least": 1.0,
                                 "holds": saved >= peer}
    if exact is not None:
        share = saved / exact if exact else 1.0
        targets["saved_over_exact"] = {"is": share, "at_least": 0.99, "holds": share >= 0.99}
    return targets


def ratios(sides):
    """KSM's cost over Pagefold's: how many times cheaper a page is."""
    return {peer: {key: sides[peer]["ns_per_page"][key] / sides["fold"]["ns_per_page"][key]
                   for key, *_ in COSTS} for peer in ("ksm", "ksm_smart")}


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def show_side(one, title, width):
    total = one["compares"] and one["compares"]["pass1"] + one["compares"]["pass2"]
    print(f"{title:{width}}"
          + "".join(f"{number(one['ns_per_page'][key]):>12}" for key, *_ in COSTS)
          + f"{one['pages_saved']:>12,.0f}{number(total):>13}"
          + f"{number(one['metadata_bytes_per_page']):>12}")


def show(result):
    sides, pages = result["sides"], result["pages"]
    width = max(len(title) for _, title in SIDES)
    print(f"{result['images']} images, {pages:,} pages ({pages // 256} MiB), Linux "
          f"{result['kernel']}, {result['cpu']}")
    print("CPU ns for each page held:")
    print(" " * width + "".join(f"{head:>12}" for head in ("pass 1", "pass 2", "1 + 2", "steady"))
          + f"{'saved':>12}{'compares':>13}{'bytes/page':>12}")
    for side, title in SIDES:
        show_side(sides[side], title, width)
    print("compares are those of passes 1 and 2; KSM does not count its own")
    exact = result["recount"]["exact_saving"]
    print(f"an exact count of equal pages in the images: {exact:,} to be saved")
    for peer, title in (("ksm", "KSM"), ("ksm_smart", "KSM with smart_scan")):
        print(f"{title} over Pagefold: " + ", ".join(
            f"{name} {number(result['ratios'][peer][key])}" for key, name, _ in COSTS))
    for name, target in result["targets"].items():
        bound = f"<= {target['at_most']:g}" if "at_most" in target else f">= {target['at_least']:g}"
        print(f"target {name}: {number(target['is'])} {bound}: "
              f"{'holds' if target['holds'] else 'MISSED'}")


def table(result):
    """The README's table: ratios, which alone can be compared between machines."""
    print("| KSM's figure over Pagefold's | smart_scan off | smart_scan on |\n|---|---:|---:|")
    for key, name, _ in COSTS:
        print(f"| CPU time a page, {name} | {number(result['ratios']['ksm'][key])} "
              f"| {number(result['ratios']['ksm_smart'][key])} |")
    ours = result["sides"]["fold"]
    for what, field in (("pages saved", "pages_saved"),
                        ("bytes of metadata a page", "metadata_bytes_per_page")):
        cells = [result["sides"][peer][field] for peer in ("ksm", "ksm_smart")]
        print(f"| {what} | " + " | ".join("-" if cell is None else f"{cell / ours[field]:.4g}"
                                          for cell in cells) + " |")


def arguments(argv):
    parser = argparse.ArgumentParser(prog="tools/bench-ksm", allow_abbrev=False,
                                     description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, metavar="N")
    parser.add_argument("--passes", type=int, default=20, metavar="N")
    parser.add_argument("--write", type=float, default=0.0, metavar="PERCENT")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--fold", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--load", default="serve", metavar="NAME")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("images", nargs="*", metavar="IMAGE")
    options = parser.parse_args(argv)
    if options.repeat < 1 or options.passes < STEADY_PASSES + 2:
        raise Problem(f"--repeat is at least 1 and --passes at least {STEADY_PASSES + 2}")
    return options


def find_images(options):
    if not options.images:
        folder = images.folder_of(options.load)
        # Any set of images will do, as long as it is complete.
        if not os.path.exists(os.path.join(folder, "made")) and subprocess.run(
                [tool("images"), "--load", options.load],
                check=False).returncode:
            raise Problem("the images could not be made; name some: make bench-ksm IMAGES='...'")
        options.images = sorted(glob.glob(os.path.join(folder, "vm*.raw")))
    for image in options.images:
        readable_file(image, "image")
    options.images = [os.path.abspath(image) for image in options.images]


def bench_ksm(argv):
    options = arguments(argv)
    if options.table:
        table(texts.read_json(readable_file(OUT, "run make bench-ksm first")))
        return 0
    find_images(options)
    runs = measure(options)
    recount = program("recount", *options.images)
    sides = {side: summary(told) for side, told in runs.items()}
    result = {
        "images": len(options.images),
        "pages": recount["pages"],
        "kernel": runs["ksm"][0]["kernel"],
        "cpu": cpu_model(),
        "repeat": options.repeat,
        "passes": options.passes,
        "write_percent": options.write,
        "sides": sides,
        "ratios": ratios(sides),
        # What is written between the passes changes what is equal.
        "targets": judge(sides, None if options.write else recount["exact_saving"]),
        "recount": recount,
        "runs": runs,
    }
    texts.write_json(OUT, result)
    show(result)
    missed = any(not target["holds"] for target in result["targets"].values())
    return 1 if options.check and missed else 0


def main(argv):
    return problem.report("bench-ksm", bench_ksm, argv)
