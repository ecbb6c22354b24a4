# SPDX-License-Identifier: BSD-2-Clause
"""What a disk request costs a guest, in each mode of the cache, and in two of them with read-ahead and
with writes that wait: a bare-metal guest (guests/bench) that
times each of its requests by RDTSC, from the kick to the used ring's entry, one at a time. A second
boot of each mode would give the same ticks. The host's disk is Bochs', which takes as many ticks as
its model of an IDE disk says, and no more; so a miss stands for no real disk.
"""

from pagefold.measure.boots import (BENCH_END, guest, make_numbered_disk, pagefold_unless_refused,
                                    read_series, write)

# name -> mode, other settings
SETTINGS = {
    "off": ("off", ""),
    "inclusive": ("inclusive", ""),
    "scrub": ("scrub", ""),
    "fold": ("fold", ""),
    "inclusive_ahead": ("inclusive", "cache.readahead = 128K\n"),
    "fold_ahead": ("fold", "cache.readahead = 128K\n"),
    "inclusive_back": ("inclusive", "cache.write = back\ncache.dirty_max = 50%\n"),
    "fold_back": ("fold", "cache.write = back\ncache.dirty_max = 50%\n"),
}
SERIES = (
    ("virtio_read_miss", "read 4 KiB for the first time"),
    ("virtio_read_hit", "read them again"),
    ("virtio_read_hit_irq", "again, by MSI-X interrupt"),
    ("virtio_overwrite", "first store to a page that such a read has filled"),
    ("virtio_clear", "clearing such a page (REP STOS)"),
    ("virtio_read_miss_64k", "read 64 KiB for the first time, a block of it"),
    ("virtio_read_hit_64k", "read them again, a block of it"),
    ("virtio_write_cached", "write 4 KiB that were read before"),
    ("virtio_read_written", "read them back"),
    ("virtio_write_new", "write 4 KiB that were not"),
    ("virtio_read_back", "read them back"),
)
# What to reach: a hit costs no more with frames that are mapped than with copies.
TARGET = ("virtio_read_hit", "fold", "inclusive")

CONF = """\
[host]
stats.interval = off
fold.run = off
cache.mode = {mode}
cache.max = 32M
{keys}[vm bench]
memory = 64M
kernel = {guest}
cmdline = role=3
disk = ata0
"""


def measure(setting, disk):
    """name -> n, mean, median, min, p99; None when the mode is refused."""
    name = "disk-" + setting
    mode, keys = SETTINGS[setting]
    if "readahead" not in keys:
        keys += "cache.readahead = 0\n"
    conf = write(name + ".conf", CONF.format(guest=guest("bench"), mode=mode, keys=keys))
    text = pagefold_unless_refused(name, conf, BENCH_END + r"|error: .*\n", "--memory", "160M",
                                   "--disk", disk + ",snapshot")
    return None if text is None else read_series(name, text, [series for series, _ in SERIES])


def submit(pool, _full):
    disk = make_numbered_disk()
    return {name: pool.submit(measure, name, disk) for name in SETTINGS}


def collect(jobs):
    return {mode: job.result() for mode, job in jobs.items()}


def missed(result):
    series, mode, other = TARGET
    if not result[mode] or not result[other]:
        return ["disk_hit"]
    return ["disk_hit"] if result[mode][series]["median"] > result[other][series]["median"] else []


def table(result):
    yield "mean ticks of a request (of a block of it, for 64 KiB), by mode of the cache and setting"
    yield f"{'':22} " + " ".join(f"{name:>15}" for name in SETTINGS)
    for series, what in SERIES:
        cells = [f"{result[name][series]['mean']:>15,}" if result[name] else f"{'refused':>15}"
                 for name in SETTINGS]
        yield f"{series:22} " + " ".join(cells) + f"  {what}"
