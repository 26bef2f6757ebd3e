"""Segment Anything from a checkpoint file; the one place that imports the package.

Kirillov et al. 2023, "Segment Anything", arXiv:2304.02643.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hardy.core.errors import WeightsError
from hardy.core.paths import data_dir
from hardy.core.variables import stated_path
from hardy.data.sources import CHECKPOINTS, WEIGHTS_FOLDER
from hardy.models.files import content_identity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


def checkpoint_file(text: str, arch: str) -> Path:
    """Return the path of a checkpoint.

    Args:
        text: Path as the spec has it, variables included; relative to the project.
        arch: Architecture, named in the message.

    Raises:
        WeightsError: If there is no such file.
    """
    path = stated_path(text)
    if not path.is_file():
        message = f"method.segmenter.checkpoint: {text} does not exist (looked for {path})"
        name = f"sam-{arch.replace('_', '-')}"
        file = CHECKPOINTS[name]
        place = data_dir() / WEIGHTS_FOLDER / file.file
        elsewhere = "" if path == place else f" --root {path.parent}"
        raise WeightsError(
            message,
            hint=f"Fetch {file.file}, {(file.size or 0) / 1e6:,.0f} MB: `hardy data get {name}"
            f"{elsewhere}`; or set `segmenter: {{kind: superpixels}}`, which needs no weights.",
        )
    return path


def load_sam(arch: str, path: Path) -> "nn.Module":
    """Build a model in evaluation mode with a checkpoint's weights; no pickle's code is run.

    Raises:
        WeightsError: If the file is not a plain table of tensors, or does not fit.
    """
    from segment_anything import sam_model_registry

    from hardy.models.weights import Located, load, read

    sam = cast("nn.Module", sam_model_registry[arch](checkpoint=None))
    load(sam, read(Located(path, content_identity(str(path)))), file=path.name)
    return sam.eval().requires_grad_(False)


def all_masks(
    sam: "nn.Module",
    image: "NDArray[np.uint8]",
    **settings: Any,  # noqa: ANN401 - the package's own
) -> "NDArray[np.bool_]":
    """Return the automatic masks of an image.

    Args:
        sam: A model of the package.
        image: (h, w, 3).
        settings: `points_per_side` and others of `SamAutomaticMaskGenerator`.

    Returns:
        (N, h, w), in the generator's order; N may be 0.
    """
    import numpy as np
    import torch
    from segment_anything import SamAutomaticMaskGenerator

    device = next(sam.parameters()).device
    # Masks are kept on disk for runs of any precision, so they are made in one.
    with torch.autocast(device.type, enabled=False):
        found = SamAutomaticMaskGenerator(sam, **settings).generate(image)
    masks = [record["segmentation"] for record in found]
    return np.stack(masks) if masks else np.zeros((0, *image.shape[:2]), bool)
