"""What each run of a matrix gained over the source model: one row a run."""

from collections.abc import Iterable

import pandas as pd

from hardy.measure.paired import flips, mcnemar, paired_bootstrap
from hardy.tasks.classify.metrics import correct


def gain_rows(runs: Iterable[tuple[str, pd.DataFrame, str]], before: str) -> pd.DataFrame:
    """Tabulate runs by what they gained, the largest gain first.

    Args:
        runs: For each run its name, its records, and the answer that it is about.
        before: Name of the answer to compare with, such as `source`.

    Returns:
        `run`, `samples`, `before` and `after` (accuracies in [0, 1]), `gain` with its 95 % interval
        `gain_low` and `gain_high` (paired bootstrap), `to_right`, `to_wrong`, and `p` (McNemar's
        exact test, two-sided).

    Raises:
        DataError: If a table is empty or lacks an answer.
    """
    rows = [_row(name, frame, before, after) for name, frame, after in runs]
    table = pd.DataFrame(rows)
    return table.sort_values("gain", ascending=False, kind="stable", ignore_index=True)


def _row(name: str, frame: pd.DataFrame, before: str, after: str) -> dict[str, object]:
    was, now = correct(frame, before), correct(frame, after)
    to_right, to_wrong = flips(was, now)
    bounds = paired_bootstrap(now, was, seed=0)
    return {
        "run": name,
        "samples": len(frame),
        "before": float(was.mean()),
        "after": float(now.mean()),
        "gain": bounds.difference,
        "gain_low": bounds.low,
        "gain_high": bounds.high,
        "to_right": to_right,
        "to_wrong": to_wrong,
        "p": mcnemar(to_right, to_wrong).two_sided,
    }
