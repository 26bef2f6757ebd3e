"""A search's values, tried one at a time on the experiment that they are values of."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hardy.spec.diagnostics import Diagnostic
from hardy.spec.experiment import Experiment
from hardy.spec.node import KeyPath, Node, dotted
from hardy.spec.resolved import Search, Unit
from hardy.spec.search.faults import fault_at
from hardy.spec.search.spec import Categorical, FloatRange, Scalar
from hardy.spec.search.trial import key_of, trial_tree, value_node
from hardy.spec.search.values import label_in, same, words
from hardy.spec.units import ABSENT, make_unit, value_at, values_of

MAX_VALUES = 1000
"""Bounds and choices of a space, each of which is tried on the experiment's schema."""

_NEVER = ("name", "description", "extends", "matrix", "search", "suite", "register", "expect")


@dataclass
class Values:
    """Tries the values of a space on the experiment, one at a time.

    Attributes:
        search: The block; the values of trial 0 are not known yet.
        base: The experiment as it is.
        faults: Faults are appended here.
        present: The experiment's own faults, which every trial has.
        own: The values of trial 0 that are known so far.
    """

    search: Search
    base: Unit
    faults: list[Diagnostic]
    present: Sequence[Diagnostic] = ()
    own: dict[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spec, self.node = self.search.spec, self.search.node
        self.known = self.search.known

    def read(self) -> Search:
        """Return the search with the values of its fixed trials, as far as they are right."""
        before = len(self.faults)
        if self._paths_are_apart() and self._is_countable():
            for path in self.spec.ordered:
                self._read_path(path)
        search = replace(self.search, own=self.own)
        if len(self.faults) > before:
            return search
        first = tuple(self._first(search, index) for index in range(len(self.spec.first)))
        search = replace(search, first=first)
        if len(self.faults) == before:
            self._fixed_trials_differ(search)
        return search

    def _fixed_trials_differ(self, search: Search) -> None:
        for index, values in enumerate(search.first):
            number = search.fixed.index(values)
            if number <= index:
                whose = "the experiment's own" if number == 0 else f"those of first.{number - 1}"
                self._tell(("first", index), f"these values are {whose}")

    def _paths_are_apart(self) -> bool:
        before = len(self.faults)
        for path in self.spec.space:
            steps = path.split(".")
            if not all(steps) or steps[0] in _NEVER:
                self._tell(("space", path), "no value can be tried under this path")
            above = [".".join(steps[:n]) for n in range(1, len(steps))]
            for other in above:
                if other in self.spec.space:
                    message = f"{path} is a part of {other}, which is searched too"
                    self._tell(("space", path), message)
        return len(self.faults) == before

    def _is_countable(self) -> bool:
        total = sum(
            len(each.choices) if isinstance(each, Categorical) else 2
            for each in self.spec.space.values()
        )
        if total > MAX_VALUES:
            message = f"{total:,} bounds and choices are more than {MAX_VALUES:,}"
            self._tell(("space",), message, expected="ranges in place of long lists")
        return total <= MAX_VALUES

    def _read_path(self, path: str) -> None:
        spec, value = self.spec.space[path], value_at(self.known, path)
        active = self.spec.active(path, self.own)
        if value is ABSENT and (active or not spec.when):
            message = "this experiment has no such value"
            place = key_of(self.search, path)
            where = ("search", "space", path)
            known = list(_paths(self.known, ""))
            self.faults.append(Diagnostic.at(place, where, message, name=path, known=known))
            return
        if isinstance(spec, FloatRange) and isinstance(value, int) and not isinstance(value, bool):
            message = "the range is of real numbers, and this value is a whole one"
            self._tell(("space", path, "kind"), message, expected="kind: int", got="kind: float")
            return
        before = len(self.faults)
        found = label_in(spec, value) if not isinstance(spec, Categorical) else None
        seen: list[Scalar] = []
        for node, label in self._candidates(path):
            if any(label == other for other in seen):
                message = "the value is given twice"
                self.faults.append(Diagnostic.at(node.origin, ("search", "space", path), message))
                continue
            seen.append(label)
            experiment = self._try(path, node, label)
            if experiment is not None and isinstance(spec, Categorical) and not found:
                same_value = value_at(values_of(experiment), path) == value
                found = (label,) if same_value else None
        if active and found:
            self.own[path] = found[0]
        elif active and len(self.faults) == before:
            message = f"the experiment's own value {_brief(value)} is not in its space"
            expected = f"{words(spec)}, here or there: trial 0 has the experiment's own values"
            self._tell(("space", path), message, expected=expected)

    def _candidates(self, path: str) -> Iterator[tuple[Node, Scalar]]:
        """Yield the bounds or choices of a path, each with the node where it stands."""
        spec, here = self.spec.space[path], self.node.at(("space", path)) or self.node
        if isinstance(spec, Categorical):
            for index, label in enumerate(spec.labels):
                yield here.deepest(("choices", index)), label
            return
        for key in ("low", "high", "step"):
            value = getattr(spec, key)
            if key == "step" and value is not None:
                value += spec.low
            node = here.child(key)
            if node is not None and value is not None and value <= spec.high:
                yield replace(node, value=value), value

    def _try(self, path: str, node: Node, label: Scalar) -> Experiment | None:
        """Return the experiment with one value of a path, or None where it refuses it."""
        setting = self._setting(path)
        if setting is None:
            return None
        values = {other: value_node(self.search, other, each) for other, each in setting.items()}
        active = dict(self.own) | setting | {path: label}
        for other in self.spec.ordered:
            if other not in active and self.spec.active(other, active):
                own = value_at(self.known, other)
                first = next(iter(self._candidates(other)))
                if own is ABSENT and self.spec.space[other].when:  # another kind may require it
                    values[other] = first[0]
                known = label_in(self.spec.space[other], own)
                active[other] = known[0] if known else first[1]
        active = {p: v for p, v in active.items() if self.spec.active(p, active)}
        experiment, found = self._made(self.search, active, {**values, path: node})
        self.faults.extend(_at(node, ("space", path), found))
        if experiment is not None and _compared(experiment) != _compared(self.base.experiment):
            message = "trials with this value would answer for other samples, or another task"
            self.faults.append(Diagnostic.at(node.origin, ("search", "space", path), message))
            return None
        return experiment

    def _setting(self, path: str) -> dict[str, Scalar] | None:
        """Return values of other paths under which this one counts; None where there are none."""
        found: dict[str, Scalar] = {}
        waiting = [path]
        while waiting:
            for other, wanted in (self.spec.space[waiting.pop()].when or {}).items():
                allowed = wanted if isinstance(wanted, tuple) else (wanted,)
                labels = [
                    label for each in allowed if (label := label_in(self.spec.space[other], each))
                ]
                if not labels:
                    return None  # `search_faults` tells of it
                holds = other in self.own and any(same(self.own[other], each) for each in allowed)
                if not holds:
                    found.setdefault(other, labels[0][0])
                waiting.append(other)
        return found

    def _first(self, search: Search, index: int) -> dict[str, Scalar]:
        """Return the values of a fixed trial: those stated, and else the experiment's own."""
        entry, here = self.spec.first[index], ("first", index)
        before = len(self.faults)
        given: dict[str, Scalar] = {}
        for path, value in entry.items():
            node = self.node.deepest((*here, path))
            where = ("search", *here, path)
            if path not in self.spec.space:
                message, known = f"{path} is not searched", list(self.spec.space)
                self.faults.append(
                    Diagnostic.at(node.place, where, message, name=path, known=known)
                )
            elif label := label_in(self.spec.space[path], value):
                given[path] = label[0]
            else:
                message, expected = "this value is not in its space", words(self.spec.space[path])
                self.faults.append(
                    Diagnostic.at(node.origin, where, message, expected=expected, got=_brief(value))
                )
        values: dict[str, Scalar] = {}
        for path in self.spec.ordered:
            if not self.spec.active(path, values):
                if path in given:
                    message = (
                        f"{path} does not count under these values: its conditions do not hold"
                    )
                    self._tell((*here, path), message)
            elif path in given or path in self.own:
                values[path] = given.get(path, self.own.get(path))
            elif len(self.faults) == before:
                message = (
                    f"{path} counts under these values, and the experiment has none of its own"
                )
                self._tell(here, message, expected=f"{path}: {words(self.spec.space[path])}")
        if len(self.faults) == before:
            node = self.node.deepest(here)
            nodes = {
                p: replace(value_node(search, p, v), origin=node.origin) for p, v in values.items()
            }
            _, found = self._made(search, values, nodes)
            self.faults.extend(_at(node, here, found))
        return values

    def _made(
        self, search: Search, active: Mapping[str, Scalar], values: Mapping[str, Node]
    ) -> tuple[Experiment | None, list[Diagnostic]]:
        found: list[Diagnostic] = []
        unit = make_unit(trial_tree(search, active, values, found), found)
        present = {fault.identity for fault in self.present}
        found = [fault for fault in found if fault.identity not in present]
        return (unit.experiment if unit and not found else None), found

    def _tell(self, path: KeyPath, message: str, *, expected: str = "", got: str = "") -> None:
        self.faults.append(fault_at(self.node, path, message, expected=expected, got=got))


def _at(node: Node, path: KeyPath, faults: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Yield faults at the value that makes them, wherever they show."""
    for fault in faults:
        moved = Diagnostic.at(node.origin, ("search", *path), fault.message)
        where = f" (at {fault.path})" if fault.path not in ("", dotted(path[1:])) else ""
        yield replace(
            moved,
            message=fault.message + where,
            expected=fault.expected,
            got=fault.got,
            suggestion=fault.suggestion,
        )


def _compared(experiment: Experiment) -> tuple[str, str]:
    """Return what must be the same in all trials: the task, and the samples that are answered."""
    held_out = experiment.method.roles()["answer"]
    data = held_out.data(experiment.data, experiment.seed) if held_out else experiment.data
    return experiment.task.kind, data.model_copy(
        update={"shift": None, "expect_source_accuracy": None}
    ).model_dump_json()


def _paths(value: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        for key, below in value.items():
            yield f"{path}{key}"
            yield from _paths(below, f"{path}{key}.")


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
