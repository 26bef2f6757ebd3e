"""A linear classifier on features: `python -m benchmarks.features SPEC [PATH=VALUE ...]`.

What scikit-learn's logistic regression (C = 1, standardised features) makes of what the head is
given, fitted on the samples that the experiment learns from and tried on those that it answers for:
what a training of the same network has to reach. Weights are the spec's; those of a run are
`model.weights=runs:/ID/weights/weights.safetensors`.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hardy.data.pipeline import SamplePipeline
from hardy.engine.embed import Embedding, of_unit, write
from hardy.engine.progress import Reporter
from hardy.plan.units import PlannedUnit, make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from hardy.tasks.classify.metrics import interval


def probed(unit: PlannedUnit) -> tuple[int, int, int]:
    """Return how many samples it learned from, and how many of how many others it named right."""
    fit = of_unit(unit)
    experiment, others = unit.unit.experiment, unit.samples["answer"].dataset
    pipeline = SamplePipeline(
        others, fit.model.preprocess, shift=experiment.data.shift, seed=experiment.seed
    )
    features, labels = _features(fit)
    tried, truth = _features(replace(fit, pipeline=pipeline))
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    right = linear.fit(features, labels).predict(tried) == truth
    return len(labels), int(right.sum()), len(right)


def _features(asked: Embedding) -> tuple[np.ndarray, np.ndarray]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "features.parquet"
        write(asked, file, Reporter(Console(quiet=True)), batch=32)
        table = pq.read_table(file)
    return np.stack(table["features"].to_pylist()), np.array(table["label"].to_pylist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("spec")
    parser.add_argument("overrides", nargs="*", metavar="PATH=VALUE")
    asked = parser.parse_args()
    (unit,) = make_plan(resolve(asked.spec, tuple(asked.overrides)), default_stores(), None).units
    fitted, right, count = probed(unit)
    low, high = interval(right, count)
    print(
        f"{asked.spec}: fitted on {fitted}, right on {right} of {count}: "
        f"{right / count:.1%} [{low:.1%}, {high:.1%}]"
    )


if __name__ == "__main__":
    main()
