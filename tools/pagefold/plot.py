# SPDX-License-Identifier: BSD-2-Clause
"""Draws what `tools/bench` has measured of the disk cache, from build/bench.json, by gnuplot:

    build/cache-hits.svg      hit ratio by the cache's size, in each mode, for each way of reading
    build/cache-equal.svg     the same by the memory that is in use then, which mode fold needs less of
    build/cache-memory.svg    memory in use over time, in each mode: the readers, and the boot storm
"""

import argparse
import os
import shutil
import subprocess

from pagefold import problem, texts
from pagefold.measure import cache
from pagefold.paths import BUILD
from pagefold.problem import Problem, last_line, readable_file

COLOURS = {"off": "#888888", "inclusive": "#d95f02", "scrub": "#7570b3", "fold": "#1b9e77"}
TITLES = {
    "same_loop": "same files, in a loop", "same_zipf": "same files, popular ones more often",
    "other_loop": "each its own files, in a loop", "other_zipf": "each its own, popular ones more often",
}
HEAD = """\
set terminal svg size {width},{height} font "sans,13" background "white"
set output "{out}"
set multiplot layout {layout}
set grid lc rgb "#dddddd"
set key {key}
"""


def blocks(lines):
    """gnuplot's inline data: each line is (mode, points); modes without points are left out."""
    text = "".join(f"${mode} << E\n" + "".join(" ".join(map(str, p)) + "\n" for p in points) + "E\n"
                   for mode, points in lines)
    plots = ", ".join(f'${mode} using 1:2 with {{style}} lw 2 lc rgb "{COLOURS[mode]}" title "{mode}"'
                      for mode, _ in lines)
    return text, plots


def panel(title, x, y, lines, style, extra=""):
    lines = [(mode, points) for mode, points in lines if points]
    text, plots = blocks(lines)
    return (f'{text}set title "{title}"\nset xlabel "{x}"\nset ylabel "{y}"\n{extra}'
            f"plot {plots.replace('{style}', style)}\n") if lines else ""


def hits(found, in_use):
    """A panel for each way of reading; by the memory in use, or else by the cache's size."""
    sizes = cache.sizes_of(found)
    title, scale = ("MiB in use", "") if in_use else \
        ("cache.max, MiB", f"set logscale x 2\nset xtics ({', '.join(map(str, sizes))})\n")
    for name in cache.COUNTED:
        lines = []
        for mode in cache.MODES:
            points = []
            for size in sizes:
                # Without a cache its size does not matter: measured once.
                row = cache.find(found, "readers", mode, None if mode == "off" else size)
                phase = cache.phase_of(row, name)
                if phase:
                    points.append((phase["memory_mean_mib"] if in_use else size, phase["hit_ratio"]))
            lines.append((mode, points))
        yield panel(TITLES[name], title, "hit ratio", lines, "linespoints pt 7 ps 0.7",
                    scale + "set yrange [0:1]\n")


def memory(found):
    for name, size, title in (("readers", cache.SIZE, f"two guests of 80 MiB, cache.max {cache.SIZE} MiB"),
                              ("storm", None, "four guests from one base")):
        lines = []
        for mode in cache.MODES:
            row = cache.find(found, name, mode, size)
            lines.append((mode, [p[:2] for p in row["memory"]] if row else []))
        yield panel(title, "emulated seconds", "MiB in use", lines, "lines", "set yrange [0:*]\n")


def draw(name, panels, layout, width, height, key):
    out = os.path.join(BUILD, name)
    script = HEAD.format(width=width, height=height, out=out, layout=layout, key=key) + "".join(panels)
    done = subprocess.run(["gnuplot"], input=script, text=True, capture_output=True, check=False)
    if done.returncode != 0 or not os.path.exists(out):
        raise Problem(f"gnuplot: {last_line(done.stderr, 'no message')}")
    print(f"plot: {os.path.relpath(out)}")


def read_found():
    """What was measured of the cache."""
    path = readable_file(os.path.join(BUILD, "bench.json"), "make bench-cache measures first")
    try:
        found = texts.read_json(path).get("cache")
    except (ValueError, AttributeError) as error:
        raise Problem(f"{path}: {error}") from None
    if not found:
        raise Problem("build/bench.json has nothing of the cache: run make bench-cache")
    return found


def plot(_argv):
    if not shutil.which("gnuplot"):
        raise Problem("gnuplot not found: run tools/setup")
    found = read_found()
    draw("cache-hits.svg", hits(found, False), "2,2", 900, 760, "below horizontal")
    draw("cache-equal.svg", hits(found, True), "2,2", 900, 760, "below horizontal")
    draw("cache-memory.svg", memory(found), "1,2", 1000, 420, "right bottom")


def main(argv):
    argparse.ArgumentParser(prog="tools/plot", description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    return problem.report("plot", plot, argv)
