# SPDX-License-Identifier: BSD-2-Clause
"""Turns what a terminal would be sent into plain lines.

The monitor wipes its prompt away (CR, erase) before it prints something else and then draws it
again. A terminal shows lines; a log or a pipe should hold lines too, so that a statistics line
starts with @{ and a guest's line with [NAME]. A statistics line that was cut for what the user
typed is put together again: a piece that is not the last ends with @+, and the next begins so.
"""

import re

PROMPT = "pagefold> "
ERASE = re.compile(r"\x1b\[[0-2]?K")
# A sequence that may go on in the next chunk.
CUT = re.compile(r"(?:\r|\x1b|\x1b\[[0-9;?]*)\Z")
STATS = "@{"
GOES_ON = "@+"


class Lines:
    def __init__(self):
        self.partial = ""     # the line that has no end yet
        self.held = ""        # an unfinished escape sequence or carriage return
        self.rewritten = False  # a carriage return was seen: what comes replaces the line
        self.stats = ""       # a statistics line as far as it has come
        self.prompts = 0      # prompts without a command that were wiped away again

    def whole(self, line):
        """The line that `line` completes, with its newline; nothing when it is a piece of one."""
        if self.stats and line.startswith(GOES_ON):
            line, self.stats = self.stats + line[len(GOES_ON):], ""
        if line.startswith(STATS) and line.endswith(GOES_ON):
            self.stats = line[:-len(GOES_ON)]
            return ""
        return line + "\n"

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
                done.append(self.whole(self.partial))
                self.partial, self.rewritten = "", False
            elif piece:
                if self.rewritten and self.partial:
                    # The monitor's prompt is only drawn again; a guest's text stays.
                    if not self.partial.startswith(PROMPT):
                        done.append(self.partial + "\n")
                    self.prompts += self.partial == PROMPT
                    self.partial = ""
                self.rewritten = False
                self.partial += piece
        return "".join(done)
