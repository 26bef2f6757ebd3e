"""What a plan will cost: passes, operations, time, memory, disk.

Everything here is arithmetic on what methods state, what models were measured to cost, and what
finished runs took; nothing is run.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from hardy.core.errors import HardyError, SpecError
from hardy.explain.spec import ExplainSpec
from hardy.plan.machine import device_type
from hardy.plan.measured import ModelCost, measured_as, work_label
from hardy.plan.tracker import WORK_TAG, Finder
from hardy.plan.units import Plan, PlannedUnit
from hardy.spec.experiment import Experiment
from hardy.spec.search.values import most_trials

N = TypeVar("N", int, float)
Measure = Callable[[Experiment], ModelCost]

# Measured on runs of this project: charts and tables of four answers; a record; a Grad-CAM panel;
# a grid of 16 views; plotly's library in a page.
_RUN_BYTES, _RECORD_BYTES, _PANEL_BYTES, _GRID_BYTES = 650_000, 1_300, 450_000, 900_000
_PAGE_BYTES = 4_900_000
# Guessed: a chart with its table; a row of small images; the maps of all layers for a sample.
_CHART_BYTES, _ROW_BYTES, _MAPS_BYTES = 200_000, 150_000, 1_500_000


@dataclass(frozen=True)
class UnitCost:
    """What one unit will cost, or all of them; None where it is not known.

    Attributes:
        samples: Samples to go through.
        forward: Forward passes of single images.
        backward: Backward passes of single images.
        flops: Floating-point operations of all passes.
        seconds: Wall time.
        seconds_from: Where that time comes from.
        memory_bytes: Peak memory of the process, about.
        disk_bytes: What the run will leave, about.
        refused: Why a run would refuse the model, as measuring it did; empty where it would not.
    """

    samples: int | None = 0
    forward: int | None = 0
    backward: int | None = 0
    flops: int | None = 0
    seconds: float | None = 0.0
    seconds_from: str = ""
    memory_bytes: int | None = 0
    disk_bytes: int | None = 0
    refused: str = ""


@dataclass(frozen=True)
class Costs:
    """What a plan costs.

    Attributes:
        units: One for each unit of `order(plan)`; all zero where a finished run is reused.
        total: Sums, and the largest memory; None where an addend is not known.
        unmeasured: Why models could not be measured, by name.
        trials: Of a search: all trials of its budget, at the price of trial 0.
        tests: Of a search: the two tests at its end, of the best trial and of trial 0.
    """

    units: tuple[UnitCost, ...]
    total: UnitCost
    unmeasured: dict[str, str]
    trials: UnitCost | None = None
    tests: UnitCost | None = None


def order(plan: Plan) -> tuple[PlannedUnit, ...]:
    """Return all units that a plan carries out, in the order of their running."""
    return (*plan.needed, *plan.units)


def price(plan: Plan, measure: Measure, finder: Finder | None) -> Costs:
    """Say what a plan costs.

    Args:
        plan: What is to run.
        measure: Tells what a model costs; asked once a model.
        finder: Where to look for how long such units took; None looks nowhere.
    """
    prices = _Prices(measure, finder)
    costs = tuple(prices.cost(unit) for unit in order(plan))
    search = plan.resolved.search
    if search is None:
        return Costs(costs, _total(costs), prices.unmeasured)
    fresh = [[replace(unit, past=None) for unit in units] for units in (plan.units, plan.tests)]
    trial, test = (_total(prices.cost(unit) for unit in units) for units in fresh)
    trials = _total([trial] * most_trials(search.spec))
    return Costs(costs, _total(costs), prices.unmeasured, trials, _total([test, test]))


class _Prices:
    """Looks each price up once."""

    def __init__(self, measure: Measure, finder: Finder | None) -> None:
        self.unmeasured: dict[str, str] = {}
        self._measure = measure
        self._finder = finder
        self._models: dict[str, ModelCost | None] = {}
        self._refused: dict[str, str] = {}
        self._history: dict[str, tuple[float, int] | None] = {}

    def cost(self, planned: PlannedUnit) -> UnitCost:
        if planned.reusable:
            return UnitCost(seconds_from="nothing to run")
        experiment, samples = planned.unit.experiment, planned.own.count
        passes, model = experiment.method.cost(), self._model(experiment)
        spent = experiment.method.spent(samples) if samples else 1.0
        seconds, source = self._seconds(experiment, model, spent)
        return UnitCost(
            samples=samples,
            forward=_times(passes.forward, samples, spent),
            backward=_times(passes.backward, samples, spent),
            flops=_times(_flops(experiment, model) if model else None, samples, spent),
            seconds=None if seconds is None or samples is None else seconds * samples,
            seconds_from=source,
            memory_bytes=_memory(experiment, model) if model else None,
            disk_bytes=None if samples is None else _disk(experiment, samples, model),
            refused=self._refused.get(str(measured_as(experiment)), ""),
        )

    def _model(self, experiment: Experiment) -> ModelCost | None:
        key = str(measured_as(experiment))
        if key not in self._models:
            try:
                self._models[key] = self._measure(experiment)
            except HardyError as error:
                self._models[key] = None
                if isinstance(error, SpecError):
                    self._refused[key] = f"{error.message}. {error.hint}"
                    return None
                self.unmeasured[experiment.model.name] = error.message
        return self._models[key]

    def _seconds(
        self, experiment: Experiment, model: ModelCost | None, spent: float
    ) -> tuple[float | None, str]:
        """Return the seconds of a sample, by finished runs if there are any, and their source."""
        label = work_label(experiment)
        if label not in self._history:
            found = self._finder and self._finder.mean("seconds_per_sample", {WORK_TAG: label})
            self._history[label] = found or None
        history = self._history[label]
        if history is not None:
            return history[0], f"{history[1]} finished run{'s' if history[1] > 1 else ''} like it"
        if model is None:
            return None, "not known"
        passes = experiment.method.cost()
        forward = passes.forward * model.forward_seconds
        backward = passes.backward * model.backward_seconds
        return spent * (forward + backward), "the network's measured speed, without preparing views"


def _flops(experiment: Experiment, model: ModelCost) -> int:
    passes = experiment.method.cost()
    return passes.forward * model.forward_flops + passes.backward * model.backward_flops


def _memory(experiment: Experiment, model: ModelCost) -> int:
    method, device = experiment.method, device_type(experiment.compute.device)
    together = method.block(model.size, model.size, device) * model.forward_bytes
    return model.base_bytes + max(method.cost().batch * model.image_bytes, together)


def _times(each: int | None, count: int | None, spent: float) -> int | None:
    return None if each is None or count is None else round(each * count * spent)


def _disk(experiment: Experiment, samples: int, model: ModelCost | None) -> int:
    wanted = experiment.explain
    panels = min(samples, wanted.gradcam.most) if wanted.gradcam else 0
    grids = min(samples, wanted.view_grids)
    pages = wanted.embedding is not None and wanted.embedding.dimensions == 3
    drawn = panels * _PANEL_BYTES + grids * _GRID_BYTES + pages * _PAGE_BYTES
    drawn += _analyses(wanted, samples)
    weights = experiment.method.networks_left * model.weights_bytes if model else 0
    return _RUN_BYTES + samples * _RECORD_BYTES + drawn + weights


def _analyses(wanted: ExplainSpec, samples: int) -> int:
    """Return what the pictures of analyses take, very roughly."""
    charts = (wanted.similarity, wanted.embedding, wanted.latents, wanted.codebook)
    rows = min(samples, wanted.prediction_grid.pairs) if wanted.prediction_grid else 0
    if wanted.examples is not None:
        rows += min(samples, wanted.examples.samples) * (2 if wanted.examples.files else 1)
    maps = min(samples, wanted.feature_maps.samples) if wanted.feature_maps else 0
    count = sum(each is not None for each in charts)
    return count * _CHART_BYTES + rows * _ROW_BYTES + maps * _MAPS_BYTES


def _total(costs: Iterable[UnitCost]) -> UnitCost:
    every = list(costs)
    memory = [cost.memory_bytes for cost in every]
    return UnitCost(
        samples=_sum(cost.samples for cost in every),
        forward=_sum(cost.forward for cost in every),
        backward=_sum(cost.backward for cost in every),
        flops=_sum(cost.flops for cost in every),
        seconds=_sum(cost.seconds for cost in every),
        memory_bytes=None if None in memory else max(filter(None, memory), default=0),
        disk_bytes=_sum(cost.disk_bytes for cost in every),
    )


def _sum(values: Iterable[N | None]) -> N | None:
    known = list(values)
    return None if None in known else sum(v for v in known if v is not None)
