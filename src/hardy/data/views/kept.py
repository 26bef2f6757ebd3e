"""Views on disk, for whoever makes the same ones again, such as the next trial of a search.

They are known by all that they are made of: the pixels that they are cut from, their spec but for
how many there are, the seed, the sample's name, the geometry, the libraries. Rows lie eight to an
entry, so that more views begin with those that are there; a view an entry would take longer to
write, and as many files as views.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image

from hardy.core.cache import Cache
from hardy.core.hashing import canonical_json
from hardy.data.preprocess import Preprocess
from hardy.data.view_spec import AugMix, Identity, ViewSpec

Names = list[list[str]]

_KIND = "views"
_ROWS = 8


@dataclass(frozen=True)
class ViewStore:
    """Where views are kept, and how much of them.

    Attributes:
        cache: Where.
        room: Bytes that the views of one manifest may have. More than a cache holds would push each
            other out before they are used again, and all else with them.
    """

    cache: Cache
    room: int

    def samples(self, size: int) -> int:
        """Return how many samples' views have room, by the bytes of one's; 0 where it has none."""
        return self.room // size if size else 0


def is_kept(spec: ViewSpec) -> bool:
    """Tell whether views are read sooner than made, and do not depend on how many there are.

    Copies of an image are made sooner. Tensors make all views at once, where the network is.
    """
    by_tensors = isinstance(spec, AugMix) and spec.backend == "tensor"
    return not (isinstance(spec, Identity) or by_tensors)


def key_of(
    canvas: Image.Image,
    plain: Image.Image,
    spec: ViewSpec,
    preprocess: Preprocess,
    seed: int,
    sample_id: str,
    point: tuple[float, float] | None,
) -> str:
    """Return what an image's views are known by; the arguments are those of `make_views`."""
    which, geometry = spec.identity(), asdict(preprocess)
    for name in ("count", "include_original"):  # how many, and which of them enter a loss
        which.pop(name, None)
    for name in ("mean", "std"):
        geometry.pop(name)
    stated = [which, geometry, seed, sample_id, point, canvas.size, canvas.mode, _libraries()]
    hashed = hashlib.sha256(canonical_json(stated).encode())
    hashed.update(canvas.tobytes())
    if canvas is not plain:
        hashed.update(plain.tobytes())
    return hashed.hexdigest()


@cache
def _libraries() -> list[str]:
    """Return the versions of what makes pixels: another one may round in another way."""
    return [PIL.__version__, np.__version__, str(torch.__version__)] + [
        version(name) for name in ("scipy", "torchvision")
    ]


def through(store: Cache, key: str, pixels: NDArray[Any], make: Callable[[range], Names]) -> Names:
    """Fill all rows but the first with what is kept, else with what is made, and keep that.

    Args:
        store: Where.
        key: See `key_of`.
        pixels: (V, 3, H, W), to fill.
        make: Fills some rows, and returns the names of their operations.

    Returns:
        The names of all these rows' operations.
    """
    names: Names = []
    for start in range(0, len(pixels), _ROWS):
        rows = range(max(1, start), min(start + _ROWS, len(pixels)))
        if rows:
            names += _rows(store, f"{key}.{rows.start}-{rows.stop}", pixels, rows, make)
    return names


def _rows(
    store: Cache, name: str, pixels: NDArray[Any], rows: range, make: Callable[[range], Names]
) -> Names:
    part = pixels[rows.start : rows.stop]
    content = store.get(_KIND, name)
    if content is not None:
        part[...] = np.frombuffer(content, part.dtype, part.size).reshape(part.shape)
        known: Names = json.loads(content[part.nbytes :])
        return known
    made = make(rows)
    store.put(_KIND, name, b"".join((part.data.cast("B"), json.dumps(made).encode())))
    return made
