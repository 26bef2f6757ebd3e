"""Experiments, inputs and runs that plans are made of, without data, weights or MLflow."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from hardy.data.spec import DataSpec
from hardy.models.spec import ModelSpec
from hardy.models.weights import Located
from hardy.plan import units
from hardy.plan.inputs import Samples
from hardy.plan.tracker import Finder, PastRun, Stores
from hardy.plan.units import Plan, make_plan
from hardy.spec import Experiment, Resolved, Unit

PLAIN = {
    "name": "plain",
    "data": {"dataset": "imagenet-sample", "shift": {"kind": "fog", "severity": 3}},
    "model": {"kind": "timm", "name": "resnet50"},
    "method": {"kind": "memo", "views": {"kind": "cut", "count": 4}},
}


def experiment(**changes: object) -> Experiment:
    return Experiment.model_validate({**PLAIN, **changes})


def resolved(*units: Unit) -> Resolved:
    from pathlib import Path

    return Resolved("plain", Path("plain.yaml"), (), "plain", "", {}, units)


NO_STORES: Stores = None  # type: ignore[assignment]
"""For plans whose weights lie in no store."""


@dataclass
class Asked:
    """Knows data and weights by what a spec says, and counts how often it is asked.

    Attributes:
        count: Samples of every data part.
        absent: What to do to get them; empty where they are there.
        data: The data parts that were asked for.
        models: The model parts that were asked for.
    """

    count: int | None = 20
    absent: str = ""
    data: list[DataSpec] = field(default_factory=list)
    models: list[ModelSpec] = field(default_factory=list)

    def samples_of(self, data: DataSpec, *, absent_ok: bool = False) -> Samples:
        self.data.append(data)
        return Samples("" if self.absent else self.digest(data), self.count, self.absent)

    def located_of(self, model: ModelSpec, stores: Stores, *, absent_ok: bool = False) -> Located:
        self.models.append(model)
        return Located(None, f"hub:{model.name}:{model.weights}")

    def digest(self, data: DataSpec) -> str:
        part = data.partition.part if data.partition else ""
        return f"{data.dataset}/{data.part_name}/{part}"

    def plan(
        self, resolved: Resolved, finder: Finder | None = None, *, again: bool = False
    ) -> Plan:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(units, "samples_of", self.samples_of)
            patch.setattr(units, "located_of", self.located_of)
            return make_plan(resolved, NO_STORES, finder, again=again)


@dataclass
class Shelf:
    """Finds the runs that it was given."""

    runs: dict[str, PastRun] = field(default_factory=dict)
    means: dict[str, tuple[float, int]] = field(default_factory=dict)
    searches: int = 0

    def find_many(self, fingerprints: Iterable[str]) -> Mapping[str, PastRun]:
        self.searches += 1
        return {mark: self.runs[mark] for mark in fingerprints if mark in self.runs}

    def mean(self, metric: str, tags: Mapping[str, str]) -> tuple[float, int] | None:
        assert metric == "seconds_per_sample"
        return self.means.get(next(iter(tags.values())))


def finished(run_id: str = "r1") -> PastRun:
    return PastRun(run_id, "plain", finished=True)
