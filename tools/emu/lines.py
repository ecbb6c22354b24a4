# SPDX-License-Identifier: BSD-2-Clause
"""Turns what a terminal would be sent into plain lines.

The monitor wipes its prompt away (CR, erase) before it prints something else and then draws it
again. A terminal shows lines; a log or a pipe should hold lines too, so that a statistics line
starts with @{ and a guest's line with [NAME].
"""

import re

PROMPT = "pagefold> "
ERASE = re.compile(r"\x1b\[[0-2]?K")
# A sequence that may go on in the next chunk.
CUT = re.compile(r"(?:\r|\x1b|\x1b\[[0-9;?]*)\Z")


class Lines:
    def __init__(self):
        self.partial = ""     # the line that has no end yet
        self.held = ""        # an unfinished escape sequence or carriage return
        self.rewritten = False  # a carriage return was seen: what comes replaces the line

    def feed(self, text):
        """Takes text; returns the whole lines that it completes."""
        text = self.held + text
        cut = CUT.search(text)
        self.held = cut.group() if cut else ""
        text = ERASE.sub("", text[:len(text) - len(self.held)])
        done = []
        for piece in re.split(r"(\r*\n|\r)", text):
            if piece == "\r":
                self.rewritten = True
            elif piece.endswith("\n"):
                done.append(self.partial + "\n")
                self.partial, self.rewritten = "", False
            elif piece:
                if self.rewritten and self.partial:
                    # The monitor's prompt is only drawn again; a guest's text stays.
                    if not self.partial.startswith(PROMPT):
                        done.append(self.partial + "\n")
                    self.partial = ""
                self.rewritten = False
                self.partial += piece
        return "".join(done)
