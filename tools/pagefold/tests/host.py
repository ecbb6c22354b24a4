# SPDX-License-Identifier: BSD-2-Clause
"""Unit tests on the host: build/host/test_NAME for each tests/host/**/test_NAME.c."""

import re

from pagefold.tests.outcome import Outcome, log_of
from pagefold.tests.program import execute, parallel, reason, sources


def one(name):
    status, output, seconds = execute(name, [], {"CMOCKA_MESSAGE_OUTPUT": "TAP",
                                                 "ASAN_OPTIONS": "detect_leaks=1"})
    passed = len(re.findall(r"^ok \d+", output, re.M))
    failed = re.findall(r"^not ok \d+ - (\S+)", output, re.M)
    if status == 0 and not passed and not failed:
        passed = 1
    lost = status != 0 and not failed  # a sanitizer's report, a crash, a timeout
    return Outcome(name, seconds, log_of(name), passed, len(failed) + bool(lost),
                   reason(status, output) if lost else ", ".join(failed),
                   f": {passed} passed ({seconds:.1f} s)")


def run():
    return parallel(one, sources("host", "test_*.c"))
