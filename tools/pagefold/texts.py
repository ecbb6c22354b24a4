# SPDX-License-Identifier: BSD-2-Clause
"""Files of text and of JSON, and the lines of statistics in what a console said."""

import json
import os
import re
import threading

STATISTICS = re.compile(r"^(?:pagefold> )?@(\{.*\})\s*$", re.M)


def read(path):
    """A console's or a program's output, whatever bytes are in it."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def read_if_any(path):
    try:
        return read(path)
    except OSError:
        return ""


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_json(path, value):
    write(path, json.dumps(value, indent=1) + "\n")


def replace(path, data):
    """Makes the file in one step, so that no other run or thread sees a part of it."""
    part = f"{path}.{os.getpid()}.{threading.get_ident()}.part"
    with open(part, "wb") as file:
        file.write(data)
    os.replace(part, path)
    return path


def statistics(text):
    """The hypervisor's lines of statistics, in order; what else begins so is left out."""
    found = []
    for match in STATISTICS.finditer(text):
        try:
            found.append(json.loads(match.group(1)))
        except ValueError:
            pass  # other output came between
    return found
