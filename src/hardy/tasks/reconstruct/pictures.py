"""Pictures of reconstruction: one sample before and after, and how good all are."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from hardy.explain.figure import DPI, headline, render
from hardy.explain.planes import plane_panel


def reconstruct_panel(
    image: np.ndarray, truth: np.ndarray, found: Mapping[str, np.ndarray], title: str
) -> Image.Image:
    """Draw the input, the truth, each answer, and four times the difference of the last one.

    Args:
        image: What the network saw (h, w, 3) of uint8.
        truth: What it was before the shift.
        found: The answers, by name.
        title: Headline.
    """
    *_, (name, last) = found.items()
    apart = np.abs(last.astype(int) - truth)
    tiles = {"input": image, "truth": truth, **found}
    tiles[f"4 x |{name} - truth|"] = (4 * apart).clip(0, 255).astype(np.uint8)
    return plane_panel(tiles, (), f"{title}   mean difference {apart.mean():.1f} of 255 levels")


def psnr_histogram(ratios: Mapping[str, np.ndarray]) -> Image.Image:
    """Draw how many images have which peak signal-to-noise ratio (N,) in dB, by answer."""
    figure = Figure(figsize=(8, 4.2), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    values = np.concatenate(list(ratios.values()))
    bins = np.linspace(np.floor(values.min()), np.floor(values.max()) + 1, 31)
    for name, own in ratios.items():
        axes.hist(own, bins.tolist(), alpha=0.6, label=f"{name}, mean {own.mean():.1f} dB")
    axes.set(xlabel="peak signal-to-noise ratio (dB)", ylabel="images")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    headline(axes, f"Reconstruction of {len(next(iter(ratios.values())))} images")
    return render(figure)
