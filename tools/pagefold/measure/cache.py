# SPDX-License-Identifier: BSD-2-Clause
"""What the disk cache is worth, in each of its modes, on the same workloads in the same machine.

readers   two guests of 80 MiB, whose page caches hold about 20 MiB, read 32 MiB of a Debian root's
          files each, again and again, and verify every block: in a loop, and the popular ones more
          often (Zipf, s = 0.9). In the phases `same_*` both read the same files of one disk, in
          `other_*` each its own. Each pair of phases comes after a round that is not counted. Once for
          each size of the cache; --full measures all sizes, otherwise one.
pair      two guests boot from one base with `,snapshot`, read and check 8 MiB of programs, write
          and read files of their own
storm     four of them, all started at once

Hit ratio: of the blocks that the guests' reads ask of the hypervisor, the part that no read of the
disk was needed for; what was read ahead in vain counts against it. The machine and cache.max are the
same in each mode, but not the memory that is in use: in fold the guests' page caches and the disk
cache share frames. So the target, for the four phases together, is for equal memory in use: against
inclusive stands fold with the largest cache.max with which it uses no more than that. In `same_loop`
alone no cache doubles the hit ratio of a small one: the guests run side by side, and the second one
finds in any cache what the first one has just read, about half of all. The guests' kernels do without
their self-tests of cryptography (`cryptomgr.notests`), which take half of their boots.
"""

import functools

from pagefold.measure import cache_files, cache_run

MODES = ("off", "inclusive", "scrub", "fold")
LIST_MIB = 32
SIZES = (4, 8, 16, 24)  # of the cache, MiB
SIZE = 8                # the one that is always measured
FOLD_SIZES = (32,)      # and these, for what fold has in the memory that inclusive uses with the last
HYPERVISOR_MIB = 56     # and its boot modules
TRACE = 100_000
# name, second at which it begins, whose list the second guest reads, what is done
PHASES = (
    ("same_first", 38, "a", "loop:1"),
    ("same_loop", 55, "a", "loop:1"),
    ("same_zipf", 71, "a", "zipf:32"),
    ("other_first", 81, "b", "loop:1"),
    ("other_loop", 99, "b", "loop:1"),
    ("other_zipf", 119, "b", "zipf:32"),
)
COUNTED = tuple(name for name, *_ in PHASES if not name.endswith("first"))
HIT_RATIO_TARGET = 2.0

WORKLOADS = {
    "readers": {
        "program": "reader", "memory": 80, "phases": len(PHASES),
        "last": r"CACHE vm=\w+ cached=\d+k done",
    },
    "pair": {
        "program": "storm", "memory": 112, "cache": 64, "phases": 1, "names": ("one", "two"),
        "suffix": "snapshot", "mount": "rw", "last": r"STORM-END vm=\w+ \d+",
    },
    "storm": {
        "program": "storm", "memory": 112, "cache": 64, "phases": 1,
        "names": ("one", "two", "three", "four"), "suffix": "snapshot", "mount": "rw",
        "last": r"STORM-END vm=\w+ \d+", "keys": f"cache.trace = {TRACE}\n", "trace": 16,
    },
}


def readers():
    """Both guests with their words."""
    for name, second in (("one", False), ("two", True)):
        yield name, "cache_plan=" + ",".join(
            f"{phase}@{begin}:{theirs if second else 'a'}:{what}"
            for phase, begin, theirs, what in PHASES)


def workload(name, files, size):
    work = {**WORKLOADS[name], **files}
    work.setdefault("cache", size)
    work["guests"] = list(readers()) if name == "readers" else [(vm, "") for vm in work["names"]]
    work["machine"] = len(work["guests"]) * work["memory"] + work["cache"] + HYPERVISOR_MIB
    return work


# ---- the whole ------------------------------------------------------------------------------


@functools.cache
def make_files():
    """What the guests boot and read; made once, for those who measure at the same time."""
    lists = cache_files.make_lists(LIST_MIB)
    return {"initrd": cache_files.make_initrd(lists), "disk": cache_files.make_disk()}


def submit(pool, full):
    """Starts all boots; their results are taken by collect."""
    files = make_files()
    jobs = {}
    for name in WORKLOADS:
        for size in ((*SIZES, *FOLD_SIZES) if full else (SIZE,)) if name == "readers" else (None,):
            for mode in MODES:
                if mode in ("off", "scrub") and size not in (None, SIZE):
                    continue  # has none, whatever its size; is the inclusive one, but for its end
                if mode != "fold" and size in FOLD_SIZES:
                    continue
                label = f"cache-{name}-{size}M-{mode}" if size else f"cache-{name}-{mode}"
                jobs[name, size, mode] = pool.submit(cache_run.measure, label,
                                                     workload(name, files, size), mode)
    return jobs


def collect(jobs):
    rows = []
    for (name, size, mode), job in jobs.items():
        found = job.result()
        row = {"workload": name, "mode": mode,
               "cache_mib": size or WORKLOADS[name]["cache"], "vm_mib": WORKLOADS[name]["memory"]}
        rows.append({**row, "refused": True} if found is None else {**row, **found})
    return {"list_mib": LIST_MIB, "rows": rows}


def find(result, name, mode, size=None):
    """The row of a workload in a mode, or None if it was not measured or was refused."""
    for row in result["rows"]:
        if (row["workload"], row["mode"]) == (name, mode) and size in (None, row["cache_mib"]):
            return None if row.get("refused") else row
    return None


def phase_of(row, name):
    return next((p for p in row["phases"] if p["phase"] == name), None) if row else None


def phases_of(result, mode, size, names=COUNTED):
    """The readers' phases of these names; None if one was not measured."""
    row = find(result, "readers", mode, size)
    phases = [phase_of(row, name) for name in names]
    return phases if all(phases) else None


def hit_ratio(result, mode, size, name=None):
    """Of a phase of the readers, or of all that count together; None if they were not measured."""
    phases = phases_of(result, mode, size, (name,) if name else COUNTED)
    if not phases:
        return None
    wanted, from_disk = (sum(p[key] for p in phases) for key in ("blocks_wanted", "disk_blocks"))
    return max(0.0, 1 - from_disk / wanted) if wanted else 0.0


def hit_gain(result, size, name=None):
    """How many times the hit ratio of inclusive fold has, likewise."""
    fold, inclusive = (hit_ratio(result, mode, size, name) for mode in ("fold", "inclusive"))
    if fold is None or inclusive is None:
        return None
    if inclusive == 0:
        return float("inf") if fold > 0 else 1.0
    return round(fold / inclusive, 2)


def sizes_of(result, mode="fold"):
    return sorted({row["cache_mib"] for row in result["rows"]
                   if (row["workload"], row["mode"]) == ("readers", mode) and not row.get("refused")})


def in_use(result, mode, size):
    """MiB in use, the mean over the phases that count."""
    phases = phases_of(result, mode, size)
    return sum(p["memory_mean_mib"] for p in phases) / len(phases) if phases else None


def size_for(result, size):
    """The largest cache.max with which fold uses no more memory than inclusive with this one."""
    room = in_use(result, "inclusive", size)
    needs = {each: in_use(result, "fold", each) for each in sizes_of(result)}
    return max((each for each, need in needs.items() if room and need and need <= room), default=None)


def equal_gain(result, size):
    """How many times inclusive's hit ratio fold has in the memory that inclusive uses."""
    most = size_for(result, size)
    ratios = [hit_ratio(result, "inclusive", size), hit_ratio(result, "fold", most) if most else None]
    return round(ratios[1] / ratios[0], 2) if all(ratios) else None


def reads_once(row):
    """Whether each block was read from the disk once at most: what was read came into the cache, and
    nothing left it."""
    storm = phase_of(row, "storm")
    return bool(storm) and storm["disk_blocks"] == storm["insertions"] and not any(
        storm[key] for key in ("evictions", "invalidations", "bypassed"))


def missed(result):
    """Names of what has not been reached."""
    names = []
    for size in sizes_of(result):
        row = find(result, "readers", "fold", size)
        if not row or any(p["copied_bytes"] for p in row["phases"]):
            names.append(f"cache_copied_{size}M")
    for size in sizes_of(result, "inclusive"):
        gain = equal_gain(result, size)
        if gain is None or gain < HIT_RATIO_TARGET:
            names.append(f"cache_hits_{size}M")
    if not reads_once(find(result, "storm", "fold")):
        names.append("cache_storm_reads_once")
    for row in result["rows"]:
        if row["mode"] == "fold" and row.get("duplicates") != 0:
            names.append(f"cache_duplicates_{row['workload']}_{row['cache_mib']}M")
    return names


# ---- tables ---------------------------------------------------------------------------------


COLUMNS = (
    # heading, key, width, format
    ("mode", None, 9, "{}"),
    ("hit ratio", "hit_ratio", 9, "{:.3f}"),
    ("wanted", "blocks_wanted", 7, "{}"),
    ("hits", "hits", 6, "{}"),
    ("from disk", "disk_blocks", 9, "{}"),
    ("commands", "disk_commands", 8, "{}"),
    ("copied KiB", "copied_bytes", 10, "{:.0f}"),
    ("exits", "exits", 7, "{}"),
    ("requests", "requests", 8, "{}"),
    ("ticks each", "ticks_a_request", 10, "{:,}"),
    ("million ticks", "ticks", 13, "{:.1f}"),
    ("guests", "guest_ticks", 7, "{:.1f}"),
    ("idle", "idle_ticks", 6, "{:.1f}"),
    ("scan", "scan_ticks", 6, "{:.1f}"),
    ("MiB used", "memory_mean_mib", 8, "{:.1f}"),
)
MILLIONS = ("ticks", "guest_ticks", "idle_ticks", "scan_ticks")


def cell(phase, key, form):
    value = phase[key]
    if value is None:
        return "-"
    return form.format(value / 1e6 if key in MILLIONS else
                       value / 1024 if key == "copied_bytes" else value)


def phase_rows(result, name, size, phase_name):
    for mode in MODES:
        row = find(result, name, mode, size)
        phase = phase_of(row, phase_name)
        if phase is None:
            if any(r["workload"] == name and r["mode"] == mode and r.get("refused")
                   for r in result["rows"]):
                yield f"  {mode:9} refused by this build"
            continue
        yield "  " + " ".join([f"{mode:9}"] + [f"{cell(phase, key, form):>{width}}"
                                               for _, key, width, form in COLUMNS[1:]])


def told(value):
    return "not told" if value is None else value


def table(result):
    head = "  " + " ".join([f"{'mode':9}"] + [f"{text:>{width}}" for text, _, width, _ in COLUMNS[1:]])
    yield head
    for size in sizes_of(result):
        for name, *_ in PHASES:
            gain = hit_gain(result, size, name)
            yield (f"readers, cache of {size} MiB, {name}"
                   + (f": fold has {gain} times the hit ratio of inclusive" if gain else ""))
            yield from phase_rows(result, "readers", size, name)
        gain = hit_gain(result, size)
        if gain:
            ratios = (hit_ratio(result, mode, size) for mode in ("inclusive", "fold"))
            yield (f"readers, cache of {size} MiB, all that counts: hit ratio "
                   + "{:.3f} in inclusive, {:.3f} in fold, ".format(*ratios) + f"{gain} times")
    yield "the same by the memory that is in use: inclusive, and fold with the largest cache that needs no more"
    for size in sizes_of(result, "inclusive"):
        most = size_for(result, size)
        if most:
            told_of = ((mode, each, in_use(result, mode, each), hit_ratio(result, mode, each))
                       for mode, each in (("inclusive", size), ("fold", most)))
            yield ("  " + ", ".join("{} {} MiB: {:.1f} MiB in use, hit ratio {:.3f}".format(*one)
                                    for one in told_of) + f": {equal_gain(result, size)} times")
    for name in ("pair", "storm"):
        yield f"{name}, {len(WORKLOADS[name]['names'])} guests from one base"
        yield from phase_rows(result, name, None, "storm")
    yield "blocks held twice at the end, by a recount of all frames; distinct blocks that guests wanted"
    for row in result["rows"]:
        if not row.get("refused"):
            yield (f"  {row['workload']:8} {row['cache_mib']:3} MiB {row['mode']:9} "
                   f"{told(row['duplicates']):>8}  {told(row['distinct_blocks']):>8}"
                   + ("  each block was read from the disk once" if reads_once(row) else ""))
