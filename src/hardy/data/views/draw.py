"""Which operation a view goes through: with or without repetition, evenly or by weight."""

import numpy as np

from hardy.core.seeding import generator
from hardy.data.view_spec import OperationsStep


def drawn_name(
    spec: OperationsStep, seed: int, where: tuple[str, int], index: int, rng: np.random.Generator
) -> str:
    """Return the name of view `index`, counted from 1, of a (sample, step of a composition).

    Without repetition the names come in rounds, each round a permutation from its own generator,
    so that a view's name depends on no other view.
    """
    names = spec.expanded
    if spec.repeat:
        weights = None if spec.weights is None else np.asarray(spec.weights) / sum(spec.weights)
        return names[int(rng.choice(len(names), p=weights))]
    turn, place = divmod(index - 1, len(names))
    order = generator(seed, *where, "operations", turn).permutation(len(names))
    return names[int(order[place])]
