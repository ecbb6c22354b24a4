# SPDX-License-Identifier: BSD-2-Clause
"""What the Python tools are made of: tools/NAME calls the module of its name.

problem   what a user can mend, told in one line; the exit statuses
paths     where things are
values    what is typed: sizes, settings
texts     files of text and of JSON, and the hypervisor's lines of statistics
calls     the tools as other tools call them: tools/run, tools/mkdisk
emu       the emulated machine: configuration, boot image, console
measure   the parts of tools/bench
tests     the parts of tools/test
"""
