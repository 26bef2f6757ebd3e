"""Features of views that no adaptation changes, computed once: in memory, and on disk if wanted.

They are known by the views' own pixels and the encoder that made them, so whatever has the same
views meets them again: another prompt, another temperature, an ensemble, a search.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from hardy.core.files import write_whole
from hardy.core.hashing import digest

_IN_MEMORY = 64
_LARGEST_BYTES = 8 * 2**30
_EACH = "features"


class FeatureMemory:
    """Remembers an encoder's features (V, D) of views (V, 3, H, W).

    Args:
        encoder: What identifies the encoder's weights and its precision.
        folder: Where to keep features; None keeps a few in memory alone.
    """

    def __init__(self, encoder: str, folder: Path | None = None) -> None:
        self.encoder = encoder
        self.folder = folder / digest(encoder) if folder else None
        self._recent: OrderedDict[str, Tensor] = OrderedDict()

    def of(self, sets: Sequence[Tensor], encode: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """Return the features of each set of views, encoding those not known in one batch.

        Args:
            sets: Normalised views, each (V, 3, H, W), on the encoder's device.
            encode: Maps (B, 3, H, W) to (B, D).
        """
        keys = [_key(views) for views in sets]
        found = [self._known(key, views) for key, views in zip(keys, sets, strict=True)]
        new = [n for n, features in enumerate(found) if features is None]
        if new:
            with torch.no_grad():
                encoded = encode(torch.cat([sets[n] for n in new]))
            parts = torch.split(encoded, [len(sets[n]) for n in new])
            for n, features in zip(new, parts, strict=True):
                found[n] = features
                self._keep(keys[n], features)
        return [features for features in found if features is not None]

    def _known(self, key: str, views: Tensor) -> Tensor | None:
        if key in self._recent:
            self._recent.move_to_end(key)
            return self._recent[key]
        file = self.folder / f"{key}.safetensors" if self.folder else None
        if file is None or not file.is_file():
            return None
        try:
            features: Tensor = load_file(file)[_EACH].to(views.device)
        except (SafetensorError, KeyError, OSError):
            return None  # damaged, or another process is clearing up: it is made anew
        self._remember(key, features)
        return features

    def _keep(self, key: str, features: Tensor) -> None:
        self._remember(key, features)
        if self.folder is None:
            return
        content = save({_EACH: features.cpu().contiguous()})
        write_whole(self.folder / f"{key}.safetensors", content, sync=False)

    def _remember(self, key: str, features: Tensor) -> None:
        self._recent[key] = features
        if len(self._recent) > _IN_MEMORY:
            self._recent.popitem(last=False)


def _key(views: Tensor) -> str:
    hashed = hashlib.blake2b(f"{views.dtype} {tuple(views.shape)}".encode(), digest_size=16)
    hashed.update(views.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()


def clear_oldest(folder: Path, largest_bytes: int = _LARGEST_BYTES) -> None:
    """Delete the files that were written first until the folder holds no more than that."""
    files = [(file.stat(), file) for file in folder.rglob("*.safetensors")]
    total = sum(state.st_size for state, _ in files)
    for state, file in sorted(files, key=lambda item: (item[0].st_mtime_ns, item[1].name)):
        if total <= largest_bytes:
            return
        file.unlink(missing_ok=True)
        total -= state.st_size
