"""The loop of every method that trains: epochs of steps, each epoch measured and kept on disk.

The order of the samples and every random number derive from the seed, the epoch and the sample, so
a run that was stopped ends with the numbers of one that was not.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import cast

import torch
from safetensors.torch import save

from hardy.core.errors import MethodError
from hardy.core.seeding import derive, generator
from hardy.data.loader import Stock, read_stock
from hardy.engine.checkpoint import Checkpoint, Measures, Standing
from hardy.engine.leak import open_apart
from hardy.engine.progress import Reporter
from hardy.engine.setup import Bench
from hardy.engine.supply import WEIGHTS
from hardy.explain.curves import curves, curves_csv
from hardy.methods.fitting import Batch, Trainer
from hardy.plan.tracker import Run

_SECONDS = "seconds"


def train(
    bench: Bench, checkpoint: Checkpoint, run: Run, reporter: Reporter
) -> tuple[Bench, list[Measures]]:
    """Train until the last epoch, going on where the checkpoint stands; log weights and curves.

    Args:
        bench: The experiment's parts; its method is a trainer.
        checkpoint: Written after each epoch.
        run: Takes each epoch's measures, the epoch as the step.
        reporter: Told of samples read, and of steps.

    Returns:
        The bench on the validation samples, its method with the weights to keep; and each epoch's
        measures: `train/loss`, `validation/...`, `learning_rate`, and `seconds`.

    Raises:
        SpecError: If the dataset lacks what the method learns from.
        DataError: If a validation image is among the training images, or a sample is broken.
        MethodError: If a loss is not finite.
    """
    trainer = cast("Trainer", bench.method)
    trainer.check(bench.dataset)
    samples = open_apart(trainer.spec.validate_on, bench.experiment, bench.dataset)
    held_out = replace(bench, dataset=samples)
    where = trainer.spec.validate_on.model_dump(exclude_none=True)
    run.dataset(held_out.dataset.name, held_out.dataset.digest, where, "validation")
    standing = checkpoint.load()
    if standing.epochs:
        trainer.load_state(standing.state)
    if len(standing.epochs) < trainer.spec.epochs:
        standing = _carried_on(bench, held_out, standing, checkpoint, run, reporter)
    trainer.load_weights(standing.best)
    _log(trainer, standing.epochs, run)
    return held_out, list(standing.epochs)


def speed_of(epochs: Sequence[Measures], samples: int) -> Measures:
    """Return what a training sample took over all epochs, for plans of such trainings."""
    seconds = sum(measures[_SECONDS] for measures in epochs) / samples
    return {"seconds_per_sample": seconds, "samples_per_second": 1 / seconds}


def _carried_on(
    bench: Bench,
    held_out: Bench,
    standing: Standing,
    checkpoint: Checkpoint,
    run: Run,
    reporter: Reporter,
) -> Standing:
    """Train the epochs that are left."""
    title, total = bench.experiment.name, cast("Trainer", bench.method).spec.epochs
    stocks = (
        read_stock(bench, reporter, f"{title}: reads training samples"),
        read_stock(held_out, reporter, f"{title}: reads validation samples"),
    )
    reporter.unit(title, total, len(standing.epochs), what="epochs")
    for epoch in range(len(standing.epochs) + 1, total + 1):
        standing = _epoch(bench, stocks, standing, epoch, reporter)
        run.metrics(_logged(standing.epochs[-1]), step=epoch)
        run.flush()  # before the checkpoint: what is behind it is not measured again
        checkpoint.save(standing)
        reporter.sample(epoch, _news(standing.epochs[-1]))
    return standing


def _log(trainer: Trainer, epochs: Sequence[Measures], run: Run) -> None:
    """Log the weights to keep, and the measures of all epochs as a table and as curves."""
    table = [_logged(measures) for measures in epochs]
    with tempfile.TemporaryDirectory(prefix="hardy-") as scratch:
        weights, picture = Path(scratch) / Path(WEIGHTS).name, Path(scratch) / "curves.png"
        weights.write_bytes(save(trainer.weights()))
        run.artifact(weights, WEIGHTS)
        curves(table).save(picture)
        run.artifact(picture, "training/curves.png")
    run.text(curves_csv(table), "training/epochs.csv")


def _epoch(
    bench: Bench,
    stocks: tuple[Stock, Stock],
    before: Standing,
    epoch: int,
    reporter: Reporter,
) -> Standing:
    """Train for one epoch and measure it."""
    trainer = cast("Trainer", bench.method)
    start = perf_counter()
    # For what draws from the global generators, such as dropout.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(bench.experiment.seed, "epoch", epoch) & (2**63 - 1))
        rate, loss = _steps(bench, stocks[0], epoch, reporter)
    trainer.refresh()
    found = _validated(bench, stocks[1])
    measures = {
        "train/loss": loss,
        **{f"validation/{name}": value for name, value in found.items()},
        "learning_rate": rate,
        _SECONDS: perf_counter() - start,
    }
    epochs = (*before.epochs, measures)
    better = trainer.spec.keep == "last" or _is_best(trainer, epochs)
    best = trainer.weights() if better else before.best
    return Standing(epochs, trainer.state(), best)


def _steps(bench: Bench, stock: Stock, epoch: int, reporter: Reporter) -> tuple[float, float]:
    """Take an epoch's steps; return the last learning rate and the mean loss."""
    trainer, seed = cast("Trainer", bench.method), bench.experiment.seed
    spec, count = trainer.spec, len(stock.ids)
    order = generator(seed, "order", epoch).permutation(count).tolist()
    per_epoch = -(-count // spec.batch)
    rate, total = 0.0, 0.0
    trainer.train()
    batches = stock.batches(order, spec.batch, seed, epoch, bench.fabric.device)
    for number, batch in enumerate(batches):
        rate = trainer.set_rate((epoch - 1) * per_epoch + number, spec.epochs * per_epoch)
        loss = _step(bench, batch)
        total += loss * len(batch.ids)
        news = f"epoch {epoch}, step {number + 1}/{per_epoch}, loss {loss:.3f}"
        reporter.sample(epoch - 1, news)
    trainer.train(False)
    return rate, total / count


def _step(bench: Bench, batch: Batch) -> float:
    """Take one step; return the loss before it.

    Raises:
        MethodError: If the loss is not finite.
    """
    trainer = cast("Trainer", bench.method)
    with bench.fabric.autocast():
        loss = trainer.loss(batch)
    value = float(loss.detach())
    if not torch.isfinite(loss.detach()):
        message = f"the loss of {trainer.spec.kind} is {value} in epoch {batch.epoch}"
        raise MethodError(message, hint="Lower method.optimizer.lr, or lengthen method.warmup.")
    trainer.optimizer.zero_grad(set_to_none=True)
    bench.fabric.backward(loss)
    trainer.optimizer.step()
    trainer.settle()
    return value


def _validated(bench: Bench, stock: Stock) -> Measures:
    """Return means over the validation samples."""
    trainer, count = cast("Trainer", bench.method), len(stock.ids)
    sums: Measures = {}
    size, seed = trainer.spec.batch, bench.experiment.seed
    for batch in stock.batches(list(range(count)), size, seed, 0, bench.fabric.device):
        with bench.fabric.autocast():
            found = trainer.measures(batch)
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value * len(batch.ids)
    return {name: value / count for name, value in sums.items()}


def _is_best(trainer: Trainer, epochs: tuple[Measures, ...]) -> bool:
    """Tell whether the last epoch is better than all before it."""
    merits = [trainer.merit(_below(measures, "validation/")) for measures in epochs]
    return all(merits[-1] > merit for merit in merits[:-1])


def _below(measures: Mapping[str, float], prefix: str) -> Measures:
    return {n.removeprefix(prefix): v for n, v in measures.items() if n.startswith(prefix)}


def _logged(measures: Mapping[str, float]) -> Measures:
    """Return what the tracker takes; a time is no number that comes again."""
    return {name: value for name, value in measures.items() if name != _SECONDS}


def _news(measures: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in _logged(measures).items())
