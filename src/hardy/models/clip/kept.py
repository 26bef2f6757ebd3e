"""Text features that took long, kept on disk: 1,000 classes in 80 templates are 80,000 texts."""

from collections.abc import Callable

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from hardy.core.files import write_whole
from hardy.core.hashing import digest
from hardy.core.paths import state_dir
from hardy.models.state import state_sha256

_NAME = "text_features"


def kept_features(
    clip: nn.Module,
    class_names: tuple[str, ...],
    templates: tuple[str, ...],
    read: Callable[[], Tensor],
) -> Tensor:
    """Return `read()`'s features (C, D), from disk where the same were read before.

    They lie below the home under a digest of all that they follow from: the weights, the texts,
    and what rounds: the kind of device and torch's version.
    """
    device = next(clip.parameters()).device
    made_of = [state_sha256(clip), class_names, templates, device.type, torch.__version__]
    file = state_dir() / "texts" / f"{digest(made_of)}.safetensors"
    try:
        kept: Tensor = load_file(file, device=str(device))[_NAME]
    except (OSError, safetensors.SafetensorError, KeyError):
        kept = read()  # never read before, or a file that was cut off
        write_whole(file, save({_NAME: kept.cpu().contiguous()}), sync=False)
    return kept
