"""From resolved units to planned ones: fingerprints, and the runs that already hold the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from hardy.core.hashing import digest
from hardy.core.variables import stated_path
from hardy.plan.inputs import Inputs, Located, Samples
from hardy.plan.tracker import Finder, PastRun
from hardy.spec import Resolved, Unit
from hardy.spec.experiment import Experiment

T = TypeVar("T")


@dataclass(frozen=True)
class PlannedUnit:
    """One run to be made, or one that was made before.

    Attributes:
        unit: The resolved experiment and this combination's choices.
        fingerprint: Digest of all that can change the numbers, and of nothing else.
        samples: The samples it will see.
        located: Its weights; without a path where `needs` yields them.
        past: The newest run of the same fingerprint, finished or not.
        needs: The unit that yields its weights.
    """

    unit: Unit
    fingerprint: str
    samples: Samples
    located: Located
    past: PastRun | None
    needs: PlannedUnit | None = None

    @property
    def data_digest(self) -> str:
        """Digest of the samples; empty where they are absent."""
        return self.samples.digest

    @property
    def weights(self) -> str:
        """Identity of the weights, such as `sha256:...`."""
        return self.located.identity

    @property
    def reusable(self) -> bool:
        """Whether a finished run already holds this unit's numbers."""
        return self.past is not None and self.past.finished


@dataclass(frozen=True)
class Plan:
    """The units of one resolved experiment or suite, in order.

    Attributes:
        resolved: What the spec language gave.
        units: In the order in which they run.
        needed: Units of other experiments that must run first, since these begin with weights
            that no finished run holds yet; each stands after what it needs itself.
    """

    resolved: Resolved
    units: tuple[PlannedUnit, ...]
    needed: tuple[PlannedUnit, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Digest of the units' fingerprints: what a parent run is known by."""
        return digest(["plan", *(unit.fingerprint for unit in self.units)])


def fingerprint(experiment: Experiment, data_digest: str, weights: str) -> str:
    """Return the digest of all that can change an experiment's numbers.

    Names, descriptions, pictures, workers and devices are outside it: they change no number.
    """
    data = experiment.data.identity()
    # What the files hold counts, not where they lie.
    data["root"] = data_digest
    model = experiment.model.identity() | {"weights": weights}
    return digest(
        {
            "data": data,
            "model": model,
            "method": experiment.method.identity(),
            "seed": experiment.seed,
            "precision": experiment.precision,
        }
    )


def make_plan(
    resolved: Resolved, inputs: Inputs, finder: Finder | None, *, again: bool = False
) -> Plan:
    """Plan the units of a resolved experiment or suite.

    Args:
        resolved: What the spec language gave.
        inputs: How to learn of data and weights.
        finder: Where finished and unfinished runs are looked up; None looks nowhere.
        again: Run the units anew, even those that a finished run already holds; what they need
            is reused all the same.
    """
    draft = _Draft(inputs)
    prints = [draft.fingerprint(unit) for unit in resolved.units]
    past = dict(finder.find_many(draft.fingerprints)) if finder is not None else {}
    known: dict[str, PlannedUnit] = {}
    units = []
    for unit, mark in zip(resolved.units, prints, strict=True):
        before = past.get(mark)
        hidden = again and before is not None and before.finished
        needs = _source(unit.needs, draft, past, known)
        units.append(draft.planned(unit, None if hidden else before, needs))
    return Plan(resolved, tuple(units), _first(units))


def _source(
    unit: Unit | None,
    draft: _Draft,
    past: Mapping[str, PastRun],
    known: dict[str, PlannedUnit],
) -> PlannedUnit | None:
    """Plan the unit that yields another's weights, once for all that share it."""
    if unit is None:
        return None
    mark = draft.fingerprint(unit)
    if mark not in known:
        needs = _source(unit.needs, draft, past, known)
        known[mark] = draft.planned(unit, past.get(mark), needs)
    return known[mark]


def _first(units: Iterable[PlannedUnit]) -> tuple[PlannedUnit, ...]:
    """Return what must run before the units that must run, what it needs itself first."""
    order: dict[str, PlannedUnit] = {}
    for unit in units:
        chain: list[PlannedUnit] = []
        needs = None if unit.reusable else unit.needs
        while needs is not None and not needs.reusable:
            chain.append(needs)
            needs = needs.needs
        order |= {one.fingerprint: one for one in reversed(chain) if one.fingerprint not in order}
    return tuple(order.values())


@dataclass
class _Draft:
    """Asks for each input once, though a thousand units may share it.

    Attributes:
        inputs: How to learn of data and weights.
    """

    inputs: Inputs
    _samples: dict[str, Samples] = field(default_factory=dict)
    _weights: dict[str, Located] = field(default_factory=dict)
    _prints: dict[int, str] = field(default_factory=dict)

    @property
    def fingerprints(self) -> Iterable[str]:
        """The fingerprints of all units asked for so far, and of what they need."""
        return set(self._prints.values())

    def samples(self, unit: Unit) -> Samples:
        return self._named(unit.experiment)

    def _digest(self, unit: Unit) -> str:
        """Return what the fingerprint takes for all samples, those held out included."""
        experiment, digests = unit.experiment, [self.samples(unit).digest]
        held_out = experiment.method.held_out
        if held_out is not None:
            data = held_out.data(experiment.data, experiment.seed)
            digests.append(self._named(experiment.model_copy(update={"data": data})).digest)
        return " ".join(digests)

    def _named(self, experiment: Experiment) -> Samples:
        return _once(
            self._samples,
            experiment.data.model_dump_json(),
            lambda: self.inputs.samples(experiment),
        )

    def located(self, unit: Unit) -> Located:
        experiment = unit.experiment
        own = (
            Located(None, f"run:{self.fingerprint(unit.needs)}")
            if unit.needs is not None
            else self._found(experiment)
        )
        further = experiment.method.further_models
        models = [experiment.model_copy(update={"model": model}) for model in further.values()]
        others = tuple(map(self._found, models))
        files = [f for f in experiment.method.files if not stated_path(f).is_file()]
        missing = [
            *(each.absent for each in (own, *others)),
            *(f"{f} does not exist" for f in files),
        ]
        absent = "; ".join(filter(None, missing))
        return replace(own, others=others, absent=absent)

    def _found(self, experiment: Experiment) -> Located:
        return _once(
            self._weights,
            experiment.model.model_dump_json(),
            lambda: self.inputs.weights(experiment),
        )

    def fingerprint(self, unit: Unit) -> str:
        if id(unit) not in self._prints:
            data, weights = self._digest(unit), self.located(unit).identities
            self._prints[id(unit)] = fingerprint(unit.experiment, data, weights)
        return self._prints[id(unit)]

    def planned(self, unit: Unit, past: PastRun | None, needs: PlannedUnit | None) -> PlannedUnit:
        mark = self.fingerprint(unit)
        return PlannedUnit(unit, mark, self.samples(unit), self.located(unit), past, needs)


def _once(known: dict[str, T], key: str, ask: Callable[[], T]) -> T:
    if key not in known:
        known[key] = ask()
    return known[key]
