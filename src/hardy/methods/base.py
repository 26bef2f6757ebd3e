"""What a method is to the engine that runs it, by what it can do.

`Answers` changes nothing and answers for a batch; `Adapts` sees the views of one image, answers,
and can be put back to where it began; `Fits` (`hardy.methods.fitting`) learns something first. A
method has one of the first two, and the third if it learns. It never sees a file or MLflow, and
none that answers sees a label.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hardy.core.cache import Cache
from hardy.data.pipeline import ViewSet
from hardy.methods.stages import Stages
from hardy.models.model import Model

PLAIN = ("read", "image")
"""Stages of the pipeline that an answer from the unchanged image needs."""


@dataclass(frozen=True)
class Subject:
    """One image as a method sees it.

    Attributes:
        views: Normalised views (V, 3, H, W) on the model's device; view 0 is the unchanged
            image.
        id: The sample's stable name; with the seed it derives every random number.
        seed: The experiment's seed.
        canvas: The image that views are cut from, (h, w, 3) of uint8, where the method's schema
            says that it needs it; None where views are cut from view 0 itself.
        others: Further sets of views, each (V, 3, H, W) in [0, 255], in the order of the method's
            `view_sets`.
        mirrored: Which views show left on the right, so that an answer for each pixel is mirrored
            back before it is joined with others; empty for none.
    """

    views: Tensor
    id: str = ""
    seed: int = 0
    canvas: np.ndarray | None = None
    others: tuple[Tensor, ...] = ()
    mirrored: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a method has to say about one image.

    Attributes:
        answers: The task's answers by name, float32 on the CPU, such as log-probabilities (C,) over
            the classes: `source` is the unadapted model's, the method's own kind is its own.
        details: Values for the per-sample record, such as `loss` or `selected_views`.
        milliseconds: Time of each stage, such as `adapt` and `predict`; no two overlap. What was
            at hand from an earlier image or run has no time.
        needs: For each answer, the stages without which it could not be given: those of
            `milliseconds`, and the pipeline's (`Prepared.stages`, and `views` for all of it). An
            answer whose share of a stage is not known is absent.
    """

    answers: dict[str, Tensor]
    details: dict[str, Any] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def costs(self, prepared: Mapping[str, float]) -> dict[str, float]:
        """Return the milliseconds that each answer alone would take, where that is known.

        Args:
            prepared: Milliseconds of the pipeline's stages.
        """
        took = {**prepared, **self.milliseconds}
        return {
            name: sum(took[stage] for stage in stages)
            for name, stages in self.needs.items()
            if all(stage in took for stage in stages)
        }


class Method(ABC):  # noqa: B024 - what it can do, its kinds say
    """What all methods have.

    Args:
        model: The source model; the method changes nothing of it but its weights, and these only
            between `Adapts.predict` and `Adapts.reset`.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        model.eval()

    @property
    def view_sets(self) -> tuple[ViewSet, ...]:
        """Further sets of views that the method wants, as `Subject.others`."""
        return ()

    def remember(self, cache: Cache | None, precision: str) -> None:  # noqa: B027 - optional
        """Keep what is the same for all that a method tunes, such as image features, on disk.

        Nothing by default.

        Args:
            cache: Where to; None for no longer than this method lives.
            precision: Of the passes to come: what is kept is of use to the same alone.
        """

    def companions(self) -> Mapping[str, "Adapts"]:
        """Return methods on the same model, by name, whose Grad-CAM stands beside this one's.

        They are asked for where a picture is drawn, with the weights of the source model.
        """
        return {}

    def illustrate(self, subject: Subject) -> Mapping[str, Image.Image]:
        """Return pictures of one sample that only this method can draw, by folder name.

        The weights are the source model's.
        """
        return {}


class Answers(Method):
    """A method that adapts nothing: the answer for an image depends on that image alone."""

    @abstractmethod
    def answer(self, images: Tensor) -> dict[str, Tensor]:
        """Answer for normalised images (B, 3, H, W): the task's answers (B, ...) by name."""


class Adapts(Method):
    """A method that adapts the model to one image at a time, given its views."""

    leaves_adapted: ClassVar[bool] = True
    """Whether the model is the adapted one between `predict` and `reset`."""

    @abstractmethod
    def predict(self, subject: Subject) -> Outcome:
        """Answer for one image; leaves the model as adapted to it, until `reset`."""

    def prepare(self, subjects: Sequence[Subject]) -> None:
        """Compute for several images at once what `predict` would for each; nothing by default."""

    @abstractmethod
    def reset(self) -> None:
        """Restore every weight, buffer and optimizer state, in place and bit for bit."""


def outcome_of(method: Method, subject: Subject) -> Outcome:
    """Return what a method says of one image, and put an adapting one back.

    Args:
        method: One that `Answers` or `Adapts`.
        subject: The image.
    """
    if isinstance(method, Adapts):
        try:
            return method.predict(subject)
        finally:
            method.reset()
    return outcomes_of(cast("Answers", method), subject.views[:1])[0]


def outcomes_of(method: Answers, images: Tensor) -> list[Outcome]:
    """Return what a method that adapts nothing says of each image; they share the time evenly.

    Args:
        method: The method.
        images: Normalised (B, 3, H, W).
    """
    stages = Stages(images.device)
    answers = method.answer(images)
    stages.done("predict")
    each = {name: took / len(images) for name, took in stages.milliseconds.items()}
    # Of several answers from one call, none is known to need all of it.
    needs = {name: (*PLAIN, "predict") for name in answers if len(answers) == 1}
    return [
        Outcome({name: a[n] for name, a in answers.items()}, milliseconds=each, needs=needs)
        for n in range(len(images))
    ]


def log_probabilities(logits: Tensor, dim: int = -1) -> Tensor:
    """Return log-softmax over an axis in float32, detached, on the CPU."""
    return torch.log_softmax(logits.detach().float(), dim=dim).cpu()
