# SPDX-License-Identifier: BSD-2-Clause
"""What the disk cache is worth where a disk's commands are dear.

The emulated disk answers a command within some 57,000 ticks of the emulated CPU, relatively faster
than any real one: a CPU of 3 GHz has 300,000 in the 100 microseconds of a SATA SSD, and 3 million in
the millisecond of a volume on the network. So two guests read files as in the workload `readers`,
from a disk that `disk.delay` makes so slow for each command.
The disk's time is what its commands take, one after the other; the machine's idle time is what nobody
could use of it. The rest is the guests' own work, at a tick an instruction and one for each iteration
of a REP: so that clearing and copying a page do not take 4,096 of them each, where a real CPU moves
many bytes a cycle, the guests' kernels are told not to do it byte by byte (ERMS).
"""

from pagefold.measure import cache, cache_run

MODES = ("inclusive", "fold")
# a command's milliseconds, of 50,000 ticks of the emulated CPU; the size of the cache, MiB
CELLS = ((6, 8), (6, 16), (60, 8))
CELL = CELLS[0]  # the one that is always measured
NO_ERMS = "clearcpuid=297"  # CPUID.7.EBX[9]
# name, whose list the second guest reads, what is done
PHASES = (
    ("same_first", "a", "loop:1"),
    ("same_loop", "a", "loop:1"),
    ("other_first", "b", "loop:1"),
    ("other_loop", "b", "loop:1"),
    ("other_zipf", "b", "zipf:32"),
)
# seconds at which they begin, by the command's time; the disk is slow while the guests boot, too
BEGINS = {6: (40, 64, 84, 112, 139), 60: (150, 300, 430, 670, 910)}
COUNTED = tuple(name for name, *_ in PHASES if not name.endswith("first"))
COLUMNS = (
    # heading, key, width, format, unit
    ("hit ratio", "hit_ratio", 9, "{:.3f}", 1),
    ("from disk", "disk_blocks", 9, "{}", 1),
    ("commands", "disk_commands", 8, "{}", 1),
    ("million ticks", "ticks", 13, "{:.1f}", 1e6),
    ("guests", "guest_ticks", 7, "{:.1f}", 1e6),
    ("idle", "idle_ticks", 6, "{:.1f}", 1e6),
)


def words(delay_ms, second):
    return NO_ERMS + " cache_plan=" + ",".join(
        f"{phase}@{begin}:{theirs if second else 'a'}:{what}"
        for (phase, theirs, what), begin in zip(PHASES, BEGINS[delay_ms]))


def workload(delay_ms, size):
    guests = [("one", words(delay_ms, False)), ("two", words(delay_ms, True))]
    return {
        **cache.WORKLOADS["readers"], **cache.make_files(), "cache": size,
        "phases": len(PHASES), "guests": guests,
        "keys": f"disk.delay = ata0 {delay_ms}ms\n",
        "machine": len(guests) * cache.WORKLOADS["readers"]["memory"] + size + cache.HYPERVISOR_MIB,
    }


def submit(pool, full):
    """Starts all boots; their results are taken by collect."""
    return {(delay, size, mode): pool.submit(cache_run.measure, f"slow-{delay}ms-{size}M-{mode}",
                                             workload(delay, size), mode)
            for delay, size in (CELLS if full else (CELL,)) for mode in MODES}


def collect(jobs):
    rows = []
    for (delay, size, mode), job in jobs.items():
        rows.append({"delay_ms": delay, "cache_mib": size, "mode": mode,
                     **(job.result() or {"refused": True})})
    return {"rows": rows}


def phase_of(result, cell, mode, name):
    """A phase's figures, or None if it was not measured or was refused."""
    for row in result["rows"]:
        if (row["delay_ms"], row["cache_mib"], row["mode"]) == (*cell, mode):
            return next((p for p in row.get("phases", ()) if p["phase"] == name), None)
    return None


def saved(inclusive, fold, key):
    """The part of inclusive's that fold does without, in percent."""
    return round(100 * (1 - fold[key] / inclusive[key])) if inclusive[key] else 0


def missed(_result):
    """There is no target: how dear a command is depends on the disk."""
    return []


def shown(phase, key, form, unit):
    return form.format(phase[key] / unit if unit != 1 else phase[key])


def table(result):
    yield f"  {'mode':9} " + " ".join(f"{text:>{width}}" for text, _, width, _, _ in COLUMNS)
    for cell in CELLS:
        for name in COUNTED:
            found = [phase_of(result, cell, mode, name) for mode in MODES]
            if not all(found):
                continue
            commands, idle, ticks = (saved(*found, key)
                                     for key in ("disk_commands", "idle_ticks", "ticks"))
            yield (f"{cell[0]} ms a command, cache of {cell[1]} MiB, {name}: fold saves {commands}% of the "
                   f"commands, {idle}% of the idle time, {ticks}% of all time")
            for mode, phase in zip(MODES, found):
                yield f"  {mode:9} " + " ".join(f"{shown(phase, key, form, unit):>{width}}"
                                                for _, key, width, form, unit in COLUMNS)
