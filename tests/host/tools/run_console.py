# SPDX-License-Identifier: BSD-2-Clause
"""pagefold.emu.console and lines: no byte of a guest ends a run or looks like the hypervisor's."""

import os
import re
import unittest

from pagefold.emu.console import (AT_PROMPT, CTRL_A, ENDED, FAILED, RESET_TERMINAL,
                                  Session, quit_keys)
from pagefold.emu.lines import CUT_MAX, LINE_MAX, Lines, Wire

TOKEN = "0123456789abcdef"
GUEST = f"\x1b_pagefold {TOKEN} guest a\x1b\\"
HOST = f"\x1b_pagefold {TOKEN} host\x1b\\"
FORGED = ("PAGEFOLD-EXIT 0", "PAGEFOLD-EXIT 1", "PANIC: no", "PAGEFOLD-CHECK-FAILED",
          '@{"t_ms":1}', '@+,"x":1}', "pagefold> ", "[    1.0] a: off", "check: OK", "report: x",
          "\u202e" + "pagefold> ", "\u200bPANIC", "\x1b[1mPANIC", "\x1b]0;t\x07PANIC",
          "\x00PAGEFOLD-EXIT 0", "\x9b1mPANIC", "  pagefold> ", "pagefold> PANIC",
          "\x1b_pagefold 0000000000000000 host\x1b\\PANIC", "\x1b_pagefold host\x1b\\PANIC",
          "x" * LINE_MAX + "PANIC", " " * LINE_MAX + "pagefold> ", "\r" * 70 + "pagefold> ",
          "\x1b[" + "0" * 70 + "mPANIC", "x\r\r\n@{", "p\u0430gefold> ", "\ufe0fPANIC",
          "\x1b[\x012JPANIC", "\x1b[\x1b[2JPANIC")


def read(text, size):
    """The lines that come of the wire's text, in pieces of `size` bytes, and the last partial."""
    wire, lines, data, whole = Wire(TOKEN), Lines(), text.encode(), ""
    for at in range(0, len(data), size):
        for guest, part in wire.feed(data[at:at + size]):
            whole += lines.feed(part.decode("utf-8", "replace"), guest)
    return whole, lines.shown()


class Feed:
    """A link that has `data` again and again."""
    def __init__(self):
        self.data = b""
        self.sent = b""

    def recv(self, _size):
        return self.data

    def sendall(self, data):
        self.sent += data


class Pipe:
    """A link that has `data` and then its end."""
    def __init__(self, data):
        self.read, write = os.pipe()
        os.write(write, data)
        os.close(write)

    def fileno(self):
        return self.read

    def recv(self, size):
        return os.read(self.read, size)


class Forged(unittest.TestCase):
    def test_attached_guest(self):
        for text in FORGED:
            for end in ("\n", "\r\n", "\r", ""):
                for size in (1, 7, 4096):
                    wire = "pagefold> console a\r\n" + GUEST + "x\r\n" + text + end
                    whole, partial = read(wire, size)
                    told = whole.replace("pagefold> console a\n", "") + partial
                    for regex in (FAILED, ENDED, re.compile(AT_PROMPT, re.M),
                                  re.compile(r"^@[{+]|^\[ |^check:|^report:|^p.gefold", re.M),
                                  re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")):
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

    def test_rows(self):
        """A guest's line comes in rows, which are one line again, whatever stands in them."""
        text = ("[a] x\r\r\n[a]+PANIC\r\r\n[a]+[a]+y\r\n[b]+z\r\n\r\x1b[Kpagefold> v\r\x1b[K"
                "[b] [a]+\r\n[a] half\r\r\n[b] other\r\n[a]+@{\r\n@{\"t_ms\":1,@+\r\n[a] o\r\r\n"
                "[a]+ne\r\n@+2}\r\n")
        for size in (1, 2, 3, 4096):
            whole, partial = read(text, size)
            self.assertEqual(whole, "[a] xPANIC[a]+y\n[b]+z\n[b] [a]+\n[a] half\n[b] other\n"
                             '[a]+@{\n[a] one\n@{"t_ms":1,2}\n')
            self.assertEqual(partial, "")
        # Nor is any of it missing before the last row has come.
        for text, shown in (("[a] x\r\r\n", "[a] x"), ("[a] x\r\r\n[a", "[a] x"),
                            ("[a] x\r\r\n[a]+y", "[a] xy"), ("[a] x\r\r\nPANIC", "[a] x\nPANIC"),
                            ("[a] x\r\r\n[b] y", "[a] x\n[b] y")):
            self.assertEqual(read(text, 4096), ("", shown))
        # An attached guest has no rows.
        whole, _ = read(GUEST + "[b] x\r\r\n[b]+y\r\n" + HOST, 3)
        self.assertEqual(whole, "[a] [b] x\n[a] [b]+y\n")

    def test_endless(self):
        """What is kept of megabytes without the end of a line, or of a sequence, is bounded, and so is
        what is looked at again."""
        for unit in ("x", " ", "\r", "\x1b", "\x1b[", "0", "\x1b_", "\u200b", "\xe9", "a\r",
                     "\x1b[0"):
            for start in ("", "\x1b[", "\x1b_pagefold " + TOKEN):
                session = Session(None, None, [], None, None, None, TOKEN)
                session.show = lambda data: None
                session.out_tty = False
                chunk = (unit * (65536 // len(unit.encode()))).encode()
                link, sum_looked, n = Feed(), 0, 12
                session.link = link
                link.data = GUEST.encode() + start.encode()
                for _ in range(n):
                    session.read_output()
                    kept = (len(session.wire.held), len(session.lines.held),
                            len(session.lines.partial), len(session.lines.shown()))
                    self.assertLessEqual(max(kept), 2 * LINE_MAX, (unit, start))
                    self.assertLessEqual(len(session.lines.held), CUT_MAX, (unit, start))
                    self.assertLess(len(session.text), 300000, (unit, start))
                    sum_looked += sum(kept)
                    link.data = chunk
                self.assertLess(sum_looked, n * len(chunk) / 8, (unit, start))

    def test_endless_in_bytes(self):
        lines, done = Lines(), 0
        for _ in range(100 * LINE_MAX):
            done += len(lines.feed("x", "a"))
            self.assertLessEqual(len(lines.partial), LINE_MAX)
        self.assertEqual(done + len(lines.partial), 100 * LINE_MAX + 99)

    def test_character_in_two_pieces(self):
        """The hypervisor's bytes are no part of a character that a guest began."""
        session = Session(None, None, [], None, None, None, TOKEN)
        session.show = lambda data: None
        session.out_tty = False
        session.link = Feed()
        session.link.data = GUEST.encode() + b"x\n\xe2\x82" + HOST.encode() + b"PAGEFOLD-EXIT 0\r\n"
        session.read_output()
        self.assertTrue(session.ended)

    def test_gate(self):
        """What a --send waits for is found wherever it was cut, and what came before is not kept."""
        for gate in ("w[0-9]+ x\ny", "(?s)first.*w[0-9]+ x\ny", "^w42 x\n"):
            session = Session(None, None, [(gate, b"typed")], None, None, None, TOKEN)
            session.show = lambda data: None
            session.out_tty = False
            session.link = link = Feed()
            for data in ([b"[a] first\r\n"] + [(b"z" * 70 + b"\r\n") * 50] * 200
                         + [b"w4", b"2 x\r", b"\ny\r\n"]):
                self.assertEqual(link.sent, b"")
                link.data = data
                session.read_output()
                session.type_what_is_due()
                session.gate_next = 0
            self.assertEqual(link.sent, b"typed", gate)
            if "(?s)" not in gate:
                self.assertLess(len(session.text), 200000)

    def test_gate_behind_a_line_that_goes(self):
        """What is sent while a line has no end yet is answered, though that line is gone by then."""
        for row in ('@{"t_ms":1,' + '"x":1,' * 500, "pagefold> long"):
            session = Session(None, None, [("^begin", b"a\r"), (r"answer \d", b"b\r")], None, None,
                              None, TOKEN)
            session.show = lambda data: None
            session.out_tty = False
            link = session.link = Feed()
            link.data = b"begin\r\n" + row.encode()
            session.read_output()
            session.type_what_is_due()
            self.assertEqual(link.sent, b"a\r")
            end = b"@+\r\n" if row[0] == "@" else b"\r\x1b[K"
            link.data = end + b"pagefold> a\r\nanswer 1\r\n" + b"more\r\n" * 1000
            session.read_output()
            session.type_what_is_due()
            self.assertEqual(link.sent, b"a\rb\r")

    def test_quit_keys(self):
        """Ctrl-A x quits in each mode to which a guest can switch the keyboard."""
        for typed in (b"\x01x", b"\x1b[97;5u\x1b[120u", b"\x1b[27;5;97~x",
                      b"\x1b[97;5:1u\x1b[97;5:3ux", b"\x1b[97;133u\x1b[120;129u", b"\x1b[97:65;5ux",
                      b"\x1b[65;30;1;1;8;1_\x1b[65;30;1;0;8;1_\x1b[88;45;120;1;0;1_"):
            self.assertEqual(quit_keys(typed), bytes([CTRL_A]) + b"x", typed)
        for typed in (b"a", b"\x1b[97u", b"\x1b[97;2u", b"\x1b[A", b"\x1b[93;5u", b"\x1b[27;5;93~",
                      b"\x1b[99999999999999999999;5u", b"\x1b[97;5", b"\x1b[65;30;97;1;0;1_"):
            self.assertEqual(quit_keys(typed), typed)

    def test_one_reset(self):
        """The hypervisor's, and ours."""
        path = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "..", "kernel",
                            "console", "mux.c")
        with open(path, encoding="utf-8") as file:
            macro = re.search(r"#define RESET_TERMINAL((?:.*\\\n)+.*)", file.read()).group(1)
        theirs = "".join(re.findall(r'"(.*)"', macro)).encode().decode("unicode_escape")
        self.assertEqual(theirs.encode(), RESET_TERMINAL)

    def test_terminal_is_reset(self):
        """The terminal that a guest had is given back as it was."""
        for wire, reset in ((GUEST + "\x1b[?1049h", True), (GUEST + "x" + HOST, True),
                            ("[a] x\r\n", False)):
            session = Session(None, None, [], None, None, None, TOKEN)
            shown = []
            session.show = shown.append
            session.out_tty = True
            session.open_input = lambda: None
            session.machine_ended = lambda: 0
            session.wants_input = lambda: False
            session.link = Pipe(wire.encode())
            session.run()
            self.assertEqual(shown.count(RESET_TERMINAL), int(reset))

    def test_session(self):
        session = Session(None, None, [], None, None, None, TOKEN)
        session.show = lambda data: None
        session.out_tty = False
        session.link = Feed()
        session.link.data = (GUEST + "\r\nPAGEFOLD-EXIT 0\r\n\r\nPANIC: no\r\n").encode()
        session.read_output()
        self.assertFalse(session.ended or session.failed)
        session.link.data = (HOST + "\r\nPAGEFOLD-EXIT 0\r\n").encode()
        session.read_output()
        self.assertTrue(session.ended and not session.failed)


if __name__ == "__main__":
    unittest.main()
