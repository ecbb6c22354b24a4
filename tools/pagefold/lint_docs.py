# SPDX-License-Identifier: BSD-2-Clause
"""Checks that README.md's tables say what the source says: every configuration key with its
default, every command of the monitor, every statistics field, every option of tools/run and every
make target, and nothing that is not there. Links between the documents must lead somewhere."""

import glob
import os
import re

from pagefold import texts
from pagefold.paths import ROOT, source

bad = 0


def report(message):
    global bad
    print(message)
    bad = 1


def read(path):
    return texts.read(source(path))


def tables(text, heading):
    """The rows of all tables below a heading, up to the next one, each as a list of cells."""
    part = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.M | re.S)
    if not part:
        report(f"README.md: has no heading '{heading}'")
        return []
    rows = []
    for line in part.group(1).splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return [row for row in rows if not set("".join(row)) <= set("-:") and row[0].startswith("`")
            or len(row) > 1 and row[1].startswith("`")]


def code(cell):
    found = re.match(r"`([^`]*)`", cell)
    return found.group(1) if found else cell


def compare(what, real, told):
    for name in real:
        if name not in told:
            report(f"README.md: {what} '{name}' is missing")
    for name in told:
        if name not in real:
            report(f"README.md: {what} '{name}' does not exist")


def keys(readme):
    real = read("kernel/config/keys.c")
    for table, heading in (("host_keys", "[host]"), ("vm_keys", "[vm NAME]")):
        body = re.search(rf"struct key {table}\[\] = \{{(.*?)\n\}};", real, re.S).group(1)
        entries = {}
        for entry in re.split(r"\n    (?=\{)", body):
            name = re.match(r'\s*\{"([^"]+)"', entry)
            default = re.search(r'\.def = (?:"([^"]*)"|NULL)', entry)
            if name and default:
                entries[name.group(1)] = "required" if default.group(1) is None else \
                    default.group(1) or "none"
        told = {code(row[0]): code(row[2]) for row in tables(readme, heading) if len(row) == 4}
        compare("key", entries, told)
        for name, default in entries.items():
            if told.get(name, default) != default:
                report(f"README.md: the default of '{name}' is {default}, not {told[name]}")


def commands(readme):
    body = re.search(r"struct command commands\[\] = \{(.*?)\n\};", read("kernel/monitor/monitor.c"), re.S)
    real = {f"{name} {args}".strip()
              for name, args in re.findall(r'^    \{"([^"]+)", "([^"]*)"', body.group(1), re.M)}
    told = {code(row[0]).replace("\\|", "|") for row in tables(readme, "The monitor")}
    compare("command", real, told)


def counters():
    """What mm/fold/counters.h lists: (section, name) -> text."""
    source, found = read("mm/fold/counters.h"), {}
    for macro, where in (("FOLD_COUNTERS", "fold"), ("FOLD_CLASS_COUNTERS", "fold.classes")):
        body = re.search(rf"#define {macro}\(.*?\n((?:.*\\\n)*.*)", source).group(1)
        for name, text in re.findall(r'[A-Z]+\((\w+),(?:[\s\\]*\w+,)?((?:[\s\\]*"[^"]*")+)', body):
            found[where, name] = "".join(re.findall(r'"([^"]*)"', text))
    return found


def statistics(readme):
    text, listed = read("kernel/stats/stats.c"), counters()
    source = set(listed)
    for section in ("host", "cache", "vm"):
        body = re.search(rf"struct stats_field {section}_fields\[\] = \{{(.*?)\n\}};", text, re.S)
        where = "vms[]" if section == "vm" else section
        source |= {(where, name) for name in re.findall(r"FIELD\(\w+, (\w+),", body.group(1))}
        source |= {(where, f"exits_{name}")
                   for name in re.findall(r"EXITS\(\w+, (\w+),", body.group(1))}
    rows = tables(readme, "Statistics")
    compare("field", source, {(code(row[0]), code(row[1])) for row in rows})
    for row in rows:
        said = listed.get((code(row[0]), code(row[1])), row[2])
        if row[2] != said:
            report(f"README.md: '{code(row[1])}' is '{row[2]}', but '{said}' in mm/fold/counters.h")


def options(readme):
    real = set(re.findall(r'^    add\("(--[a-z-]+)"', read("tools/pagefold/run.py"), re.M))
    told = {code(row[0]) for row in tables(readme, "Your own guests")}
    compare("option", real, told)


def targets(readme):
    makefile = read("Makefile")
    real = {"make"} | {f"make {name}" for name in re.findall(r"^## make ([a-z-]+)", makefile, re.M)}
    told = {code(row[0]) for row in tables(readme, "Working on it")}
    compare("target", real, told)


def anchor(heading):
    """The name that a heading gets on the usual sites."""
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")


def links():
    names = ["README.md"] + sorted(os.path.relpath(p, ROOT)
                                   for p in glob.glob(os.path.join(ROOT, "docs", "*.md")))
    for name in names:
        for target in re.findall(r"\]\(([^)\s]+)\)", read(name)):
            path, _, part = target.partition("#")
            if re.match(r"[a-z]+://", target):
                continue
            path = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            if not os.path.exists(os.path.join(ROOT, path)):
                report(f"{name}: link to {target}: there is no {path}")
            elif part and part not in map(anchor, re.findall(r"^#+ (.*)$", read(path), re.M)):
                report(f"{name}: link to {target}: no such heading")


def main(_argv):
    readme = read("README.md")
    for check in (keys, commands, statistics, options, targets):
        check(readme)
    links()
    return bad
