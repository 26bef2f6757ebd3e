"""Units side by side against one after the other, as ratios: `python -m benchmarks.jobs`.

Each way is the whole command, `hardy run SPEC`, on a store of its own: `--jobs 2`, `--jobs 1` (the
same one thread), and no `--jobs`, which is one unit at a time on all cores. Timed are the units,
from the first one's start to the last one's end; what the command takes beside that, most of it the
start of Python and torch in each process, is printed apart. Rounds go the three ways in turns.

By default: `embedded/memo-topk`, MEMO on some of 20 photographs under contrast, a unit for each
seed.
"""

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.timing import ratio_of
from hardy.measure.drift import is_time
from hardy.measure.records import TIMING, read_parquet

WAYS = {"--jobs 2": ["--jobs", "2"], "--jobs 1": ["--jobs", "1"], "no --jobs": []}
_UNITS = """\
SELECT name, artifact_uri, start_time, end_time FROM runs WHERE run_uuid IN
(SELECT run_uuid FROM tags WHERE key = 'hardy.role' AND value = 'unit') ORDER BY name
"""


@dataclass(frozen=True)
class Run:
    """One command.

    Attributes:
        units: Seconds from the first unit's start to the last one's end.
        whole: Seconds of the command.
        records: Each unit's records, by its name.
    """

    units: float
    whole: float
    records: dict[str, pd.DataFrame]


def run(words: Sequence[str], flags: Sequence[str]) -> Run:
    """Run the command on an empty store."""
    with tempfile.TemporaryDirectory(prefix="hardy-") as home:
        environment = {**os.environ, "HARDY_HOME": home}
        command = [sys.executable, "-m", "hardy", "run", *words, *flags]
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        whole = time.perf_counter() - start
        with closing(sqlite3.connect(Path(home) / "mlflow.db")) as store:
            found = store.execute(_UNITS).fetchall()
        seconds = max(end for *_, end in found) - min(begin for _, _, begin, _ in found)
        folders = {name: Path(uri.removeprefix("file://")) for name, uri, *_ in found}
        records = {
            name: read_parquet(folder / "records" / "records.parquet")
            for name, folder in folders.items()
        }
        return Run(seconds / 1000, whole, records)


def different(a: Run, b: Run) -> Iterator[str]:
    """Yield the units whose records differ, times aside."""
    for name, frame in a.records.items():
        kept = [c for c in frame.columns if not is_time(c) and not c.startswith(TIMING)]
        if not frame[kept].astype(str).equals(b.records[name][kept].astype(str)):
            yield name


def main() -> None:
    """Run each way in turns, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("spec", nargs="?", default="embedded/memo-topk")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is timed")
    parser.add_argument("--units", type=int, default=4, help="seeds, a unit each")
    parser.add_argument("--samples", type=int, default=10, help="photographs a unit")
    parser.add_argument("--set", action="append", default=[], help="override, as in `hardy run`")
    asked = parser.parse_args()
    changes = [
        "data.shift={kind: contrast, severity: 3}",
        f"matrix={{seed: {list(range(asked.units))}}}",
        f"data.subset={{count: {asked.samples}}}",
        "explain={gradcam: null, view_grids: 0}",
        "compute.device=cpu",
        *asked.set,
    ]
    words = [asked.spec, *(part for change in changes for part in ("--set", change))]
    made: dict[str, list[Run]] = {way: [] for way in WAYS}
    for number in range(asked.rounds):
        for way, flags in WAYS.items():
            made[way].append(run(words, flags))
            found = made[way][-1]
            print(f"{number + 1}: {way:10s} units {found.units:6.1f} s, whole {found.whole:6.1f} s")
            sys.stdout.flush()
    print(f"{asked.spec}, {asked.units} units of {asked.samples} samples, {os.cpu_count()} cores:")
    for way, runs in made.items():
        times = sorted(each.units for each in runs)
        beside = statistics.median(each.whole - each.units for each in runs)
        print(
            f"  {way:10s} units {statistics.median(times):6.1f} s [{times[0]:.1f}, {times[-1]:.1f}]"
            f", and {beside:.1f} s beside"
        )
    two = made["--jobs 2"]
    for way in ("--jobs 1", "no --jobs"):
        print(f"  {way} / --jobs 2, units: {_ratio(made[way], two, 'units')}")
        print(f"  {way} / --jobs 2, whole: {_ratio(made[way], two, 'whole')}")
    apart = sorted({n for a, b in zip(made["--jobs 1"], two, strict=True) for n in different(a, b)})
    print(
        f"  records of --jobs 1 and 2: {'differ in ' + ', '.join(apart) if apart else 'same bits'}"
    )


def _ratio(slow: Sequence[Run], fast: Sequence[Run], what: str) -> str:
    pairs = [(getattr(a, what), getattr(b, what)) for a, b in zip(slow, fast, strict=True)]
    found = ratio_of(pairs)
    each = [a / b for a, b in pairs]
    return (
        f"{found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}], "
        f"range {min(each):.2f} to {max(each):.2f}, n={found.rounds}"
    )


class _Raw(argparse.RawDescriptionHelpFormatter):
    pass


if __name__ == "__main__":
    main()
