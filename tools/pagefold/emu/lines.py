# SPDX-License-Identifier: BSD-2-Clause
"""Turns what a terminal would be sent into plain lines.

The monitor wipes its prompt away (CR, erase) before it prints something else and then draws it
again. A terminal shows lines; a log or a pipe should hold lines too, so that a statistics line
starts with @{ and a guest's line with [NAME]. A statistics line that was cut for what the user
typed is put together again: a piece that is not the last ends with @+, and the next begins so. A
guest's line that was shown in rows, so that no terminal wraps it, becomes one line again.

Memory and work are bounded, whatever an attached guest writes: what is kept of it from one chunk to
the next has at most LINE_MAX and CUT_MAX characters, and each pattern looks at a chunk once.
"""

import re

PROMPT = "pagefold> "
# What a terminal obeys and does not show (ECMA-48): CSI sequences, other escapes, shifts, cancel.
# An escape that begins no sequence goes too, so that taking something out of it makes none.
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-Z\\\]^_`a-~]|[\x00-\x08\x0b\x0c\x0e-\x1f]")
# A sequence that may go on in the next chunk.
CUT = re.compile(r"(?:\r{1,2}|\x1b(?:\[[0-?]*)?[ -/]*)\Z")
CUT_MAX = 64  # what is longer is no sequence
# An end of a line, the two carriage returns of a row that goes on in the next, or a return alone.
END = re.compile(r"(\r?\r?\n|\r+)")
GOES_ON_BELOW = "\r\r\n"
# A guest's row: the first of a line, or one that goes on.
ROW = re.compile(r"\[[A-Za-z0-9._-]+\][ +]")
# How lines of the hypervisor begin, or look as if: an attached guest's that begins so too gets its
# name in front.
HOSTLY = re.compile(r"\s*(?:@|\[|\S*[^\x00-\x7f]|(?i:pagefold|panic)|report:|check:|trace:)")
# Letters that are not seen, or turn others round.
UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
                    "\ufff9-\ufffb\U000e0000-\U000e0fff\x7f-\x9f]")
# An attached guest's line is as long as it likes: longer ones are cut, as the hypervisor does.
LINE_MAX = 1024
STATS = "@{"
GOES_ON = "@+"


class Wire:
    """Whose bytes these are. While a guest is attached, all that it writes comes out as it is. The
    hypervisor tells when that begins and ends by a sequence that holds `token`, which only it and
    tools/run know."""

    def __init__(self, token):
        self.mark = re.compile(rb"\x1b_pagefold " + token.encode() +
                               rb" (?:host|guest ([A-Za-z0-9._-]+))\x1b\\")
        self.longest = 64 + len(token)
        self.held = b""
        self.guest = None
        self.attached = False  # some guest has had the terminal

    def feed(self, data):
        """Takes bytes; returns (guest's name or None, bytes) in order."""
        data = self.held + data
        parts, at = [], 0
        for match in self.mark.finditer(data):
            parts.append((self.guest, data[at:match.start()]))
            self.guest = match.group(1).decode() if match.group(1) else None
            self.attached = self.attached or self.guest is not None
            at = match.end()
        # What may be the beginning of a mark waits for the rest.
        begin = data.rfind(b"\x1b_", at)
        if begin < at or len(data) - begin > self.longest:
            begin = len(data) - data.endswith(b"\x1b")
        parts.append((self.guest, data[at:begin]))
        self.held = data[begin:]
        return [part for part in parts if part[1]]


class Lines:
    def __init__(self):
        self.guest = None     # whose text comes, if it is an attached guest's
        self.partial = ""     # the line that has no end yet
        self.held = ""        # an unfinished escape sequence or carriage returns
        self.rewritten = False  # a carriage return was seen: what comes replaces the line
        self.stats = ""       # a statistics line as far as it has come
        self.rows = ""        # likewise a guest's line that came in rows
        self.prompts = 0      # prompts without a command that were wiped away again

    def whole(self, line, goes_on=False):
        """The line that `line` completes, with its newline; nothing when it is a piece of one."""
        row = ROW.match(line)
        if self.rows and not (row and row.group().endswith("+")):
            self.rows, line = "", self.rows + "\n" + line  # a row got lost
        elif self.rows:
            self.rows, line = "", self.rows + line[row.end():]
        if goes_on and row:
            self.rows = line
            return ""
        if self.stats and line.startswith(GOES_ON):
            line, self.stats = self.stats + line[len(GOES_ON):], ""
        if line.startswith(STATS) and line.endswith(GOES_ON):
            self.stats = line[:-len(GOES_ON)]
            return ""
        return line + "\n"

    def feed(self, text, guest=None):
        """Takes text, the attached guest's of that name or the hypervisor's; returns the whole lines
        that it completes."""
        done = []
        if guest != self.guest:
            self.held = ""
            if self.partial and self.partial != PROMPT:
                done.append(self.end())
            self.partial, self.rewritten, self.guest = "", False, guest
        text = self.held + text
        # What may go on in the next chunk is at the end: no need to look for it elsewhere.
        cut = CUT.search(text, max(0, len(text) - CUT_MAX))
        self.held = cut.group() if cut else ""
        text = CONTROL.sub("", text[:len(text) - len(self.held)])
        if guest:
            text = UNSEEN.sub("", text)
        for piece in END.split(text):
            if piece.endswith("\n"):
                done.append(self.end(piece == GOES_ON_BELOW))
                self.partial, self.rewritten = "", False
            elif piece.startswith("\r"):
                self.rewritten = True
            elif piece:
                if self.rewritten and self.partial:
                    # The monitor's prompt is only drawn again; a guest's text stays.
                    if guest or not self.partial.startswith(PROMPT):
                        done.append(self.end())
                    else:
                        self.prompts += self.partial == PROMPT
                    self.partial = ""
                self.rewritten = False
                self.add(piece, done)
        return "".join(done)

    def add(self, piece, done):
        """More of the line. An attached guest's is cut when it is too long."""
        if not self.guest:
            self.partial += piece
            return
        at = LINE_MAX - len(self.partial)
        self.partial += piece[:at]
        while at < len(piece):
            done.append(self.end())
            self.partial = piece[at:at + LINE_MAX]
            at += LINE_MAX

    def end(self, goes_on=False):
        """The line that has come to its end."""
        return self.shown() + "\n" if self.guest else self.whole(self.partial, goes_on)

    def shown(self):
        """The line so far, as it goes into a log."""
        if self.guest:
            return f"[{self.guest}] {self.partial}" if HOSTLY.match(self.partial) else self.partial
        if not self.rows:
            return self.partial
        row = ROW.match(self.partial)
        if row and row.group().endswith("+"):
            return self.rows + self.partial[row.end():]
        if not row and self.partial[:1] in ("", "["):
            return self.rows  # what comes is the next row
        return self.rows + "\n" + self.partial
