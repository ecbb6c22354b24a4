# SPDX-License-Identifier: BSD-2-Clause
"""The serial console of a running machine, and the rules by which a run ends.

The emulator connects to a socket of ours, so no byte is lost in either direction: it waits while
we are behind, and hands the machine's UART a byte only when there is room.
"""

import codecs
import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
import tty

from pagefold.emu.lines import PROMPT, Lines, Wire
from pagefold.problem import Problem

# Of the hypervisor itself, at the start of a line; guests' lines are behind [NAME].
FAILED = re.compile(r"^(?:pagefold> )?"
                    r"(?:PANIC\b|PAGEFOLD-CHECK-FAILED|PAGEFOLD-EXIT (?!0\b)\d+)", re.M)
ENDED = re.compile(r"^(?:pagefold> )?PAGEFOLD-EXIT 0\b", re.M)
# Likewise, so that no guest can make a --send come early.
AT_PROMPT = "^" + PROMPT
QUIET_SECONDS = 0.2
DOT_ALL = re.compile(r"\(\?[a-z]*s|\[\\s\\S\]")
GATE_BACK = 16384  # characters that a match of --send-after has at most, unless its dots match newlines
LAST_WORDS_SECONDS = 5  # for a panic's dump, and to power off
CTRL_A = 0x01
TIMED_OUT = 124
COLUMNS = 80  # of a terminal on which no guest's line wraps (CONMUX_COLUMNS, and one)
# A guest that had the terminal may have left it in any mode: the hypervisor resets it when the user
# leaves the guest (RESET_TERMINAL in kernel/console/mux.c says what is what), we when a run ends.
RESET_TERMINAL = (
    b"\x18\x1b\\\x1b<\x1b[!p\x1b[2l\x1b[12h\x1b[4l\x1b[20l\x1b[?1l\x1b>\x1b[?5l\x1b[?6l\x1b[?7h"
    b"\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l"
    b"\x1b[?1015l\x1b[?2004l\x1b[?1047l\x1b[?69l\x1b[r\x1b%G\x1b F\x0f\x1b(B\x1b)B\x1b[>4m\x1b[=0u"
    b"\x1b[?9001l\x1b[0m\x1b[?25h\x1b[999;1H\r\n")
ANSWERS_SECONDS = 0.2  # until a terminal has answered what a guest asked it
# Keys as sequences: a guest can switch the terminal to a mode in which Ctrl-A is one (see
# kernel/console/detachkey.h), and the X behind it.
KEY_SEQUENCE = re.compile(rb"\x1b\[(?:(\d+)(?::\d*)*(?:;(\d+)(?::([123]))?)?(?:;[\d:]*)?u"
                          rb"|27;(\d+);(\d+)~|\d*;\d*;(\d+);([01])(?:;\d*)*_)")


def quit_keys(data):
    """What was typed, with Ctrl-A and X as the bytes that they usually are."""
    def one(match):
        code, modifiers, event, other_modifiers, other_code, windows_key, pressed = match.groups()
        if windows_key:  # with Ctrl in it
            key = chr(min(int(windows_key), sys.maxunicode))
            wanted = key in (chr(CTRL_A), "x", "X")
            return match.group() if not wanted else key.encode() if pressed == b"1" else b""
        key = chr(min(int(code or other_code), sys.maxunicode))
        ctrl = (int(modifiers or other_modifiers or 1) - 1) & 4
        if key not in ("aA" if ctrl else "xX"):
            return match.group()
        if event == b"3":
            return b""  # let go of
        return bytes([CTRL_A]) if ctrl else key.encode()

    return KEY_SEQUENCE.sub(one, data)


def unescape(text):
    """A typed command: C escapes, and Enter at its end unless it ends with \\c."""
    enter = not text.endswith("\\c")
    text = text if enter else text[:-2]
    known = {"n": "\n", "r": "\r", "t": "\t", "e": "\x1b", "\\": "\\"}

    def one(match):
        if match.group(1):
            return chr(int(match.group(1), 16))
        return known.get(match.group(2), match.group(0))

    text = re.sub(r"\\(?:x([0-9a-fA-F]{2})|(.))", one, text)
    return text.encode("utf-8", "surrogateescape") + (b"\r" if enter else b"")


class Listener:
    """The sockets at which an emulator finds its serial port."""

    def __init__(self, work, kind):
        self.path = os.path.join(work, "com1")
        self.port = 0
        if kind == "bochs":
            self.socket = socket.socket()
            self.socket.bind(("127.0.0.1", 0))
            self.port = self.socket.getsockname()[1]
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(self.path)
        self.socket.listen(1)

    def places(self):
        return self.port, self.path


def start(command, listener, work):
    """Starts the emulator and waits until its serial port is connected."""
    def die_with_parent():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        # Bochs reports its speed from a handler of SIGALRM, each second. The handler locks what the
        # interrupted code may hold (the C library's streams), and then Bochs stands still for ever.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})

    output = os.path.join(work, "emulator.log")
    with open(output, "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, cwd=work, start_new_session=True,
                                   preexec_fn=die_with_parent)
    deadline = time.monotonic() + 30
    while not select.select([listener.socket], [], [], 0.1)[0]:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            with open(output, encoding="utf-8", errors="replace") as log:
                lines = [line.strip() for line in log if line.strip(" =-\n")]
            told = [line for line in lines if re.search(r"^\[|PANIC|rror|qemu-system", line)]
            reason = (told or lines or ["no message"])[-1]
            raise Problem(f"{os.path.basename(command[0])} did not start: {reason[:200]}")
    link = listener.socket.accept()[0]
    listener.socket.close()
    return process, link


class Session:
    """One run: see run()."""

    def __init__(self, process, link, sends, until, timeout, log, token):
        self.process = process
        self.link = link
        self.sends = list(sends)  # (gate regex, bytes) in order
        self.until = re.compile(until, re.M) if until else None
        self.deadline = time.monotonic() + timeout if timeout else None
        self.log = log
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.wire = Wire(token)
        self.lines = Lines()
        self.whole = ""     # the lines that may still be searched
        self.text = ""      # these, and the last line as far as it goes
        self.told = ""      # what of the last line stdout has already, and its bytes
        self.shown = 0
        self.gate_from = 0  # where in text the search for the next send's gate begins
        self.gate_next = 0.0  # and when
        self.prompts_from = 0  # likewise, among the prompts that were wiped away
        self.prompted = False  # the monitor listens
        self.sent_all_at = None if self.sends else 0
        self.matched_at = None
        self.failed = False
        self.ended = False
        self.stop_at = None
        self.out_tty = sys.stdout.isatty()
        self.in_fd = None
        self.in_tty = False
        self.in_held = b""
        self.escaped = False

    def run(self):
        """Returns the exit status: 0 regex seen or orderly end, 1 failure, 124 timeout, 130 quit."""
        saved = self.open_input()
        try:
            return self.loop()
        except KeyboardInterrupt:
            return 130
        finally:
            self.show_partial()
            if self.log:
                self.log.write(self.lines.shown().encode("utf-8"))
            if not self.text.endswith("\n"):
                self.show(b"\r\n" if self.out_tty else b"\n")
            if self.out_tty and self.wire.attached:
                self.show(RESET_TERMINAL)
                time.sleep(ANSWERS_SECONDS if saved else 0)
            if saved:
                # What is typed ahead goes too: it may be the terminal's answer to a guest.
                termios.tcsetattr(self.in_fd, termios.TCSAFLUSH, saved)

    def open_input(self):
        try:
            self.in_fd = sys.stdin.fileno()
            self.in_tty = os.isatty(self.in_fd)
        except (OSError, ValueError, AttributeError):
            self.in_fd = None
            return None
        if not self.in_tty or os.tcgetpgrp(self.in_fd) != os.getpgrp():
            if self.in_tty:
                self.in_fd = None  # in the background: reading would stop us
            return None
        saved = termios.tcgetattr(self.in_fd)
        tty.setraw(self.in_fd)
        sys.stderr.write("[Ctrl-A x quits]\r\n")
        if self.out_tty and os.get_terminal_size(sys.stdout.fileno()).columns in range(1, COLUMNS):
            sys.stderr.write(f"[this terminal wraps guests' lines: it has less than {COLUMNS} "
                             "columns]\r\n")
        return saved

    def loop(self):
        open_link = True
        while open_link:
            self.type_what_is_due()
            status = self.finished()
            if status is not None:
                return status
            wait = [self.link] + ([self.in_fd] if self.wants_input() else [])
            ready = select.select(wait, [], [], self.patience())[0]
            if not ready:
                self.show_partial()
            if not self.in_tty:
                time.sleep(0.005)  # let output gather: Bochs sends byte by byte
            if self.in_fd in ready and not self.read_input():
                return 130
            if self.link in ready:
                open_link = self.read_output()
        return self.machine_ended()

    def patience(self):
        now = time.monotonic()
        times = [t - now for t in (self.deadline, self.stop_at) if t is not None]
        if self.gate_next > now:
            times.append(self.gate_next - now)
        if not self.out_tty:
            times.append(QUIET_SECONDS)
        return max(0.0, min(times)) if times else None

    # ---- output -----------------------------------------------------------------------------

    def read_output(self):
        try:
            data = self.link.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            return False
        parts = self.wire.feed(data)
        whole = "".join(self.lines.feed(self.decode(text, guest), guest) for guest, text in parts)
        plain = whole.encode("utf-8")
        if self.log:
            self.log.write(plain)
            self.log.flush()
        if self.out_tty:
            self.show(b"".join(text for _, text in parts))
        elif whole:
            # The part shown in a quiet moment stays, if the line still starts with it.
            first = plain[self.shown:] if self.shown and whole.startswith(self.told) else \
                (b"\n" if self.shown else b"") + plain
            self.shown = 0
            self.show(first)
        self.search(whole)
        return True

    def decode(self, data, guest):
        """A character that a guest began is not ended by the hypervisor's bytes."""
        if guest != self.lines.guest:
            self.decoder.reset()
        return self.decoder.decode(data)

    def show_partial(self):
        """In a quiet moment a pipe too gets the line that has no end yet, such as the prompt."""
        partial = self.lines.shown()
        if self.out_tty or partial == (self.told if self.shown else ""):
            return
        if self.shown and not partial.startswith(self.told):
            self.show(b"\n")
            self.shown = 0
        data = partial.encode("utf-8")
        self.show(data[self.shown:])
        self.told, self.shown = partial, len(data)

    def show(self, data):
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # `tools/run … | head`: nobody reads any more; the run itself goes on.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def search(self, new):
        # From the start of the last whole line that was seen before: a match may begin there.
        begin = max(self.whole.rfind("\n", 0, -1) + 1, len(self.whole) - 8192, 0)
        old, end = self.text, len(self.whole)
        self.whole += new
        self.text = self.whole + self.lines.shown()

        def still(place):
            """Places in the last line are no more where that has gone: a prompt was wiped away, or a
            line of statistics was cut."""
            return place if self.text.startswith(old[end:place], end) else end

        self.gate_from = still(self.gate_from)
        if self.sent_all_at is not None:
            self.sent_all_at = still(self.sent_all_at)
        if self.until and self.matched_at is None:
            match = self.until.search(self.text, begin)
            if match:
                self.matched_at = match.end()
        if not self.failed and FAILED.search(self.text, begin):
            self.failed = True
            self.stop_at = time.monotonic() + LAST_WORDS_SECONDS
        if not self.ended and ENDED.search(self.text, begin):
            self.ended = True
            self.stop_at = self.stop_at or time.monotonic() + LAST_WORDS_SECONDS
        self.forget()

    def forget(self):
        """Drops what no search needs any more."""
        drop = min(len(self.whole) - 65536, self.gate_from if self.sends else len(self.whole))
        if drop < 65536:
            return
        self.whole, self.text = self.whole[drop:], self.text[drop:]
        self.gate_from = max(0, self.gate_from - drop)
        if self.sent_all_at is not None:
            self.sent_all_at -= drop
        if self.matched_at is not None:
            self.matched_at -= drop

    # ---- input ------------------------------------------------------------------------------

    def type_what_is_due(self):
        while self.sends and self.gate_is_open(self.sends[0][0]):
            self.write(self.sends.pop(0)[1])
            self.prompted = True
            self.gate_from = len(self.text)
            self.gate_next = 0.0
            self.prompts_from = self.lines.prompts
            if not self.sends:
                self.sent_all_at = len(self.text)

    def gate_is_open(self, gate):
        """Whether what the next --send waits for has been seen. A gate whose dots match newlines may
        need all that came since the last --send: it is searched for a tenth of the time. Of another
        one, a match may begin in the last lines that were searched before, and no earlier."""
        # Beside other output a prompt may be there for a moment only.
        if gate == AT_PROMPT and self.lines.prompts > self.prompts_from:
            return True
        began = time.monotonic()
        if began < self.gate_next:
            return False
        if re.compile(gate, re.M).search(self.text, self.gate_from):
            return True
        if DOT_ALL.search(gate):
            self.gate_next = began + 10 * (time.monotonic() - began)
        else:
            recent = self.whole.rfind("\n", 0, max(0, len(self.whole) - GATE_BACK)) + 1
            self.gate_from = max(self.gate_from, recent)
        return False

    def wants_input(self):
        # A pipe's lines wait for the first prompt: before it, the UART may be reset.
        if self.in_fd is None:
            return False
        self.prompted = self.prompted or self.in_tty or self.lines.prompts > 0 or \
            self.prompt_since(0)
        return self.prompted

    def read_input(self):
        """Hands input on; False when the user quits."""
        data = os.read(self.in_fd, 4096)
        if not data:
            self.in_fd = None
            return True
        if not self.in_tty:
            self.write(data.replace(b"\n", b"\r"))
            return True
        out = bytearray()
        for byte in quit_keys(data) if self.wire.attached else data:
            if self.escaped:
                self.escaped = False
                if byte in b"xX":
                    return False
                if byte == CTRL_A:
                    out.append(byte)
            elif byte == CTRL_A:
                self.escaped = True
            else:
                out.append(byte)
        self.write(bytes(out))
        return True

    def write(self, data):
        try:
            self.link.sendall(data)
        except OSError:
            pass  # the machine has just ended; the next read tells

    # ---- the end ----------------------------------------------------------------------------

    def finished(self):
        now = time.monotonic()
        if self.failed or self.ended:
            return (1 if self.failed else 0) if now >= self.stop_at else None
        if self.matched_at is not None and self.answered():
            return 0
        if self.deadline is not None and now >= self.deadline:
            return TIMED_OUT
        return None

    def answered(self):
        """A run with typed commands goes on until the last one is typed and, when the regex was
        seen before it, until the prompt is back, so that its answer is in the output."""
        if self.sent_all_at is None:
            return False
        return self.matched_at >= self.sent_all_at or self.sent_all_at == 0 or \
            self.prompt_since(self.sent_all_at)

    def prompt_since(self, place):
        return re.compile(AT_PROMPT, re.M).search(self.text, max(0, place)) is not None

    def machine_ended(self):
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        if self.failed:
            return 1
        if self.until and self.matched_at is None:
            sys.stderr.write("run: the machine stopped before the --until text was seen\n")
        return 0


def stop(process):
    """Ends the emulator, kindly first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
