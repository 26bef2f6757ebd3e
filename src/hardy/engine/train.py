"""The one loop of all methods that train.

Where a training stands is kept on disk every now and then, in the middle of an epoch too. The order
of the samples and every random number derive from the seed, the epoch, the batch and the sample, so
a run that was killed ends with the bits of one that was not.
"""

import math
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import torch
from lightning_fabric import Fabric
from safetensors.torch import save
from torch import Tensor

from hardy.core.errors import MethodError
from hardy.core.seeding import derive, generator
from hardy.data.item import Batch
from hardy.engine.budget import Budget, Parts
from hardy.engine.checkpoint import Checkpoint, Measures, Progress, TrainState
from hardy.engine.judge import LOSS, Judge
from hardy.engine.memory import too_large
from hardy.engine.pending import Done, read, timed
from hardy.engine.progress import Reporter
from hardy.engine.trained import Trained
from hardy.engine.training_log import SECONDS, log_curves, logged, speed
from hardy.engine.validate import validated
from hardy.engine.watch import Watch
from hardy.methods.fitting import Source
from hardy.methods.learner import Learner
from hardy.models.state import copied
from hardy.plan.tracker import Run
from hardy.tasks.base import Task

EPOCH, STEP = LOSS, "step/loss"
"""Metrics that every epoch, and every few steps, have: how far a run's curves go."""

_MOST = 2**63 - 1
# Points an epoch of the curves over steps; how often the progress is told.
_POINTS, _NEWS_SECONDS = 20, 0.5
# Keeping the state takes at most this share of the time; within an epoch it is kept this seldom.
_KEEPING, _WITHIN_SECONDS = 0.02, 30.0


@dataclass(frozen=True)
class Training:
    """What a training works with.

    Attributes:
        learner: Is trained.
        fit: Samples to learn from.
        validate: Samples that each epoch is measured on; None for none.
        task: Judges the answers for them.
        fabric: Device, precision, and the ranks that share the work.
        run: Takes each epoch's measures, the epoch as the step.
        reporter: Told of steps.
        name: The unit's, on the progress bar.
        title: Says what pictures are of.
        watch: Told of each epoch, and may stop the training.
    """

    learner: Learner
    fit: Source
    validate: Source | None
    task: Task
    fabric: Fabric
    run: Run
    reporter: Reporter
    name: str
    title: str
    watch: Watch | None = None


def train(training: Training, checkpoint: Checkpoint) -> None:
    """Train until the end, going on where the checkpoint stands; log curves and the speed.

    The learner is left with the weights to keep. A run's measures by epoch are `train/loss` and
    what else the learner gives, `validation/...`, `learning_rate`, `train/gradient_norm` and the
    speed; those of some steps are `step/...`.

    Raises:
        MethodError: If a loss is not finite, or memory does not suffice.
        SpecError: If an epoch has no batch.
    """
    _Loop(training, checkpoint).run()


class _Loop:
    def __init__(self, training: Training, checkpoint: Checkpoint) -> None:
        self.training = training
        self.learner = training.learner
        self.spec = training.learner.spec
        self.fabric = training.fabric
        self.checkpoint = checkpoint
        self.budget = Budget.of(self.spec, len(training.fit))
        sizes = {"steps": self.budget.steps, "epoch_steps": self.budget.epoch_steps}
        self.judge = Judge(training.learner, training.task)
        self.trained = Trained(self.learner, self.fabric, **sizes)
        self.state = TrainState()
        self._kept_at = self._told_at = perf_counter()
        self._keeping = 0.0
        self._logged = {EPOCH: 0, STEP: 0}
        self._best: dict[str, Tensor] = {}  # the best epoch's state, while it is not on disk yet
        self._pending: list[Done] = []
        self._clock = perf_counter()

    def run(self) -> None:
        """Train what is left, and leave the learner with the weights to keep."""
        training = self.training
        self.state = self.fabric.broadcast(self.checkpoint.load())
        # A run that was killed may have logged more than its state knows of.
        self._logged = {name: training.run.last_step(name) for name in self._logged}
        if self.state.step:
            self.trained.load(self.state.tensors, self.state.parts)
            self._log_epochs()
        self.state = replace(self.state, tensors={})  # they are in the learner now
        training.reporter.unit(training.name, self.budget.steps, self.state.step, what="steps")
        for epoch in range(1, len(self.state.epochs) + 1):
            self._watched(epoch)
        # For what draws from the global generators, such as dropout.
        with torch.random.fork_rng(devices=[]):
            while len(self.state.epochs) < self.budget.epochs and not self.judge.stops_early(
                self.state.epochs
            ):
                self._epoch(len(self.state.epochs) + 1)
        if self.fabric.global_rank:
            return  # rank 0 says and writes what came of it
        if self.spec.keep == "best" and self.state.best:
            self.learner.load_state_dict(self.checkpoint.best(self.state.best))
            self.learner.refresh()
        elif self.spec.ema is not None:
            with self.trained.to_keep():
                mean = self.learner.weights()
            self.learner.load_weights(mean)
        self.learner.eval()
        best = self.state.best if self.spec.keep == "best" else 0
        epochs = self.state.epochs
        merits = self.judge.merits(epochs)
        log_curves(training.run, training.task, epochs, merits, best or len(epochs), training.title)
        training.run.metrics(speed(self.state.epochs, len(training.fit)))

    def _epoch(self, epoch: int) -> None:
        """Train for the rest of an epoch, measure it, keep where the training stands."""
        noted = self.learner.start_epoch(epoch)
        self.learner.train()
        self._steps(epoch)
        done, start = self.state.progress, perf_counter()
        noted = {**noted, **self.learner.end_steps(epoch)}
        with self.trained.to_keep():
            self.learner.eval()
            self.learner.refresh()
            measures = self._measures(epoch, done) | noted
            seconds = done.seconds + perf_counter() - start
            epochs = (*self.state.epochs, {**measures, SECONDS: seconds})
            merits = self.judge.merits(epochs)
            if self.spec.keep == "best" and all(merits[-1] > merit for merit in merits[:-1]):
                self._best = copied(self.learner.state_dict())
                self.state = replace(self.state, best=epoch)
            if self.spec.keep_every and epoch % self.spec.keep_every == 0:
                self._store(epoch)
        self.trained.end_epoch(merits[-1])
        self.state = replace(self.state, epochs=epochs, progress=Progress())
        self._log_epochs()
        self._keep(least=0.0, always=self._ended() or epoch == 1)
        self._tell(f"epoch {epoch}/{self.budget.epochs}  {self._news(measures)}")
        self._watched(epoch)

    def _ended(self) -> bool:
        epochs = self.state.epochs
        return len(epochs) == self.budget.epochs or self.judge.stops_early(epochs)

    def _watched(self, epoch: int) -> None:
        """Tell the watch of an epoch; rank 0 alone does.

        Raises:
            Pruned: If the training is to stop.
        """
        watch = self.training.watch
        if watch is not None and not self.fabric.global_rank:
            merit = self.judge.merit(self.state.epochs[epoch - 1])
            watch.epoch(epoch, self.budget.epochs, merit)

    def _measures(self, epoch: int, done: Progress) -> Measures:
        """Return what is known of an epoch after its last step."""
        training = self.training
        means = {name: value / done.samples for name, value in done.sums.items()}
        measures = {
            **{f"train/{name}": value for name, value in means.items()},
            "train/gradient_norm": done.norms / max(1, done.steps),
            "train/samples_per_second": done.samples / done.seconds,
            "train/waiting": done.waited / done.seconds,
            "learning_rate": done.rate,
        }
        if training.validate is not None:
            found = validated(self.learner, training.validate, training.task, self.fabric)
            measures |= {f"validation/{name}": value for name, value in found.items()}
        return measures | self.learner.end_epoch(epoch)

    def _steps(self, epoch: int) -> None:
        """Take the steps that an epoch has left.

        Raises:
            MethodError: If memory does not suffice, or a loss or a gradient is not finite.
        """
        images, spec = self.training.fit, self.spec
        parts = Parts.of(spec, len(images), self.budget.batches_of(epoch, spec.accumulate or 1))
        parts.check_ranks(self.fabric.world_size)
        order = generator(images.seed, "order", epoch).permutation(len(images)).tolist()
        ranks = {"rank": self.fabric.global_rank, "ranks": self.fabric.world_size}
        first = self.state.progress.batches
        batches = images.batches(order[: parts.samples], spec.batch, epoch, first=first, **ranks)
        every = -(-self.budget.epoch_steps // _POINTS)
        rank = (self.fabric.global_rank,) if self.fabric.global_rank else ()
        self._clock = perf_counter()
        with closing(batches):
            for number, (batch, waited) in enumerate(timed(batches), start=first):
                torch.manual_seed(derive(images.seed, "step", epoch, number, *rank) & _MOST)
                closes, rows = parts.closes(number), parts.rows(number)
                found = self._backward(batch, rows, parts.sizes[number], closes=closes)
                rate = self.trained.rate
                norm = self.trained.step(self.state.step + 1) if closes else None
                if closes and norm is None:
                    raise too_large(self.trained, batch, spec, self.fabric.world_size)
                self._pending.append(Done(found, parts.sizes[number], rate, waited, norm))
                self.state = replace(self.state, step=self.state.step + closes)
                last = number == len(parts.sizes) - 1
                point = closes and self.state.step % every == 0
                if point or last or perf_counter() - self._told_at >= _NEWS_SECONDS:
                    self._settle(epoch, point=point)
                    if closes and not last:
                        self._keep(least=_WITHIN_SECONDS)

    def _backward(self, batch: Batch, rows: int, whole: int, *, closes: bool) -> dict[str, Tensor]:
        """Add a batch's gradients; return what the learner says of it, over all ranks.

        Args:
            batch: This rank's rows.
            rows: Of the step that it belongs to, over all ranks.
            whole: Of the batch, over all ranks.
            closes: Whether it is the last of its step.

        Raises:
            MethodError: If memory does not suffice.
        """
        ranks, mine = self.fabric.world_size, len(batch.ids)
        found = self.trained.gradients(batch, mine * ranks / rows, last=closes)
        if not found:
            raise too_large(self.trained, batch, self.spec, ranks)
        if ranks == 1:
            return found
        sums = torch.stack([value.float() for value in found.values()]) * (mine / whole)
        means = self.fabric.all_reduce(sums, reduce_op="sum")
        return dict(zip(found, means.unbind(), strict=True))

    def _settle(self, epoch: int, *, point: bool = False) -> None:
        """Read what the steps since the last time came to, all at once, and tell of it.

        Raises:
            MethodError: If a loss or a gradient is not finite.
        """
        now = perf_counter()
        progress = self.state.progress
        for found, norm, done in read(self._pending):
            sums = {
                name: progress.sums.get(name, 0.0) + value * done.samples
                for name, value in found.items()
            }
            loss, taken = found["loss"], norm is not None and math.isfinite(norm)
            lost = norm is not None and not taken and not self.trained.skips_steps
            if lost or not math.isfinite(loss):
                kind, place = self.spec.kind, f"in epoch {epoch}, batch {progress.batches + 1}"
                message = f"the loss of {kind} is {loss} {place}"
                if math.isfinite(loss):
                    message = f"the gradients of {kind} are not finite {place}"
                hint = "Lower method.optimizer.lr, lengthen method.warmup, or set method.clip."
                raise MethodError(message, hint=hint)
            progress = replace(
                progress,
                batches=progress.batches + 1,
                samples=progress.samples + done.samples,
                sums=sums,
                steps=progress.steps + taken,
                norms=progress.norms + (norm if norm is not None and taken else 0.0),
                rate=done.rate,
                waited=progress.waited + done.waited,
            )
            if point and done is self._pending[-1]:
                self._log_point({"loss": loss, "learning_rate": done.rate, "gradient_norm": norm})
        self._pending.clear()
        progress = replace(progress, seconds=progress.seconds + now - self._clock)
        self._clock, self.state = now, replace(self.state, progress=progress)
        loss = progress.sums["loss"] / progress.samples
        rate = progress.samples / progress.seconds
        self._tell(f"epoch {epoch}/{self.budget.epochs}  loss {loss:.4g}  {rate:.0f} samples/s")

    def _log_point(self, values: Mapping[str, float | None]) -> None:
        """Log a point of the curves over steps, unless it was before the run was stopped."""
        if self.state.step > self._logged[STEP]:
            found = {f"step/{name}": v for name, v in values.items() if v is not None}
            finite = {name: value for name, value in found.items() if math.isfinite(value)}
            self.training.run.metrics(finite, step=self.state.step)

    def _log_epochs(self) -> None:
        """Log the epochs that the run has not."""
        for epoch, measures in enumerate(self.state.epochs, start=1):
            if epoch > self._logged[EPOCH]:
                self.training.run.metrics(logged(measures), step=epoch)
                self._logged[EPOCH] = epoch

    def _keep(self, *, least: float, always: bool = False) -> None:
        """Keep where the training stands, if that was long enough ago.

        While the store does not answer, the training goes on and keeps no state but its last one.
        """
        start = perf_counter()
        if not always and start - self._kept_at < max(least, self._keeping / _KEEPING):
            return
        # Before the state: what is behind it is not logged again.
        if not self.training.run.flush(wait=always):
            return
        tensors, parts = self.trained.tensors(), self.trained.parts()
        if self._best:
            self.checkpoint.save_best(self.state.best, self._best)
            self._best = {}
        self.checkpoint.save(replace(self.state, tensors=tensors, parts=parts))
        self._kept_at = perf_counter()
        self._keeping = self._kept_at - start
        self._clock += self._keeping  # it is no part of the steps' time

    def _store(self, epoch: int) -> None:
        """Store the weights as they are after an epoch, for good."""
        with tempfile.TemporaryDirectory(prefix="hardy-") as scratch:
            file = Path(scratch) / f"epoch-{epoch:04d}.safetensors"
            # safetensors' own file would be the user's alone, in a store that others read.
            file.write_bytes(save(self.learner.weights()))
            self.training.run.artifact(file, f"checkpoints/{file.name}")

    def _tell(self, news: str) -> None:
        self._told_at = perf_counter()
        self.training.reporter.sample(self.state.step, news)

    def _news(self, measures: Mapping[str, float]) -> str:
        """Say what an epoch came to: the losses, the task's headline, what epochs are kept by."""
        told = ("loss", self.training.task.headline, self.spec.monitor)
        names = dict.fromkeys((LOSS, *(f"validation/{name}" for name in told)))
        return "  ".join(f"{n} {measures[n]:.4g}" for n in names if n in measures)
