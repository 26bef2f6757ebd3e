"""The searched values as Optuna's distributions."""

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hardy.spec.search.spec import (
    Categorical,
    Distribution,
    FloatRange,
    IntRange,
    SearchSpec,
)


def distributions(spec: SearchSpec) -> dict[str, BaseDistribution]:
    """Return a distribution for each path, in the spec's order; categorical ones are of labels."""
    return {path: _of(each) for path, each in spec.space.items()}


def _of(spec: Distribution) -> BaseDistribution:
    match spec:
        case FloatRange():
            return FloatDistribution(spec.low, spec.high, log=spec.log, step=spec.step)
        case IntRange():
            return IntDistribution(spec.low, spec.high, log=spec.log, step=spec.step)
        case Categorical():
            return CategoricalDistribution(spec.labels)
