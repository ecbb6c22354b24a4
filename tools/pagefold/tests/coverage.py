# SPDX-License-Identifier: BSD-2-Clause
"""What the fuzzers reach of the code under test: tests/fuzz/coverage [--table] PROFILE... | --names

The profiles are those of the fuzzers' last runs (LLVM_PROFILE_FILE), each named like its fuzzer.
Fails when a file has fewer of its lines run than tests/fuzz/coverage.txt wants. --table prints what
was reached of each file. --names only looks whether there are files of the names in coverage.txt.
"""

import fnmatch
import glob
import json
import os
import subprocess
import sys

from pagefold import problem
from pagefold.paths import HOST_BINARIES, ROOT, shown, source
from pagefold.problem import Problem

WANTED = source("tests", "fuzz", "coverage.txt")


def read_wanted(path):
    """Pairs of a pattern and the least percentage, in order: the last that fits a file counts."""
    wanted = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            if len(words) != 2 or not words[1].isdigit() or int(words[1]) > 100:
                raise Problem(f"{path}:{number}: a file, or a pattern of files, and a percentage")
            wanted.append((words[0], int(words[1])))
    return wanted


def least(wanted, name):
    """The percentage that the file needs; None when no line names it."""
    found = [percent for pattern, percent in wanted if fnmatch.fnmatch(name, pattern)]
    return found[-1] if found else None


def reached(profiles):
    """Percentages of lines, by file."""
    merged = os.path.join(os.path.dirname(profiles[0]), "all.profdata")
    binaries = [os.path.join(HOST_BINARIES, os.path.basename(p).removesuffix(".profraw")) for p in profiles]
    run(["llvm-profdata", "merge", "-sparse", "-o", merged] + profiles)
    objects = [word for binary in binaries[1:] for word in ("-object", binary)]
    text = run(["llvm-cov", "export", "-summary-only", f"-instr-profile={merged}", binaries[0]] +
               objects)
    return {shown(file["filename"]): file["summary"]["lines"]
            for file in json.loads(text)["data"][0]["files"]}


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Problem(done.stderr.decode("utf-8", "replace").strip()[-300:])
    return done.stdout


def judge(wanted, files):
    """Lines about what is too little, or not there at all."""
    problems = []
    for name, lines in sorted(files.items()):
        need = least(wanted, name)
        if need is not None and lines["percent"] < need:
            problems.append(f"{name}: {lines['percent']:.1f}% of its lines, not {need}%")
    return problems


def nameless(wanted):
    """Lines about what stands in the table and is no file."""
    return [f"{WANTED}: {pattern}: there is no such file" for pattern, _ in wanted
            if not glob.glob(os.path.join(ROOT, pattern))]


def print_table(wanted, files):
    for name, lines in sorted(files.items()):
        need = least(wanted, name)
        print(f"{name:<40} {lines['covered']:>5} of {lines['count']:>5} {lines['percent']:6.1f}%"
              f"  {'-' if need is None else need}")


def coverage(argv):
    if argv == ["--names"]:
        problems = nameless(read_wanted(WANTED))
        sys.stderr.write("".join(line + "\n" for line in problems))
        return 1 if problems else 0
    profiles = [word for word in argv if word != "--table"]
    if not profiles:
        raise Problem("no profiles; run tools/test fuzz")
    wanted = read_wanted(WANTED)
    files = reached(profiles)
    if "--table" in argv:
        print_table(wanted, files)
    problems = judge(wanted, files)
    for line in problems:
        print(line)
    if not problems:
        print(f"{sum(least(wanted, name) is not None for name in files)} files")
    return 1 if problems else 0


def main(argv):
    if argv in (["--help"], ["-h"]):
        print(__doc__)
        return 0
    return problem.report("coverage", coverage, argv)
