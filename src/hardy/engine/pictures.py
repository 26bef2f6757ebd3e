"""What a person looks at after a unit: drawn from its records, and from the model for a few."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from hardy.core.errors import DataError
from hardy.data.item import Prepared
from hardy.engine.setup import Setup
from hardy.explain.choose import choose, places_of
from hardy.explain.drawing import titled
from hardy.explain.gradcam import heat_map
from hardy.explain.panels import Heat, gradcam_panel, view_grid
from hardy.explain.spec import Chosen
from hardy.methods.base import Adapts, Answers
from hardy.methods.base_spec import views_of
from hardy.plan.tracker import Run
from hardy.spec.experiment import Experiment
from hardy.tasks.base import Content

_SOURCE = "source"
_MOST_NAMED = 4
"""Methods or shifts that a title names; more are counted."""


def draw(setup: Setup, frame: pd.DataFrame) -> Iterator[tuple[str, Content]]:
    """Yield a unit's tables and pictures with their artifact paths."""
    method = setup.experiment.method
    yield from setup.task.report(frame, method.kind, method.baseline)
    wanted = setup.experiment.explain
    grids = wanted.view_grids if views_of(method) is not None else 0
    for row in range(min(grids, len(frame))):
        yield f"views/{file_name(frame, row)}.png", _views(setup, frame, row)
    for row in _chosen(setup, frame):
        name, item = f"{file_name(frame, row)}.png", prepared(setup, frame, row)
        for folder, picture in _of_sample(setup, item):
            yield f"{folder}/{name}", picture


def keep(run: Run, folder: Path, path: str, content: Content, title: str) -> None:
    """Log a picture below its title, a text, or a file's bytes under an artifact path.

    Args:
        run: Takes it.
        folder: By way of which it goes there.
        path: In the run.
        content: What is kept.
        title: Says what pictures are of, as `title_of` gives it.
    """
    if isinstance(content, str):
        run.text(content, path)
        return
    file = folder / path.replace("/", "_")
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        titled(content, title).save(file)
    run.artifact(file, path)


def title_of(name: str, experiments: Sequence[Experiment]) -> str:
    """Say what pictures are of: a run's name, what method, and under what shift.

    Args:
        name: The run's: a unit's, or that of a matrix, a suite or a search.
        experiments: What it runs.
    """
    methods = _named([str(each.method.kind) for each in experiments], "methods")
    shifts = [each.data.shift_label for each in experiments]
    shift = _named(["no shift" if label == "none" else label for label in shifts], "shifts")
    return f"{name} · {methods} · {shift}"


def _named(values: Sequence[str], what: str) -> str:
    distinct = dict.fromkeys(values)
    return ", ".join(distinct) if len(distinct) <= _MOST_NAMED else f"{len(distinct)} {what}"


def _of_sample(setup: Setup, item: Prepared) -> Iterator[tuple[str, Image.Image]]:
    """Yield one sample's pictures, each with its folder."""
    subject, spec = setup.subject(item), setup.experiment.method
    plain = _SOURCE if spec.baseline else spec.kind  # what the network says as it is
    with torch.no_grad(), setup.fabric.autocast():
        answers = {plain: setup.task.answer(setup.model(subject.views[:1]))[0]}
    drawn = {}

    def explain(label: str, name: str) -> None:
        """Draw where the evidence for an answer lies, by the model as it is now."""
        found = setup.task.explained(answers[name], item.targets)
        if found is not None:
            with torch.enable_grad():
                heat = heat_map(setup.model, subject.views[:1], found.index)
            drawn[label] = found.truth, Heat(heat, found.name, found.confidence, found.right)

    adapted = _adapted(setup)
    if spec.asks_head:
        explain("before" if adapted else plain, plain)
    for name, method in adapted.items():
        with setup.fabric.autocast():
            answers[name] = method.predict(subject).answers[name]
        explain(f"after {name}", name)
        method.reset()
    if isinstance(setup.method, Answers):
        with setup.fabric.autocast():
            answers |= {n: a[0] for n, a in setup.method.answer(subject.views[:1]).items()}
    panel = setup.task.panel(item, answers)
    if panel is not None:
        yield "answers", panel
    if drawn:
        (truth, *_), heats = zip(*drawn.values(), strict=True)
        yield "gradcam", _gradcam(item, dict(zip(drawn, heats, strict=True)), truth)
    yield from setup.method.illustrate(subject).items()


def _gradcam(item: Prepared, heats: dict[str, Heat], truth: str) -> Image.Image:
    return gradcam_panel(_pixels(item.pixels[:1])[0], heats, truth, item.id)


def _chosen(setup: Setup, frame: pd.DataFrame) -> list[int]:
    """Return the rows of the samples to draw: those that the spec names, or by its rule."""
    wanted, method, task = setup.experiment.explain.gradcam, setup.experiment.method, setup.task
    if wanted is None:
        return []
    if isinstance(wanted.choose, Chosen):
        return places_of(wanted.choose, frame["sample"].tolist())
    change = None
    if method.baseline is not None:
        change = task.score(frame, method.kind) - task.score(frame, method.baseline)
    return choose(wanted.choose, wanted.count, task.uncertainty(frame, method.kind), change)


def file_name(frame: pd.DataFrame, row: int) -> str:
    """Return a sample's name for a file: its id with anything unusual replaced."""
    sample = str(frame["sample"].iloc[row]).rpartition(".")[0] or str(frame["sample"].iloc[row])
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in sample)
    return f"{row:05d}-{plain[-80:].strip('.')}"


def prepared(setup: Setup, frame: pd.DataFrame, row: int) -> Prepared:
    """Prepare a sample once more; its random numbers, and so its views, are the same again."""
    wanted = frame["sample"].iloc[row]
    samples = setup.data["answer"].samples
    place = next(i for i, sample in enumerate(samples) if sample.id == wanted)
    item = setup.pipeline("answer", [place])[0]
    if not isinstance(item, Prepared):
        message = f"{wanted} was readable a moment ago: {item.reason}"
        raise DataError(message, hint=item.hint)
    return item


def _views(setup: Setup, frame: pd.DataFrame, row: int) -> Image.Image:
    item = prepared(setup, frame, row)
    selected = frame["selected_views"].iloc[row] if "selected_views" in frame else [0]
    names = [", ".join(operations) for operations in item.names]
    return view_grid(_pixels(item.pixels), names, set(selected))


def _adapted(setup: Setup) -> dict[str, Adapts]:
    """Return what adapts the model, by the names of their answers, the unit's own last."""
    method = setup.method
    found = dict(method.companions())
    if isinstance(method, Adapts) and method.leaves_adapted:
        found[setup.experiment.method.kind] = method
    return found


def _pixels(views: Tensor) -> np.ndarray:
    """Return views (V, 3, S, S) in [0, 255] as (V, S, S, 3) of uint8."""
    return views.float().round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
