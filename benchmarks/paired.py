"""Runs against runs on the same samples: `python -m benchmarks.paired --ours A B --others C D`.

Prints what the mean score gains, ours less the others', run by run in their order, with the 95 %
interval by images drawn anew with all their answers. A run is its id or, where one finished unit
has it, its name.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from hardy.measure.answer_table import gain_interval
from hardy.results.pooled import joined
from hardy.results.stored import StoredUnit
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.store import connect


def found(tracker: MlflowTracker, wanted: str) -> StoredUnit:
    """Return a run by its id, or the latest finished one of that name."""
    client = connect()
    experiments = [each.experiment_id for each in client.search_experiments()]
    query = f"attributes.run_name = '{wanted}' and attributes.status = 'FINISHED'"
    runs = client.search_runs(experiments, query, max_results=1)
    return StoredUnit(tracker, tracker.get(runs[0].info.run_id if runs else wanted))


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and print."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--ours", nargs="+", required=True)
    asked.add_argument("--others", nargs="+", required=True)
    words = asked.parse_args(arguments)
    tracker = MlflowTracker()
    ours, others = ([found(tracker, run) for run in runs] for runs in (words.ours, words.others))
    scores = [np.concatenate([unit.score() for unit in units]) for units in (others, ours)]
    images = joined(ours)["sample"].to_numpy()
    if not np.array_equal(images, joined(others)["sample"].to_numpy()):
        raise SystemExit("the runs are of different samples, or in another order")
    low, high = gain_interval(images, *scores)
    change = scores[1].mean() - scores[0].mean()
    print(
        f"{scores[1].mean():.4f} against {scores[0].mean():.4f}: {change:+.4f} "
        f"[{low:+.4f}, {high:+.4f}], {len(images)} answers of {len(np.unique(images))} images"
    )


if __name__ == "__main__":
    main()
