# SPDX-License-Identifier: BSD-2-Clause
"""The files of the emulated tests, tests/emu/NAME.test.

A test is one file, tests/emu/NAME.test: `key = value` lines, then `--- config` and a configuration
for tools/run. {guests} is the cache of guest files, {build} and {root} are folders here. Keys:

  machine, cpu, cpus, memory, append, timeout, until   as for tools/run
  disk = 64M | FILE[,snapshot]   an empty disk, or a copy of a file, made for this run (repeatable);
                                 `parts: IMAGE|SIZE ...` makes a partitioned one with tools/mkdisk
  module = FILE[=NAME]           one more boot module (repeatable)
  each = KEY: VALUE ...          run it once with each value of this key of [host] (repeatable: with
                                 each combination), in all of its runs; the test's name gets the
                                 values behind it
  emulator = stale               the Bochs whose CPU keeps stale EPT translations (tools/bochs)
  debug = yes                    run the debug build, which panics at a step of over 1 ms
  patch = FUNCTION BYTES         run a hypervisor whose FUNCTION begins with these bytes (in hex)
  verbatim = yes                 the configuration's kernel= and initrd= are module names
  send, send-after               typed commands and what each waits for, in order (repeatable)
  expect = REGEX                 must be in the output, in this order (repeatable)
  forbid = REGEX                 must not be in it (repeatable)
  steps = REASON                 a step of the hypervisor may take over 1 ms, for this reason; else a
                                 line that says that one did fails the run
  judge = PROGRAM ARGUMENT ...   a program beside the tests, which must end with status 0; {log} is
                                 the output's file
  status = N                     of tools/run; default 0
  in = quick | tenth | all       which runs have it: `quick` also test-quick, `tenth` test-all, and
                                 test when its seed picks it, `all` only test-all, for it takes more
                                 than five minutes; otherwise test and test-all (pagefold/tests/choice)
  finish = no                    otherwise a test of status 0 without `until` ends with `check`, which
                                 must pass, and `poweroff now`
  finish-after = REGEX           what the final `check` waits for
  host = COMMAND                 a shell command that must succeed after the run; {disk0} is the
                                 first disk's file, {log} the output (repeatable)

A line `--- next` begins another run of the same test, with keys of its own; without a `disk` it has
the disks as the run before left them, without `--- config` the same configuration.
"""

import copy
import glob
import itertools
import os

from pagefold.paths import BUILD, ROOT, guests_folder, source
from pagefold.problem import Problem
from pagefold.tests.choice import PLACES
from pagefold.tests.outcome import LOGS

OUT = os.path.join(LOGS, "emu")
SINGLE = ("machine", "cpu", "cpus", "memory", "append", "timeout", "until", "verbatim", "status",
          "finish", "finish-after", "patch", "emulator", "judge", "in", "debug", "steps")
REPEATED = ("disk", "module", "send", "send-after", "expect", "forbid", "host", "each")
REGEXES = ("expect", "forbid", "until", "send-after", "finish-after")
NEXT = "--- next\n"
CONFIG = "--- config\n"


def with_places(text):
    """The text with the folders that {guests}, {root} and {build} stand for."""
    for place, folder in (("guests", guests_folder()), ("root", ROOT), ("build", BUILD)):
        text = text.replace("{" + place + "}", folder)
    return text


class Part:
    """What the file says of one run of the emulator: a test has at least one."""

    def __init__(self, path, number, text, line, before):
        self.name = name_of(path)
        self.number = number
        self.before = before  # the part before this one
        self.disks = []  # their files, once it runs
        self.one = {"timeout": "180", "status": "0", "finish": "yes", "memory": "256M"}
        self.many = []  # (key, value) in order
        head, mark, config = text.partition(CONFIG)
        if not mark and before is None:
            raise Problem(f"{path}: has no `--- config` line")
        self.config = with_places(config) if mark else before.config
        for at, row in enumerate(head.splitlines(), line):
            if row.strip() and not row.startswith("#"):
                self.add(row, f"{path}:{at}")

    def add(self, row, where):
        key, equals, value = (part.strip() for part in row.partition("="))
        if not equals or key not in SINGLE + REPEATED:
            raise Problem(f"{where}: unknown line: {row}")
        if key not in REGEXES:
            value = with_places(value)
        if key in SINGLE:
            self.one[key] = value
        else:
            self.many.append((key, value))

    def all(self, key):
        return [value for k, value in self.many if k == key]

    def says(self, key):
        return self.one.get(key) == "yes"

    def finishes(self):
        return self.one["status"] == "0" and self.says("finish") and "until" not in self.one

    def file(self, ending):
        return os.path.join(OUT, self.name + (f".{self.number}" if self.number > 1 else "") + ending)

    def log(self):
        return self.file(".log")


class Test:
    """A test with its parts, which run one after the other."""

    def __init__(self, path):
        self.name = name_of(path)
        self.parts, line = [], 1
        with open(path, encoding="utf-8") as file:
            texts = file.read().split(NEXT)
        for number, text in enumerate(texts, 1):
            self.parts.append(Part(path, number, text, line, self.parts[-1] if self.parts else None))
            line += text.count("\n") + 1
        self.place = self.parts[0].one.get("in", "test")
        if self.place not in PLACES:
            raise Problem(f"{path}: in = {self.place}: not one of {', '.join(PLACES)}")
        self.seconds = sum(float(part.one["timeout"]) for part in self.parts)

    def variants(self):
        """The test itself, or one for each combination of the values that `each` names."""
        lists, first = [], self.parts[0]
        for text in first.all("each"):
            key, colon, values = text.partition(":")
            if not colon or not values.split() or "[host]\n" not in first.config:
                raise Problem(f"{self.name}: each = {text}: not KEY: VALUE ..., or there is no [host]")
            lists.append([(key.strip(), value) for value in values.split()])
        return [self.variant(choice) for choice in itertools.product(*lists)] if lists else [self]

    def variant(self, choice):
        """This test with some keys of [host] and their values."""
        test = copy.copy(self)
        test.name = "+".join([self.name] + [value for _, value in choice])
        keys = "".join(f"{key} = {value}\n" for key, value in choice)
        test.parts = []
        for part in self.parts:
            part = copy.copy(part)
            part.name = test.name
            part.before = test.parts[-1] if test.parts else None
            part.config = part.config.replace("[host]\n", "[host]\n" + keys, 1)
            test.parts.append(part)
        return test


def name_of(path):
    return os.path.basename(path)[:-len(".test")]


def paths():
    return sorted(glob.glob(source("tests", "emu", "*.test")))


def read(names=None):
    """The tests of these names, or all; each in all of its variants."""
    return [variant for path in paths() if not names or name_of(path) in names
            for variant in Test(path).variants()]
