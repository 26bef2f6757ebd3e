"""What a person looks at after a unit: drawn from its records, and from the model for a few."""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from hardy.data.pipeline import Prepared
from hardy.engine.bench import Bench
from hardy.engine.evaluate import outcome_of
from hardy.explain.charts import confusion_picture, reliability_diagram
from hardy.explain.choose import choose
from hardy.explain.gradcam import heat_map
from hardy.explain.panels import Heat, gradcam_panel, view_grid
from hardy.measure.classification import correct
from hardy.measure.confusion import confusion_rows
from hardy.measure.records import answers, column

Content = Image.Image | str


def draw(bench: Bench, frame: pd.DataFrame) -> Iterator[tuple[str, Content]]:
    """Yield a unit's pictures, and the counts behind them, with their artifact paths."""
    main = bench.experiment.method.kind
    for name in answers(frame):
        rows = confusion_rows(frame, name, bench.dataset.classes)
        yield f"confusion/{name}.json", json.dumps(rows, ensure_ascii=False, indent=1)
        yield f"confusion/{name}.png", confusion_picture(rows, bench.dataset.classes)
        confidence = column(frame, f"{name}.confidence")
        yield f"calibration/{name}.png", reliability_diagram(confidence, correct(frame, name))
    wanted = bench.experiment.explain
    for row in range(min(wanted.view_grids, len(frame))):
        yield f"views/{_file_name(frame, row)}.png", _views(bench, frame, row)
    if wanted.gradcam is not None:
        rule, count = wanted.gradcam.choose, wanted.gradcam.count
        for row in choose(frame, main, "source", rule, count):
            yield f"gradcam/{_file_name(frame, row)}.png", _gradcam(bench, frame, row)


def _file_name(frame: pd.DataFrame, row: int) -> str:
    """Return a sample's name for a file: its id with anything unusual replaced."""
    sample = str(frame["sample"].iloc[row]).rpartition(".")[0] or str(frame["sample"].iloc[row])
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in sample)
    return f"{row:05d}-{plain[-80:].strip('.')}"


def _prepared(bench: Bench, frame: pd.DataFrame, row: int) -> Prepared:
    """Prepare a sample once more; its random numbers, and so its views, are the same again."""
    wanted = frame["sample"].iloc[row]
    index = next(i for i, s in enumerate(bench.dataset.samples) if s.id == wanted)
    item = bench.pipeline([index])[0]
    if not isinstance(item, Prepared):
        message = f"{wanted} was readable a moment ago: {item.reason}"
        raise OSError(message)
    return item


def _views(bench: Bench, frame: pd.DataFrame, row: int) -> Image.Image:
    item = _prepared(bench, frame, row)
    selected = frame["selected_views"].iloc[row] if "selected_views" in frame else [0]
    names = [", ".join(operations) for operations in item.names]
    return view_grid(_pixels(item.pixels), names, set(selected))


def _gradcam(bench: Bench, frame: pd.DataFrame, row: int) -> Image.Image:
    """Draw Grad-CAM of the predicted class, by the source model and by the adapted one."""
    item = _prepared(bench, frame, row)
    main = bench.experiment.method.kind
    before = _heat(bench, frame, row, item, "source")
    outcome_of(bench, item)  # leaves the classifier adapted to this sample
    after = _heat(bench, frame, row, item, main)
    bench.method.reset()
    truth = bench.dataset.classes[item.label]
    title = f"{item.id}   {bench.experiment.data.shift_label}   {main}"
    return gradcam_panel(_pixels(item.pixels[:1])[0], before, after, truth, title)


def _heat(bench: Bench, frame: pd.DataFrame, row: int, item: Prepared, answer: str) -> Heat:
    prediction = int(frame[f"{answer}.prediction"].iloc[row])
    image = bench.classifier.preprocess.normalise(item.pixels[:1].to(bench.fabric.device))
    with torch.enable_grad():
        heat = heat_map(bench.classifier, image, prediction)
    return Heat(
        map=heat,
        name=bench.dataset.classes[prediction],
        confidence=float(frame[f"{answer}.confidence"].iloc[row]),
        correct=prediction == item.label,
    )


def _pixels(views: Tensor) -> np.ndarray:
    """Return views (V, 3, S, S) in [0, 255] as (V, S, S, 3) of uint8."""
    return views.float().round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
