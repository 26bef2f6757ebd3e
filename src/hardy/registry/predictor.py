"""A registered model brought back to life: images in, a table of answers out."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from hardy.core.catalog import did_you_mean
from hardy.core.errors import RegistryError, WeightsError
from hardy.core.hashing import file_sha256
from hardy.data.item import mirrored
from hardy.data.preprocess import OUTSIDE
from hardy.data.views import make_views
from hardy.explain.point import point_as_shares
from hardy.methods.base import Method, Subject, outcome_of
from hardy.methods.base_spec import MethodBase, views_of
from hardy.methods.build import build_method
from hardy.methods.fitting import Fits
from hardy.models import head
from hardy.models.build import build_network, ready
from hardy.models.model import Model
from hardy.models.state import bare
from hardy.registry.bundle import CARD, FITTED, WEIGHTS, Card, read_card
from hardy.registry.inputs import content_id
from hardy.registry.windows import joined, windows
from hardy.tasks.base import WINDOW

_BATCH, _BATCH_PIXELS = 32, 32 * 224**2
"""Images that go through the network together, and their pixels where these are many."""

_Served = tuple[Tensor, Callable[[np.ndarray], np.ndarray], Mapping[str, Any]]

_HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def load_predictor(folder: Path, *, device: str = "auto") -> "Predictor":
    """Build the model of a bundle; nothing is downloaded and no pickle is opened.

    Raises:
        RegistryError: If the card is absent, damaged or of another layout;
            or if there is no such device.
        WeightsError: If the weights are not the ones that the card names, or do not fit.
    """
    card = read_card(folder / CARD)
    task = card.build_task()
    network, _ = build_network(
        card.model,
        texts=card.class_texts or (),
        outputs=task.outputs,
        of_image=task.target == "image",
        download=False,
    )
    inner, tensors = bare(network), _tensors(folder / WEIGHTS, card.weights_sha256)
    if card.model.has_head:
        head.like(inner, tensors)
    _check_fits(tensors, inner.state_dict())
    inner.load_state_dict(tensors)
    fitted = _tensors(folder / FITTED, card.fitted_sha256) if card.fitted_sha256 else {}
    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    _check_there(where)
    model = Model(network, card.preprocess, card.model_indices, of_features=task.spec.of_features)
    ready(model, where)
    return Predictor(card, model, torch.device(where), fitted)


def _check_there(device: str) -> None:
    """Make sure that torch finds a device.

    Raises:
        RegistryError: If it does not.
    """
    kind = torch.device(device).type
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, True):
        message = f"the device is to be {device}, which torch does not find on this machine"
        raise RegistryError(message, hint="Take what there is: auto, or cpu.")


def _tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    if not path.is_file() or (got := file_sha256(path)) != sha256:
        found = f"has SHA-256 {got}" if path.is_file() else "is absent"
        message = f"{path.name} of the registered model {found}, the card says {sha256}"
        raise WeightsError(message, hint="The file is damaged or was exchanged: do not use it.")
    try:
        tensors: dict[str, Tensor] = load(path.read_bytes())
    except SafetensorError as error:
        message = f"{path.name} of the registered model is not safetensors: {error}"
        raise WeightsError(message, hint="Register the version anew.") from error
    return tensors


def _check_fits(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    faults = sorted(own.keys() ^ tensors.keys())
    faults += [k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape]
    if faults:
        message = f"{WEIGHTS} does not fit the architecture: {', '.join(faults[:5])}"
        raise WeightsError(message, hint="Install the versions that requirements.txt names.")


class Predictor:
    """Answers for images as the source model, or adapted to each image by the version's method.

    Calls are taken one at a time: adapting changes the weights until the image is answered.
    """

    def __init__(
        self,
        card: Card,
        model: Model,
        device: torch.device,
        fitted: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        self.fitted = fitted
        self.card = card
        self.model = model
        self.device = device
        self.task = card.build_task()
        self._built: tuple[MethodBase, Method] | None = None
        self._lock = threading.Lock()

    def predict(
        self,
        images: Sequence[Image.Image],
        *,
        adapt: bool = False,
        views: int = 0,
        seed: int = 0,
        **params: bool | int | float | str,
    ) -> pd.DataFrame:
        """Return one row an image.

        Args:
            images: RGB, any size.
            adapt: Adapt to each image first, from the source weights; reset after it.
            views: Views an image where adapting; 0 for as many as the method's spec says.
            seed: Seed of the views, which depend on it and on the image's pixels alone.
            params: The task's own, such as `top_k` (see `Task.params`).

        Returns:
            The columns of the task (see `Task.returns` and `Task.served`).

        Raises:
            RegistryError: If a setting is out of range, or the method makes no views or trained the
                model and adapts it to nothing.
        """
        if adapt and self.card.method.yields_weights:
            message = f"the method {self.card.method.kind} trained this version; it cannot adapt it"
            raise RegistryError(message, hint="Predict without adapting.")
        if views < 0 or seed < 0:
            message = f"views is {views}, seed is {seed}"
            raise RegistryError(message, hint="Give views >= 0 and seed >= 0.")
        given = self._params(params)
        spec = self._method_spec(views)
        tiled = given.get(WINDOW) == "tiles"

        def answers(those: Sequence[Image.Image]) -> Iterator[Tensor]:
            if adapt:
                return (self._adapted(image, spec, seed) for image in those)
            return self._plain(those)

        with self._lock:
            # Each is a row before the next ones are there: answers may be whole planes.
            rows = [
                self.task.served(answer, undo, said)
                for answer, undo, said in (
                    self._in_windows(images, answers, given)
                    if tiled
                    else self._whole(images, answers(images), given)
                )
            ]
        return pd.DataFrame(rows, columns=list(self.task.returns))

    def _whole(
        self, images: Sequence[Image.Image], answers: Iterator[Tensor], given: Mapping[str, Any]
    ) -> Iterator[_Served]:
        """Yield what `Task.served` is told of each image, which the network sees as a whole."""
        said = {**given, WINDOW: f"whole ({self.card.preprocess})"} if WINDOW in given else given
        for image, answer in zip(images, answers, strict=True):
            yield answer, self._undo(image), said

    def _in_windows(
        self,
        images: Sequence[Image.Image],
        answers: Callable[[Sequence[Image.Image]], Iterator[Tensor]],
        given: Mapping[str, Any],
    ) -> Iterator[_Served]:
        """Yield the same where the network sees windows of each image, at its own resolution."""
        height, width = self.card.preprocess.height, self.card.preprocess.width
        for image in images:
            found = windows(image, height, width)
            each = answers([window.image for window in found])
            said = f"tiles ({len(found)} of {height} x {width}, their mean where they overlap)"
            whole = joined(each, found, image.size)
            yield whole, lambda plane: plane, {**given, WINDOW: said}

    def _params(self, given: Mapping[str, bool | int | float | str]) -> dict[str, Any]:
        """Return the task's parameters, with the defaults of those that are not given.

        Raises:
            RegistryError: If there is no such parameter, or it is of another type.
        """
        known = self.task.params
        for name, value in given.items():
            if name not in known:
                message = f"the task {self.task.kind} has no parameter {name!r}"
                listing = f"It has: {', '.join(known) or 'none'}."
                raise RegistryError(message, hint=did_you_mean(name, known) or listing)
            choices = self.task.choices.get(name)
            if not _fits(value, known[name]) or (choices and value not in choices):
                message = f"{name} is {value!r}"
                hint = f"Give {' or '.join(choices)}." if choices else ""
                raise RegistryError(message, hint=hint or f"Give a value such as {known[name]!r}.")
        return {**known, **given}

    def _undo(self, image: Image.Image) -> Callable[[np.ndarray], np.ndarray]:
        """Return what brings a plane of the network's geometry to an image's size."""
        void = OUTSIDE if self.task.void is None else self.task.void
        return lambda plane: self.card.preprocess.back(
            plane, image.width, image.height, outside=void
        )

    def _plain(self, images: Sequence[Image.Image]) -> Iterator[Tensor]:
        size = self.card.preprocess
        batch = min(_BATCH, max(1, _BATCH_PIXELS // (size.height * size.width)))
        for start in range(0, len(images), batch):
            pixels = torch.stack([self._pixels(image) for image in images[start : start + batch]])
            with torch.no_grad(), self._autocast():
                outputs = self.model(self._normalised(pixels))
            yield from self.task.answer(outputs)

    def _adapted(self, image: Image.Image, spec: MethodBase, seed: int) -> Tensor:
        method, asked = self._method(spec), views_of(spec)
        pixels, name = self._pixels(image)[None], content_id(image)
        sides: tuple[bool, ...] = ()
        if asked is not None:
            preprocess = self.card.preprocess
            plain = preprocess.geometry(image)
            point = point_as_shares(self.model, plain) if asked.at_point else None
            views = make_views(image, asked, preprocess, seed, name, plain, point=point)
            pixels, sides = views.pixels, mirrored(views.names)
        canvas = np.asarray(image)
        subject = Subject(self._normalised(pixels), name, seed, canvas, mirrored=sides)
        with torch.enable_grad(), self._autocast():
            return outcome_of(method, subject).answers[self.card.main]

    def _method_spec(self, views: int) -> MethodBase:
        spec: MethodBase = self.card.method
        if not views:
            return spec
        asked = views_of(spec)
        if asked is None:
            message = f"the method {self.card.method.kind} of this version makes no views"
            raise RegistryError(message, hint="Leave views at 0.")
        changed = spec.model_dump() | {"views": asked.model_dump() | {"count": views}}
        try:
            return type(spec).model_validate(changed)
        except ValidationError as error:
            message = f"{views} views: {error.errors()[0]['msg']}"
            raise RegistryError(message, hint="Ask for another number of views.") from error

    def _method(self, spec: MethodBase) -> Method:
        if self._built is None or self._built[0] != spec:
            method = build_method(spec, [self.model], self.task)
            if isinstance(method, Fits) and self.fitted:
                method.load(self.fitted)
            self._built = (spec, method)
        return self._built[1]

    def _pixels(self, image: Image.Image) -> Tensor:
        plain = self.card.preprocess.geometry(image)
        pixels = torch.frombuffer(bytearray(plain.tobytes()), dtype=torch.uint8)
        return pixels.view(plain.height, plain.width, 3).permute(2, 0, 1)

    def _normalised(self, pixels: Tensor) -> Tensor:
        return self.card.preprocess.normalise(pixels.to(self.device))

    def _autocast(self) -> AbstractContextManager[object]:
        half = _HALF.get(self.card.precision)
        return torch.autocast(self.device.type, dtype=half, enabled=half is not None)


def _fits(value: object, default: object) -> bool:
    """Whether a value is of a parameter's type; a whole number is also a real one."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, int):
        return isinstance(value, Integral)
    return isinstance(value, Real if isinstance(default, float) else str)
