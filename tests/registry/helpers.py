"""A tiny model with made-up records, and a way to register it."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pandas as pd

from hardy.data.spec import Corruption, DataSpec
from hardy.methods.memo.spec import MemoSpec
from hardy.models.spec import TimmModel
from hardy.registry.register import Registered, register
from hardy.registry.spec import Policy
from hardy.spec.experiment import Experiment
from hardy.tasks.build import build_task
from hardy.tasks.classify.spec import ClassifySpec
from hardy.tracking.store import connect, experiment_id
from tests.contracts.records import answer_columns

MODEL = TimmModel(name="test_efficientnet.r160_in1k", weights="random")
CLASSES = ("ant", "bee", "cat", "dog")
TASK = build_task(ClassifySpec(), CLASSES)
INDICES = (5, 9, 2, 700)
METHOD = MemoSpec.model_validate(
    {"views": {"kind": "cut", "count": 4}, "optimizer": {"kind": "sgd", "lr": 0.05}}
)
POLICY = Policy.model_validate(
    {
        "model": "tiny",
        "candidates": {"experiments": ["try/*"], "dataset": "imagenet-sample"},
        "gates": [
            {"metric": "accuracy", "at_least": 0.2},
            {"better_than": "champion", "test": "mcnemar", "confidence": 0.95},
        ],
    }
)


def experiment(name: str = "try/one", **changes: object) -> Experiment:
    parts = {
        "data": DataSpec(dataset="imagenet-sample", shift=Corruption(kind="contrast", severity=3)),
        "model": MODEL,
        "method": METHOD,
        "seed": 3,
    }
    return Experiment(name=name, **(parts | changes))


def records(right: int, total: int = 40, answer: str = "memo") -> pd.DataFrame:
    """Records of which the first `right` are right, for `answer`; `source` is always wrong."""
    hit, miss = np.log([0.1, 0.6, 0.2, 0.1]), np.log([0.1, 0.2, 0.6, 0.1])
    rows = []
    for index in range(total):
        row = {
            "sample": f"s{index:03}",
            "dataset": "imagenet-sample",
            "shift": "contrast-3",
            "label": 1,
        }
        row |= answer_columns("source", miss, 1)
        row |= answer_columns(answer, hit if index < right else miss, 1)
        rows.append(row)
    return pd.DataFrame(rows)


def result(
    frame: pd.DataFrame, fingerprint: str, exp: Experiment | None = None, digest: str = "d" * 32
) -> SimpleNamespace:
    """Stand in for a StoredUnit: what the registry reads of one."""
    spec = exp or experiment()
    return SimpleNamespace(
        planned=SimpleNamespace(located={"model.weights": None}, own=SimpleNamespace(dataset=None)),
        experiment=spec,
        name=spec.name,
        main=spec.method.kind,
        fingerprint=fingerprint,
        answered_digest=digest,
        run_id="r",
        frame=frame,
        metrics={},
        reused=False,
    )


@dataclass
class Shelf:
    """Registers versions by the number of right answers."""

    model: object
    client: object = field(default_factory=connect)

    def run(self) -> str:
        return self.client.create_run(experiment_id(self.client, "hardy")).info.run_id

    def add(self, right: int, **options: object) -> Registered:
        results = [result(records(right), f"{right:032}", **options)]
        return register(results, self.model, TASK, POLICY, run_id=self.run())

    def aliases(self) -> dict[str, str]:
        names = self.client.get_registered_model("tiny").aliases
        return {k: str(v) for k, v in names.items()}

    def tags(self, version: str) -> dict[str, str]:
        return self.client.get_model_version("tiny", version).tags
