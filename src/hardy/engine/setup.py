"""Setting up: an experiment's parts, built and fitted together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from lightning_fabric import Fabric
from torch import Tensor

from hardy.core.cache import default_cache
from hardy.core.errors import SpecError
from hardy.data.dataset import Dataset
from hardy.data.item import Prepared, mirrored
from hardy.data.pipeline import SamplePipeline
from hardy.data.shift_spec import ShiftSpec
from hardy.data.spec import DataSpec
from hardy.data.view_spec import ViewSpec
from hardy.data.views.kept import ViewStore
from hardy.engine.device import beside_others, make_fabric, spread, use_threads
from hardy.engine.left_out import LeftOut
from hardy.engine.watch import Watch
from hardy.explain.point import SourcePoint
from hardy.methods.base import Method, Subject
from hardy.methods.base_spec import Role, views_of
from hardy.methods.build import build_method
from hardy.models import head
from hardy.models.build import build_model, ready
from hardy.models.model import Model, takes_size
from hardy.models.spec import ModelSpec
from hardy.models.weights import Located
from hardy.plan.inputs import check_truth
from hardy.spec.experiment import Experiment
from hardy.spec.fit import misfit, way_out
from hardy.tasks.base import Task
from hardy.tasks.build import task_on


@dataclass(frozen=True)
class Setup:
    """An experiment's parts, built.

    Attributes:
        experiment: The resolved spec.
        located: Its weights, by the dotted path of what names them.
        fabric: Device and precision.
        task: What an answer is, and how it is judged.
        data: Samples by what they are for, sorted.
        models: The experiment's own, then those that its method names; on the device.
        method: Fits, answers, adapts.
        left_out: Broken samples that were not used; filled as they are met.
        watch: Who is told of its way, and may stop it.
        turns: How many units take turns on views of the same samples, again and again, as those of
            a search's trials do; 0 where nobody is known to come back to them.
    """

    experiment: Experiment
    located: Mapping[str, Located]
    fabric: Fabric
    task: Task
    data: Mapping[Role, Dataset]
    models: tuple[Model, ...]
    method: Method
    left_out: LeftOut = field(default_factory=LeftOut)
    watch: Watch | None = None
    turns: int = 0

    @property
    def skips(self) -> bool:
        """Whether broken samples are left out."""
        return self.experiment.data.on_bad_sample == "skip"

    @property
    def model(self) -> Model:
        """The experiment's own model."""
        return self.models[0]

    @property
    def own(self) -> Role:
        """What the experiment's own samples are for: those that its `data` names."""
        return next(role for role, other in self.experiment.method.roles().items() if not other)

    def seen(self, role: Role) -> DataSpec:
        """Return which samples a role's are, and the shift that they are seen under."""
        experiment = self.experiment
        other = experiment.method.roles()[role]
        return other.data(experiment.data, experiment.seed) if other else experiment.data

    def pipeline(
        self,
        role: Role,
        places: Sequence[int] | None = None,
        *,
        views: ViewSpec | None = None,
        shift: ShiftSpec | None = None,
    ) -> SamplePipeline:
        """Return what prepares samples.

        Args:
            role: Which.
            places: Places in their manifest; None for all.
            views: Augmentation in place of the method's.
            shift: In place of the experiment's; the image before it is then part of the truth.
        """
        experiment, asked = self.experiment, views or views_of(self.experiment.method)
        return SamplePipeline(
            self.data[role],
            self.model.preprocess,
            shift=shift or self.seen(role).shift,
            views=asked,
            seed=experiment.seed,
            indices=places,
            keep_canvas=experiment.method.needs_canvas,
            device=str(self.fabric.device),
            further=() if views else self.method.view_sets,
            point=SourcePoint(self.model) if asked and asked.at_point else None,
            target="image" if shift else self.task.target,
            store=self._store(),
            own_size=self.task.spec.own_size,
        )

    @property
    def keeps_views(self) -> bool:
        """Whether views are kept for others, and those that others kept are read."""
        stated = self.experiment.compute.keep_views
        return self.turns > 0 if stated is None else stated

    def _store(self) -> ViewStore | None:
        """Return where views are kept; all units that take turns have half of the cache."""
        if not self.keeps_views:
            return None
        cache = default_cache()
        return ViewStore(cache, cache.budget // (2 * max(1, self.turns)))

    @property
    def block(self) -> int:
        """How many samples are answered together."""
        preprocess = self.model.preprocess
        method, device = self.experiment.method, self.fabric.device.type
        return method.block(preprocess.height, preprocess.width, device)

    def images(self, items: Sequence[Prepared]) -> Tensor:
        """Return samples' unchanged images (B, 3, h, w): normalised, on the device."""
        pixels = torch.cat([item.pixels[:1] for item in items])
        pixels = pixels.contiguous(memory_format=torch.channels_last)  # as the network lies
        device = self.fabric.device
        if device.type == "cuda":
            pixels = pixels.pin_memory()
        return self.model.preprocess.normalise(pixels.to(device, non_blocking=True))

    def subject(self, item: Prepared) -> Subject:
        """Return a prepared sample as a method sees it: normalised, on the device, no truth."""
        views = self.model.preprocess.normalise(item.pixels.to(self.fabric.device))
        seed = self.experiment.seed
        return Subject(views, item.id, seed, item.canvas, item.others, mirrored(item.names))


def set_up(
    experiment: Experiment,
    located: Mapping[str, Located],
    data: Mapping[Role, Dataset],
    *,
    fabric: Fabric | None = None,
    shares: bool = False,
) -> Setup:
    """Build the task, the models and the method.

    Args:
        experiment: The resolved spec.
        located: Its weights, where the plan found them: its own first.
        data: Its samples, opened; those to answer at least.
        fabric: Device and precision; None for those that the experiment names.
        shares: Whether others run on this machine at the same time.

    Raises:
        SpecError: If the task, the model and the dataset do not fit each other.
        WeightsError: If the weights are absent or do not fit.
    """
    fabric, dataset = fabric or make_fabric(experiment), data["answer"]
    check_truth(experiment.task, dataset)
    task = task_on(experiment.task, dataset)
    specs = (experiment.model, *experiment.method.further_models.values())
    models = tuple(
        model_on(
            spec,
            each,
            dataset,
            task,
            seed=experiment.seed,
            device=fabric.device,
            new_head=experiment.method.makes_head and spec is experiment.model,
        )
        for spec, each in zip(specs, located.values(), strict=True)
    )
    for model in models:
        model.to(memory_format=torch.channels_last)  # convolutions' faster layout
    side, device = models[0].preprocess.side, fabric.device.type
    if shares:
        experiment = beside_others(experiment, side, device)
    # Operations round by the number of threads, so the texts are read by as many as all else.
    if use_threads(spread(experiment, side, device)):
        for model in models:
            ready(model, fabric.device)
    method = build_method(experiment.method, models, task)
    method.remember(
        default_cache() if experiment.compute.keep_features else None, experiment.precision
    )
    return Setup(experiment, located, fabric, task, data, models, method)


def model_on(
    spec: ModelSpec,
    located: Located,
    dataset: Dataset,
    task: Task,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    new_head: bool = False,
) -> Model:
    """Build a model for a dataset's classes or for whatever else its task's outputs are.

    Args:
        spec: Architecture and weights.
        located: The weights.
        dataset: Names the classes.
        task: Says how many outputs are needed.
        seed: Seed of random weights and of a new head.
        device: Where the model goes.
        new_head: Whether the network gets a new head where its outputs are not the classes.

    Raises:
        SpecError: If its outputs are others.
        WeightsError: If its weights are absent or do not fit.
    """
    model = build_model(
        spec,
        dataset.model_indices if task.target == "label" else None,
        classes=dataset.classes,
        outputs=task.outputs,
        of_image=task.target == "image",
        seed=seed,
        located=located,
        device=device,
        of_features=task.spec.of_features,
    )
    if new_head and task.target == "label" and _outputs(spec, model) != task.outputs:
        head.make(model.network, task.outputs, seed)
        if head.kept(model.network, model.model_indices) is None:
            model.model_indices = None
    _check_outputs(spec, model, task, dataset)
    return model


def _check_outputs(spec: ModelSpec, model: Model, task: Task, dataset: Dataset) -> None:
    outputs, kept = _outputs(spec, model), model.model_indices
    if not task.outputs:
        return
    if message := misfit(spec.name, outputs, dataset.name, task.outputs, kept):
        classes = task.target == "label"
        raise SpecError(message, hint=way_out() if classes else "Choose weights of this task.")


def _outputs(spec: ModelSpec, model: Model) -> int:
    """Count a network's outputs, on an image of its input's size.

    Raises:
        SpecError: If it does not take the size that the spec states.
    """
    with takes_size(spec):
        return model.outputs()
