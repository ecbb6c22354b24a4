# SPDX-License-Identifier: BSD-2-Clause
"""What tools/test and the commands below tests/ are made of.

command   tools/test
outcome   what came of a test; the summary
host      unit tests on the host
fuzz      the fuzzers; coverage: what they reached
emulated  tests/emu/run, the tests on emulated machines: files, what their files say; part, one run
          of the emulator; patch, a hypervisor that is broken on purpose
choice    which emulated tests a set has, and the tenth of the rest that `make test` has
outside   power cuts and the soak
"""
