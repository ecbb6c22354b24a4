# SPDX-License-Identifier: BSD-2-Clause
"""Power cuts: guests write and flush, the emulator is killed, and the disk's image is looked at.

    tools/powercut [CUTS] [--kind KIND] [--set KEY=VALUE] [--seed N] [--jobs N] [--verbose]

CUTS (default 100) times, a machine is started whose guests tell on the console of each write that
they begin and of each FLUSH that has been completed. At a random moment it is ended by SIGKILL.
Then build/host/verify-image, which knows how every sector of such a guest must look, reads the disk:
each is a whole version and at least as new as the last FLUSH that was told; of a cache that writes
through, as the last write that was, and so when a guest's
driver knows no FLUSH. Kinds, in turn, unless --kind names one:

  plain         one guest with a disk
  shared        two guests with one disk
  overlay       a guest with an overlay on a partition; base and overlay are merged first
  ext4          every tenth: a Debian guest with a journalling file system saves files (write, fsync,
                rename, sync). e2fsck -p replays the journal, e2fsck -fn finds nothing, and each file
                that was saved is there, whole, in that version or a newer one
  ext4-overlay  every twentieth: the same on an overlay

--set gives keys of [host]; by default modes of the cache change from cut to cut. The emulated disk
has no volatile cache of its own: what was written to it is in the image. What failed is kept in
build/powercut/.
"""

import argparse
import concurrent.futures
import os
import random
import re
import shutil
import signal
import subprocess
import time

from pagefold import calls, problem, texts
from pagefold.paths import BUILD, HOST_BINARIES, ROOT, guests_folder, source, tool
from pagefold.problem import Problem, last_line
from pagefold.values import MIB, add_settings, host_section, settings

OUT = os.path.join(BUILD, "powercut")
KINDS = ("plain", "shared", "overlay", "ext4", "ext4-overlay")
DISK_MIB = 6
FILES = 40
# Until the guests' first flush; and from there to the cut, at most.
START_SECONDS = 400
RUN_SECONDS = {"ext4": 6.0, "ext4-overlay": 6.0}
SAVE = ("mount -t ext4 /dev/vda /mnt && i=0 && while :; do i=$((i+1)); k=$((i%%%d)); "
        "{ echo $i; seq $i $((i+i*37%%3000)); echo end; } >/mnt/new; fsync /mnt/new; "
        "mv /mnt/new /mnt/f$k; sync; echo \"saved: $i\"; done" % FILES)


class Wrong(Exception):
    pass


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, **options)


class Cut:
    def __init__(self, number, args):
        self.rng = random.Random(args.seed * 1000003 + number)
        self.number = number
        self.kind = args.kind or self.choose_kind()
        self.base = os.path.join(args.out, f"{number}")
        self.disk, self.log = self.base + ".img", self.base + ".log"
        self.host = {"stats.interval": "off", "scan.pass": "20ms",
                     "cache.max": self.rng.choice(("512K", "8M")),
                     "cache.mode": self.rng.choice(args.modes)}
        if args.writes:
            self.host["cache.write"] = self.rng.choice(args.writes)
        self.host.update(args.settings)
        # A driver that knows no FLUSH: each write is on the disk when it is done.
        self.flush = "ext4" in self.kind or self.rng.randrange(4) > 0
        self.told = ""

    def choose_kind(self):
        if self.number % 10 == 9:
            return "ext4-overlay" if self.number % 20 == 19 else "ext4"
        return KINDS[self.number % 3]

    def name(self):
        return f"cut {self.number}, {self.kind}, {self.host['cache.mode']}" + \
            (f", {self.host['cache.write']}" if "cache.write" in self.host else "")

    def is_through(self):
        return not self.flush or \
            self.host.get("cache.write", "through") == "through" and "overlay" not in self.kind

    # ---- the machine ----

    def make_disk(self):
        image = self.make_ext4() if "ext4" in self.kind else None
        if "overlay" in self.kind:
            calls.make_disk(self.disk, image or f"{DISK_MIB}M", "16M")
        elif image:
            os.rename(image, self.disk)
        else:
            with open(self.disk, "wb") as file:
                file.truncate(DISK_MIB * MIB)

    def make_ext4(self):
        image = self.base + ".ext4"
        with open(image, "wb") as file:
            file.truncate(24 * MIB)
        done = run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=4", image])
        if done.returncode != 0:
            raise Wrong("mke2fs: " + done.stderr.strip())
        return image

    def config(self):
        disk = "ata0p1,overlay=ata0p2" if "overlay" in self.kind else "ata0"
        disk += ",shared" if self.kind == "shared" else ""
        text, guests = host_section(self.host), guests_folder()
        if "ext4" in self.kind:
            return text + (f"[vm a]\nmemory = 96M\nkernel = {guests}/vmlinuz\n"
                           f"initrd = {guests}/initrd-demo.gz\n"
                           f"cmdline = console=ttyS0 quiet rescue\ndisk = {disk}\n")
        count = 2 if self.kind == "shared" else 1
        for me in range(count):
            text += (f"[vm {'ab'[me]}]\nmemory = 22M\nkernel = {BUILD}/guests/verify.elf\n"
                     f"cmdline = me={me} writers={count} report=1 requests=1000000000 "
                     f"flush={int(self.flush)} "
                     f"seed={self.rng.randrange(10 ** 6)}\ndisk = {disk}\n")
        return text

    def start(self):
        conf = texts.write(self.base + ".conf", self.config())
        memory, sends = "80M", ()
        if "ext4" in self.kind:
            memory, sends = "160M", (("shell of the initramfs", "console a"),
                                     ("/ # ", SAVE.replace("\\", "\\\\")))
        command = calls.run_command(conf, "--machine", "bochs", "--memory", memory,
                                    "--disk", self.disk, "--log", self.log, sends=sends)
        with open(self.base + ".err", "wb") as errors:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=errors, cwd=ROOT)

    def has_flushed(self):
        return re.search(r"^(\[a\] [fd] \d+|saved: \d+)$", texts.read_if_any(self.log), re.M)

    @staticmethod
    def emulator(process):
        """tools/run's one child."""
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        if len(children) != 1:
            raise Wrong(f"the emulator is not running: {children}")
        return int(children[0])

    def cut(self):
        process = self.start()
        try:
            patience = time.monotonic() + START_SECONDS
            while not self.has_flushed():
                if process.poll() is not None or time.monotonic() > patience:
                    raise Wrong("no guest has flushed anything")
                time.sleep(0.02)
            time.sleep(self.rng.uniform(0, RUN_SECONDS.get(self.kind, 3.0)))
            os.kill(self.emulator(process), signal.SIGKILL)
            process.wait(timeout=30)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()

    # ---- what is left ----

    def merged(self):
        if "overlay" not in self.kind:
            return self.disk
        out = self.base + ".merged"
        done = run([tool("overlay"), "merge", self.disk + "#1", self.disk + "#2", out])
        if done.returncode != 0:
            raise Wrong("overlay: " + (done.stderr.strip() or "merge failed"))
        return out

    def judge_sectors(self):
        command = [os.path.join(HOST_BINARIES, "verify-image"), self.merged(), self.log]
        done = run(command + (["--through"] if self.is_through() else []))
        self.told = last_line(done.stdout, "")
        if done.returncode != 0:
            raise Wrong((done.stdout + done.stderr).strip())

    def judge_files(self):
        image = self.base + ".fsck"
        shutil.copyfile(self.merged(), image)
        for option, statuses in (("-p", (0, 1)), ("-fn", (0,))):
            done = run(["e2fsck", option, image])
            if done.returncode not in statuses:
                raise Wrong(f"e2fsck {option}: " + (done.stdout + done.stderr).strip())
        folder = self.base + ".files"
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        run(["debugfs", "-R", f"rdump / {folder}", image])
        saved = [int(n) for n in re.findall(r"^saved: (\d+)$", texts.read_if_any(self.log), re.M)]
        newest = {n % FILES: n for n in saved}
        for place, least in newest.items():
            self.judge_file(os.path.join(folder, f"f{place}"), place, least)
        self.told = f"ok: e2fsck clean, {len(saved)} saves told, {len(newest)} files"
        shutil.rmtree(folder)

    @staticmethod
    def judge_file(path, place, least):
        try:
            with open(path, encoding="ascii") as file:
                lines = file.read().split()
            n = int(lines[0])
        except (OSError, ValueError, IndexError):
            raise Wrong(f"{path} is not there, or nothing that was written") from None
        want = [str(n)] + [str(i) for i in range(n, n + n * 37 % 3000 + 1)] + ["end"]
        if lines != want or n < least or n % FILES != place:
            raise Wrong(f"{path} has version {n}, at least {least} was saved; "
                        f"{'whole' if lines == want else 'not whole'}")

    def clean(self):
        for ending in (".img", ".log", ".conf", ".err", ".ext4", ".merged", ".fsck"):
            if os.path.exists(self.base + ending):
                os.unlink(self.base + ending)

    def __call__(self):
        """Why it failed, or None."""
        try:
            self.make_disk()
            self.cut()
            if "ext4" in self.kind:
                self.judge_files()
            else:
                self.judge_sectors()
        except (Wrong, Problem) as wrong:
            return str(wrong)
        self.clean()
        return None


def known_values(key):
    """What a key of the configuration may be, as the source says; none when it is not there."""
    keys = texts.read(source("kernel", "config", "keys.c"))
    found = re.search(rf'\{{"{re.escape(key)}",.*?\.choices = \{{(.*?)\}}\}}', keys, re.S)
    return re.findall(r'= "([a-z]+)"', found.group(1)) if found else []


def arguments(argv):
    parser = argparse.ArgumentParser(prog="tools/powercut", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cuts", nargs="?", type=int, default=100)
    parser.add_argument("--kind", choices=KINDS)
    add_settings(parser)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--out", default=OUT, help="where what failed is kept (default: build/powercut)")
    parser.add_argument("--verbose", action="store_true", help="a line for each cut")
    args = parser.parse_args(argv)
    args.settings = settings(parser, args)
    args.modes = known_values("cache.mode")
    args.writes = known_values("cache.write")
    args.out = os.path.abspath(args.out)
    return args


def powercut(args):
    shutil.rmtree(args.out, ignore_errors=True)
    os.makedirs(args.out)
    failed, done, kinds = 0, 0, {}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        futures = {pool.submit(cut): cut for cut in (Cut(n, args) for n in range(args.cuts))}
        for future in concurrent.futures.as_completed(futures):
            cut, why = futures[future], future.result()
            done += 1
            failed += why is not None
            kinds[cut.kind] = kinds.get(cut.kind, 0) + 1
            if why:
                print(f"FAIL {cut.name()}: {why}; see {os.path.relpath(cut.base)}.*", flush=True)
            elif args.verbose:
                print(f"ok   {cut.name()}: {cut.told}", flush=True)
            elif done % 10 == 0:
                print(f"powercut: {done} of {args.cuts} cuts, {failed} failed", flush=True)
    print(f"powercut: {done} cuts (" + ", ".join(f"{n} {k}" for k, n in sorted(kinds.items())) +
          f"), {failed} failed")
    return 1 if failed else 0


def main(argv):
    return problem.report("powercut", powercut, arguments(argv))
