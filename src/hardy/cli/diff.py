"""Two specs, two runs, or one of each, compared by value."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from hardy.core.errors import SpecError
from hardy.spec import Unit, find_spec, resolve
from hardy.spec.dump import scalar
from hardy.spec.search.units import Search, alone
from hardy.spec.units import values_of

_RUN_DIGITS = frozenset("0123456789abcdef")
_ABSENT = "absent"


@dataclass(frozen=True)
class Side:
    """One of the two things to compare.

    Attributes:
        units: Its experiments; of a search, the one that it stands in.
        facts: What its run recorded beside the spec; None for a spec.
        search: The search; None where there is none.
    """

    units: tuple[Unit, ...]
    facts: Mapping[str, str] | None = field(default=None)
    search: Search | None = None

    @property
    def values(self) -> list[dict[str, Any]]:
        """All values of each experiment, and of the search, as a file has them."""
        spec = self.search.spec.model_dump(mode="json", by_alias=True) if self.search else None
        beside = {"search": spec} if spec else {}
        return [values_of(unit.experiment) | beside for unit in self.units]


@dataclass(frozen=True)
class Entry:
    """A path whose values differ; more than one value where a side's units differ in it."""

    path: str
    left: tuple[str, ...]
    right: tuple[str, ...]


def side(reference: str, overrides: Sequence[str] = ()) -> Side:
    """Resolve a spec, or read a run's; a spec of that name wins.

    Raises:
        SpecError: If the reference names neither, or overrides are given for a run.
        TrackingError: If it can only be a run, and there is none or more than one.
    """
    try:
        find_spec(reference)
    except SpecError:
        if len(reference) < 6 or not set(reference) <= _RUN_DIGITS:
            raise
        if overrides:
            message = f"{reference} is a run: what it ran with cannot be overridden"
            raise SpecError(message, hint="Leave --set out.") from None
        return _run_side(reference)
    found = resolve(reference, overrides)
    if found.search is not None:
        return Side((alone(found.search),), search=found.search)
    return Side(found.units)


def _run_side(reference: str) -> Side:
    from hardy.results.request import is_parent, resolve_run, unit_runs
    from hardy.tracking.lookup import find_run
    from hardy.tracking.mlflow_tracker import MlflowTracker
    from hardy.tracking.reproduce import facts

    tracker = MlflowTracker()
    run = tracker.get(find_run(reference))
    runs = unit_runs(tracker, run) if not is_parent(run) or run.finished else [run]
    units = tuple(unit for each in runs for unit in resolve_run(tracker, each).units)
    told = {f"{cause}, {fact}": value for (cause, fact), value in facts(tracker, runs[0]).items()}
    return Side(units, told)


def compare(left: Side, right: Side) -> list[Entry]:
    """Return what differs, by dotted path in the spec's order; of two runs, then by fact."""
    columns = [_columns(each.values) for each in (left, right)]
    found = [
        Entry(path, _distinct(a), _distinct(b))
        for path in dict.fromkeys([*columns[0], *columns[1]])
        if _differ(a := columns[0].get(path, ()), b := columns[1].get(path, ()))
    ]
    if left.facts is None or right.facts is None:
        return found
    return found + [
        Entry(fact, (left.facts.get(fact, ""),), (right.facts.get(fact, ""),))
        for fact in dict.fromkeys([*left.facts, *right.facts])
        if left.facts.get(fact, "") != right.facts.get(fact, "")
    ]


def _columns(values: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return, for each dotted path, its values from unit to unit."""
    tables = [dict(_leaves(each, "")) for each in values]
    paths = dict.fromkeys(path for table in tables for path in table)
    return {path: tuple(table.get(path, _ABSENT) for table in tables) for path in paths}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _leaves(below, f"{path}.{key}" if path else key)
    else:
        yield path, scalar(value)


def _differ(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    if len(left) == len(right):
        return left != right
    return _distinct(left) != _distinct(right)


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values)) or (_ABSENT,)


def lines(found: Sequence[Entry], left_name: str, right_name: str, *, color: bool) -> Iterator[str]:
    """Yield the lines to print: the path, then what the left side has and what the right."""
    if not found:
        yield f"{left_name} and {right_name} agree in every value"
        return
    yield _paint(f"- {left_name}", "red", color=color)
    yield _paint(f"+ {right_name}", "green", color=color)
    for entry in found:
        yield entry.path
        yield _paint(f"  - {' | '.join(entry.left)}", "red", color=color)
        yield _paint(f"  + {' | '.join(entry.right)}", "green", color=color)


def _paint(text: str, colour: str, *, color: bool) -> str:
    return click.style(text, fg=colour) if color else text
