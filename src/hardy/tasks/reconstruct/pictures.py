"""Pictures of reconstruction: one sample before and after, and how good all are."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from hardy.explain.figure import DPI, headline, render
from hardy.explain.planes import PlaneRow


def reconstruct_planes(
    clean: np.ndarray, image: np.ndarray, found: Mapping[str, np.ndarray]
) -> PlaneRow:
    """Return the clean image, what the shift made of it, what was rebuilt, and how far it is off.

    Args:
        clean: The image before the shift (h, w, 3) of uint8.
        image: What the network saw.
        found: The answers, by name.
    """
    *_, (name, last) = found.items()
    apart, changed = np.abs(last.astype(int) - clean), (image != clean).any(-1)
    note = f"mean difference {apart.mean():.1f} of 255 levels"
    if changed.any() and not changed.all():
        share = 100 * changed.mean()
        note += f", {apart[changed].mean():.1f} in the {share:.1f} % that the shift changed"
    tiles = {"clean": clean, "input": image}
    tiles |= {f"rebuilt by {each}": answer for each, answer in found.items()}
    tiles[f"4 x |{name} - clean|"] = (4 * apart).clip(0, 255).astype(np.uint8)
    return PlaneRow(tiles, note=note)


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
