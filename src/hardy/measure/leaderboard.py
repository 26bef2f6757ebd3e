"""Runs side by side: rows of plain values, their cells as text, and a Markdown table."""

from collections.abc import Mapping, Sequence
from typing import Any

from hardy.tasks.classify.metrics import interval

HEADERS = ("run", "shift", "n", "before", "after", "flips", "s/sample")
_NONE = "–"


def leaderboard_row(
    name: str,
    shift: str,
    metrics: Mapping[str, float],
    *,
    baseline: str | None = "source",
    link: str = "",
) -> dict[str, Any]:
    """Return one run's row from the metrics that `summarise` gave.

    Values that the run lacks (a baseline, flips, timings) are None; accuracies are in [0, 1].
    """
    n = int(metrics["samples"])
    before = metrics.get(f"{baseline}/accuracy")
    low, high = interval(round(before * n), n) if before is not None else (None, None)
    return {
        "name": name,
        "shift": shift,
        "n": n,
        "before": before,
        "before_low": low,
        "before_high": high,
        "after": metrics["accuracy"],
        "after_low": metrics["accuracy.low"],
        "after_high": metrics["accuracy.high"],
        "to_right": metrics.get("flips/to_right"),
        "to_wrong": metrics.get("flips/to_wrong"),
        "seconds": metrics.get("seconds_per_sample"),
        "link": link,
    }


def ranked(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort rows by shift, then the highest accuracy first: shifts are not comparable."""
    return sorted(rows, key=lambda row: (row["shift"], -row["after"], row["name"]))


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return a row's cells as text, in the order of `HEADERS`."""
    flipped = row["to_right"] is not None
    seconds = row["seconds"]
    return [
        row["name"],
        row["shift"],
        str(row["n"]),
        _accuracy(row["before"], row["before_low"], row["before_high"]),
        _accuracy(row["after"], row["after_low"], row["after_high"]),
        f"+{row['to_right']:.0f} −{row['to_wrong']:.0f}" if flipped else _NONE,
        f"{seconds:.3g}" if seconds is not None else _NONE,
    ]


def leaderboard(rows: Sequence[Mapping[str, Any]]) -> str:
    """Render rows as a Markdown table, ranked, names linked where a row has a link."""
    lines = [_line(HEADERS), _line(["---", "---", *["---:"] * (len(HEADERS) - 2)])]
    for row in ranked(rows):
        name, *rest = map(_escape, cells(row))
        lines.append(_line([f"[{name}]({row['link']})" if row["link"] else name, *rest]))
    note = "Accuracy in % with its 95 % interval (Wilson); flips: wrong to right, right to wrong."
    return "\n".join([*lines, "", note, ""])


def _accuracy(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return _NONE
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
