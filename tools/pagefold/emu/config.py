# SPDX-License-Identifier: BSD-2-Clause
"""Reads a configuration and rewrites the files that it names into boot modules.

At boot there are no files: `kernel = path/vmlinuz` becomes `kernel = vmlinuz`, and the file goes
into the boot image as a module of that name. Everything else passes unchanged, mistakes included:
it is the hypervisor that judges a configuration.
"""

import os
import re

from pagefold.problem import Problem, readable_file

# Inside double quotes nothing is a comment; a comment behind a value needs a blank before it.
LINE = re.compile(r'^(\s*)([A-Za-z_.]+)(\s*=\s*)((?:"[^"]*"|.)*?)(\s+[;#].*|\s*)$')
SUFFIX = re.compile(r"(?:,[a-z]+(?:=[^,]*)?)*$")


class Modules:
    """The files that become boot modules, each once, by distinct names."""

    def __init__(self):
        self.names = {}  # real path -> module name

    def add(self, path, name=None):
        real = os.path.realpath(path)
        if real in self.names and name is None:
            return self.names[real]
        name = re.sub(r"[^A-Za-z0-9._+-]", "_", name or os.path.basename(path))
        # `config` is the configuration's own module.
        taken = set(self.names.values()) | {"config"}
        unique, count = name, 2
        while unique in taken:
            unique, count = f"{name}-{count}", count + 1
        self.names[real] = unique
        return unique


def load(path, modules):
    """The text of the configuration at path, with its files added to modules."""
    readable_file(path, "configuration")
    folder = os.path.dirname(os.path.abspath(path))
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read().removesuffix("\n").split("\n")
    return "\n".join(rewrite(line, n, path, folder, modules) for n, line in enumerate(lines, 1)) + "\n"


def unquote(value):
    return value[1:-1] if re.fullmatch(r'"[^"]*"', value) else value


def rewrite(line, number, path, folder, modules):
    match = LINE.match(line)
    if not match or line.lstrip().startswith((";", "#")):
        return line
    indent, key, equals, value, rest = match.groups()
    value = unquote(value)
    where = f"{path}:{number}: {key}"
    if key in ("kernel", "initrd"):
        name, suffix = value, ""
        prefix = ""
    elif key == "disk" and value.startswith("module:"):
        suffix = SUFFIX.search(value).group()
        name = value[len("module:"):len(value) - len(suffix)]
        prefix = "module:"
    else:
        return line
    if not name:
        raise Problem(f"{where}: names no file")
    name = os.path.join(folder, os.path.expanduser(name))
    return indent + key + equals + prefix + modules.add(readable_file(name, where)) + suffix + rest


def vm_section(path, name=None):
    """The keys of the VM called name, or of the first one, as a dict; files relative to path."""
    readable_file(path, "configuration")
    keys, current = None, None
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            section = re.match(r"^\s*\[(\w+)\s*([^\]]*?)\s*\]", line)
            if section:
                current = section.group(2) if section.group(1) == "vm" else None
                if current is not None and keys is None and name in (None, current):
                    keys, name = {}, current
                continue
            match = LINE.match(line.rstrip("\n"))
            if match and keys is not None and current == name:
                keys[match.group(2)] = unquote(match.group(4))
    if keys is None:
        raise Problem(f"{path}: has no [vm {name or 'NAME'}]")
    folder = os.path.dirname(os.path.abspath(path))
    for key in ("kernel", "initrd"):
        if key in keys:
            keys[key] = readable_file(os.path.join(folder, os.path.expanduser(keys[key])),
                                      f"{path}: {key}")
    return keys
