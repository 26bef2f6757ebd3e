"""Experiments, inputs and runs that plans are made of, without data, weights or MLflow."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hardy.plan.inputs import Inputs, Located, Samples
from hardy.plan.tracker import PastRun
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


@dataclass
class Asked:
    """Inputs that count how often they are asked."""

    samples: int = 0
    weights: int = 0

    def inputs(self, count: int | None = 20, absent: str = "") -> Inputs:
        def samples(_: Experiment) -> Samples:
            self.samples += 1
            return Samples("" if absent else "d" * 32, count, absent)

        def weights(of: Experiment) -> Located:
            self.weights += 1
            return Located(None, f"hub:{of.model.weights}")

        return Inputs(samples, weights)


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
