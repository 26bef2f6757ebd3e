"""What a person looks at after a unit: drawn from its records, and from the model for a few."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from hardy.data.pipeline import Prepared
from hardy.engine.entries import subject_of
from hardy.engine.setup import Bench
from hardy.explain.choose import choose
from hardy.explain.gradcam import heat_map
from hardy.explain.panels import Heat, gradcam_panel, view_grid
from hardy.methods.base import Subject

Content = Image.Image | str


def draw(bench: Bench, frame: pd.DataFrame) -> Iterator[tuple[str, Content]]:
    """Yield a unit's pictures, and the counts behind them, with their artifact paths."""
    task, main = bench.task, bench.experiment.method.kind
    baseline = bench.experiment.method.baseline
    yield from task.report(frame, main, baseline)
    wanted = bench.experiment.explain
    for row in range(min(wanted.view_grids, len(frame))):
        yield f"views/{_file_name(frame, row)}.png", _views(bench, frame, row)
    if wanted.gradcam is not None:
        rule, count = wanted.gradcam.choose, wanted.gradcam.count
        change = None
        if baseline is not None:
            change = task.score(frame, main) - task.score(frame, baseline)
        for row in choose(rule, count, task.uncertainty(frame, main), change):
            name, item = f"{_file_name(frame, row)}.png", _prepared(bench, frame, row)
            yield f"gradcam/{name}", _gradcam(bench, frame, row, item)
            for folder, picture in bench.method.illustrate(subject_of(bench, item)).items():
                yield f"{folder}/{name}", picture


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


def _gradcam(bench: Bench, frame: pd.DataFrame, row: int, item: Prepared) -> Image.Image:
    """Draw Grad-CAM of the predicted class, by the source model and by each adapted one."""
    main, subject = bench.experiment.method.kind, subject_of(bench, item)
    prediction = int(frame["source.prediction"].iloc[row])
    confidence = float(frame["source.confidence"].iloc[row])
    heats = {"before": _heat(bench, subject, item.label, prediction, confidence)}
    methods = dict(bench.method.companions())
    if bench.method.leaves_adapted:
        methods[main] = bench.method
    for name, method in methods.items():
        with bench.fabric.autocast():
            answer = method.predict(subject).answers[name]
        heats[f"after {name}"] = _heat(
            bench, subject, item.label, int(answer.argmax()), float(answer.max().exp())
        )
        method.reset()
    truth = bench.dataset.classes[item.label]
    title = f"{item.id}   {bench.experiment.data.shift_label}   {main}"
    return gradcam_panel(_pixels(item.pixels[:1])[0], heats, truth, title)


def _heat(bench: Bench, subject: Subject, label: int, prediction: int, confidence: float) -> Heat:
    with torch.enable_grad():
        heat = heat_map(bench.model, subject.views[:1], prediction)
    return Heat(heat, bench.dataset.classes[prediction], confidence, prediction == label)


def _pixels(views: Tensor) -> np.ndarray:
    """Return views (V, 3, S, S) in [0, 255] as (V, S, S, 3) of uint8."""
    return views.float().round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
