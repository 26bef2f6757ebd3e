"""Everything a unit needs on the table before the first sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric

from hardy.core.errors import SpecError
from hardy.core.paths import state_dir
from hardy.data.dataset import Dataset
from hardy.data.open import open_dataset
from hardy.data.pipeline import SamplePipeline
from hardy.engine.device import make_fabric, spread, use_threads
from hardy.explain.point import SourcePoint
from hardy.methods.base import TestTimeMethod
from hardy.methods.build import build_method, views_of
from hardy.models.build import build_model, ready
from hardy.models.model import Model
from hardy.models.spec import ModelSpec
from hardy.models.weights import Located
from hardy.spec.experiment import Experiment
from hardy.tasks.base import Task
from hardy.tasks.build import task_on


@dataclass(frozen=True)
class Bench:
    """An experiment's parts, built.

    Attributes:
        experiment: The resolved spec.
        located: Its weights, by path.
        fabric: Device and precision.
        dataset: The samples, sorted.
        model: The source model, on the device.
        method: Adapts and answers.
    """

    experiment: Experiment
    located: Mapping[str, Located]
    fabric: Fabric
    dataset: Dataset
    model: Model
    method: TestTimeMethod

    @property
    def task(self) -> Task:
        """What an answer is."""
        return task_on(self.experiment.task, self.dataset)

    def pipeline(self, indices: Sequence[int]) -> SamplePipeline:
        """Return what prepares the views of the samples at these places of the manifest."""
        views = views_of(self.experiment.method)
        return SamplePipeline(
            self.dataset,
            self.model.preprocess,
            shift=self.experiment.data.shift,
            views=views,
            seed=self.experiment.seed,
            indices=indices,
            keep_canvas=self.experiment.method.needs_canvas,
            device=str(self.fabric.device),
            further=self.method.view_sets,
            point=SourcePoint(self.model) if views and views.at_point else None,
        )


def features_dir() -> Path:
    """Return where methods keep image features for other runs."""
    return state_dir() / "features"


def assemble(experiment: Experiment, located: Mapping[str, Located]) -> Bench:
    """Open the data, build the model and the method.

    Args:
        experiment: The resolved spec.
        located: Its weights, where the plan found them; they are not looked for again.

    Raises:
        SpecError: If the model's outputs cannot be the dataset's classes.
        DataError: If the dataset is absent or has another layout.
        WeightsError: If the weights are absent or do not fit.
    """
    fabric = make_fabric(experiment)
    dataset = open_dataset(experiment.data)
    models = (experiment.model, *experiment.method.further_models.values())
    first, *further = (
        _model(spec, each, dataset, experiment.seed, fabric)
        for spec, each in zip(models, located.values(), strict=True)
    )
    # Operations round by the number of threads, so the texts are read by as many as all else.
    if use_threads(spread(experiment, first.preprocess.size, fabric.device.type)):
        for model in (first, *further):
            ready(model, fabric.device)
    method = build_method(experiment.method, first, *further)
    kept = features_dir() if experiment.compute.keep_features else None
    method.remember(kept, experiment.precision)
    return Bench(experiment, located, fabric, dataset, first, method)


def _model(spec: ModelSpec, located: Located, dataset: Dataset, seed: int, fabric: Fabric) -> Model:
    model = build_model(
        spec,
        dataset.model_indices,
        classes=dataset.classes,
        seed=seed,
        located=located,
        device=fabric.device,
    )
    model.to(memory_format=torch.channels_last)  # convolutions' faster layout
    _check_classes(spec, model, dataset)
    return model


def _check_classes(spec: ModelSpec, model: Model, dataset: Dataset) -> None:
    outputs, kept = model.outputs(), model.model_indices
    needed = max(kept) + 1 if kept else len(dataset.classes)
    fits = outputs >= needed if kept else outputs == needed
    if not fits:
        message = (
            f"model {spec.name} has {outputs} outputs, but dataset {dataset.name} needs {needed}"
        )
        raise SpecError(message, hint="Choose weights that were trained on these classes.")
