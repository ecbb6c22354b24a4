# SPDX-License-Identifier: BSD-2-Clause
"""Programs of build/host: running one with its output in a log, and what such a log says."""

import concurrent.futures
import glob
import os
import re
import subprocess
import time

from pagefold.paths import HOST_BINARIES, ROOT, source
from pagefold.tests.outcome import log_of, tell

TIMEOUT_SECONDS = 300


def sources(folder, pattern):
    """The tests that ought to be built, by their sources: one that was not is a failure."""
    return sorted(os.path.basename(path)[:-2] for path in
                  glob.glob(source("tests", folder, "**", pattern), recursive=True))


def execute(name, arguments, environment):
    """Runs build/host/NAME; returns its exit status (None: timeout), its output and seconds."""
    began = time.monotonic()
    try:
        done = subprocess.run([os.path.join(HOST_BINARIES, name)] + arguments,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, cwd=ROOT, timeout=TIMEOUT_SECONDS,
                              env={**os.environ, **environment}, check=False)
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = None, late.stdout or b""
    except OSError:
        status, output = -1, b"not built: run make test-host\n"
    with open(log_of(name), "wb") as file:
        file.write(output)
    return status, output.decode("utf-8", "replace"), time.monotonic() - began


def reason(status, output):
    """Why a program ended as it did, in one line."""
    if status is None:
        return f"not finished after {TIMEOUT_SECONDS} s"
    found = re.search(r"^(?:SUMMARY: .*|.*runtime error: .*|not built.*)$", output, re.M)
    return found.group()[:160] if found else f"ended with status {status}"


def parallel(what, names):
    """The outcomes of what(name) for all names, in order; each is told when it is there."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [tell(outcome) for outcome in pool.map(what, names)]
