"""What a spec may say about the learning rate's way through a training."""

from typing import Annotated, Literal

from pydantic import Field

from hardy.core.numbers import Positive
from hardy.core.spec import Spec

Factor = Annotated[float, Field(gt=0, lt=1, description="What the rate is multiplied by.")]


class Constant(Spec):
    """The optimizer's rate in every step."""

    kind: Literal["constant"] = "constant"


class Step(Spec):
    """The rate falls by a factor every few epochs."""

    kind: Literal["step"] = "step"
    every: Annotated[int, Field(ge=1, description="Epochs from one fall to the next.")] = 30
    factor: Factor = 0.1


class Cosine(Spec):
    """The rate rises along a line, then falls along half a cosine (arXiv:1608.03983)."""

    kind: Literal["cosine"] = "cosine"
    warmup: Annotated[
        float, Field(ge=0, lt=1, description="Share of the steps in which the rate rises from 0.")
    ] = 0.1
    final: Annotated[
        float, Field(ge=0, lt=1, description="Rate at the end, as a share of the highest.")
    ] = 0.0


class Plateau(Spec):
    """The rate falls by a factor when the monitored measure has not become better for a while."""

    kind: Literal["plateau"] = "plateau"
    patience: Annotated[
        int, Field(ge=0, description="Epochs without a better measure that are waited for.")
    ] = 5
    factor: Factor = 0.1


class OneCycle(Spec):
    """The rate rises to its highest and falls far below its first (arXiv:1708.07120)."""

    kind: Literal["one_cycle"] = "one_cycle"
    rise: Annotated[
        float, Field(gt=0, lt=1, description="Share of the steps in which the rate rises.")
    ] = 0.3
    start: Annotated[
        Positive,
        Field(gt=1, description="How many times lower than the highest the first rate is."),
    ] = 25.0
    end: Annotated[
        Positive,
        Field(gt=1, description="How many times lower than the first the last rate is."),
    ] = 1e4


SchedulerSpec = Annotated[
    Constant | Step | Cosine | Plateau | OneCycle, Field(discriminator="kind")
]
