"""The names of the libraries' models, in text files, so that checking a name imports no torch.

A test compares the files with the installed libraries; `HARDY_UPDATE=1` rewrites them.
"""

from functools import cache
from importlib.resources import files


@cache
def timm_names() -> frozenset[str]:
    """Return timm's models: bare architectures, and `architecture.tag` where weights exist."""
    return frozenset(_lines("timm.txt"))


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


def _lines(file: str) -> list[str]:
    text = files(__name__).joinpath(file).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]
