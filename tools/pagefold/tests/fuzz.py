# SPDX-License-Identifier: BSD-2-Clause
"""The fuzzers, build/host/fuzz_NAME for each tests/fuzz/fuzz_NAME.c. They begin with what
tests/fuzz/seeds makes; then what they reached is held against tests/fuzz/coverage.txt."""

import os
import re
import shutil
import subprocess
import time

from pagefold import texts
from pagefold.paths import source
from pagefold.problem import last_line
from pagefold.tests.outcome import LOGS, Outcome, log_of, tell
from pagefold.tests.program import execute, parallel, reason, sources

PROFILES = os.path.join(LOGS, "profiles")
SEEDS = os.path.join(LOGS, "seeds")
# Bytes of a fuzzer's longest input: some hundred operations, or what a parser reads.
LONGEST_OTHERS = 600
LONGEST = {"acpi": 1500, "config": 2000, "guestpages": 241, "insn": 300, "gwalk": 560,
           "loader": 4096, "multiboot2": 2000, "partition": 17000, "platform": 1600}
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "5"))


def one(name):
    corpus = os.path.join(LOGS, "corpus", name) if FUZZ_SECONDS else os.path.join(SEEDS, "none")
    os.makedirs(corpus, exist_ok=True)
    short = name.removeprefix("fuzz_")
    # Without -len_control=0, libFuzzer would begin with inputs of a few bytes, and take thousands of
    # runs for each one more.
    arguments = [f"-max_total_time={FUZZ_SECONDS}" if FUZZ_SECONDS else "-runs=0", "-len_control=0",
                 f"-max_len={LONGEST.get(short, LONGEST_OTHERS)}", "-timeout=20",
                 "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={LOGS}/{name}-",
                 corpus]
    seeds = os.path.join(SEEDS, short)
    status, output, seconds = execute(name, arguments + ([seeds] if os.path.isdir(seeds) else []),
                                      {"LLVM_PROFILE_FILE": profile(name)})
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", output)
    if status == 0 and runs:
        return Outcome(name, seconds, log_of(name),
                       told=f": {runs.group(1)} inputs ({seconds:.1f} s)")
    return Outcome(name, seconds, log_of(name), 0, 1, reason(status, output))


def profile(name):
    return os.path.join(PROFILES, name + ".profraw")


def prepare():
    shutil.rmtree(PROFILES, ignore_errors=True)
    os.makedirs(PROFILES)
    shutil.rmtree(SEEDS, ignore_errors=True)
    subprocess.run([source("tests", "fuzz", "seeds"), SEEDS], check=True)


def coverage(names):
    """Whether the fuzzers, in these very runs, reached what tests/fuzz/coverage.txt wants."""
    began, log = time.monotonic(), log_of("coverage")
    profiles = [profile(name) for name in names if os.path.exists(profile(name))]
    done = subprocess.run([source("tests", "fuzz", "coverage"), "--table"] + profiles,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    texts.write(log, done.stdout)
    last, bad = last_line(done.stdout, ""), done.returncode != 0
    return Outcome("coverage of the fuzzers", time.monotonic() - began, log, int(not bad), int(bad),
                   last)


def run():
    prepare()
    names = sources("fuzz", "fuzz_*.c")
    return parallel(one, names) + [tell(coverage(names))]
