"""Every shipped unit keeps its fingerprint; HARDY_UPDATE=1 rewrites the file of them.

The samples and the weights are stand-ins made of what a spec says of them, so that the file is the
same on every machine, whatever data, packages and runs it has.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from hardy.core.hashing import digest
from hardy.data.spec import DataSpec
from hardy.models.spec import ModelSpec
from hardy.models.weights import Located
from hardy.plan.tracker import Stores
from hardy.plan.units import PlannedUnit
from hardy.spec import named_experiments, named_suites, resolve
from tests.plan.helpers import Asked

ROOT = Path(__file__).parents[2]
PINS = Path(__file__).with_name("fingerprints.txt")
WHY = (
    "Where a fingerprint changes, finished runs of that unit are no longer found and used again. "
    "If its numbers are the same, undo the change; if not, rewrite the file by HARDY_UPDATE=1."
)


class StandIns(Asked):
    """Knows data and weights by what the spec says, and by nothing else."""

    def digest(self, data: DataSpec) -> str:
        stated = {k: v for k, v in data.identity().items() if k != "shift"}
        return digest([data.part_name, stated])

    def located_of(self, model: ModelSpec, stores: Stores, *, absent_ok: bool = False) -> Located:
        return Located(None, f"{model.kind}/{model.name}:{model.weights}")


def planned(spec: str) -> Iterator[PlannedUnit]:
    """Yield the units of a spec, each with those that it needs."""
    waiting = list(StandIns(count=1).plan(resolve(spec)).units)
    while waiting:
        one = waiting.pop()
        yield one
        waiting += one.needs.values()


@cache
def current() -> dict[str, str]:
    """Return the fingerprints by unit; the spec leads where a unit differs from spec to spec."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for spec, *_ in (*named_experiments(), *named_suites()):
        for one in planned(spec):
            name = one.unit.experiment.name
            known = found[name].setdefault(spec, one.fingerprint)
            assert known == one.fingerprint, f"{spec} has two units named {name}"
    marks = {}
    for name, by_spec in found.items():
        same = len(set(by_spec.values())) == 1
        marks |= {name if same else f"{spec} {name}": mark for spec, mark in by_spec.items()}
    return dict(sorted(marks.items()))


def pinned() -> dict[str, str]:
    lines = PINS.read_text(encoding="utf-8").splitlines()
    return {name: mark for name, _, mark in (line.rpartition(" ") for line in lines)}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand where the specs are, and where no file of data is: the home is empty."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("HARDY_DATA", raising=False)


def test_no_shipped_unit_has_another_fingerprint_than_before() -> None:
    if os.environ.get("HARDY_UPDATE"):
        text = "".join(f"{name} {mark}\n" for name, mark in current().items())
        PINS.write_text(text, encoding="utf-8")
    before = pinned()
    changed = [name for name, mark in current().items() if before.get(name, mark) != mark]
    assert not changed, f"changed: {', '.join(changed)}. {WHY}"
    new = [name for name in current() if name not in before]
    assert not new, f"not in {PINS.name}: {', '.join(new)}. Add them by HARDY_UPDATE=1."


def test_no_line_is_left_of_a_unit_that_is_gone() -> None:
    gone = [name for name in pinned() if name not in current()]
    assert not gone, f"no shipped spec has {', '.join(gone)} any more. {WHY}"


def test_the_lines_are_sorted_and_each_unit_has_one() -> None:
    names = [line.rpartition(" ")[0] for line in PINS.read_text(encoding="utf-8").splitlines()]
    assert names == sorted(set(names))
    assert len(names) > 300
