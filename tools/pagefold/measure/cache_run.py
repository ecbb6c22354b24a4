# SPDX-License-Identifier: BSD-2-Clause
"""One boot of a workload of the cache's measurements, and the figures of each of its phases.

The guests say on their consoles when a phase begins and ends, by their own TSC; the hypervisor tells
its counters each second. A phase's counts are the differences between the last line of statistics
before the first guest began and the first one after the last guest ended. Nothing is typed before
the last phase is over, so a run depends on nothing but its configuration: it repeats to the tick.
"""

import json
import re

from pagefold.measure import cache_files
from pagefold.measure.boots import log_of, pagefold_unless_refused, write
from pagefold.paths import guests_folder, shown
from pagefold.problem import Problem
from pagefold.texts import STATISTICS

MIB_PAGES = 256
TICKS_A_MS = 50_000
BEGIN = re.compile(r"^\[\w+\] CACHE vm=\w+ phase=(\w+) begin=(\d+)$")
END = re.compile(r"^\[\w+\] CACHE vm=\w+ phase=(\w+) end=(\d+) files=(\d+) blocks=(\d+) wrong=(\d+)$")
STORM_END = re.compile(r"^\[\w+\] STORM-END vm=\w+ (\d+)$")
WRONG = re.compile(r"CACHE-FAILED vm=\w+ .*|CACHE vm=\w+ WRONG .*|sha256=WRONG|Kernel panic.*|I/O error.*|\w+: not started")

BOOT_END = (r"^(?:pagefold> )?check: .*\n|CACHE-FAILED.*\n|Kernel panic.*\n"
            r"|error: \w+: not started\n")

HOST = """\
[host]
stats.interval = 1s
cache.mode = {mode}
cache.max = {cache}M
{keys}"""
VM = """\
[vm {name}]
memory = {memory}M
kernel = {guests}/vmlinuz
initrd = {initrd}
disk = ata0p1,{suffix}
cmdline = console=ttyS0 root=/dev/vda {mount} init=/mnt/{program} quiet cryptomgr.notests cache_name={name} {words}
"""


def text_of(work, mode):
    """The configuration of a workload (cache.WORKLOADS) in a mode."""
    text = HOST.format(mode=mode, cache=work["cache"], keys=work.get("keys", ""))
    for number, (name, words) in enumerate(work["guests"], 1):
        text += VM.format(name=name, memory=work["memory"], guests=guests_folder(),
                          initrd=work["initrd"], suffix=work.get("suffix", "ro"),
                          mount=work.get("mount", "ro"), program=work["program"],
                          words=f"cache_seed={number} {words}")
    return text


def boot(name, work, mode):
    """The console's lines; None, after a line that says so, when this build does not know the mode."""
    conf = write(name + ".conf", text_of(work, mode))
    last = r"(?s)(?:%s.*?){%d}" % (work["last"], len(work["guests"]))
    sends = ["--send-after", last + r"^(?:pagefold> )?@\{[^\n]*\}\n", "--send", "check"]
    if work.get("trace"):
        for _ in range(work["trace"]):
            sends += ["--send", "cache trace"]
    text = pagefold_unless_refused(name, conf, BOOT_END, "--memory", f"{work['machine']}M",
                                   "--disk", work["disk"] + ",snapshot", *sends)
    if text is None:
        return None
    lines = text.replace("\r", "").split("\n")
    wrong = WRONG.search(text)
    if wrong:
        raise Problem(f"{name}: a guest read something wrong or could not go on: {wrong.group()}; "
                      f"see {shown(log_of(name))}")
    if not re.search(r"^(?:pagefold> )?check: OK", text, re.M):
        why = "the hypervisor's check did not pass" if re.search(r"^(?:pagefold> )?check: ", text, re.M) \
            else "the machine stopped before the guests were done"
        raise Problem(f"{name}: {why}; see {shown(log_of(name))}")
    return lines


# ---- from lines to phases -------------------------------------------------------------------


class Phase:
    """What the lines say of one phase: statistics before, during and after it, and the guests' TSC."""

    def __init__(self, name, before):
        self.name, self.before, self.after = name, before, None
        self.samples = []
        self.begins, self.ends, self.blocks = [], [], 0


def split(lines, n_guests, storm):
    """The phases, in order. A storm is one phase, from the machine's start on."""
    phases, current, last = [], None, None
    if storm:
        current = Phase("storm", None)
        current.begins.append(0)
        phases.append(current)
    for line in lines:
        stats = STATISTICS.match(line)
        if stats:
            last = json.loads(stats.group(1))
            if storm and current and not current.before:
                current.before = last  # the partition table is read, and nothing else yet
            if current:
                current.samples.append(last)
                if len(current.ends) == n_guests:
                    current.after, current = last, None
            continue
        begin, end, storm_end = BEGIN.match(line), END.match(line), STORM_END.match(line)
        if begin:
            if current is None:
                current = Phase(begin.group(1), last)
                phases.append(current)
            current.begins.append(int(begin.group(2)))
        elif end:
            current.ends.append(int(end.group(2)))
            current.blocks += int(end.group(4))
        elif storm_end:
            current.ends.append(int(storm_end.group(1)))
    return [phase for phase in phases if phase.after]


def summed(stats, key):
    return sum(vm.get(key, 0) for vm in stats["vms"])


def counter(phase, section, key):
    """The increase of a counter during a phase; None when this build does not have it."""
    if key not in phase.after[section]:
        return None
    return phase.after[section][key] - phase.before[section][key]


def vm_counter(phase, key):
    return summed(phase.after, key) - summed(phase.before, key)


def used(stats):
    """Frames of memory in use, but for those that the hypervisor itself needs."""
    host = stats["host"]
    return (host["frames_total"] - host["frames_reserved"] - host["frames_free"]
            - host["frames_hyp"] + host["frames_snapshot"])


def mean(values):
    return round(sum(values) / len(values), 2) if values else None


def figures(phase):
    hits, misses, joined = (counter(phase, "cache", key) for key in ("hits", "misses", "joined"))
    wanted = hits + misses + joined or vm_counter(phase, "disk_read_bytes") // cache_files.BLOCK
    from_disk = counter(phase, "host", "disk_read_sectors") // 8
    requests = vm_counter(phase, "disk_reads") + vm_counter(phase, "disk_writes")
    exits = {key.removeprefix("exits_"): vm_counter(phase, key)
             for key in phase.after["vms"][0] if key.startswith("exits_")}
    ticks = max(phase.ends) - min(phase.begins)
    return {
        "phase": phase.name,
        "ticks": ticks,
        "requests": requests,
        "ticks_a_request": round(ticks / requests) if requests else None,
        "blocks_wanted": wanted,
        "blocks_verified": phase.blocks,
        "hits": hits, "misses": misses, "joined": joined,
        "hit_ratio": round(max(0.0, 1 - from_disk / wanted), 4) if wanted else 0.0,
        "disk_blocks": from_disk,
        "readahead": counter(phase, "cache", "readahead"),
        "readahead_wasted": counter(phase, "cache", "readahead_wasted"),
        "disk_commands": counter(phase, "host", "disk_commands"),
        "adopted": counter(phase, "cache", "adopted"),
        "copied_bytes": counter(phase, "cache", "copied_bytes"),
        "exits": sum(exits.values()), "exits_by_reason": exits,
        "guest_ticks": counter(phase, "host", "guest_ms") * TICKS_A_MS,
        "scan_ticks": counter(phase, "fold", "scan_ticks"),
        "idle_ticks": counter(phase, "host", "idle_ms") * TICKS_A_MS,
        "cow_breaks": vm_counter(phase, "cow_breaks"),
        "merges": vm_counter(phase, "merges"),
        "insertions": counter(phase, "cache", "insertions"),
        "bypassed": counter(phase, "cache", "bypassed"),
        "evictions": counter(phase, "cache", "evictions"),
        "invalidations": counter(phase, "cache", "invalidations"),
        "memory_mean_mib": mean([used(s) / MIB_PAGES for s in phase.samples]),
        "memory_end_mib": round(used(phase.after) / MIB_PAGES, 2),
        "cache_alone_mib": mean([s["host"]["frames_cache"] / MIB_PAGES for s in phase.samples]),
    }


def duplicates(lines):
    """Frames that the cache alone holds with a content that a guest holds too, as the final check has
    counted them; None when this build does not say."""
    for line in lines:
        match = re.match(r"^(?:pagefold> )?check: OK \(.*\b(\d+) duplicate\)", line)
        if match:
            return int(match.group(1))
    return None


def distinct_blocks(lines):
    """How many blocks of disks were read at all, of a trace that was kept from the start; None
    without one, or if it is not whole."""
    left = [m for m in (re.match(r"^(?:pagefold> )?trace: # (\d+) more are kept, (\d+) found no room$", line)
                        for line in lines) if m]
    if not left or left[-1].groups() != ("0", "0"):
        return None
    seen = set()
    for line in lines:
        match = re.match(r"^(?:pagefold> )?trace: \d+ \d+ (\d+) (\d+) (\d+) r$", line)
        if match:
            disk, first, count = map(int, match.groups())
            seen.update((disk, block) for block in range(first, first + count))
    return len(seen)


def memory_curve(lines, last):
    """[seconds, MiB in use, of these MiB that only the cache holds] for each line of statistics up to
    `last`."""
    found = [json.loads(m.group(1)) for m in map(STATISTICS.match, lines) if m]
    found = found[:found.index(last) + 1]
    return [[s["t_ms"] / 1000, round(used(s) / MIB_PAGES, 1),
             round(s["host"]["frames_cache"] / MIB_PAGES, 1)] for s in found]


def measure(name, work, mode):
    """The figures of one boot; None when the mode is refused."""
    lines = boot(name, work, mode)
    if lines is None:
        return None
    phases = split(lines, len(work["guests"]), work["program"] == "storm")
    if len(phases) != work["phases"]:
        raise Problem(f"{name}: {len(phases)} phases of {work['phases']} were told; "
                      f"see {shown(log_of(name))}")
    return {"phases": [figures(phase) for phase in phases], "duplicates": duplicates(lines),
            "distinct_blocks": distinct_blocks(lines),
            "memory": memory_curve(lines, phases[-1].after)}
