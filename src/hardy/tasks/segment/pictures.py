"""Pictures of segmentation: one sample's masks and errors, and how each class fared."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from hardy.explain.drawing import GAP, GROUND, RIGHT, WHITE, WRONG, canvas
from hardy.explain.figure import BLUE, ORANGE, bar_figure, finish_bars, headline, render, short
from hardy.explain.planes import Colour, PlaneRow, draw_legend, legend_height

_BARS = 60
_NARROW, _WIDE, _COVER = 480, 1600, 0.5
_COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7")


def segment_planes(
    image: np.ndarray,
    truth: np.ndarray,
    said: Mapping[str, np.ndarray],
    classes: Sequence[str],
    colours: np.ndarray,
) -> PlaneRow:
    """Return the input, its true mask, each answer's, and where the last one is wrong.

    Args:
        image: (h, w, 3) of uint8.
        truth: Classes of pixels (h, w); -1 for those that count for nothing.
        said: The answers' classes of pixels (h, w), by name.
        classes: Their names.
        colours: Their colours (C, 3).
    """
    void = truth < 0
    masks = {"truth": truth, **said}
    tiles = {"input": image}
    tiles |= {name: _coloured(mask, colours) for name, mask in masks.items()}
    *_, last = said.items()
    tiles[f"errors of {last[0]}"] = _errors(image, void, last[1] != truth)
    present = np.unique(np.concatenate([mask.flatten() for mask in masks.values()]))
    legend = [(classes[n], _colour(colours[n])) for n in present if n >= 0]
    marks = [("counts for nothing", GROUND)] * bool(void.any())
    counted = (last[1] == truth)[~void]
    marks += [("right", RIGHT)] * bool(counted.any()) + [("wrong", WRONG)] * (not counted.all())
    share = float(counted.mean()) if counted.size else float("nan")
    return PlaneRow(tiles, legend, marks, f"{100 * share:.1f} % of the pixels right")


def overlay(
    image: Image.Image, mask: np.ndarray, named: Sequence[tuple[str, int, Colour]]
) -> Image.Image:
    """Lay a mask's colours over a photograph in grey, with outlines and a legend below.

    In grey, since blue over yellow would look like a class that is green in the legend.

    Args:
        image: RGB, of any size; shown at its own size, but enlarged where it is small and reduced
            where it is large.
        mask: Labels of its pixels (h, w).
        named: Each class's name for the legend, label and colour; other labels are shown as
            nothing.
    """
    scale = min(max(1, -(-_NARROW // max(image.size))), _WIDE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    labels = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    resized = image.resize(size, Image.Resampling.LANCZOS)
    pixels = np.asarray(resized.convert("L"), float)[..., None]
    colours = np.tile(np.array(GROUND, float), (256, 1))
    for _, label, colour in named:
        colours[label] = colour
    mixed = (1 - _COVER) * pixels + _COVER * colours[labels]
    mixed[_outlines(labels)] = WHITE
    legend = [(name, colour) for name, label, colour in named if (labels == label).any()]
    if not set(np.unique(labels).tolist()) <= {label for _, label, _ in named}:
        legend.append(("no class", GROUND))
    width = max(size[0] + 2 * GAP, _NARROW + 2 * GAP)
    picture, pen = canvas(width, size[1] + 3 * GAP + legend_height(legend, width))
    picture.paste(Image.fromarray(mixed.round().astype(np.uint8)), (GAP, GAP))
    draw_legend(pen, legend, size[1] + 2 * GAP, width)
    return picture


def _outlines(labels: np.ndarray) -> np.ndarray:
    """Return which pixels (h, w) have another label to their right or below."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _coloured(mask: np.ndarray, colours: np.ndarray) -> np.ndarray:
    painted: np.ndarray = colours[mask.clip(0)]
    painted[mask < 0] = GROUND
    return painted


def _errors(image: np.ndarray, void: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Lay green where it is right and vermilion where it is wrong over a grey image."""
    grey = np.asarray(Image.fromarray(image).convert("L"), float)[..., None].repeat(3, 2)
    hue = np.where(wrong[..., None], WRONG, RIGHT)
    strength = np.where(wrong, 0.8, 0.35)[..., None]
    mixed = (1 - strength) * grey + strength * hue
    mixed[void] = GROUND
    return np.asarray(mixed.round(), np.uint8)


def iou_bars(table: pd.DataFrame) -> Image.Image:
    """Draw each class's intersection over union, a bar an answer.

    Args:
        table: As `counts.by_class` gives it, of all answers; at most 60 classes are drawn, those
            with most pixels.

    Returns:
        RGB, at most 1000 pixels wide.
    """
    answers = list(dict.fromkeys(table["answer"]))[: len(_COLOURS)]
    first = table[table["answer"] == answers[0]]
    shown = first.sort_values("pixels", ascending=False, kind="stable")["class"].tolist()[:_BARS]
    figure, axes = bar_figure(len(shown), tall=0.2 + 0.14 * len(answers))
    tall = 0.8 / len(answers)
    for number, answer in enumerate(answers):
        own = table[table["answer"] == answer].set_index("class")["iou"].reindex(shown)
        places = np.arange(len(shown)) + tall * (number - (len(answers) - 1) / 2)
        bars = axes.barh(
            places, 100 * own.fillna(0), 0.9 * tall, color=_COLOURS[number], label=answer
        )
        texts = ["absent" if np.isnan(value) else f"{100 * value:.1f}" for value in own]
        axes.bar_label(bars, texts, padding=4, fontsize=9)
    finish_bars(axes, [short(name) for name in shown], "intersection over union (%)")
    if len(answers) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    means = (f"{answer} {_mean(table, answer):.1f} %" for answer in answers)
    headline(axes, f"Mean over classes: {', '.join(means)}")
    return render(figure)


def _mean(table: pd.DataFrame, answer: str) -> float:
    return 100 * float(table.loc[table["answer"] == answer, "iou"].mean())
