"""The points of a grid."""

from itertools import product

from hardy.core.seeding import generator
from hardy.spec.search_spec import Categorical, Distribution, FloatRange, Scalar, SearchSpec


def values(distribution: Distribution) -> tuple[Scalar, ...]:
    """Return every value of a range with a step, or of a choice."""
    if isinstance(distribution, Categorical):
        return distribution.labels
    low, high, step = distribution.low, distribution.high, distribution.step or 1.0
    count = int((high - low) / step + 1e-9) + 1
    found = (low + number * step for number in range(count))
    # 0.1 + 2 * 0.1 is to be the 0.3 that a spec says.
    return tuple(
        float(f"{x:.12g}") if isinstance(distribution, FloatRange) else int(x) for x in found
    )


def points(spec: SearchSpec, seed: int) -> list[dict[str, Scalar]]:
    """Return every combination once, in an order that the seed gives."""
    every = list(product(*(values(each) for each in spec.space.values())))
    order = generator(seed, "grid").permutation(len(every))
    return [dict(zip(spec.space, every[place], strict=True)) for place in order]
