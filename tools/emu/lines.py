# SPDX-License-Identifier: BSD-2-Clause
"""Turns what a terminal would be sent into plain lines.

The monitor wipes its prompt away (CR, erase) before it prints something else and then draws it
again. A terminal shows lines; a log or a pipe should hold lines too, so that a statistics line
starts with @{ and a guest's line with [NAME]. A statistics line that was cut for what the user
typed is put together again: a piece that is not the last ends with @+, and the next begins so.
"""

import re

PROMPT = "pagefold> "
# What a terminal obeys and does not show (ECMA-48): CSI sequences, other escapes, shifts, cancel.
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-Z\\\]^_`a-~]|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]")
# A sequence that may go on in the next chunk.
CUT = re.compile(r"(?:\r|\x1b(?:\[[0-?]*)?[ -/]*)\Z")
# How lines of the hypervisor begin: an attached guest's that begins so too gets its name in front.
HOSTLY = re.compile(r"\s*(?:@|\[|pagefold>|PANIC|PAGEFOLD|report:|check:|trace:)")
# Letters that are not seen, or turn others round.
UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
                    "\U000e0000-\U000e0fff\x7f-\x9f]")
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

    def feed(self, data):
        """Takes bytes; returns (guest's name or None, bytes) in order."""
        data = self.held + data
        parts, at = [], 0
        for match in self.mark.finditer(data):
            parts.append((self.guest, data[at:match.start()]))
            self.guest = match.group(1).decode() if match.group(1) else None
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
        cut = CUT.search(text)
        self.held = cut.group() if cut else ""
        text = CONTROL.sub("", text[:len(text) - len(self.held)])
        if guest:
            text = UNSEEN.sub("", text)
        for piece in re.split(r"(\r*\n|\r)", text):
            if piece == "\r":
                self.rewritten = True
            elif piece.endswith("\n"):
                done.append(self.end())
                self.partial, self.rewritten = "", False
            elif piece:
                if self.rewritten and self.partial:
                    # The monitor's prompt is only drawn again; a guest's text stays.
                    if guest or not self.partial.startswith(PROMPT):
                        done.append(self.end())
                    else:
                        self.prompts += self.partial == PROMPT
                    self.partial = ""
                self.rewritten = False
                self.partial += piece
        return "".join(done)

    def end(self):
        """The line that has come to its end."""
        return self.shown() + "\n" if self.guest else self.whole(self.partial)

    def shown(self):
        """The line so far, as it goes into a log."""
        if self.guest and HOSTLY.match(self.partial):
            return f"[{self.guest}] {self.partial}"
        return self.partial
