# SPDX-License-Identifier: BSD-2-Clause
"""The tools as other tools call them."""

import subprocess

from pagefold.paths import tool
from pagefold.problem import Problem, last_line


def run_command(config, *options, sends=()):
    """The command of tools/run. sends: pairs of what is waited for (None: the prompt) and what is
    typed then."""
    command = [tool("run"), config, *options]
    for after, text in sends:
        command += (["--send-after", after] if after else []) + ["--send", text]
    return command


def make_disk(path, *parts):
    """A disk of partitions, as tools/mkdisk makes it of images and sizes."""
    done = subprocess.run([tool("mkdisk"), path, *parts], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise Problem(last_line(done.stderr, f"{path}: the disk could not be made"))
    return path
