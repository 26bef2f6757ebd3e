"""Counter-based random numbers: one independent generator per (seed, sample, view, ...).

A generator is derived from its coordinates alone, so a sample's random numbers are the same
whatever the number of workers, the order, the shard, or the place where a killed run resumed.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

Coordinate = int | str


def derive(seed: int, *coordinates: Coordinate) -> int:
    """Derive a 128-bit integer from a seed and coordinates such as a sample id and a view index.

    Each coordinate is written with its type and length, so ("a", 12) and ("a1", 2) differ.
    """
    state = hashlib.blake2b(digest_size=16)
    for part in (seed, *coordinates):
        text = f"{type(part).__name__}:{part}".encode()
        state.update(len(text).to_bytes(8, "little") + text)
    return int.from_bytes(state.digest(), "little")


def generator(seed: int, *coordinates: Coordinate) -> "np.random.Generator":
    """Return the numpy generator (Philox, counter-based) that belongs to the coordinates."""
    import numpy as np

    return np.random.Generator(np.random.Philox(key=derive(seed, *coordinates)))


def torch_generator(
    seed: int, *coordinates: Coordinate, device: "torch.device | str" = "cpu"
) -> "torch.Generator":
    """Return a device's torch generator that belongs to the coordinates."""
    import torch

    # torch takes 64-bit seeds; the low half of a blake2b digest is as good as the whole.
    return torch.Generator(device).manual_seed(derive(seed, *coordinates) & (2**63 - 1))
