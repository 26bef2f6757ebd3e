"""From resolved units to planned ones: fingerprints, and the runs that already hold the answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hardy.core.hashing import digest
from hardy.plan.tracker import PastRun, Tracker
from hardy.spec import Resolved, Unit
from hardy.spec.experiment import Experiment


@dataclass(frozen=True)
class Inputs:
    """How a plan learns what an experiment's inputs are, given by the rooms to its right.

    Attributes:
        data: Digest of the samples that an experiment's data part names; None where absent.
        weights: Identity of the weights that its model part names.
    """

    data: Callable[[Experiment], str | None]
    weights: Callable[[Experiment], str]


@dataclass(frozen=True)
class PlannedUnit:
    """One run to be made, or one that was made before.

    Attributes:
        unit: The resolved experiment and this combination's choices.
        fingerprint: Digest of all that can change the numbers, and of nothing else.
        data_digest: Digest of the samples; empty where they are absent.
        weights: Identity of the weights, such as `sha256:...`.
        past: The newest run of the same fingerprint, finished or not.
    """

    unit: Unit
    fingerprint: str
    data_digest: str
    weights: str
    past: PastRun | None

    @property
    def reusable(self) -> bool:
        """Whether a finished run already holds this unit's numbers."""
        return self.past is not None and self.past.finished


@dataclass(frozen=True)
class Plan:
    """The units of one resolved experiment, in order.

    Attributes:
        resolved: The experiment as the spec language gave it.
        units: In the order in which they run.
    """

    resolved: Resolved
    units: tuple[PlannedUnit, ...]

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
    resolved: Resolved, inputs: Inputs, tracker: Tracker | None, *, again: bool = False
) -> Plan:
    """Plan the units of a resolved experiment.

    Args:
        resolved: What the spec language gave.
        inputs: How to learn the digests of data and weights.
        tracker: Where finished and unfinished runs are looked up; None looks nowhere.
        again: Run everything anew, even what a finished run already holds.
    """
    return Plan(resolved, tuple(_planned(resolved.units, inputs, tracker, again=again)))


def _planned(
    units: Sequence[Unit], inputs: Inputs, tracker: Tracker | None, *, again: bool
) -> list[PlannedUnit]:
    planned = []
    for unit in units:
        data = inputs.data(unit.experiment) or ""
        weights = inputs.weights(unit.experiment)
        mark = fingerprint(unit.experiment, data, weights)
        past = tracker.find(mark) if tracker is not None else None
        if again and past is not None and past.finished:
            past = None
        planned.append(PlannedUnit(unit, mark, data, weights, past))
    return planned
