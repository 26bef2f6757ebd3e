"""Several samples of a unit in one picture: each with its truth, its answers, and their errors."""

import io
from collections.abc import Iterator

import numpy as np
import pandas as pd
from PIL import Image
from torch import Tensor

from hardy.core.seeding import generator
from hardy.data.item import Prepared
from hardy.engine.pictures import file_name, prepared
from hardy.engine.setup import Setup
from hardy.explain.choose import places_of
from hardy.explain.planes import PlaneRow, plane_grid
from hardy.explain.spec import Chosen, ExamplesSpec
from hardy.methods.base import outcome_of
from hardy.tasks.base import Content
from hardy.tasks.report import as_csv

_FOLDER = "examples"


def examples(
    setup: Setup, frame: pd.DataFrame, spec: ExamplesSpec
) -> Iterator[tuple[str, Content | float]]:
    """Yield the picture, a table of what it shows, and its mean score; nothing without planes."""
    method, task = setup.experiment.method, setup.task
    scores = task.score(frame, method.kind)
    drawn: dict[str, PlaneRow] = {}
    rows = []
    for row in _chosen(setup, frame, scores, spec):
        item = prepared(setup, frame, row)
        planes = task.planes(item, _answers(setup, item))
        if planes is None:
            return
        drawn[item.id] = planes
        rows.append({"sample": item.id, "score": scores[row], "note": planes.note})
        if spec.files:
            for caption, pixels in planes.tiles.items():
                name = f"{file_name(frame, row)}/{_plain(caption)}.png"
                yield f"{_FOLDER}/{name}", _png(pixels)
    if not rows:  # all that were chosen are broken, as the run says
        return
    rule = "chosen" if isinstance(spec.choose, Chosen) else spec.choose
    mean = float(np.mean([each["score"] for each in rows]))
    title = f"{len(rows)} of {len(frame)} samples ({rule})"
    yield f"{_FOLDER}/examples.csv", as_csv(pd.DataFrame(rows))
    yield f"{_FOLDER}/examples.png", plane_grid(drawn, title)
    yield "examples/score", mean


def _chosen(setup: Setup, frame: pd.DataFrame, scores: np.ndarray, spec: ExamplesSpec) -> list[int]:
    """Return the rows to draw, in the records' order but for the worst, which come first."""
    if isinstance(spec.choose, Chosen):
        return places_of(spec.choose, frame["sample"].tolist())
    count = min(spec.samples, len(scores))
    if spec.choose == "worst":
        worst: list[int] = np.argsort(scores, kind="stable")[:count].tolist()
        return worst
    if spec.choose == "first":
        return list(range(count))
    drawn = generator(setup.experiment.seed, "examples").permutation(len(scores))
    return sorted(drawn[:count].tolist())


def _answers(setup: Setup, item: Prepared) -> dict[str, Tensor]:
    """Return the baseline's answer, where there is one, and the method's own."""
    method = setup.experiment.method
    with setup.fabric.autocast():
        found = outcome_of(setup.method, setup.subject(item)).answers
    return {n: found[n] for n in (method.baseline, method.kind) if n in found}


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def _plain(caption: str) -> str:
    """Return a caption as a file's name."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in caption).split()
    return "-".join(words)
