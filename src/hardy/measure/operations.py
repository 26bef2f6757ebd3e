"""Which operations made the views of the samples that an adaptation mended, or spoilt."""

from collections import Counter

import numpy as np
import pandas as pd

OPERATIONS = "operations"
"""Column of the records: for each view, the operations it went through; none for view 0."""

SELECTED = "selected_views"
"""Column of the records: places of the views that were used; absent where all were."""


def operation_rows(frame: pd.DataFrame, before: np.ndarray, after: np.ndarray) -> pd.DataFrame:
    """Count each operation's views among improved, worsened and all samples.

    A sample counts as improved if its score rose (its answer turned right), as worsened if it fell.
    Only views that were used count, and the unchanged image does not. What chance would
    give is a draw of as many samples without replacement: its mean is n·c̄ and its variance
    n·S²·(1 − n/N), with c the operation's views in a sample (Cochran, "Sampling Techniques", 1977,
    theorem 2.2).

    Args:
        frame: Records with the column `operations`.
        before: Scores (N,) of the answer to compare with.
        after: Scores (N,) of the answer that is judged.

    Returns:
        One row an operation, by name: `operation`, `views` and `share` (of all used views, in
        [0, 1]), and for `improved` and `worsened` each `GROUP_views`, `GROUP_share`,
        `GROUP_expected` and `GROUP_sd` (views by chance, and their standard deviation). Shares are
        NaN where a group has no sample. No rows where no view went through an operation.
    """
    counts, used = _counts(frame)
    table = pd.DataFrame({"operation": list(counts), "views": [c.sum() for c in counts.values()]})
    table["share"] = table["views"] / max(1, int(used.sum()))
    for group, mask in (("improved", after > before), ("worsened", after < before)):
        size, total = int(mask.sum()), int(used[mask].sum())
        views = np.array([c[mask].sum() for c in counts.values()], dtype=np.int64)
        chance = [_by_chance(c, size) for c in counts.values()]
        table[f"{group}_views"] = views
        table[f"{group}_share"] = views / total if total else np.nan
        table[f"{group}_expected"] = [mean for mean, _ in chance]
        table[f"{group}_sd"] = [sd for _, sd in chance]
    return table


def _counts(frame: pd.DataFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return each operation's used views by sample, (N,), and all used views by sample, (N,)."""
    chosen = [_used_views(row) for _, row in frame.iterrows()]
    # A view that went through an operation twice is still one view.
    counters = [Counter(name for view in views for name in set(view)) for views in chosen]
    names = sorted(set().union(*counters))
    counts = {name: np.array([c[name] for c in counters], dtype=np.int64) for name in names}
    return counts, np.array([len(views) for views in chosen], dtype=np.int64)


def _used_views(row: "pd.Series[str]") -> list[list[str]]:
    operations = row.get(OPERATIONS)
    if not isinstance(operations, list):
        return []
    selected = row.get(SELECTED)
    places = selected if isinstance(selected, list) else range(len(operations))
    # A method may use more views than the pipeline made: MEMO_PLUS adds masked images.
    return [operations[p] for p in places if p < len(operations) and operations[p]]


def _by_chance(counts: np.ndarray, size: int) -> tuple[float, float]:
    total = len(counts)
    spread = float(counts.var(ddof=1)) if total > 1 else 0.0
    return size * float(counts.mean()), float(np.sqrt(size * spread * (1 - size / total)))
