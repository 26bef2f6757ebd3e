"""Is a run's number the one that was published? An expected value against what was got."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hardy.spec.experiment import Expect

Bounds = tuple[float, float] | None
Agreement = Literal["yes", "unclear", "no"]
HEADERS = ("run", "metric", "expected", "got", "95 % interval", "agrees", "source")
_NONE = "–"


@dataclass(frozen=True)
class Verdict:
    """One expected value, held against a run.

    Attributes:
        expect: What was expected, how closely, and who says so.
        got: The run's value.
        low: Lower end of its 95 % interval; None where there is none.
        high: Upper end of its 95 % interval; None where there is none.
    """

    expect: Expect
    got: float
    low: float | None = None
    high: float | None = None

    @property
    def difference(self) -> float:
        """What was got, minus what was expected."""
        return self.got - self.expect.value

    @property
    def agrees(self) -> Agreement:
        """`yes` within the tolerance; `unclear` where only the interval reaches into it."""
        # Rounding of decimals such as 0.63 - 0.62 must not decide.
        reach = self.expect.tolerance + 1e-9
        if abs(self.difference) <= reach:
            return "yes"
        if self.low is None or self.high is None:
            return "no"
        bottom, top = self.expect.value - reach, self.expect.value + reach
        return "unclear" if self.low <= top and self.high >= bottom else "no"


def verdicts(
    expected: Iterable[Expect], metrics: Mapping[str, float], interval: Callable[[str], Bounds]
) -> list[Verdict]:
    """Hold a run's expected values against it.

    Args:
        expected: What the spec expects; values that only several runs have together are left out.
        metrics: The run's metrics.
        interval: Gives the 95 % interval of one of them by its name; None where there is none.
    """
    return [
        Verdict(expect, metrics[expect.metric], *(interval(expect.metric) or (None, None)))
        for expect in expected
        if expect.metric in metrics
    ]


def joint_verdicts(expected: Iterable[Expect], aggregated: Mapping[str, float]) -> list[Verdict]:
    """Hold the values that several runs have together against what was expected of them.

    They have no interval: the runs share their photographs, so they are not independent.
    """
    return [Verdict(e, aggregated[e.metric]) for e in expected if e.metric in aggregated]


def verdict_metrics(found: Sequence[Verdict]) -> dict[str, float]:
    """Return verdicts as metrics: `expect/METRIC/difference`, what was got minus the expected.

    Where a metric is expected twice, the last one stands.
    """
    return {f"expect/{v.expect.metric}/difference": v.difference for v in found}


def verdict_summary(found: Sequence[Verdict]) -> str:
    """Say in a few words how many values agree, such as `2 of 3 agree, 1 unclear`."""
    counts = {word: sum(v.agrees == word for v in found) for word in ("yes", "unclear")}
    unclear = f", {counts['unclear']} unclear" if counts["unclear"] else ""
    return f"{counts['yes']} of {len(found)} agree{unclear}"


def verdict_cells(name: str, verdict: Verdict) -> list[str]:
    """Return a verdict's cells as text, in the order of `HEADERS`."""
    expect = verdict.expect
    mark = " (from memory, not verified)" if expect.unverified else ""
    low, high = verdict.low, verdict.high
    return [
        name,
        expect.metric,
        f"{expect.value:.4g} ± {expect.tolerance:.2g}",
        f"{verdict.got:.4f}",
        _NONE if low is None or high is None else f"[{low:.4f}, {high:.4f}]",
        verdict.agrees,
        f"{expect.source}{mark}",
    ]


def verdict_line(name: str, verdict: Verdict) -> str:
    """Return a verdict as one line for a terminal."""
    _, metric, expected, got, bounds, agrees, source = verdict_cells(name, verdict)
    return f"{name}: {metric} expected {expected}, got {got} {bounds}: {agrees} ({source})"


def verdict_table(found: Iterable[tuple[str, Verdict]]) -> str:
    """Render named verdicts as a Markdown table."""
    rows = [verdict_cells(name, verdict) for name, verdict in found]
    lines = [HEADERS, ["---"] * len(HEADERS), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
