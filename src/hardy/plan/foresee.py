"""What cannot work, said before anything is computed: outputs, truths, devices that do not fit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hardy.core.catalog import did_you_mean
from hardy.core.errors import SpecError
from hardy.data.leaks import leaks
from hardy.plan.inputs import check_truth
from hardy.plan.machine import lacks, most_devices
from hardy.plan.weights_fit import fault as misfit_of_weights
from hardy.plan.weights_fit import remark as part_of_weights
from hardy.plan.weights_fit import shapes_in
from hardy.spec.fit import misfit, way_out

if TYPE_CHECKING:
    from hardy.data.dataset import Dataset
    from hardy.models.spec import ModelSpec
    from hardy.plan.units import PlannedUnit
    from hardy.spec.experiment import Experiment

# What libraries call the last layer; of a row of layers, the last one that has outputs.
_HEADS = ("fc", "head", "head.fc", "heads.head", "classifier", "head.linear", "last_linear")


def faults(planned: PlannedUnit) -> tuple[str, ...]:
    """Return why a unit cannot run, a line each; none where a finished run holds its numbers."""
    if planned.reusable:
        return ()
    dataset = planned.samples["answer"].dataset
    found = list(_of_device(planned.unit.experiment))
    found += filter(None, [misfit_of_weights(planned)])
    if dataset is not None:
        found += [*_of_truth(planned, dataset), *_of_outputs(planned, dataset)]
        found += _of_names(planned.unit.experiment, dataset)
        found += _of_training(planned, dataset)
        found += _of_chosen(planned.unit.experiment, dataset)
    return tuple(found)


def remarks(planned: PlannedUnit) -> tuple[str, ...]:
    """Return what can be meant so but mostly is not, a line each."""
    if planned.reusable:
        return ()
    return tuple(filter(None, (*_of_input(planned), part_of_weights(planned))))


def check(planned: Iterable[PlannedUnit]) -> None:
    """Make sure that nothing is known to fail.

    Raises:
        SpecError: With the first fault, and what to do about it.
    """
    for unit in planned:
        for fault in faults(unit):
            message = f"{unit.unit.experiment.name}: {fault}"
            raise SpecError(message, hint="`hardy plan` shows what each unit lacks.")


def _of_device(experiment: Experiment) -> Iterator[str]:
    device, devices = experiment.compute.device, experiment.compute.devices or 1
    most = most_devices(device)
    if lacks(device):
        yield f"compute.device is {device}, which this machine has not: --set compute.device=auto"
    elif experiment.precision == "16-mixed" and lacks("cuda"):
        yield (
            "precision 16-mixed needs a CUDA device, which this machine has not: "
            "--set precision=bf16-mixed"
        )
    elif most is not None and devices > most:
        yield f"compute.devices is {devices}, but this machine has {most}: lower compute.devices"


def _of_truth(planned: PlannedUnit, dataset: Dataset) -> Iterator[str]:
    try:
        check_truth(planned.unit.experiment.task, dataset)
    except SpecError as error:
        yield f"{error.message}. {error.hint}"


def _of_outputs(planned: PlannedUnit, dataset: Dataset) -> Iterator[str]:
    """Yield where a network's outputs are not those that the task needs."""
    experiment = planned.unit.experiment
    if experiment.task.dense:
        outputs, needed = _outputs(planned, "model", experiment.model), _planes(planned, dataset)
        stated = experiment.model.stated_outputs
        if stated not in (None, needed):
            yield (
                f"model.head is shared, the layer of {stated} outputs that reconstructs an image, "
                f"but task {experiment.task.kind} on {dataset.name} needs {needed}: "
                "set model.head to own"
            )
        elif outputs is not None and outputs != needed:
            yield (
                f"the weights {experiment.model.weights} have {outputs} channels, but task "
                f"{experiment.task.kind} on {dataset.name} needs {needed}: take others"
            )
        return
    if experiment.task.target != "label" or not dataset.classes:
        return
    for path, model in experiment.models().items():
        outputs = (
            None
            if path == "model" and experiment.method.makes_head
            else _outputs(planned, path, model)
        )
        if outputs is None:
            continue
        classes, indices = len(dataset.classes), dataset.model_indices
        if fault := misfit(model.name, outputs, dataset.name, classes, indices):
            yield f"{fault}. {way_out()}"


def _of_names(experiment: Experiment, dataset: Dataset) -> Iterator[str]:
    classes = dataset.classes
    if experiment.task.target == "mask":
        classes = tuple(c for n, c in enumerate(dataset.mask_classes) if n != dataset.void)
    named = {
        "method.class_weights": experiment.method.class_names,
        "task": experiment.task.class_names,
    }
    for field, names in named.items():
        for name in names:
            if name not in classes:
                known = did_you_mean(name, classes) or f"Its classes are {', '.join(classes)}."
                yield f"{field}: {dataset.name} has no class {name!r}. {known}"
    if fault := experiment.task.misfit(classes):
        yield f"task.{fault}"


def _of_chosen(experiment: Experiment, dataset: Dataset) -> Iterator[str]:
    """Yield where a picture is wanted of a sample that there is not."""
    for field, chosen in experiment.explain.chosen():
        if absent := chosen.absent(sample.id for sample in dataset.samples):
            yield f"{field}: {dataset.name} has no sample {absent[0]!r} here. {absent[1]}"


def _planes(planned: PlannedUnit, dataset: Dataset) -> int:
    """Return how many channels a task of planes needs: one for each label but void, or colours."""
    if planned.unit.experiment.task.target == "mask":
        classes = len(dataset.mask_classes) - (dataset.void is not None)
        return planned.unit.experiment.task.planes(classes)
    return 3


def _of_training(planned: PlannedUnit, dataset: Dataset) -> Iterator[str]:
    """Yield where an experiment answers for what its weights were trained on.

    No file is read here; the run compares what files hold.
    """
    for source in {each.fingerprint: each for each in planned.sources}.values():
        fitted, experiment = source.samples.get("fit", source.own).dataset, source.unit.experiment
        found = leaks(fitted, dataset, opened=False) if fitted is not None else []
        seen = dict.fromkeys(own for _, own in found)
        if seen:
            yield (
                f"{len(seen)} of its {len(dataset.samples)} images are among those that "
                f"{experiment.name} was trained on, such as {next(iter(seen))}{_others(experiment)}"
            )


def _others(trained: Experiment) -> str:
    """Say how to name the samples that a training answered for, and did not learn from."""
    held_out = trained.method.roles().get("answer")
    if held_out is None:
        return ""
    other = held_out.data(trained.data, trained.seed)
    if other.partition is None:
        return f": write data: {{split: {other.split}}}"
    stated = other.partition.model_dump(exclude_defaults=True)
    text = json.dumps(stated).replace('"', "")
    return f": write data: {{partition: {text}}} for those that it was not"


def _of_input(planned: PlannedUnit) -> Iterator[str]:
    """Yield where images are prepared otherwise than for the training of the weights."""
    models = planned.unit.experiment.models()
    for path, source in planned.needs.items():
        model = models[path.removesuffix(".weights")]
        trained = source.unit.experiment
        same = (model.kind, model.name) == (trained.model.kind, trained.model.name)
        if same and not model.weights.identity() and model.input != trained.model.input:
            ours, theirs = (
                json.dumps(each.model_dump(exclude_none=True, mode="json")) if each else "none"
                for each in (model.input, trained.model.input)
            )
            yield (
                f"{path.removesuffix('weights')}input is {ours}, but {trained.name}, whose weights "
                f"these are, was trained with {theirs}"
            )


def _outputs(planned: PlannedUnit, path: str, model: ModelSpec) -> int | None:
    """Return how many outputs a network will have with its weights; None where nothing tells."""
    where, reference = f"{path}.weights", model.weights
    if model.compares_texts or reference.identity():  # texts are the classes; a part is no network
        return None
    if where in planned.needs:
        return _left_by(planned.needs[where])
    file = planned.located[where].path
    if file is not None and file.suffix == ".safetensors":
        return outputs_in(file)
    return model.stated_outputs


def _left_by(source: PlannedUnit) -> int | None:
    """Return how many outputs the network has that a training leaves."""
    experiment = source.unit.experiment
    answered = source.samples["answer"].dataset
    if experiment.task.dense:
        return _planes(source, answered) if answered is not None else None
    if not experiment.method.makes_head or experiment.task.target != "label":
        return _outputs(source, "model", experiment.model)
    dataset = source.samples["answer"].dataset
    return len(dataset.classes) if dataset is not None else None


def outputs_in(file: Path) -> int | None:
    """Return how many outputs the head has that a safetensors file holds, by its header alone.

    None where no tensor, or more than one, is called as heads are.
    """
    shapes = shapes_in(file) or {}
    rows = sorted((int(n), name) for name in shapes if (n := _place(name)))
    names = [f"{head}.weight" for head in _HEADS] + [name for _, name in rows[-1:]]
    # A linear layer, or a convolution of 1 by 1.
    found = {n: s for n in names if len(s := shapes.get(n, ())) in (2, 4) and set(s[2:]) <= {1}}
    return int(next(iter(found.values()))[0]) if len(found) == 1 else None


def _place(name: str) -> str:
    """Return the place of a layer in a row that is the head, such as 6 of `classifier.6.weight`."""
    first, _, rest = name.partition(".")
    place, _, last = rest.partition(".")
    return place if first == "classifier" and last == "weight" and place.isdecimal() else ""
