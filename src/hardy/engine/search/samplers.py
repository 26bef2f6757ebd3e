"""Optuna's samplers and pruners, as a spec states them."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning
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

from hardy.core.seeding import derive
from hardy.results.search.grid import points
from hardy.spec.search_spec import (
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


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from writing a line a trial, and from warning of what it calls experimental."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


@quiet()
def make_sampler(spec: Sampler, seed: int, number: int) -> BaseSampler:
    """Return the sampler that chooses the values of one trial.

    It is made anew for each trial, so that a search that was stopped goes on as if it had not been.

    Args:
        spec: Which one. A grid is no sampler's: see `fixed`.
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


def fixed(spec: SearchSpec, own: Values, seed: int) -> list[Values]:
    """Return the values that are tried first: the spec's own, those stated, then a whole grid.

    A grid's order is the seed's; points of it that were tried already are left out.
    """
    firsts: list[Values] = [dict(own)]
    firsts += [_labelled(spec, first, own) for first in spec.first]
    if isinstance(spec.sampler, Grid):
        firsts += [point for point in points(spec, seed) if point not in firsts]
    return firsts


def _labelled(spec: SearchSpec, stated: Mapping[str, object], own: Values) -> Values:
    """Return the values of a stated trial: the spec's own where it states none."""
    found: dict[str, Scalar] = {}
    for path in spec.ordered:
        if spec.active(path, found):
            found[path] = spec.label(path, stated[path]) if path in stated else own[path]
    return found
