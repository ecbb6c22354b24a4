# SPDX-License-Identifier: BSD-2-Clause
"""What folding costs: the scanner's ticks, pass by pass, for each setting of its switches.

Two guests (guests/bench-fold) fill 64 MiB each by one recipe: 25% of the pages are zeroes, 35% are
equal in both, 10% are pairs within a guest, 30% are unique. Then they sleep. The scanner is off,
and the monitor's `fold pass` makes it do whole passes: five over memory that nobody writes, then
some after one guest has made pages equal to the other's, then some between which both guests
rewrite pages. A tick is one emulated instruction, so each figure is exact and repeats.

INTERLEAVED is the memory on which KSM was measured in the same emulator: the kinds of pages
alternate. In RUNS each kind comes 16 pages in a row, as in the memory of real systems; looking
ahead at what follows a folded page can only help there.

Latency, in other boots, is what a guest sees: the ticks from the store that makes a page equal to
another guest's to the first moment at which a write to it, or to one beside it that became equal at
the same time, finds it folded. The scanner has its default pace there.
"""

import re

from pagefold.measure.boots import guest, pagefold_unless_refused, write
from pagefold.problem import Problem

ORDER = "ZSUZSUZSUZSUZSUSPUSP"  # as in guests/bench-fold/recipe.c
RUN = 16
PAGES = 16384  # of each guest
GUESTS = 2
STEADY = (3, 4, 5)  # of the first five passes
JOINERS = 512
WRITTEN = (16, 256, 4096)  # pages rewritten before a pass, by both guests together
ROUNDS = 3  # such passes; the first is not counted

INDEXES = ("tree", "hash")
VOLATILITIES = ("checksum", "dirty")
LOOKAHEADS = ("off", "on")
BASELINE = ("tree", "checksum", "off")
BEST = ("hash", "dirty", "on")
# Each boot of passes: layout, switches.
PASSES = [("interleaved", (i, v, a)) for i in INDEXES for v in VOLATILITIES for a in LOOKAHEADS] + \
         [("runs", s) for s in (BASELINE, ("tree", "checksum", "on"), ("hash", "dirty", "off"), BEST)]

# ksmd in the same emulator, on the same memory: Linux 6.12, ticks a page. And what to reach.
KSM = {"pass1": 4971, "pass2": 21068, "steady": 5328, "steady_smart_scan": 940, "join": 22500}
TARGETS = {"pass1": 1000, "pass2": 4000, "steady": 10}

CONF = """\
[host]
stats.interval = off
cache.mode = off
{host}
[vm a]
memory = 80M
kernel = {guest}
cmdline = vm=0 {words}{words_a}
on_halt = stay
[vm b]
memory = 80M
kernel = {guest}
cmdline = vm=1 {words}
on_halt = stay
"""

# Of latency: pages of the recipe in each guest, equal blocks made one after the other, and for each
# setting the ticks between two of them: some passes.
LATENCY_PAGES = 7168
TRIALS = 3
LATENCIES = {  # name: switches, how the first guest behaves, ticks between trials
    "baseline_idle": (BASELINE, 2, 100_000_000),
    "baseline_busy": (BASELINE, 1, 300_000_000),
    "best_idle": (BEST, 2, 200_000_000),
    "best_busy": (BEST, 1, 400_000_000),
}


def keys(switches):
    return "\n".join(f"fold.{key} = {value}"
                     for key, value in zip(("index", "volatility", "lookahead"), switches))


def boot(name, host, words, words_a, until, *options):
    """The output; None, after a line that says so, when this build does not know the switches."""
    conf = write(name + ".conf", CONF.format(guest=guest("bench-fold"), host=host, words=words,
                                             words_a=words_a))
    text = pagefold_unless_refused(name, conf, until, *options)
    failed = text and re.search(r"FOLD-FAILED (.*)", text)
    if failed:
        raise Problem(f"{name}: a guest could not go on: {failed.group(1).strip()}")
    return text


# ---- passes ---------------------------------------------------------------------------------


def expected(layout):
    """Pages that an exact count of equal pages saves, of the recipe alone."""
    letters = [ORDER[(i // RUN if layout == "runs" else i) % len(ORDER)] for i in range(PAGES)]
    pairs = letters.count("P") // 2  # an odd run at the end has no partner
    if layout == "runs":
        cycle = RUN * len(ORDER)
        first = [i for i in range(PAGES) if letters[i] == "P"]
        seen = {}
        for i in first:
            seen.setdefault((i // cycle, i % RUN), []).append(i)
        pairs = sum(len(same) - 1 for same in seen.values())
    return GUESTS * (letters.count("Z") + pairs) + (GUESTS - 1) * letters.count("S")


def script():
    """--send options: what is typed, each behind what it waits for."""
    words = []
    told = {"a": 0, "b": 0}

    def send(text, after):
        words.extend(["--send-after", after, "--send", text])

    def passes(n, after):
        send(f"fold pass {n}", after)
        return rf"^pass {n} of {n}:.*\n"

    def tell(vm, what, n, after):
        send(f"console {vm}", after)
        send(f"{what}{n}", rf"^\[the console of {vm};")
        told[vm] += 1
        send("\\x1d\\c", rf"FOLD-DID {told[vm]}\n")
        return r"^\[the monitor"

    after = passes(5, r"(?s)FOLD-FILLED.*FOLD-FILLED \d+\n")
    after = passes(3, tell("b", "j", JOINERS, after))
    for n in WRITTEN:
        for _ in range(ROUNDS):
            after = passes(1, tell("b", "w", n // 2, tell("a", "w", n // 2, after)))
    send("check", after)
    return words


def read_passes(name, text):
    """The counters of all passes, in order."""
    found = []
    for line in re.finditer(r"^(?:pagefold> )?pass \d+ of \d+: (.*)$", text, re.M):
        words = line.group(1).split()
        found.append(dict(zip(words[::2], map(int, words[1::2]))))
    if len(found) != 5 + 3 + len(WRITTEN) * ROUNDS:
        raise Problem(f"{name}: {len(found)} passes were told")
    return found


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def figures(layout, passes):
    """Ticks and events a present guest page, in each kind of pass."""
    def a_page(some, key="scan_ticks"):
        return round(mean(p.get(key, 0) / p["present"] for p in some), 3)

    first, second, steady = passes[:1], passes[1:2], [passes[n - 1] for n in STEADY]
    saved = sum(p.get("pages_sharing", 0) + p.get("pages_zero", 0) for p in passes[:5])
    rounds = {}
    for i, n in enumerate(WRITTEN):
        rounds[str(n)] = a_page(passes[8 + i * ROUNDS + 1:8 + (i + 1) * ROUNDS])
    return {
        "present": passes[0]["present"],
        "pass1": a_page(first), "pass2": a_page(second), "steady": a_page(steady),
        "compares": {"pass1": a_page(first, "compares"), "pass2": a_page(second, "compares"),
                     "steady": a_page(steady, "compares")},
        "hashes": {"pass1": a_page(first, "hashes"), "pass2": a_page(second, "hashes"),
                   "steady": a_page(steady, "hashes")},
        "lookahead_found": {key: sum(p.get("lookahead_" + key, 0) for p in passes[:5])
                      for key in ("hits", "misses")},
        "saved": saved, "saved_expected": expected(layout),
        "written": rounds,
        "passes": passes,
    }


def a_written_page(passes):
    """What a page that is written adds to passes which would cost nothing without it, in all: one
    that finds its equal, and one that does not. By dirty bits only: a checksum is taken of all."""
    rest = mean(passes[n - 1]["scan_ticks"] for n in STEADY)
    joining, last = passes[5:8], passes[-ROUNDS + 1:]
    joined = sum(p.get("merges", 0) for p in joining)
    if joined < JOINERS:
        raise Problem(f"{joined} pages of {JOINERS} were merged")
    return {
        "joins": round(sum(p["scan_ticks"] - rest for p in joining) / joined, 1),
        "stays": round(mean(p["scan_ticks"] - rest for p in last) / WRITTEN[-1], 1),
    }


def measure_passes(layout, switches):
    name = "-".join(("fold", layout) + switches)
    text = boot(name, "fold.run = off\n" + keys(switches),
                f"pages={PAGES} layout={int(layout == 'runs')}", "", r"^check: .*\n", *script())
    if text is None:
        return None
    if not re.search(r"^check: OK", text, re.M):
        raise Problem(f"{name}: check failed")
    passes = read_passes(name, text)
    row = {"layout": layout, "index": switches[0], "volatility": switches[1],
           "lookahead": switches[2], **figures(layout, passes)}
    if switches[1] == "dirty":
        row["a_written_page"] = a_written_page(passes)
    return row


# ---- latency --------------------------------------------------------------------------------


def measure_latency(name):
    switches, spin, wait = LATENCIES[name]
    text = boot("fold-latency-" + name, keys(switches),
                f"pages={LATENCY_PAGES} trials={TRIALS} wait={wait}",
                f" spin={spin}", r"FOLD-(DONE|FAILED.*)\n")
    if text is None:
        return None
    return sorted(int(ticks) for ticks in re.findall(r"FOLD-LATENCY (\d+)", text))


# ---- the whole ------------------------------------------------------------------------------


def submit(pool, _full):
    """Starts all boots; the result of each is taken by collect."""
    return ([pool.submit(measure_passes, *what) for what in PASSES],
            {name: pool.submit(measure_latency, name) for name in LATENCIES})


def collect(jobs):
    passes, latencies = jobs
    rows = [row for row in (job.result() for job in passes) if row]
    return {
        "pages": GUESTS * PAGES,
        "ksm": KSM,
        "targets": TARGETS,
        "rows": rows,
        "latency": {name: job.result() for name, job in latencies.items()},
    }


def missed(result):
    """Names of what has not been reached, by the setting that should."""
    best = [row for row in result["rows"]
            if row["layout"] == "interleaved"
            and (row["index"], row["volatility"], row["lookahead"]) == BEST]
    names = [f"fold_{key}" for key, target in TARGETS.items() if not best or best[0][key] > target]
    names += ["fold_saved" for row in result["rows"] if row["saved"] < row["saved_expected"]][:1]
    return names


def table(result):
    yield ("scanner's ticks a present page; wN: a pass before which N pages were written; joins, stays: "
           "in all,\na page that is written and finds its equal, or does not")
    yield (f"{'memory':11} {'index':5} {'volatility':10} {'ahead':5} {'pass 1':>8} {'pass 2':>8} "
           f"{'steady':>8} {'compares in each':>20} {'saved':>6} {'of':>6} "
           + " ".join(f"{'w' + str(n):>7}" for n in WRITTEN) + f" {'joins':>8} {'stays':>8}")
    for row in result["rows"]:
        compares = " ".join(f"{row['compares'][key]:6.2f}" for key in ("pass1", "pass2", "steady"))
        yield (f"{row['layout']:11} {row['index']:5} {row['volatility']:10} {row['lookahead']:5} "
               f"{row['pass1']:8.1f} {row['pass2']:8.1f} {row['steady']:8.2f} {compares:>20} "
               f"{row['saved']:6} {row['saved_expected']:6} "
               + " ".join(f"{row['written'][str(n)]:7.1f}" for n in WRITTEN)
               + "".join(f" {ticks:8.1f}" for ticks in row.get("a_written_page", {}).values()))
    ksm = result["ksm"]
    yield (f"{'ksmd, Linux 6.12':34} {ksm['pass1']:8} {ksm['pass2']:8} {ksm['steady']:8} "
           f"(or {ksm['steady_smart_scan']} in a pass that smart_scan thins; a page that joins {ksm['join']})")
    yield f"{'targets':34} {TARGETS['pass1']:8} {TARGETS['pass2']:8} {TARGETS['steady']:8}"
    yield ""
    yield "ticks until a page that has become equal is found folded, each trial"
    for name, ticks in result["latency"].items():
        yield f"  {name:22} " + (" ".join(f"{t:13,}" for t in ticks) if ticks else "refused")
