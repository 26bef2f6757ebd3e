"""The names of the libraries' models, in text files, so that checking a name imports no torch.

A test compares the files with the installed libraries; `HARDY_UPDATE=1` rewrites them.
"""

import re
from functools import cache
from importlib.resources import files


@cache
def timm_names() -> frozenset[str]:
    """Return timm's models: bare architectures, and `architecture.tag` where weights exist."""
    return frozenset(_lines("timm.txt"))


# Trained last on ImageNet's 1,000 classes: `a1_in1k`, `augreg_in21k_ft_in1k_384`.
_IN1K = re.compile(r"(?:.*_)?in1k(?:_\d+)?")
_FIXED = re.compile(r"(?!vit_intern)(?:vit|deit3?|beit(?:v2)?)_(?:\w+_)?patch\d+_(?:\w+_)?(\d{3})")


def timm_outputs(name: str) -> int | None:
    """Return how many outputs a model of timm has, where its name tells; else None.

    A file lists the architectures that have others than 1,000 where no tag is stated.
    """
    architecture, _, tag = name.partition(".")
    plain = architecture in timm_names() and architecture not in _lines("timm_other.txt")
    return 1000 if (_IN1K.fullmatch(tag) if tag else plain) else None


def timm_size(name: str) -> int | None:
    """Return the side of the only input that a model of timm takes, where its name tells."""
    found = _FIXED.fullmatch(name.partition(".")[0])
    return int(found[1]) if found else None


@cache
def timm_flat() -> frozenset[str]:
    """Return timm's architectures without features at scales of 4, 8, 16 and 32 px.

    Plain vision transformers and their like: segmenters' decoders cannot stand on them.
    """
    return frozenset(_lines("timm_flat.txt"))


@cache
def torchvision_weights() -> dict[str, tuple[str, ...]]:
    """Return torchvision's classifiers with the tags of their weights."""
    rows = (line.split() for line in _lines("torchvision.txt"))
    return {name: tuple(tags) for name, *tags in rows}


OWN_CLIP = "hardy-shapes"
"""The architecture of a CLIP that hardy adds to open_clip's."""


@cache
def open_clip_tags() -> dict[str, tuple[str, ...]]:
    """Return the CLIP architectures with the tags of their weights.

    Those of open_clip that need neither a text tower nor a tokenizer of Hugging Face, and hardy's.
    """
    rows = (line.split() for line in _lines("open_clip.txt"))
    return {name: tuple(tags) for name, *tags in rows} | {OWN_CLIP: ()}


@cache
def _lines(file: str) -> list[str]:
    text = files(__name__).joinpath(file).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]
