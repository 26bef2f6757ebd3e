"""Optuna's samplers and pruners, as a spec states them."""

from collections.abc import Mapping, Sequence
from itertools import product

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    PercentilePruner,
    WilcoxonPruner,
)
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from hardy.core.seeding import derive, generator
from hardy.results.search.study import quiet
from hardy.spec.search.spec import (
    Categorical,
    Distribution,
    FloatRange,
    Gp,
    Grid,
    Hyperband,
    Median,
    Nsga2,
    Patience,
    Percentile,
    Pruner,
    Qmc,
    RandomSearch,
    Sampler,
    Scalar,
    SearchSpec,
    Tpe,
    Wilcoxon,
)

_SEEDS = 2**32

Values = Mapping[str, Scalar]


@quiet()
def make_sampler(spec: Sampler, seed: int, number: int) -> BaseSampler:
    """Return the sampler that chooses the values of one trial.

    It is made anew for each trial, so that a search that was stopped goes on as if it had not been.

    Args:
        spec: Which one. A grid is no sampler's: see `grid_after`.
        seed: The experiment's.
        number: The trial's.
    """
    own = derive(seed, "sampler", number) % _SEEDS
    match spec:
        case Tpe():
            return TPESampler(
                seed=own, n_startup_trials=spec.startup, multivariate=spec.multivariate
            )
        case RandomSearch() | Grid():
            return RandomSampler(seed=own)
        case Qmc():
            # The sequence belongs to the whole search: its place is kept in the study.
            return QMCSampler(
                qmc_type=spec.sequence,
                scramble=spec.scramble,
                seed=derive(seed, "sampler") % _SEEDS,
                independent_sampler=RandomSampler(seed=own),
                warn_independent_sampling=False,
            )
        case Gp():
            return GPSampler(seed=own, n_startup_trials=spec.startup)
        case Nsga2():
            return NSGAIISampler(seed=own, population_size=spec.population)


@quiet()
def make_pruner(spec: Pruner) -> BasePruner:
    """Return a pruner."""
    match spec:
        case Median():
            return MedianPruner(n_startup_trials=spec.startup, n_warmup_steps=spec.warmup)
        case Percentile():
            return PercentilePruner(
                spec.percentile, n_startup_trials=spec.startup, n_warmup_steps=spec.warmup
            )
        case Hyperband():
            return HyperbandPruner(
                min_resource=spec.smallest,
                max_resource=spec.largest or "auto",
                reduction_factor=spec.factor,
            )
        case Patience():
            return PatientPruner(None, patience=spec.steps, min_delta=spec.by)
        case Wilcoxon():
            return WilcoxonPruner(p_threshold=spec.p, n_startup_steps=spec.warmup)


def grid_after(spec: SearchSpec, firsts: Sequence[Values], seed: int) -> list[Values]:
    """Return the points of a grid that were not tried first, in an order that the seed gives.

    Nothing where the sampler is no grid.
    """
    if not isinstance(spec.sampler, Grid):
        return []
    every = list(product(*(_values(each) for each in spec.space.values())))
    order = generator(seed, "grid").permutation(len(every))
    points = (dict(zip(spec.space, every[place], strict=True)) for place in order)
    return [point for point in points if point not in firsts]


def _values(distribution: Distribution) -> tuple[Scalar, ...]:
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
