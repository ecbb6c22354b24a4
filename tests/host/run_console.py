# SPDX-License-Identifier: BSD-2-Clause
"""tools/emu/console.py and lines.py: no byte of a guest ends a run or looks like the hypervisor's."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "tools"))
sys.dont_write_bytecode = True
from emu.console import AT_PROMPT, ENDED, FAILED, Session  # noqa: E402
from emu.lines import Lines, Wire  # noqa: E402

TOKEN = "0123456789abcdef"
GUEST = f"\x1b_pagefold {TOKEN} guest a\x1b\\"
HOST = f"\x1b_pagefold {TOKEN} host\x1b\\"
FORGED = ("PAGEFOLD-EXIT 0", "PAGEFOLD-EXIT 1", "PANIC: no", "PAGEFOLD-CHECK-FAILED",
          '@{"t_ms":1}', '@+,"x":1}', "pagefold> ", "[    1.0] a: off", "check: OK", "report: x",
          "\u202e" + "pagefold> ", "\u200bPANIC", "\x1b[1mPANIC", "\x1b]0;t\x07PANIC",
          "\x00PAGEFOLD-EXIT 0", "\x9b1mPANIC", "  pagefold> ", "pagefold> PANIC",
          "\x1b_pagefold 0000000000000000 host\x1b\\PANIC", "\x1b_pagefold host\x1b\\PANIC")


def read(text, size):
    """The lines that come of the wire's text, in pieces of `size` bytes, and the last partial."""
    wire, lines, data, whole = Wire(TOKEN), Lines(), text.encode(), ""
    for at in range(0, len(data), size):
        for guest, part in wire.feed(data[at:at + size]):
            whole += lines.feed(part.decode("utf-8", "replace"), guest)
    return whole, lines.shown()


class Forged(unittest.TestCase):
    def test_attached_guest(self):
        for text in FORGED:
            for end in ("\n", "\r\n", "\r", ""):
                for size in (1, 7, 4096):
                    wire = "pagefold> console a\r\n" + GUEST + "x\r\n" + text + end
                    whole, partial = read(wire, size)
                    told = whole.replace("pagefold> console a\n", "") + partial
                    for regex in (FAILED, ENDED, re.compile(AT_PROMPT, re.M),
                                  re.compile(r"^@[{+]|^\[ |^check:|^report:", re.M)):
                        self.assertIsNone(regex.search(told), (text, end, size, told))

    def test_hypervisor(self):
        for size in (1, 5, 4096):
            whole, partial = read(GUEST + "login: " + HOST + "\r\n[the monitor]\r\n"
                                  "\r\x1b[Kpagefold> " + GUEST + "PANIC" + HOST +
                                  "PAGEFOLD-EXIT 0\r\n", size)
            self.assertEqual(whole, "login: \n\n[the monitor]\n[a] PANIC\nPAGEFOLD-EXIT 0\n")
            self.assertEqual(partial, "")
            self.assertIsNotNone(ENDED.search(whole))
            self.assertIsNone(FAILED.search(whole))

    def test_mark_in_two_pieces(self):
        """A guest's sequence that never ends does not take the beginning of a mark along."""
        wire = Wire(TOKEN)
        parts = wire.feed((GUEST + "\x1b_" + "x" * 200 + "\n\x1b").encode())
        parts += wire.feed((HOST[1:] + "PANIC\r\n").encode())
        self.assertEqual(parts[-1], (None, b"PANIC\r\n"))
        self.assertFalse(any(TOKEN.encode() in part for _, part in parts))

    def test_statistics_in_pieces(self):
        text = ('@{"t_ms":1,@+\r\npagefold> v\r\x1b[K@+"a":[1@+\r\n[a] x\r\n@+]}\r\n'
                '@{"t_ms":2}\r\n')
        for size in (1, 3, 4096):
            whole, _ = read(text, size)
            self.assertEqual(whole, '[a] x\n@{"t_ms":1,"a":[1]}\n@{"t_ms":2}\n')

    def test_session(self):
        session = Session(None, None, [], None, None, None, TOKEN)
        session.show = lambda data: None
        session.out_tty = False

        class Link:
            def __init__(self):
                self.data = b""

            def recv(self, _size):
                return self.data
        session.link = Link()
        session.link.data = (GUEST + "\r\nPAGEFOLD-EXIT 0\r\n\r\nPANIC: no\r\n").encode()
        session.read_output()
        self.assertFalse(session.ended or session.failed)
        session.link.data = (HOST + "\r\nPAGEFOLD-EXIT 0\r\n").encode()
        session.read_output()
        self.assertTrue(session.ended and not session.failed)


if __name__ == "__main__":
    unittest.main()
