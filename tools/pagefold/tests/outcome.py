# SPDX-License-Identifier: BSD-2-Clause
"""What came of a test, and the summary of all."""

import dataclasses
import os

from pagefold.paths import BUILD, shown

LOGS = os.path.join(BUILD, "tests")
# No test of `make test` takes longer on two idle cores.
LONG_SECONDS = 300


@dataclasses.dataclass
class Outcome:
    name: str
    seconds: float
    log: str         # the path of what it printed
    passed: int = 1  # cases
    failed: int = 0
    why: str = ""    # of a failure, in one line
    told: str = ""   # what the line has behind the name
    long: bool = False  # it may take more than LONG_SECONDS

    def line(self):
        why = f": {self.why}" if self.why else ""
        return (f"{'FAIL' if self.failed else 'ok  '} {self.name}{self.told}{why}"
                + (f"; see {shown(self.log)}" if self.failed else ""))


def log_of(name):
    return os.path.join(LOGS, name + ".log")


def tell(outcome):
    print(outcome.line(), flush=True)
    return outcome


def summary(outcomes):
    """What failed, and where its log is; at the very end the line that others read."""
    failed = [one for one in outcomes if one.failed]
    if failed:
        print(f"\n{len(failed)} of {len(outcomes)} failed:")
        for one in failed:
            print(f"  {one.name}{': ' if one.why else ''}{one.why}; see {shown(one.log)}")
    late = [one for one in outcomes if one.seconds > LONG_SECONDS and not one.long]
    if late:
        print(f"over {LONG_SECONDS} s (a machine that is busy, or a test for `in = all`): "
              + ", ".join(f"{one.name} {one.seconds:.0f} s" for one in late))
    return count(outcomes)


def count(outcomes):
    """Prints the last line; the exit status."""
    passed, failed = (sum(getattr(one, key) for one in outcomes) for key in ("passed", "failed"))
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0
