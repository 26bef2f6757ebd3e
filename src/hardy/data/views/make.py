"""From a schema to the views of one image: one maker a kind."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from hardy.core.cache import Cache
from hardy.core.seeding import generator
from hardy.data.item import MIRROR
from hardy.data.preprocess import Preprocess
from hardy.data.view_spec import (
    AugMix,
    AugMixStep,
    Compose,
    CutStep,
    Identity,
    OperationsStep,
    Photometric,
    ViewSpec,
    acts_on_native,
)
from hardy.data.views.augmix import BLACK, FILL, Array, augmix, draw_tones, mix
from hardy.data.views.crop import crop_box, cut, draw_flip, shifted_box
from hardy.data.views.draw import drawn_name
from hardy.data.views.kept import is_kept, key_of, through

SMALL = 64
"""Up to this side, AugMix crops as for CIFAR unless told: padded by 4 pixels, at the same scale."""

Point = tuple[float, float]
View = tuple[Array, list[str]]


@dataclass(frozen=True)
class Views:
    """The views of one image.

    Attributes:
        pixels: (V, 3, H, W) in [0, 255]; uint8, or float32 where views are mixtures.
        names: For each view, the operations it went through, in the order they were drawn;
            none for view 0.
    """

    pixels: torch.Tensor
    names: list[list[str]]


@dataclass(frozen=True)
class Scene:
    """What one view is made of.

    Attributes:
        canvas: What crops are cut from, RGB, any size; the image as it was read, unless something
            was done to it.
        plain: The image as the network would see it without views, RGB (W, H).
        preprocess: How the canvas comes to the size of `plain`.
        seed: The experiment's seed.
        sample_id: The image's stable name.
        index: The view's place, from 1.
        point: What matters most in `plain`, (x, y) as shares of its sides; None where unknown.
        stage: The step of a composition that comes next.
        out: Where the view ends, (3, H, W); a maker may make it there and save a copy.
    """

    canvas: Image.Image
    plain: Image.Image
    preprocess: Preprocess
    seed: int
    sample_id: str
    index: int
    point: Point | None = None
    stage: int = 0
    out: NDArray[Any] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a view, in pixels."""
        return self.plain.size


def make_views(
    image: Image.Image,
    spec: ViewSpec,
    preprocess: Preprocess,
    seed: int,
    sample_id: str,
    plain: Image.Image,
    *,
    point: Point | None = None,
    device: str = "cpu",
    cache: Cache | None = None,
) -> Views:
    """Make the views of one image: `spec.rows` images, the unchanged one first.

    Args:
        image: The canvas that views are cut from, RGB, any size.
        spec: Which augmentation, and how many views.
        preprocess: How an image comes to the size of a view.
        seed: The experiment's seed.
        sample_id: Stable name of the image, from which its random numbers are derived.
        plain: View 0: the image as the network would see it without views, RGB.
        point: Where Grad-CAM of `plain` is highest, (x, y) as shares of its sides; needed by
            operations that crop there.
        device: Where views of `backend: tensor` are made; the others are made on the CPU.
        cache: Where views that are worth it are looked for, and kept; None for nowhere.

    Raises:
        SpecError: If the spec crops at the Grad-CAM point and none is given.
    """
    if isinstance(spec, AugMix) and spec.backend == "tensor":
        return _by_tensors(image, spec, seed, sample_id, plain, device)
    shape = spec.rows, 3, preprocess.height, preprocess.width
    made = torch.empty(shape, dtype=_dtype(spec))
    pixels = made.numpy()
    pixels[0] = np.asarray(plain).transpose(2, 0, 1)
    scene = Scene(image, plain, preprocess, seed, sample_id, 0, point)
    make = partial(_fill, scene, spec, pixels)
    if cache is None or not is_kept(spec):
        names = make(range(1, spec.rows))
    else:
        key = key_of(image, plain, spec, preprocess, seed, sample_id, point)
        names = through(cache, key, pixels, make)
    return Views(made, [[], *names])


def _fill(scene: Scene, spec: ViewSpec, pixels: NDArray[Any], rows: range) -> list[list[str]]:
    """Make some views in their places; return the names of their operations."""
    names = []
    for index in rows:
        rng = generator(scene.seed, scene.sample_id, "view", index)
        own = replace(scene, index=index, out=pixels[index])
        view, drawn = _MAKERS[spec.kind](own, spec, rng)
        _write(view, pixels[index])
        names.append(drawn)
    return names


def kept_bytes(spec: ViewSpec, preprocess: Preprocess) -> int:
    """Return how many bytes the views of an image take where they are kept; 0 where none is."""
    pixels = 3 * preprocess.height * preprocess.width
    return (spec.rows - 1) * pixels * _dtype(spec).itemsize if is_kept(spec) else 0


def _write(view: Array, out: NDArray[Any]) -> None:
    if np.may_share_memory(view, out):
        return  # it was made there
    # Channel by channel: numpy's copy of a transposed picture takes three times as long.
    for channel in range(3):
        out[channel] = view[..., channel]


def _identity(scene: Scene, spec: Identity, rng: np.random.Generator) -> View:
    return np.asarray(scene.plain), []


def _cut(scene: Scene, spec: CutStep, rng: np.random.Generator) -> View:
    view, names = _crop_and_flip(scene, rng)
    return np.asarray(view), names


def _crop_and_flip(scene: Scene, rng: np.random.Generator) -> tuple[Image.Image, list[str]]:
    box, flip = crop_box(*scene.canvas.size, rng), draw_flip(rng)
    return cut(scene.canvas, box, scene.size, flip=flip), _cut_names(flip)


def _shift_and_flip(scene: Scene, rng: np.random.Generator) -> tuple[Image.Image, list[str]]:
    box, flip = shifted_box(scene.size, rng), draw_flip(rng)
    return cut(scene.plain, box, scene.size, flip=flip), _cut_names(flip)


def _cut_names(flip: bool) -> list[str]:
    return ["crop", "flip"] if flip else ["crop"]


def _augmix(scene: Scene, spec: AugMixStep, rng: np.random.Generator) -> View:
    if spec.variant == "torchvision":
        from hardy.data.views.torchvision_augmix import torchvision_augmix

        return torchvision_augmix(scene.canvas, scene.size, rng), ["augmix"]
    base = _shift_and_flip if shifts_crops(spec, min(scene.size)) else _crop_and_flip
    image, names = base(scene, rng)
    fill = BLACK if spec.variant == "tpt" else FILL
    mixture, operations = augmix(image, rng, fill, _mixed_in(scene))
    return mixture, names + operations


def _mixed_in(scene: Scene) -> NDArray[Any] | None:
    """Return where a mixture may be made: where the view ends, if that takes fractions."""
    return scene.out if scene.out is not None and scene.out.dtype == np.float32 else None


def _photometric(scene: Scene, spec: Photometric, rng: np.random.Generator) -> View:
    recipe = draw_tones(rng, spec.width, spec.depth, spec.severity)
    # Tones are drawn alike for both, so that `flip` changes nothing but the side.
    mirrored = spec.flip and scene.index % 2 == 1
    image = ImageOps.mirror(scene.plain) if mirrored else scene.plain
    return mix(image, recipe, out=_mixed_in(scene)), [MIRROR] * mirrored + recipe.names


def shifts_crops(spec: AugMixStep, size: int) -> bool:
    """Return whether AugMix crops as for CIFAR; the size is the shorter side of a view."""
    return spec.variant == "memo-cifar" or (spec.variant == "memo" and size <= SMALL)


def _operations(scene: Scene, spec: OperationsStep, rng: np.random.Generator) -> View:
    levels, names = _operated(scene, spec, rng)
    return scene.preprocess.levels(levels) if spec.on_native else levels, names


def _operated(scene: Scene, spec: OperationsStep, rng: np.random.Generator) -> View:
    """Apply an operation to what it acts on, whose size the result has."""
    from hardy.data.views.operations import operate  # scipy: a worker would start more slowly

    where = (scene.sample_id, scene.stage)
    name = drawn_name(spec, scene.seed, where, scene.index, rng)
    if not spec.on_native:
        return operate(name, scene.plain, rng, spec.crop, scene.point), [name]
    return operate(name, scene.canvas, rng, spec.crop, _on_canvas(scene), native=True), [name]


def _on_canvas(scene: Scene) -> Point | None:
    """Return the point as shares of the canvas's sides."""
    if scene.point is None:
        return None
    (across, down), (width, height) = scene.point, scene.canvas.size
    x, y = scene.preprocess.origin(across * scene.size[0], down * scene.size[1], width, height)
    return min(max(x / width, 0.0), 1.0), min(max(y / height, 0.0), 1.0)


def _compose(scene: Scene, spec: Compose, rng: np.random.Generator) -> View:
    view: Array = np.asarray(scene.plain)
    names: list[str] = []
    for place, step in enumerate(spec.steps):
        scene, native = replace(scene, stage=place), acts_on_native(step)
        if isinstance(step, OperationsStep):
            made, drawn = _operated(scene, step, rng)
        else:
            made, drawn = _MAKERS[step.kind](scene, step, rng)
        view = scene.preprocess.levels(made) if native else made
        names += drawn
        if place + 1 < len(spec.steps):
            plain = _image(view)
            canvas = _image(made) if native else plain
            scene = replace(scene, canvas=canvas, plain=plain, point=None)
    return view, names


def _image(levels: Array) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(levels, 0, 255)).astype(np.uint8))


def _dtype(spec: Any) -> torch.dtype:  # noqa: ANN401 - a spec or a step
    """Return what a spec's views are made of: levels, or mixtures of levels."""
    if isinstance(spec, Compose):
        return _dtype(spec.steps[-1])
    augmixed = isinstance(spec, AugMixStep) and spec.variant != "torchvision"
    mixed = augmixed or isinstance(spec, Photometric)
    standardised = isinstance(spec, OperationsStep) and "normalize" in spec.expanded
    return torch.float32 if mixed or standardised else torch.uint8


def _by_tensors(
    image: Image.Image,
    spec: AugMix,
    seed: int,
    sample_id: str,
    plain: Image.Image,
    device: str,
) -> Views:
    from hardy.data.views.tensor import tensor_augmix

    small = shifts_crops(spec, plain.width)
    fill = BLACK if spec.variant == "tpt" else FILL
    rngs = [generator(seed, sample_id, "view", index) for index in range(1, spec.rows)]
    canvas = plain if small else image
    made, names = tensor_augmix(canvas, plain.width, rngs, fill, shifted=small, device=device)
    first = torch.from_numpy(np.array(plain)).permute(2, 0, 1)[None].float()
    return Views(torch.cat([first.to(made.device), made]), [[], *names])


_MAKERS: dict[str, Callable[[Scene, Any, np.random.Generator], View]] = {
    "identity": _identity,
    "cut": _cut,
    "augmix": _augmix,
    "photometric": _photometric,
    "operations": _operations,
    "compose": _compose,
}
