"""Where samples lie by what a network's codebook makes of them."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from PIL import Image

from hardy.explain.codebook import coded
from hardy.explain.embedding import embed, trustworthiness
from hardy.explain.embedding_picture import picture
from hardy.explain.pairs import Pairs
from hardy.explain.spec import EmbeddingSpec, LatentsSpec

_FOLDER = "latents"


def draw(spec: LatentsSpec, pairs: Pairs) -> Iterator[tuple[str, Image.Image | str | float]]:
    """Yield the table, the map, and how much of the neighbourhoods it keeps, as metrics.

    A sample is its quantised latents, flattened. `latents/same_class` is the share of samples whose
    nearest other sample, among the latents, is of their own class.
    """
    ids, labels, rows = _rows(spec, pairs)
    points, axes = embed(EmbeddingSpec(method=spec.method), rows, pairs.seed)
    kept = trustworthiness(rows, points)
    names = [pairs.classes[n] for n in labels] if labels else [""] * len(ids)
    table = pd.DataFrame({"sample": ids, "class": names, "x": points[:, 0], "y": points[:, 1]})
    yield f"{_FOLDER}/latents.csv", str(table.to_csv(index=False, lineterminator="\n"))
    note = f"trustworthiness {kept:.3f}"
    if labels:
        own = same_class(rows, np.array(labels))
        note += f"; nearest other sample is of the same class: {100 * own:.1f} %"
        yield "latents/same_class", own
    title = f"Quantised latents of {len(ids)} samples"
    shown = table.assign(shifted=pairs.shift != "none")
    yield (
        f"{_FOLDER}/latents.png",
        picture(shown, axes, pairs.classes, pairs.shift, note, title=title),
    )
    yield "latents/trustworthiness", kept


@torch.no_grad()
def _rows(spec: LatentsSpec, pairs: Pairs) -> tuple[list[str], list[int], np.ndarray]:
    """Return samples' names, their classes where there are any, and latents (N, D h w)."""
    network = coded(pairs.model.network)
    ids: list[str] = []
    labels: list[int] = []
    found = []
    for items in pairs.answered(spec.samples):
        ids += [item.id for item in items]
        labels += [int(i.targets.label) for i in items if i.targets.label is not None]
        with pairs.autocast():
            latents = network.latents(pairs.images(items))
        found.append(latents.flatten(1).float().cpu())
    return ids, labels if pairs.classes else [], torch.cat(found).numpy()


def same_class(rows: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of rows (N, D) whose nearest other row has the same label (N,)."""
    exact = rows.astype(np.float64)
    squares = np.square(exact).sum(1)
    distances = squares[:, None] + squares[None] - 2 * exact @ exact.T
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(1)] == labels).mean())
