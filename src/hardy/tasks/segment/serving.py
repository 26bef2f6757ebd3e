"""What a registered segmenter says of a photograph: a row of values, and files made of it."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from hardy.explain.drawing import GROUND
from hardy.explain.planes import label_colours
from hardy.tasks.base import WINDOW
from hardy.tasks.packed import packed, unpacked
from hardy.tasks.segment.pictures import overlay
from hardy.tasks.segment.runs import filled, runs

RETURNS: Mapping[str, Any] = {
    "mask": "string",
    "runs": [{"name": "string", "label": "long", "size": ["long"], "counts": ["long"]}],
    "width": "long",
    "height": "long",
    "shares": [{"name": "string", "label": "long", "share": "double"}],
    "entropy": "double",
    "window": "string",
}
PARAMS: Mapping[str, int | float | bool | str] = {"format": "png", WINDOW: "whole"}
CHOICES: Mapping[str, tuple[str, ...]] = {"format": ("png", "rle"), WINDOW: ("whole", "tiles")}

_LABELS = 256


def row_of(
    mask: np.ndarray,
    classes: Sequence[tuple[str, int]],
    nothing: int,
    *,
    entropy: float,
    params: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the columns of `RETURNS`.

    Args:
        mask: Labels (h, w) of uint8, of the photograph's size.
        classes: Each class's name and label.
        nothing: Label of pixels that count for nothing.
        entropy: Mean of a pixel, in nats.
        params: The values of `PARAMS`; `window` in words.
    """
    found = np.bincount(mask.flatten(), minlength=_LABELS)[[label for _, label in classes]]
    shares = found / max(1, int(found.sum()))
    order = np.argsort(-shares, kind="stable")
    named = [
        {"name": classes[n][0], "label": classes[n][1], "share": float(shares[n])} for n in order
    ]
    height, width = mask.shape
    packs = params["format"] == "png"
    present = [{key: each[key] for key in ("name", "label")} for each in named if each["share"]]
    return {
        "mask": packed(_coloured(mask, nothing)) if packs else "",
        "runs": [] if packs else [each | _runs(mask, each["label"]) for each in present],
        "width": width,
        "height": height,
        "shares": named,
        "entropy": entropy,
        "window": params["window"],
    }


def files_of(row: Mapping[str, Any], image: Image.Image, nothing: int) -> dict[str, bytes]:
    """Return the mask as it was asked for, and its colours over the photograph with a legend.

    Args:
        row: As `row_of` gives it.
        image: The photograph, RGB.
        nothing: Label of pixels that count for nothing.
    """
    if row["mask"]:
        own = {"mask.png": unpacked(row["mask"])}
        mask = np.asarray(Image.open(io.BytesIO(own["mask.png"])))
    else:
        own = {"runs.json": json.dumps(row["runs"]).encode()}
        mask = np.full((row["height"], row["width"]), nothing, np.uint8)
        for each in row["runs"]:
            mask[filled(each["counts"], *each["size"])] = each["label"]
    colours = label_colours().tolist()
    named = [
        (
            f"{each['name']}  {100 * each['share']:.1f} %",
            each["label"],
            tuple(colours[each["label"]]),
        )
        for each in row["shares"]
        if each["share"] > 0
    ]
    return {**own, "overlay.png": unpacked(packed(overlay(image, mask, named)))}


def _runs(mask: np.ndarray, label: int) -> dict[str, list[int]]:
    return {"size": [int(side) for side in mask.shape], "counts": runs(mask == label)}


def _coloured(mask: np.ndarray, nothing: int) -> Image.Image:
    colours = label_colours()
    colours[nothing] = GROUND
    image = Image.fromarray(mask)
    image.putpalette(colours.tobytes())
    return image
