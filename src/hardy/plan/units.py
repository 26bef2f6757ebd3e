"""From resolved units to planned ones: fingerprints, and the runs that already hold the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from hardy.core.hashing import canonical_json, digest
from hardy.core.variables import stated_path
from hardy.data.dataset import Dataset
from hardy.data.held_out_spec import HeldOut
from hardy.data.sources import how_to_get
from hardy.data.spec import DataSpec
from hardy.methods.base_spec import Role
from hardy.models.spec import ModelSpec
from hardy.models.weights import Located
from hardy.plan.inputs import Samples, located_of, samples_of
from hardy.plan.search import check_unseen, tests_of
from hardy.plan.tracker import Finder, PastRun, Stores
from hardy.spec import Resolved, Unit
from hardy.spec.experiment import Experiment
from hardy.tasks import PLAIN_TASK

T = TypeVar("T")

OWN_WEIGHTS = "model.weights"
"""Path of the reference to the weights of an experiment's own model."""


@dataclass(frozen=True)
class PlannedUnit:
    """One run to be made, or one that was made before.

    Attributes:
        unit: The resolved experiment and this combination's choices.
        fingerprint: Digest of all that can change the numbers, and of nothing else.
        samples: For each role of the method, the samples it will see; equal ones are one object.
        located: By dotted path such as `model.weights`: the experiment's own weights, then those
            of further models in their order; without a file where `needs` yields them.
        past: The newest run of the same fingerprint, finished or not.
        needs: The units that yield weights, by the same paths.
    """

    unit: Unit
    fingerprint: str
    samples: Mapping[Role, Samples]
    located: Mapping[str, Located]
    past: PastRun | None
    needs: Mapping[str, PlannedUnit] = field(default_factory=dict)

    @property
    def own(self) -> Samples:
        """The samples that the experiment's data part names."""
        return self.samples[_own_role(self.unit.experiment)]

    @property
    def data_digest(self) -> str:
        """Digest of the experiment's own samples; empty where they are absent."""
        return self.own.digest

    @property
    def weights(self) -> str:
        """Identity of the experiment's own weights, such as `sha256:...`."""
        return self.located[OWN_WEIGHTS].identity

    @property
    def reusable(self) -> bool:
        """Whether a finished run already holds this unit's numbers."""
        return self.past is not None and self.past.finished

    @property
    def absent(self) -> tuple[str, ...]:
        """What is missing for it to run, a line each."""
        experiment = self.unit.experiment
        data = f"data absent: {experiment.data.dataset}; to get it: "
        lines = [data + each.absent for each in self.samples.values() if each.absent]
        lines += [f"weights absent: {w.absent}" for w in self.located.values() if w.absent]
        files = [f for f in experiment.method.files if not stated_path(f).is_file()]
        for file in files:
            how = how_to_get(file)
            lines.append(f"file absent: {file} does not exist{f'; to get it: {how}' * bool(how)}")
        return tuple(dict.fromkeys(lines))

    @property
    def sources(self) -> Iterator[PlannedUnit]:
        """All units that its weights come from, the nearest first."""
        for source in self.needs.values():
            yield source
            yield from source.sources

    @property
    def trained_on(self) -> dict[str, Dataset]:
        """The samples that its weights were fitted on, by experiment, at any depth."""
        found: dict[str, Dataset] = {}
        for source in self.sources:
            fitted = source.samples.get("fit", source.own).dataset
            name = source.unit.experiment.name
            if fitted is not None and found.get(name, fitted) is not fitted:
                name = f"{name} ({source.fingerprint[:6]})"  # of the same spec with other values
            found |= {name: fitted} if fitted is not None else {}
        return found


@dataclass(frozen=True)
class Plan:
    """The units of one resolved experiment or suite, in order.

    Attributes:
        resolved: What the spec language gave.
        units: In the order in which they run.
        needed: Units of other experiments that must run first, since these begin with weights
            that no finished run holds yet; each stands after what it needs itself.
        tests: Of a search: its units on the test samples, as the best trial's will be at the end.
    """

    resolved: Resolved
    units: tuple[PlannedUnit, ...]
    needed: tuple[PlannedUnit, ...] = ()
    tests: tuple[PlannedUnit, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Digest of the units' fingerprints: what a parent run is known by.

        Of a search, also of all that decides what is tried, but for how long.
        """
        prints = [unit.fingerprint for unit in (*self.units, *self.tests)]
        if self.resolved.search is None:
            return digest(["plan", *prints])
        search = self.resolved.search.spec.model_dump(mode="json", exclude={"budget"})
        return digest(["search", search, *prints])


def fingerprint(experiment: Experiment, data_digest: str, weights: str) -> str:
    """Return the digest of all that can change an experiment's numbers.

    Names, descriptions, pictures, workers and the kind of device are outside it: they change no
    number. So is the number of devices, but of those that share a training.
    """
    data = experiment.data.identity()
    # What the files hold counts, not where they lie.
    data["root"] = data_digest
    parts = {
        "data": data,
        "model": experiment.model.identity() | {"weights": weights},
        "method": experiment.method.identity(),
        "seed": experiment.seed,
        "precision": experiment.precision,
    }
    if experiment.method.answer_batch > 1:
        parts["answer_batch"] = experiment.method.answer_batch
    ranks = (experiment.compute.devices or 1) * (experiment.compute.nodes or 1)
    if ranks > 1 and experiment.method.yields_weights:
        parts["ranks"] = ranks  # each sees a part of a batch: batch norms, mixup, rounding
    if experiment.task != PLAIN_TASK:
        parts["task"] = experiment.task.identity()
    return digest(parts)


def make_plan(
    resolved: Resolved,
    stores: Stores,
    finder: Finder | None,
    *,
    again: bool = False,
    absent_ok: bool = False,
) -> Plan:
    """Plan the units of a resolved experiment or suite.

    Args:
        resolved: What the spec language gave.
        stores: Where weights lie that runs and registered models hold.
        finder: Where finished and unfinished runs are looked up; None looks nowhere.
        again: Run the units anew, even those that a finished run already holds; what they need
            is reused all the same.
        absent_ok: Whether missing data and weights are told of in the units, and not raised.

    Raises:
        DataError: If data are absent, or a search would be tested on images that its trials see.
        WeightsError: If weights are absent.
        RegistryError: If a registered model is absent.
    """
    planner = Planner(stores, finder, absent_ok=absent_ok)
    units = planner.planned([*resolved.units, *tests_of(resolved)], again=again)
    count = len(resolved.units)
    for trial, test in zip(units, units[count:], strict=False):
        check_unseen(trial, test)
    return Plan(resolved, tuple(units[:count]), first(units), tuple(units[count:]))


class Planner:
    """Plans units as they come up, and asks for each input once, however many share it.

    Args:
        stores: Where weights lie that runs and registered models hold.
        finder: Where finished and unfinished runs are looked up; None looks nowhere.
        absent_ok: Whether missing data and weights are told of in the units, and not raised.
    """

    def __init__(self, stores: Stores, finder: Finder | None, *, absent_ok: bool = False) -> None:
        self._finder = finder
        self._draft = _Draft(stores, absent_ok)

    def planned(self, units: Sequence[Unit], *, again: bool = False) -> list[PlannedUnit]:
        """Plan some units; see `make_plan`."""
        draft = self._draft
        prints = [draft.fingerprint(unit) for unit in units]
        every = {*prints, *(draft.fingerprint(each) for unit in units for each in _below(unit))}
        past = dict(self._finder.find_many(every)) if self._finder is not None else {}
        known: dict[str, PlannedUnit] = {}
        found = []
        for unit, mark in zip(units, prints, strict=True):
            before = past.get(mark)
            hidden = again and before is not None and before.finished
            needs = _needs(unit, draft, past, known)
            found.append(draft.planned(unit, None if hidden else before, needs))
        return found


def _below(unit: Unit) -> Iterator[Unit]:
    """Yield all units that a unit's weights come from."""
    for source in unit.needs.values():
        yield source
        yield from _below(source)


def _needs(
    unit: Unit,
    draft: _Draft,
    past: Mapping[str, PastRun],
    known: dict[str, PlannedUnit],
) -> dict[str, PlannedUnit]:
    """Plan the units that yield another's weights, each once for all that share it."""
    for source in unit.needs.values():
        mark = draft.fingerprint(source)
        if mark not in known:
            needs = _needs(source, draft, past, known)
            known[mark] = draft.planned(source, past.get(mark), needs)
    return {path: known[draft.fingerprint(source)] for path, source in unit.needs.items()}


def first(units: Iterable[PlannedUnit]) -> tuple[PlannedUnit, ...]:
    """Return what must run before the units that must run, what it needs itself first."""
    order: dict[str, PlannedUnit] = {}

    def visit(unit: PlannedUnit) -> None:
        for source in unit.needs.values():
            if not source.reusable and source.fingerprint not in order:
                visit(source)
                order[source.fingerprint] = source

    for unit in units:
        if not unit.reusable:
            visit(unit)
    return tuple(order.values())


def _own_role(experiment: Experiment) -> Role:
    """Return the role of the samples that the experiment's data part names."""
    return next(role for role, held_out in experiment.method.roles().items() if held_out is None)


@dataclass
class _Draft:
    """Asks for each input once, though a thousand units may share it.

    Attributes:
        stores: Where weights lie that runs and registered models hold.
        absent_ok: Whether what is missing is told of, and not raised.
    """

    stores: Stores
    absent_ok: bool
    _samples: dict[str, Samples] = field(default_factory=dict)
    _weights: dict[str, Located] = field(default_factory=dict)
    # With the unit, whose id would otherwise be another's once it is gone.
    _prints: dict[int, tuple[Unit, str]] = field(default_factory=dict)

    def planned(
        self, unit: Unit, past: PastRun | None, needs: Mapping[str, PlannedUnit]
    ) -> PlannedUnit:
        roles = unit.experiment.method.roles()
        samples = {role: self._held(unit, held_out) for role, held_out in roles.items()}
        return PlannedUnit(unit, self.fingerprint(unit), samples, self._located(unit), past, needs)

    def fingerprint(self, unit: Unit) -> str:
        if id(unit) not in self._prints:
            weights = " ".join(each.identity for each in self._located(unit).values())
            mark = fingerprint(unit.experiment, self._digest(unit), weights)
            self._prints[id(unit)] = unit, mark
        return self._prints[id(unit)][1]

    def _digest(self, unit: Unit) -> str:
        """Return what the fingerprint takes for all samples: the own, then those held out."""
        held_out = dict.fromkeys(filter(None, unit.experiment.method.roles().values()))
        return " ".join(self._held(unit, each).digest for each in (None, *held_out))

    def _held(self, unit: Unit, held_out: HeldOut | None) -> Samples:
        """Open a unit's held-out samples; None stands for its own."""
        experiment = unit.experiment
        data = experiment.data
        return self._opened(held_out.data(data, experiment.seed) if held_out else data)

    def _opened(self, data: DataSpec) -> Samples:
        # What is done to the samples matters to no manifest.
        plain = data.model_copy(update={"shift": None, "expect_source_accuracy": None})
        return _once(
            self._samples,
            plain.model_dump_json(),
            lambda: samples_of(plain, absent_ok=self.absent_ok),
        )

    def _located(self, unit: Unit) -> dict[str, Located]:
        models = unit.experiment.models()
        return {
            f"{path}.weights": self._weights_of(model, unit.needs.get(f"{path}.weights"))
            for path, model in models.items()
        }

    def _weights_of(self, model: ModelSpec, source: Unit | None) -> Located:
        """Find a model's weights; what is taken of them is part of what they are."""
        found = self._found(model, source)
        taken = model.weights.identity()
        identity = f"{found.identity}?{canonical_json(taken)}" if taken else found.identity
        return replace(found, identity=identity)

    def _found(self, model: ModelSpec, source: Unit | None) -> Located:
        if source is not None:
            return Located(None, f"run:{self.fingerprint(source)}")
        return _once(
            self._weights,
            model.model_dump_json(),
            lambda: located_of(model, self.stores, absent_ok=self.absent_ok),
        )


def _once(known: dict[str, T], key: str, ask: Callable[[], T]) -> T:
    if key not in known:
        known[key] = ask()
    return known[key]
