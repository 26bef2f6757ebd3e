"""Runs side by side: rows of plain values, their cells as text, and a Markdown table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NONE = "–"


@dataclass(frozen=True)
class Board:
    """How runs are ranked and written that share a headline.

    Attributes:
        headline: The metric that is shown.
        higher_is_better: Its direction.
        binary: Whether it is the share of samples that are right: then it is shown in %, and
            beside it how many flipped; else the mean gain of the score stands there.
    """

    headline: str
    higher_is_better: bool
    binary: bool

    @property
    def headers(self) -> tuple[str, ...]:
        """Names of the columns."""
        changed = "flips" if self.binary else "gain"
        return ("run", "shift", "n", "before", "after", changed, "s/sample")

    @property
    def caption(self) -> str:
        """What the numbers are."""
        if self.binary:
            return (
                f"{self.headline} in % with its 95 % interval (Wilson); flips to right and to wrong"
            )
        return (
            f"{self.headline} with its 95 % interval (samples drawn anew); "
            "gain is the mean of the score's"
        )

    def ranked(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Sort rows by shift, then the best first: shifts are not comparable."""
        sign = -1 if self.higher_is_better else 1
        return sorted(rows, key=lambda row: (row["shift"], sign * row["after"], row["name"]))

    def cells(self, row: Mapping[str, Any]) -> list[str]:
        """Return a row's cells as text, in the order of `headers`."""
        seconds = row["seconds"]
        return [
            row["name"],
            row["shift"],
            str(row["n"]),
            self._value(row["before"], row["before_low"], row["before_high"]),
            self._value(row["after"], row["after_low"], row["after_high"]),
            _changed(row),
            f"{seconds:.3g}" if seconds is not None else _NONE,
        ]

    def _value(self, value: float | None, low: float | None, high: float | None) -> str:
        if value is None or low is None or high is None:
            return _NONE
        if self.binary:
            return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        return f"{value:.4g} [{low:.4g}, {high:.4g}]"

    def markdown(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Render rows as a Markdown table, ranked, names linked where a row has a link."""
        headers = self.headers
        lines = [_line(headers), _line(["---", "---", *["---:"] * (len(headers) - 2)])]
        for row in self.ranked(rows):
            name, *rest = map(_escape, self.cells(row))
            lines.append(_line([f"[{name}]({row['link']})" if row["link"] else name, *rest]))
        note = self.caption[0].upper() + self.caption[1:]
        return "\n".join([*lines, "", f"{note}.", ""])


def leaderboard_row(
    name: str,
    shift: str,
    metrics: Mapping[str, float],
    *,
    headline: str,
    before: tuple[float, float, float] | None = None,
    link: str = "",
) -> dict[str, Any]:
    """Return one run's row from the metrics that `summarise` gave.

    Values that the run lacks (a baseline, flips, timings) are None.

    Args:
        name: The run's name.
        shift: Its shift's label.
        metrics: Its metrics by name.
        headline: The metric that is shown.
        before: The same of its baseline, and its 95 % interval; None where there is none.
        link: Where its name leads to.
    """
    value, low, high = before or (None, None, None)
    return {
        "name": name,
        "shift": shift,
        "n": int(metrics["samples"]),
        "before": value,
        "before_low": low,
        "before_high": high,
        "after": metrics[headline],
        "after_low": metrics[f"{headline}.low"],
        "after_high": metrics[f"{headline}.high"],
        "to_right": metrics.get("flips/to_right"),
        "to_wrong": metrics.get("flips/to_wrong"),
        "gain": metrics.get("delta/score"),
        "seconds": metrics.get("seconds_per_sample"),
        "link": link,
    }


def _changed(row: Mapping[str, Any]) -> str:
    if row["to_right"] is not None:
        return f"+{row['to_right']:.0f} −{row['to_wrong']:.0f}"
    return f"{row['gain']:+.4g}" if row["gain"] is not None else _NONE


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
