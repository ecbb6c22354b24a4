# SPDX-License-Identifier: BSD-2-Clause
"""One run of the emulator for a test: its command, and what is wrong with what came of it."""

import os
import re
import subprocess

from pagefold import calls, texts
from pagefold.paths import DEBUG_ELF, ROOT, TOOLS, cache_folder, source
from pagefold.problem import Problem, last_line
from pagefold.tests import patch
from pagefold.tests.files import OUT
from pagefold.values import parse_size

CHECK_PASSED = r"^check: OK"
LONG_STEP = r"\bwarning: (a step took \d+ us: .*)"
# As it is typed into tools/run.
TYPED = ("cpu", "cpus", "memory", "append", "timeout", "until")


def make_disk(part, number, text):
    path = os.path.join(OUT, f"{part.name}.disk{number}")
    if text.startswith("parts:"):
        return calls.make_disk(path, *text[6:].split())
    name = text.removesuffix(",snapshot")
    if os.path.isfile(name):
        if name != text:
            return text
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", name, path], check=True)
    else:
        with open(path, "wb") as file:
            file.truncate(parse_size(name, f"{part.name}: disk"))
    return path


def make_disks(part):
    """Its own disks, or as the part before has left them."""
    disks = [make_disk(part, number, text) for number, text in enumerate(part.all("disk"))]
    return part.before.disks if not disks and part.before is not None else disks


def command(part):
    """The command of tools/run; makes the files that it names."""
    words = ["--log", part.log(), "--machine", part.one.get("machine", "bochs")]
    words += [f"--{key}={part.one[key]}" for key in TYPED if key in part.one]
    if part.says("verbatim"):
        words.append("--verbatim")
    if part.says("debug"):
        words.append("--elf=" + DEBUG_ELF)
    if "patch" in part.one:
        function, code = part.one["patch"].split(None, 1)
        words.append("--elf=" + patch.make(os.path.join(OUT, part.name + ".elf"), function, code))
    part.disks = make_disks(part)
    words += ["--disk=" + disk for disk in part.disks]
    words += [f"--{key}={value}" for key, value in part.many
              if key in ("module", "send", "send-after")]
    sends = [(part.one.get("finish-after"), "check"), (None, "poweroff now")]
    return calls.run_command(texts.write(part.file(".conf"), part.config), *words,
                             sends=sends if part.finishes() else ())


def environment(part):
    """With `emulator = stale`, the path of that one; where only Debian's own Bochs could be had,
    the test does without."""
    stale = os.path.join(cache_folder(), "bochs-3.0", "bin", "bochs-stale")
    if part.one.get("emulator") == "stale" and os.access(stale, os.X_OK):
        return {**os.environ, "PAGEFOLD_BOCHS": stale}
    return None


def run(part):
    """Returns why this run failed, or None."""
    try:
        words = command(part)
    except Problem as problem:
        return str(problem)
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False, env=environment(part))
    if str(done.returncode) != part.one["status"]:
        told = done.stderr.strip() and f" ({last_line(done.stderr, '')})"
        return f"tools/run ended with status {done.returncode}, not {part.one['status']}{told}"
    return judge_output(part, texts.read_if_any(part.log())) or judge_log(part) or ask_host(part)


def judge_output(part, output):
    at = 0
    for regex in part.all("expect"):
        match = re.compile(regex, re.M).search(output, at)
        if not match:
            missing = "is missing" if at == 0 or not re.search(regex, output, re.M) else \
                "does not come behind what was expected before it"
            return f"{regex!r} {missing}"
        at = match.end()
    for regex in part.all("forbid"):
        match = re.search(regex, output, re.M)
        if match:
            return f"{match.group()!r} must not be there"
    match = re.search(LONG_STEP, output, re.M)
    if match and "steps" not in part.one:
        return f"{match.group(1)!r}: over 1 ms"
    if part.finishes() and not re.search(CHECK_PASSED, output[at:] or output, re.M):
        return "the final check did not pass"
    return None


def judge_log(part):
    """What the program that `judge` names says of the log. It finds the package pagefold."""
    if "judge" not in part.one:
        return None
    program, *words = part.one["judge"].replace("{log}", part.log()).split()
    done = subprocess.run([source("tests", "emu", program)] + words, capture_output=True, text=True,
                          check=False, env={**os.environ, "PYTHONPATH": TOOLS,
                               "PYTHONDONTWRITEBYTECODE": "1"})
    return last_line(done.stderr, f"{program}: {done.returncode}") if done.returncode else None


def ask_host(part):
    """Runs the host's commands; why one failed, or None."""
    for text in part.all("host"):
        text = text.replace("{log}", part.log())
        for number, disk in enumerate(part.disks):
            text = text.replace("{disk%d}" % number, disk)
        done = subprocess.run(text, shell=True, cwd=ROOT, capture_output=True, text=True,
                              check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            told = (done.stdout + done.stderr).strip()
            return f"`{text}` failed" + (f" ({last_line(told, '')})" if told else "")
    return None
