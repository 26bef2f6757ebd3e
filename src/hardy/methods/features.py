"""Features of views that no adaptation changes, computed once: in memory, and in a cache if wanted.

They are known by the views' own pixels and the encoder that made them, so whatever has the same
views meets them again: another prompt, another temperature, an ensemble, a search.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from safetensors.torch import load, save
from torch import Tensor

from hardy.core.cache import Cache
from hardy.core.hashing import digest

_IN_MEMORY = 64
_KIND = "features"


class FeatureMemory:
    """Remembers an encoder's features (V, D) of views (V, 3, H, W).

    Args:
        encoder: What identifies the encoder's weights and its precision.
        cache: Where to keep features; None keeps a few in memory alone.

    Attributes:
        encoded: Sets of views that were encoded so far.
    """

    def __init__(self, encoder: str, cache: Cache | None = None) -> None:
        self.encoder = digest(encoder)
        self.cache = cache
        self.encoded = 0
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
        self.encoded += len(new)
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
        content = self.cache.get(_KIND, self._name(key)) if self.cache else None
        if content is None:
            return None
        features: Tensor = load(content)[_KIND].to(views.device)
        self._remember(key, features)
        return features

    def _keep(self, key: str, features: Tensor) -> None:
        self._remember(key, features)
        if self.cache is not None:
            content = save({_KIND: features.cpu().contiguous()})
            self.cache.put(_KIND, self._name(key), content)

    def _name(self, key: str) -> str:
        return f"{self.encoder}.{key}"

    def _remember(self, key: str, features: Tensor) -> None:
        self._recent[key] = features
        if len(self._recent) > _IN_MEMORY:
            self._recent.popitem(last=False)


def _key(views: Tensor) -> str:
    hashed = hashlib.blake2b(f"{views.dtype} {tuple(views.shape)}".encode(), digest_size=16)
    hashed.update(views.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()
