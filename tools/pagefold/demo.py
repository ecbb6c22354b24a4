# SPDX-License-Identifier: BSD-2-Clause
"""The demo: three Debian guests of 256 MiB on an emulated machine with 512 MiB.

Makes the guests' disk, boots guests/demo/demo.conf, and ends with the hypervisor's report: what was
promised, used and saved when most was saved. Fails if a checksum in a guest is wrong, if the
hypervisor's own check fails, or if nothing was shared.

    tools/demo [options of tools/run]
    tools/demo --prepare     only make the files, in build/demo/
"""

import os
import re
import shutil
import subprocess
import time

from pagefold import calls, problem, texts
from pagefold.paths import BUILD, guests_folder, source
from pagefold.problem import Failed

VMS = ("web1", "web2", "web3")
FOLDER = os.path.join(BUILD, "demo")
LOG = os.path.join(FOLDER, "console.log")
TIMEOUT_SECONDS = 900


def prepare():
    """build/demo/ with the configuration, its files and the disk of three partitions."""
    guests = guests_folder()
    os.makedirs(FOLDER, exist_ok=True)
    for name in ("vmlinuz", "initrd-demo.gz"):
        link = os.path.join(FOLDER, name)
        if os.path.lexists(link):
            os.unlink(link)
        if not os.path.exists(os.path.join(guests, name)):
            raise Failed(f"{guests}/{name} is missing: run tools/setup")
        os.symlink(os.path.join(guests, name), link)
    for name in ("demo.conf", "shell.conf"):
        shutil.copyfile(source("guests", "demo", name), os.path.join(FOLDER, name))
    root, disk = os.path.join(guests, "root.ext4"), os.path.join(FOLDER, "disk.img")
    if not os.path.exists(disk) or os.path.getmtime(disk) < os.path.getmtime(root):
        print("demo: making the guests' disk", flush=True)
        calls.make_disk(disk, *[root] * len(VMS))
    return disk


def run(disk, options):
    command = calls.run_command(
        os.path.join(FOLDER, "demo.conf"), "--memory", "512M", "--disk", disk, "--log", LOG,
        "--timeout", str(TIMEOUT_SECONDS), sends=(
            # All have read their files and wait: what is folded now is checked as a whole.
            (r"(?s)(?:DEMO vm=\w+ waiting.*?){%d}" % len(VMS), "check"),
            (r'"vms_on":0', "check"),
            (None, "poweroff now"),
        )) + options
    # Show what a reader can follow: neither the JSON lines nor the prompts between them.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    for line in process.stdout:
        text = line.decode("utf-8", "replace").rstrip()
        if text not in ("", "pagefold>") and not text.lstrip("pagefold> ").startswith("@{"):
            print(text, flush=True)
    return process.wait()


def reported(text, name):
    """A number of the report that the hypervisor prints when it powers off."""
    found = re.findall(rf"^report: {name} +(\d+)", text, re.M)
    if not found:
        raise Failed(f"the report has no {name}; see {LOG}")
    return int(found[-1])


def judge(text):
    """Raises Failed unless the guests read what was on their disks, and memory was shared."""
    for name in VMS:
        results = re.findall(rf"DEMO vm={name} pass=(\d) .*sha256=(\w+)", text)
        if results != [("1", "OK"), ("2", "OK")]:
            raise Failed(f"{name} read something else than was put on its disk: {results}; "
                         f"see {LOG}")
    if len(re.findall(r"^check: OK", text, re.M)) < 2:
        raise Failed(f"the hypervisor's check did not pass twice; see {LOG}")
    if reported(text, "pages_sharing") == 0:
        raise Failed("nothing was shared")
    if reported(text, "cache_hits") == 0:
        raise Failed("the disk cache was never hit")


def demo(argv):
    began = time.monotonic()
    disk = prepare()
    if argv == ["--prepare"]:
        return
    status = run(disk, argv)
    if status != 0:
        raise Failed(f"tools/run ended with status {status}; the console's output is in {LOG}")
    judge(texts.read(LOG))
    print(f"\ndemo: passed in {time.monotonic() - began:.0f} s; everything printed is in "
          f"{os.path.relpath(LOG)}")


def main(argv):
    if argv in (["--help"], ["-h"]):
        print(__doc__)
        return 0
    return problem.report("demo", demo, argv)
