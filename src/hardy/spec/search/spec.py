"""`search`: which values of a spec are tried, how they are chosen, and how long."""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hardy.core.spec import Spec
from hardy.data.held_out_spec import HeldOut

Scalar = bool | int | float | str | None
When = Annotated[
    dict[str, Scalar | tuple[Scalar, ...]] | None,
    Field(
        description="Conditions: the path of another searched value, and the value or values of it "
        "under which this one counts; elsewhere the spec's own stands.",
    ),
]

# A study keeps whole numbers as floats.
_EXACT = 2**53


class FloatRange(Spec):
    """Real numbers between two bounds."""

    kind: Literal["float"] = "float"
    low: Annotated[float, Field(description="Smallest value.")]
    high: Annotated[float, Field(description="Largest value.")]
    log: Annotated[bool, Field(description="Whether orders of magnitude count alike.")] = False
    step: Annotated[
        float | None, Field(gt=0, description="Distance of the values, from `low` on; none: any.")
    ] = None
    when: When = None

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        _check_range(self.low, self.high, log=self.log)
        if self.log and self.step is not None:
            message = "log and step do not go together: give one"
            raise ValueError(message)
        if self.step is not None and (self.high - self.low) / self.step > _EXACT:
            message = f"step {self.step:g} is too small for this range"
            raise ValueError(message)
        return self


class IntRange(Spec):
    """Whole numbers between two bounds, both included."""

    kind: Literal["int"] = "int"
    low: Annotated[int, Field(ge=-_EXACT, description="Smallest value.")]
    high: Annotated[int, Field(le=_EXACT, description="Largest value.")]
    log: Annotated[bool, Field(description="Whether orders of magnitude count alike.")] = False
    step: Annotated[int, Field(ge=1, description="Distance of the values, from `low` on.")] = 1
    when: When = None

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        _check_range(self.low, self.high, log=self.log)
        if self.log and self.step != 1:
            message = "log and step do not go together: give one"
            raise ValueError(message)
        return self


class Categorical(Spec):
    """One of a list; in a file, the list alone."""

    kind: Literal["categorical"] = "categorical"
    choices: Annotated[tuple[object, ...], Field(min_length=1, description="Values, of any kind.")]
    when: When = None

    @property
    def labels(self) -> tuple[Scalar, ...]:
        """The choices as a study knows them: scalars as they are, others by a text of their own."""
        return tuple(
            choice
            if choice is None or isinstance(choice, bool | int | float | str)
            else _text(choice)
            for choice in self.choices
        )


Distribution = Annotated[FloatRange | IntRange | Categorical, Field(discriminator="kind")]

_Startup = Annotated[
    int, Field(ge=1, description="Trials at random, before earlier ones are learnt from.")
]


class Tpe(Spec):
    """Tree-structured Parzen estimator: what good trials have in common and others have not."""

    kind: Literal["tpe"] = "tpe"
    startup: _Startup = 10
    multivariate: Annotated[
        bool, Field(description="Whether values are drawn together, not one by one.")
    ] = False


class RandomSearch(Spec):
    """Every trial by itself."""

    kind: Literal["random"] = "random"


class Grid(Spec):
    """Every combination once, in an order that the seed gives; ranges need a step."""

    kind: Literal["grid"] = "grid"


class Qmc(Spec):
    """Quasi-Monte Carlo: a sequence that covers the space evenly."""

    kind: Literal["qmc"] = "qmc"
    sequence: Annotated[Literal["sobol", "halton"], Field(description="Which sequence.")] = "sobol"
    scramble: Annotated[bool, Field(description="Whether it is shuffled by the seed.")] = False


class Gp(Spec):
    """Gaussian process: a smooth surface through the trials, tried where it may be best."""

    kind: Literal["gp"] = "gp"
    startup: _Startup = 10


class Nsga2(Spec):
    """NSGA-II: generations that inherit from the best of the one before."""

    kind: Literal["nsga2"] = "nsga2"
    population: Annotated[int, Field(ge=2, description="Trials of a generation.")] = 20


Sampler = Annotated[Tpe | RandomSearch | Grid | Qmc | Gp | Nsga2, Field(discriminator="kind")]

_Warmup = Annotated[int, Field(ge=0, description="Steps that no trial is pruned before.")]
_Before = Annotated[
    int, Field(ge=0, description="Whole trials that there must be before one is pruned.")
]


class Median(Spec):
    """Stop a trial that is worse than the median of the others was at that step."""

    kind: Literal["median"] = "median"
    startup: _Before = 5
    warmup: _Warmup = 0


class Percentile(Spec):
    """Stop a trial that is not among so many percent of the best at that step."""

    kind: Literal["percentile"] = "percentile"
    percentile: Annotated[float, Field(ge=0, le=100, description="Percent that go on.")]
    startup: _Before = 5
    warmup: _Warmup = 0


class Hyperband(Spec):
    """Stop most trials after few steps, in brackets of more and less haste."""

    kind: Literal["hyperband"] = "hyperband"
    smallest: Annotated[int, Field(ge=1, description="Steps that every trial gets.")] = 1
    largest: Annotated[
        int | None, Field(ge=1, description="Steps of a whole trial; none: as the first had.")
    ] = None
    factor: Annotated[int, Field(ge=2, description="One in so many goes on each time.")] = 3


class Patience(Spec):
    """Stop a trial that has fallen behind its own best for a while."""

    kind: Literal["patience"] = "patience"
    steps: Annotated[int, Field(ge=0, description="Steps that it may stay behind.")]
    by: Annotated[float, Field(ge=0, description="Difference up to which it is not behind.")] = 0.0


class Wilcoxon(Spec):
    """Stop a trial whose samples are likely worse than the best trial's: a signed-rank test."""

    kind: Literal["wilcoxon"] = "wilcoxon"
    p: Annotated[float, Field(gt=0, lt=1, description="Likelihood below which it stops.")] = 0.1
    warmup: Annotated[int, Field(ge=0, description="Samples before the first test.")] = 2


Pruner = Annotated[
    Median | Percentile | Hyperband | Patience | Wilcoxon, Field(discriminator="kind")
]


class Objective(Spec):
    """What trials are compared by."""

    metric: Annotated[str, Field(min_length=1, description="Metric of the method's own answer.")]
    direction: Annotated[
        Literal["max", "min"] | None,
        Field(description="Which way is better; none: as the task says of its metric."),
    ] = None


class Constraint(Spec):
    """What a trial must hold, to be the best one."""

    metric: Annotated[str, Field(min_length=1, description="Metric of a trial.")]
    at_most: Annotated[float | None, Field(description="Largest value; this or `at_least`.")] = None
    at_least: Annotated[float | None, Field(description="Smallest value.")] = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            message = "a constraint has at_most or at_least, and not both"
            raise ValueError(message)
        return self


class Budget(Spec):
    """How long a search goes on: until the first of these is spent."""

    trials: Annotated[int, Field(ge=1, le=100_000, description="Trials, the fixed ones included.")]
    minutes: Annotated[
        float | None, Field(gt=0, description="Wall time after which no trial is begun.")
    ] = None
    samples: Annotated[
        int | None, Field(ge=1, description="Samples answered after which no trial is begun.")
    ] = None


class SearchSpec(Spec):
    """A search over values of the spec that it stands in."""

    space: Annotated[
        dict[str, Distribution],
        Field(
            min_length=1,
            max_length=100,
            description="Dotted paths, and which values are tried there; a list alone: one of "
            "these.",
        ),
    ]
    objectives: Annotated[
        tuple[Objective, ...], Field(min_length=1, description="What trials are compared by.")
    ]
    budget: Annotated[Budget, Field(description="How long it goes on.")]
    test_on: Annotated[
        HeldOut,
        Field(description="Other samples, on which the best trial answers once, at the end."),
    ]
    sampler: Annotated[Sampler, Field(description="How values are chosen.")] = Tpe()
    pruner: Annotated[
        Pruner | None, Field(description="Which trials stop early; none: none does.")
    ] = None
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...],
        Field(description="Seeds of each trial, a run each; none: the spec's own."),
    ] = ()
    first: Annotated[
        tuple[dict[str, object], ...],
        Field(description="Values of the first trials by path, after those of the spec itself."),
    ] = ()
    constraints: Annotated[
        tuple[Constraint, ...], Field(description="What a trial must hold, to be the best.")
    ] = ()
    ahead: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            description="Trials under way at a time: the values of trial n are chosen by the "
            "trials up to n - ahead, so that they do not depend on which ends first, nor on the "
            "number of processes.",
        ),
    ] = 4

    @model_validator(mode="after")
    def _conditions_end(self) -> Self:
        for path, each in self.space.items():
            for other in each.when or {}:
                if other not in self.space or other == path:
                    message = f"{path} depends on {other!r}, which is no other searched value"
                    raise ValueError(message)
        if len(self.ordered) < len(self.space):
            message = "the conditions of some values name each other in a circle"
            raise ValueError(message)
        return self

    @property
    def ordered(self) -> tuple[str, ...]:
        """The paths, each after those that its conditions name."""
        found: list[str] = []
        while free := [
            path
            for path, each in self.space.items()
            if path not in found and set(each.when or {}) <= set(found)
        ]:
            found += free
        return tuple(found)

    def active(self, path: str, values: Mapping[str, Scalar]) -> bool:
        """Return whether a path's conditions hold under the values of those that they name."""
        for other, wanted in (self.space[path].when or {}).items():
            allowed = wanted if isinstance(wanted, tuple) else (wanted,)
            if other not in values or not any(_same(values[other], each) for each in allowed):
                return False
        return True


def _same(a: Scalar, b: Scalar) -> bool:
    """Whether two values are the same one: `true` is no 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _text(choice: object) -> str:
    return json.dumps(choice, sort_keys=True)


def _check_range(low: float, high: float, *, log: bool) -> None:
    if not low < high:
        message = f"low {low:g} is not below high {high:g}"
        raise ValueError(message)
    if log and low <= 0:
        message = f"log needs a low above 0, got {low:g}"
        raise ValueError(message)
    if not math.isfinite(high - low):
        message = "the bounds are too far apart"
        raise ValueError(message)
