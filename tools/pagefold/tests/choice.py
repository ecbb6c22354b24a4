# SPDX-License-Identifier: BSD-2-Clause
"""Which emulated tests a run has. Each test file says by `in` where it belongs:

  quick   test-quick, test and test-all: some seconds each, one or two for every area
  test    test and test-all (when nothing is said)
  tenth   test-all, and test when its seed picks it: a tenth of these
  all     test-all: it takes more than five minutes, or may
"""

import datetime
import hashlib
import subprocess

from pagefold.paths import ROOT

PLACES = ("quick", "test", "tenth", "all")
PART = 10


def seed_of_today():
    """A seed that another run of the same commit has too, with where it comes from."""
    done = subprocess.run(["git", "rev-parse", "--short=8", "HEAD"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    if done.returncode == 0:
        return int(done.stdout.strip()[:8], 16), "the commit's"
    return datetime.date.today().toordinal(), "the day's"


def tenth(names, seed):
    """A tenth of the names, rounded up, by lot. Another name more or less changes the place of few."""
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return set(order[:-(-len(order) // PART)])


def wanted(tests, kinds, seed):
    """Those of the tests that tools/test's kinds have: quick, emu, tenth, slow."""
    drawn = tenth([test.name for test in tests if test.place == "tenth"], seed)
    places = {"quick": ("quick",), "emu": ("quick", "test"), "slow": PLACES}
    chosen = {place for kind in kinds for place in places.get(kind, ())}
    return [test for test in tests
            if test.place in chosen or "tenth" in kinds and test.name in drawn]
