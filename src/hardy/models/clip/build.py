"""Builds a CLIP of open_clip as a zero-shot classifier, and reads OpenAI's own weights files."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import open_clip

from hardy.core.errors import SpecError, WeightsError
from hardy.data.preprocess import Preprocess
from hardy.models.clip.texts import template_texts
from hardy.models.clip.zero_shot import ZeroShot
from hardy.models.names import OWN_CLIP, open_clip_tags
from hardy.models.spec import OpenClipModel

if TYPE_CHECKING:
    from torch import Tensor, nn

# How images of hardy's own architecture are prepared; open_clip's records say it of the others.
_OWN_RECORD = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
_RECORDED = ("mean", "std", "interpolation", "resize_mode")
# What OpenAI's files hold beside the tensors of the model.
_NOTES = ("input_resolution", "context_length", "vocab_size")


def build_zero_shot(
    spec: OpenClipModel, texts: tuple[str, ...], *, download: bool
) -> tuple[ZeroShot, Preprocess]:
    """Build an architecture around the texts of its classes, which are not read yet.

    Args:
        spec: Architecture; its weights matter for the transform and the activation.
        texts: What the classes are called.
        download: Whether open_clip may fetch the weights, if the spec names a tag.

    Raises:
        SpecError: If there is no such architecture or tag, or its transform is not hardy's.
    """
    record, quick_gelu = _record(spec), _quick_gelu(spec)
    with _quiet():
        if spec.name == OWN_CLIP:
            _add_own()
        clip = open_clip.create_model(
            spec.name,
            pretrained=_tag(spec) if download else None,
            force_quick_gelu=bool(quick_gelu),
            force_preprocess_cfg=record,
            **({} if quick_gelu is None else {"quick_gelu": quick_gelu}),
        )
        tokenizer = open_clip.get_tokenizer(spec.name)
    network = ZeroShot(clip, tokenizer, texts, template_texts(spec))
    return network, _preprocess(spec, open_clip.get_model_preprocess_cfg(clip))


def tensors_of(network: "nn.Module", content: "Mapping[str, Tensor]") -> "Mapping[str, Tensor]":
    """Return the tensors of a weights file without the three numbers of OpenAI's layout.

    Raises:
        WeightsError: If the file is OpenAI's and the model has another activation than theirs.
    """
    if not all(note in content for note in _NOTES):
        return content
    kinds = {type(module).__name__ for module in network.modules()}
    if "GELU" in kinds and "QuickGELU" not in kinds:
        message = "the file holds OpenAI's own model, whose activation is QuickGELU, not GELU"
        raise WeightsError(message, hint="Set model.quick_gelu to true.")
    return {name: tensor for name, tensor in content.items() if name not in _NOTES}


def _record(spec: OpenClipModel) -> dict[str, Any]:
    """Return the transform that a tag states; for other weights, that of the first tag."""
    known = open_clip_tags()
    if spec.name not in known:
        message = f"model.name: open_clip has no CLIP {spec.name} that needs no further package"
        raise SpecError(message, hint="Names are those of src/hardy/models/names/open_clip.txt.")
    if spec.name == OWN_CLIP:
        return _OWN_RECORD
    tags = known[spec.name]
    tag = _tag(spec) or next(iter(tags), "")
    record = open_clip.pretrained.get_pretrained_cfg(spec.name, tag)
    if record.get("resize_mode", "shortest") != "shortest":
        message = f"open_clip prepares images for {spec.name} {tag} by `{record['resize_mode']}`"
        raise SpecError(
            message, hint="hardy resizes the shorter side and crops; choose another tag or name."
        )
    return {name: record[name] for name in _RECORDED if name in record}


def _quick_gelu(spec: OpenClipModel) -> bool | None:
    """Return what the spec or the tag says of the activation; None leaves it to the name."""
    tag = _tag(spec)
    if spec.quick_gelu is not None or tag is None:
        return spec.quick_gelu
    record = open_clip.pretrained.get_pretrained_cfg(spec.name, tag)
    return bool(record.get("quick_gelu", False))


def _tag(spec: OpenClipModel) -> str | None:
    """Return the tag that a spec's weights are, if they are one of its architecture's."""
    tag = str(spec.weights)
    return tag if tag in open_clip_tags()[spec.name] else None


def _preprocess(spec: OpenClipModel, record: Mapping[str, Any]) -> Preprocess:
    sides = record["size"]
    height, width = (sides, sides) if isinstance(sides, int) else sides
    if height != width:
        message = f"{spec.name} takes images of {height} x {width} pixels"
        raise SpecError(message, hint="hardy's images are square; choose another model.")
    return Preprocess(
        size=height,
        resize=height,
        interpolation=record["interpolation"],
        mean=tuple(record["mean"]),
        std=tuple(record["std"]),
    )


def _add_own() -> None:
    if OWN_CLIP not in open_clip.list_models():
        with as_file(files(__package__).joinpath(f"{OWN_CLIP}.json")) as file:
            open_clip.add_model_config(file)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's remarks on random weights from the terminal.

    It logs to the root logger, which would get a handler for good if it had none.
    """
    root, handler, before = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    root.addHandler(handler)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)
