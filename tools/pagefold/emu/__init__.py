# SPDX-License-Identifier: BSD-2-Clause
"""What tools/run, tools/native and the emulated tests are made of.

config   reads a Pagefold configuration and finds the files that it names
image    makes the bootable image
machine  the emulators: what can be started here, and with which command line
console  the serial console: output, typed commands, and when a run is over
lines    what a terminal would be sent, as plain lines
cpio     what is added to a guest's initramfs
"""
