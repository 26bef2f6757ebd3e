"""Schema of `registry/*.yaml`: who competes for an alias, on which metric, behind which gates."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from hardy.core.spec import Spec

CHALLENGER = "challenger"
"""Alias of the newest version that competed for another alias and did not get it."""

RESERVED = re.compile(r"latest|v?\d+")

ModelName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="Name of the registered model: letters, digits, `.`, `_` and `-`, after a "
        "letter or digit.",
    ),
]


def _unreserved(alias: str) -> str:
    if RESERVED.fullmatch(alias):
        message = f"the alias {alias!r} would be taken for a version; MLflow reserves such names"
        raise ValueError(message)
    return alias


Alias = Annotated[
    str,
    AfterValidator(_unreserved),
    Field(
        pattern=r"^[A-Za-z0-9_-]+$",
        description="Alias the winner gets: letters, digits, `_` and `-`; `latest`, numbers, and "
        "`v1`, `v2`, ... name versions.",
    ),
]


class MetricSpec(Spec):
    """The metric that candidates compete on."""

    name: Annotated[
        str | None,
        Field(description="Metric of the method's own answer; none: the one that tables show."),
    ] = None
    higher_is_better: Annotated[
        bool | None,
        Field(description="Its direction, for the reader: it must be what the catalogue says."),
    ] = None


class Threshold(Spec):
    """A gate on one metric's value."""

    metric: Annotated[str, Field(description="Metric to look at.")]
    at_least: Annotated[float | None, Field(description="Smallest value that passes.")] = None
    at_most: Annotated[float | None, Field(description="Largest value that passes.")] = None
    by: Annotated[
        Literal["value", "interval"],
        Field(
            description="What must lie within: the value measured, or the whole of its 95 % "
            "interval, which few samples make wide."
        ),
    ] = "value"

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.at_least is None and self.at_most is None:
            message = "a gate on a metric needs `at_least`, `at_most` or both"
            raise ValueError(message)
        low, high = self.at_least, self.at_most
        if low is not None and high is not None and low > high:
            message = f"no version can pass: nothing is at least {low:g} and at most {high:g}"
            raise ValueError(message)
        return self


class BetterThan(Spec):
    """A gate that compares with the holder of an alias on the same samples, in pairs."""

    better_than: Annotated[
        Alias, Field(description="Alias whose holder must be beaten: letters, digits, `_` and `-`.")
    ]
    test: Annotated[
        Literal["paired_bootstrap", "mcnemar"], Field(description="Paired test of correctness.")
    ] = "paired_bootstrap"
    confidence: Annotated[
        float, Field(gt=0.5, lt=1, description="One-sided confidence that must be reached.")
    ] = 0.95


def _gate_kind(value: Any) -> str:  # noqa: ANN401 - raw YAML
    keys = value if isinstance(value, dict) else getattr(value, "model_fields_set", ())
    return "better_than" if "better_than" in keys else "metric"


Gate = Annotated[
    Annotated[Threshold, Tag("metric")] | Annotated[BetterThan, Tag("better_than")],
    Discriminator(_gate_kind),
]


class Candidates(Spec):
    """Which runs may compete."""

    experiments: Annotated[
        tuple[str, ...], Field(min_length=1, description="Globs over experiment names.")
    ]
    dataset: Annotated[str, Field(description="Dataset that all must have been measured on.")]


class Policy(Spec):
    """A registered model: candidates, metric, gates, and the alias of the winner."""

    model: ModelName
    description: Annotated[str, Field(description="What the model is for.")] = ""
    candidates: Candidates
    metric: MetricSpec = MetricSpec()
    gates: Annotated[tuple[Gate, ...], Field(description="All must hold.")] = ()
    min_samples: Annotated[
        int,
        Field(
            ge=1,
            description="Different images that a version must have been measured on; few prove "
            "nothing, and one under several shifts is one.",
        ),
    ] = 30
    alias: Alias = "champion"
    keep: Annotated[
        int, Field(ge=1, description="Versions without an alias to keep; older ones are deleted.")
    ] = 5
