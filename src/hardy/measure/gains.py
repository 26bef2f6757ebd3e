"""What each run of a matrix gained over its baseline: one row a run."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from hardy.measure.paired import flips, mcnemar, paired_bootstrap


def gain_rows(runs: Iterable[tuple[str, np.ndarray, np.ndarray]], *, binary: bool) -> pd.DataFrame:
    """Tabulate runs by what they gained, the largest gain first.

    Args:
        runs: For each run its name, its baseline's scores (N,) and its own (N,), of the same
            samples in the same order.
        binary: Whether scores are 0 or 1, right or wrong.

    Returns:
        `run`, `samples`, `before` and `after` (mean scores), `gain` with its 95 % interval
        `gain_low` and `gain_high` (paired bootstrap), `to_right` and `to_wrong` (samples whose
        score rose, and fell), and `p` (McNemar's exact test, two-sided; NaN if not binary).

    Raises:
        DataError: If a run has no sample.
    """
    table = pd.DataFrame([_row(name, was, now, binary=binary) for name, was, now in runs])
    return table.sort_values("gain", ascending=False, kind="stable", ignore_index=True)


def _row(name: str, was: np.ndarray, now: np.ndarray, *, binary: bool) -> dict[str, object]:
    to_right, to_wrong = flips(was, now)
    bounds = paired_bootstrap(now, was, seed=0)
    return {
        "run": name,
        "samples": len(now),
        "before": float(was.mean()),
        "after": float(now.mean()),
        "gain": bounds.difference,
        "gain_low": bounds.low,
        "gain_high": bounds.high,
        "to_right": to_right,
        "to_wrong": to_wrong,
        "p": mcnemar(to_right, to_wrong).two_sided if binary else np.nan,
    }
