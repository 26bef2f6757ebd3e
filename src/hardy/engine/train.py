"""The loop of every method that trains: epochs of steps, each epoch measured and kept on disk.

The order of the samples and every random number derive from the seed, the epoch and the sample, so
a run that was stopped ends with the numbers of one that was not.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from lightning_fabric import Fabric

from hardy.core.errors import MethodError
from hardy.core.seeding import derive, generator
from hardy.data.item import Batch
from hardy.data.loader import Images
from hardy.engine.checkpoint import Checkpoint, Measures, TrainState
from hardy.engine.progress import Reporter
from hardy.explain.curves import curves, curves_csv
from hardy.methods.fitting import Learner
from hardy.plan.tracker import Run

_SECONDS = "seconds"


@dataclass(frozen=True)
class Training:
    """What a training works with.

    Attributes:
        learner: Is trained.
        fit: Images to learn from.
        validate: Images that each epoch is measured on.
        fabric: Device and precision.
        run: Takes each epoch's measures, the epoch as the step.
        reporter: Told of steps.
        name: The unit's, on the progress bar.
    """

    learner: Learner
    fit: Images
    validate: Images
    fabric: Fabric
    run: Run
    reporter: Reporter
    name: str


def train(training: Training, checkpoint: Checkpoint) -> None:
    """Train until the last epoch, going on where the checkpoint stands; log curves and the speed.

    The learner is left with the weights to keep. The run's measures are `train/loss`,
    `validation/...`, `learning_rate`, and the seconds that a sample took over all epochs.

    Raises:
        MethodError: If a loss is not finite.
    """
    learner, state = training.learner, checkpoint.load()
    if state.epochs:
        learner.load_state(state.learner)
    if len(state.epochs) < learner.spec.epochs:
        state = _carried_on(training, state, checkpoint)
    learner.load_weights(state.best)
    _log_curves(training.run, [_logged(measures) for measures in state.epochs])
    training.run.metrics(_speed(state.epochs, len(training.fit)))


def _carried_on(training: Training, state: TrainState, checkpoint: Checkpoint) -> TrainState:
    """Train the epochs that are left."""
    reporter, total = training.reporter, training.learner.spec.epochs
    reporter.unit(training.name, total, len(state.epochs), what="epochs")
    for epoch in range(len(state.epochs) + 1, total + 1):
        state = _epoch(training, state, epoch)
        training.run.metrics(_logged(state.epochs[-1]), step=epoch)
        training.run.flush()  # before the checkpoint: what is behind it is not measured again
        checkpoint.save(state)
        reporter.sample(epoch, _news(state.epochs[-1]))
    return state


def _epoch(training: Training, before: TrainState, epoch: int) -> TrainState:
    """Train for one epoch and measure it."""
    learner, start = training.learner, perf_counter()
    # For what draws from the global generators, such as dropout.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(training.fit.seed, "epoch", epoch) & (2**63 - 1))
        rate, loss = _steps(training, epoch)
    learner.refresh()
    measures = {
        "train/loss": loss,
        **{f"validation/{name}": value for name, value in _validated(training).items()},
        "learning_rate": rate,
        _SECONDS: perf_counter() - start,
    }
    epochs = (*before.epochs, measures)
    better = learner.spec.keep == "last" or _is_best(learner, epochs)
    return TrainState(epochs, learner.state(), learner.weights() if better else before.best)


def _steps(training: Training, epoch: int) -> tuple[float, float]:
    """Take an epoch's steps; return the last learning rate and the mean loss."""
    learner, images = training.learner, training.fit
    spec, count = learner.spec, len(images)
    order = generator(images.seed, "order", epoch).permutation(count).tolist()
    per_epoch = -(-count // spec.batch)
    rate, total = 0.0, 0.0
    learner.train()
    for number, batch in enumerate(images.batches(order, spec.batch, epoch)):
        rate = learner.set_rate((epoch - 1) * per_epoch + number, spec.epochs * per_epoch)
        loss = _step(training, batch)
        total += loss * len(batch.ids)
        news = f"epoch {epoch}, step {number + 1}/{per_epoch}, loss {loss:.3f}"
        training.reporter.sample(epoch - 1, news)
    learner.train(False)
    return rate, total / count


def _step(training: Training, batch: Batch) -> float:
    """Take one step; return the loss before it.

    Raises:
        MethodError: If the loss is not finite.
    """
    learner, fabric = training.learner, training.fabric
    with fabric.autocast():
        loss = learner.loss(batch)
    value = float(loss.detach())
    if not torch.isfinite(loss.detach()):
        message = f"the loss of {learner.spec.kind} is {value} in epoch {batch.epoch}"
        raise MethodError(message, hint="Lower method.optimizer.lr, or lengthen method.warmup.")
    learner.optimizer.zero_grad(set_to_none=True)
    fabric.backward(loss)
    learner.optimizer.step()
    learner.settle()
    return value


def _validated(training: Training) -> Measures:
    """Return means over the validation samples."""
    learner, images = training.learner, training.validate
    sums: Measures = {}
    for batch in images.batches(range(len(images)), learner.spec.batch, epoch=0):
        with training.fabric.autocast():
            found = learner.measures(batch)
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value * len(batch.ids)
    return {name: value / len(images) for name, value in sums.items()}


def _is_best(learner: Learner, epochs: tuple[Measures, ...]) -> bool:
    """Tell whether the last epoch is better than all before it."""
    merits = [learner.merit(_below(measures, "validation/")) for measures in epochs]
    return all(merits[-1] > merit for merit in merits[:-1])


def _log_curves(run: Run, table: list[Measures]) -> None:
    """Log the measures of all epochs as a table and as curves."""
    with tempfile.TemporaryDirectory(prefix="hardy-") as scratch:
        picture = Path(scratch) / "curves.png"
        curves(table).save(picture)
        run.artifact(picture, "training/curves.png")
    run.text(curves_csv(table), "training/epochs.csv")


def _speed(epochs: tuple[Measures, ...], samples: int) -> Measures:
    """Return what a training sample took over all epochs, for plans of such trainings."""
    seconds = sum(measures[_SECONDS] for measures in epochs) / samples
    return {"seconds_per_sample": seconds, "samples_per_second": 1 / seconds}


def _below(measures: Mapping[str, float], prefix: str) -> Measures:
    return {n.removeprefix(prefix): v for n, v in measures.items() if n.startswith(prefix)}


def _logged(measures: Mapping[str, float]) -> Measures:
    """Return what the tracker takes; a time is no number that comes again."""
    return {name: value for name, value in measures.items() if name != _SECONDS}


def _news(measures: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in _logged(measures).items())
