"""Experiments whose weights others begin with: which they are, and with which values."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hardy.models.reference import OfExperiment, WeightsRef
from hardy.spec.diagnostics import Diagnostic
from hardy.spec.expand import example, expand
from hardy.spec.experiment import Experiment
from hardy.spec.find import lookup
from hardy.spec.matrix import label_of, read_axes
from hardy.spec.merge import Loader
from hardy.spec.node import KeyPath, Node, Origin
from hardy.spec.overrides import Override, read_overrides
from hardy.spec.resolved import Resolved, Unit
from hardy.spec.units import ABSENT, value_at, values_of


@dataclass(frozen=True)
class _Asked:
    """One reference of one unit to another experiment.

    Attributes:
        reference: What is asked for.
        name: The other experiment.
        file: Its file.
        key: Path of the reference's text in the unit's tree.
        place: Where that text was written.
        same_key: Path of the reference's `same`, or of its text where it has none.
        same_place: Where that was written.
        values: By dotted path, the values that the other takes from the unit.
    """

    reference: WeightsRef
    name: str
    file: Path
    key: KeyPath
    place: Origin
    same_key: KeyPath
    same_place: Origin
    values: dict[str, Any]

    @property
    def assignments(self) -> tuple[str, ...]:
        """The values as overrides of the other experiment."""
        return tuple(f"{path}={json.dumps(value)}" for path, value in self.values.items())


@dataclass
class Needs:
    """Attaches to units the units whose weights they begin with.

    Attributes:
        faults: Faults are appended here.
        known: The units asked for so far, by file and overrides; None where one is at fault.
    """

    faults: list[Diagnostic]
    known: dict[tuple[Path, tuple[str, ...]], Unit | None] = field(default_factory=dict)

    def attach(self, found: Resolved | None, chain: tuple[Path, ...]) -> Resolved | None:
        """Return what was resolved with the needs of all its units.

        Args:
            found: An experiment's units.
            chain: The files whose weights led here, the first one first.
        """
        if found is None:
            return None
        return replace(found, units=tuple(self._of(unit, chain) for unit in found.units))

    def _of(self, unit: Unit, chain: tuple[Path, ...]) -> Unit:
        needs: dict[str, Unit] = {}
        for path, reference in unit.experiment.weights().items():
            if isinstance(reference.source, OfExperiment):
                asked = self._asked(unit, path, reference, reference.source.name)
                source = self._unit(asked, chain) if asked else None
                needs |= {path: source} if source else {}
        return replace(unit, needs=needs) if needs else unit

    def _asked(self, unit: Unit, path: str, reference: WeightsRef, name: str) -> _Asked | None:
        """Find where a reference was written, and the values that it takes from its unit."""
        file = lookup(name)
        if file is None:  # its fault is among those of the names
            return None
        whole = tuple(int(step) if step.isdecimal() else step for step in path.split("."))
        spelled_out = (*whole, "from") in unit.origins
        key = (*whole, "from") if spelled_out else whole
        place = unit.origins[key][0].origin
        same = (*whole, "same")
        known = values_of(unit.experiment)
        values = {}
        for index, wanted in enumerate(reference.same or ()):
            value = value_at(known, wanted)
            if value is ABSENT:
                message = f"this experiment has no `{wanted}` that another could take"
                self._fault(unit.origins[*same, index][0].origin, (*same, index), message)
                return None
            values[wanted] = value
        if not values:
            return _Asked(reference, name, file, key, place, key, place, values)
        same_place = unit.origins[same][0].origin
        return _Asked(reference, name, file, key, place, same, same_place, values)

    def _unit(self, asked: _Asked, chain: tuple[Path, ...]) -> Unit | None:
        """Return the unit that a reference means; each is looked for once."""
        if asked.file in chain:
            circle = [file.stem for file in (*chain[chain.index(asked.file) :], asked.file)]
            self._fault(asked.place, asked.key, f"the weights make a circle: {' -> '.join(circle)}")
            return None
        wanted = (asked.file, asked.assignments)
        if wanted not in self.known:
            self.known[wanted] = None  # until it is known, and for good if it is at fault
            self.known[wanted] = self._resolved(asked, chain)
        return self.known[wanted]

    def _resolved(self, asked: _Asked, chain: tuple[Path, ...]) -> Unit | None:
        note = f"needed by {asked.place}"
        tree = Loader(self.faults, context=note).load(asked.file)
        if tree is None:
            return None
        if tree.child("suite") is not None:
            self._no_source(asked, f"{asked.name!r} is a suite; weights come from one run")
            return None
        if asked.values and not self._has_all(asked, example(tree)):
            return None
        overrides = read_overrides(asked.assignments, self.faults, note=note)
        found = expand(
            tree,
            overrides,
            self.faults,
            reference=asked.name,
            path=asked.file,
            overrides=asked.assignments,
            label=_label(tree, overrides),
        )
        if found is None or not self._yields_one(asked, found):
            return None
        whole = self.attach(found, (*chain, asked.file))
        return whole.units[0] if whole else None

    def _has_all(self, asked: _Asked, other: Experiment | None) -> bool:
        """Tell whether the other experiment has all that it is to take."""
        if other is None:
            return True  # its own faults are told when it is expanded
        known = values_of(other)
        lacking = [path for path in asked.values if value_at(known, path) is ABSENT]
        for path in lacking:
            message = f"{asked.name!r} has no `{path}` to take from this experiment"
            self._fault(asked.same_place, asked.same_key, message)
        return not lacking

    def _yields_one(self, asked: _Asked, found: Resolved) -> bool:
        """Tell whether what was found is one run that yields weights."""
        if found.search is not None:
            self._no_source(asked, f"{asked.name!r} is a search; weights come from one run")
            return False
        if len(found.units) > 1:
            message = f"{asked.name!r} is {len(found.units)} runs; weights come from one"
            axes = ", ".join(found.matrix)
            expected = f"`same: [{axes}]`, or an experiment of one run"
            self._fault(asked.same_place, asked.same_key, message, expected=expected)
            return False
        method = found.units[0].experiment.method
        if not method.yields_weights:
            message = f"{asked.name!r} yields no weights: its method {method.kind} trains none"
            self._no_source(asked, message)
        elif asked.reference.beside_network and not method.leaves_more:
            take = asked.reference.take
            message = f"the run of {asked.name!r} leaves its network alone, no {take!r} beside it"
            self._fault(asked.place, asked.key, message, expected=f"take: network.{take}")
            return False
        return method.yields_weights

    def _no_source(self, asked: _Asked, message: str) -> None:
        expected = "an experiment of one run, whose method trains a model"
        self._fault(asked.place, asked.key, message, expected=expected)

    def _fault(self, place: Origin, key: KeyPath, message: str, *, expected: str = "") -> None:
        self.faults.append(Diagnostic.at(place, key, message, expected=expected))


def _label(tree: Node, overrides: Sequence[Override]) -> str:
    """Name a unit by the values that stand in for axes, as the matrix itself would."""
    paths = [axis.path for axis in read_axes(tree, [])]
    values = [
        override.value
        for path in paths
        for override in overrides
        if path[: len(override.path)] == override.path
    ]
    return "-".join(map(label_of, values))
