# SPDX-License-Identifier: BSD-2-Clause
"""tools/lint-deps: whether make knows of every header.

make itself is asked (`make -qp`) what each object of the last build depends on. That is held against
the sources, which are read here for their includes. An object must depend on its source, on each
header that this includes, directly or not, and on the file of its flags; and nothing but an object
may be made of a C or assembly source, because one command that compiles several keeps the headers
of the last one only. Prints what is not so; the exit status is 1 then.
"""

import os
import re
import subprocess

from pagefold.paths import ROOT

# The builds that have folders of their own, and make's words for them.
BUILDS = {"build/debug": ["DEBUG=1"], "build/clang": ["CLANG=1"], "build/coverage": ["COVERAGE=1"],
          "build": []}
SOURCE = re.compile(r"\.[cS]$")
INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)
# Where an include is looked for: in the includer's own folder, then here.
FOLDERS = ["", "guests/kit", "tests/host/support", "tests/host/machine"]


def sources():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout
    return {f for f in out.split("\n")
            if re.search(r"\.[chS]$", f) and os.path.isfile(os.path.join(ROOT, f))}


def database(words):
    """What make knows: target -> its prerequisites."""
    out = subprocess.run(["make", "-qpr", "--no-print-directory", *words, "help"], cwd=ROOT, check=False,
                         capture_output=True, text=True).stdout
    found = {}
    for line in out.split("\n"):
        match = re.match(r"([^\s#:=]+): ?([^=]*)$", line)
        if match:
            # What follows | only has to be there.
            found.setdefault(match[1], set()).update(match[2].partition("|")[0].split())
    return found


class Includes:
    """The headers of the project that a file includes, directly or not."""

    def __init__(self, files):
        self.files, self.direct = files, {}

    def of_file(self, file):
        """Its includes, each as the files that it may mean: which, the compiler's -I decide."""
        if file not in self.direct:
            found = []
            with open(os.path.join(ROOT, file), "rb") as opened:
                for name in INCLUDE.findall(opened.read()):
                    places = (os.path.normpath(os.path.join(folder, name.decode()))
                              for folder in [os.path.dirname(file), *FOLDERS])
                    found.append({p for p in places if p in self.files})
            self.direct[file] = [f for f in found if f]
        return self.direct[file]

    def missing(self, source, depends, made):
        """The includes that are not among what the source's object, made at that time, depends on.
        A file that changed since has the object made anew, and its new includes learned."""
        lost, seen, work = set(), {source}, [source]
        while work:
            file = work.pop()
            if os.path.getmtime(os.path.join(ROOT, file)) > made:
                continue
            for places in self.of_file(file):
                there = places & depends
                if not there:
                    lost.add(sorted(places)[0])
                for file in there - seen:
                    seen.add(file)
                    work.append(file)
        return sorted(lost)


def source_of(stem, files):
    """build/host/obj/mm/frame -> mm/frame.c; None: made of something that a build made."""
    parts = stem.split("/")
    for i in range(1, len(parts)):
        tail = "/".join(parts[i:])
        for name in (tail, tail + ".c", tail + ".S"):
            if SOURCE.search(name) and name in files:
                return name
    return None


def objects():
    """The objects of the last build, with the folder of theirs in BUILDS."""
    for at, folders, names in os.walk(os.path.join(ROOT, "build")):
        folders.sort()
        for name in sorted(names):
            path = os.path.relpath(os.path.join(at, name), ROOT)
            if path.endswith(".o"):
                yield path, next(b for b in BUILDS if path.startswith(b + "/"))


def check_object(path, source, known, includes):
    depends = known.get(path, set())
    if source not in depends:
        return [f"{path}: make does not know that it is made of {source}: no dependency file (a leftover? make clean)"]
    made = os.path.getmtime(os.path.join(ROOT, path))
    lost = [f"{path}: does not depend on {header}, which {source} includes"
            for header in includes.missing(source, depends, made)]
    if not any(re.search(r"/flags\.[a-z]+$", d) for d in depends):
        lost.append(f"{path}: does not depend on a file of its flags")
    return lost


def check_rules(known):
    return [f"{target}: made of {source} in one command; give {source} an object of its own"
            for target, depends in sorted(known.items())
            for source in sorted(depends)
            if SOURCE.search(source) and not re.search(r"\.[od]$", target) and not SOURCE.search(target)
            and (target.startswith("build/") or "%" in target)]


def main(_arguments):
    files = sources()
    includes, databases, lost, count = Includes(files), {}, [], 0
    for path, build in objects():
        source = source_of(path[:-len(".o")], files)
        if not source:
            continue
        if build not in databases:
            databases[build] = database(BUILDS[build])
            lost += check_rules(databases[build])
        lost += check_object(path, source, databases[build], includes)
        count += 1
    if not count:
        lost.append("lint-deps: there are no objects: run `make` first")
    for line in lost:
        print(line)
    return 1 if lost else 0
