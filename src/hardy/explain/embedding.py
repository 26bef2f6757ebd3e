"""Where the features of clean and shifted samples lie, in two or three dimensions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from PIL import Image

from hardy.explain.embedding_picture import page, picture
from hardy.explain.pairs import Pairs
from hardy.explain.spec import EmbeddingSpec
from hardy.models import head

_FOLDER = "embedding"
_NEIGHBOURS = 5
_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Features:
    """What a network's head is given.

    Attributes:
        ids: Names of the samples, N.
        labels: Their classes; None where there are none.
        clean: Features (N, D), float64.
        shifted: Of the same samples under the shift.
    """

    ids: Sequence[str]
    labels: Sequence[int] | None
    clean: np.ndarray
    shifted: np.ndarray


def draw(spec: EmbeddingSpec, pairs: Pairs) -> Iterator[tuple[str, Image.Image | str | float]]:
    """Yield the table, the picture, and how much of the neighbourhoods is kept, as metrics.

    Raises:
        SpecError: If the network's head cannot be told.
    """
    found = features(spec, pairs)
    joined = np.concatenate([found.clean, found.shifted])
    points, axes = embed(spec, joined, pairs.seed)
    kept, own = trustworthiness(joined, points), own_twin(found.clean, found.shifted)
    table = _table(found, points, pairs.classes)
    yield f"{_FOLDER}/embedding.csv", str(table.to_csv(index=False, lineterminator="\n"))
    note = f"trustworthiness {kept:.3f}; nearest clean sample is the own one: {100 * own:.1f} %"
    yield f"{_FOLDER}/embedding.png", picture(table, axes, pairs.classes, pairs.shift, note)
    if spec.dimensions == 3:
        yield f"{_FOLDER}/embedding.html", page(table, axes, pairs.classes, pairs.shift, note)
    yield "embedding/trustworthiness", kept
    yield "embedding/own_twin", own


@torch.no_grad()
def features(spec: EmbeddingSpec, pairs: Pairs) -> Features:
    """Return what the head is given, of clean and of shifted samples."""
    ids: list[str] = []
    labels: list[int] = []
    both: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for pair in pairs.batches(spec.samples):
        ids += [item.id for item in pair.clean]
        labels += [int(i.targets.label) for i in pair.clean if i.targets.label is not None]
        for items, found in zip(pair, both, strict=True):
            images = pairs.images(items)
            with pairs.autocast():
                found.append(head.features(pairs.model.network, images).double().cpu())
    clean, shifted = (torch.cat(found) for found in both)
    if spec.normalise:
        clean, shifted = (torch.nn.functional.normalize(each) for each in (clean, shifted))
    return Features(ids, labels or None, clean.numpy(), shifted.numpy())


def embed(spec: EmbeddingSpec, rows: np.ndarray, seed: int) -> tuple[np.ndarray, list[str]]:
    """Return points (M, 2 or 3) of rows (M, D), and what the axes of the map are called.

    Rows that are all the same, as a codebook of one code gives them, are one point.
    """
    if not np.ptp(rows.astype(np.float32), axis=0).any():
        # t-SNE would divide by their deviation and end the process (scikit-learn 1.9).
        points = np.zeros((len(rows), spec.dimensions))
        return points, [f"{_AXES[n]} (all samples are the same)" for n in range(spec.dimensions)]

    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # Sums of several threads come in any order, and a map of t-SNE is another for the last bit.
    with threadpool_limits(limits=1):
        if spec.method == "pca":
            solver = PCA(min(spec.dimensions, *rows.shape), svd_solver="full")
            found = solver.fit_transform(rows)
            points = np.zeros((len(rows), spec.dimensions))
            points[:, : found.shape[1]] = found  # features may have fewer dimensions
            shares = [*np.nan_to_num(solver.explained_variance_ratio_), 0.0, 0.0]
            names = [
                f"component {n + 1} ({100 * shares[n]:.0f} % of variance)"
                for n in range(spec.dimensions)
            ]
            return points, names
        perplexity = min(spec.perplexity, (len(rows) - 1) / 3)
        start = "pca" if rows.shape[1] >= spec.dimensions else "random"
        tsne = TSNE(spec.dimensions, perplexity=perplexity, init=start, random_state=seed)
        map_ = np.asarray(tsne.fit_transform(rows.astype(np.float32)), np.float64)
    return map_, [f"t-SNE {n + 1} (no unit)" for n in range(spec.dimensions)]


def trustworthiness(rows: np.ndarray, points: np.ndarray) -> float:
    """Return how far neighbours on a map (M, d) are neighbours among the rows (M, D), in [0, 1].

    Venna and Kaski, "Neighborhood preservation in nonlinear projection methods", 2001; 5
    neighbours, or fewer where there are few rows.
    """
    from sklearn.manifold import trustworthiness as measured
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        few = min(_NEIGHBOURS, (len(rows) - 1) // 2)
        return float(measured(rows, points, n_neighbors=few))


def own_twin(clean: np.ndarray, shifted: np.ndarray) -> float:
    """Return the share of shifted rows (N, D) whose nearest clean row is that of their own sample.

    A clean row that is just as near does not count against it.
    """
    kept = 0
    for place, row in enumerate(shifted):
        distances = np.square(clean - row).sum(1)
        kept += bool(distances[place] <= distances.min())
    return kept / len(shifted)


def _table(found: Features, points: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row a point: clean ones, then shifted ones."""
    names = [""] * len(found.ids) if found.labels is None else [classes[n] for n in found.labels]
    count = len(found.ids)
    table = pd.DataFrame({"sample": [*found.ids] * 2, "class": names * 2})
    table["shifted"] = [False] * count + [True] * count
    for place, axis in enumerate(_AXES[: points.shape[1]]):
        table[axis] = points[:, place]
    return table
