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


def _lines(file: str) -> list[str]:
    text = files(__name__).joinpath(file).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]
