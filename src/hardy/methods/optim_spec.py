"""What a spec may say about an optimizer."""

from typing import Annotated, Literal

from pydantic import Field

from hardy.core.numbers import Decay, Positive
from hardy.core.spec import Spec


class Sgd(Spec):
    """Stochastic gradient descent."""

    kind: Literal["sgd"] = "sgd"
    lr: Annotated[Positive, Field(description="Learning rate.")] = 2.5e-4
    momentum: Annotated[float, Field(ge=0, lt=1, description="Momentum.")] = 0.0
    weight_decay: Annotated[Decay, Field(description="L2 penalty.")] = 0.0


class Adam(Spec):
    """Adam (arXiv:1412.6980)."""

    kind: Literal["adam"] = "adam"
    lr: Annotated[Positive, Field(description="Learning rate.")] = 1e-3
    weight_decay: Annotated[Decay, Field(description="L2 penalty.")] = 0.0


class AdamW(Spec):
    """Adam with decoupled weight decay (arXiv:1711.05101)."""

    kind: Literal["adamw"] = "adamw"
    lr: Annotated[Positive, Field(description="Learning rate.")] = 1e-5
    weight_decay: Annotated[Decay, Field(description="Decoupled weight decay.")] = 0.01


class RAdam(Spec):
    """Rectified Adam (arXiv:1908.03265)."""

    kind: Literal["radam"] = "radam"
    lr: Annotated[Positive, Field(description="Learning rate.")] = 1e-3
    weight_decay: Annotated[Decay, Field(description="L2 penalty.")] = 0.0


OptimizerSpec = Annotated[Sgd | Adam | AdamW | RAdam, Field(discriminator="kind")]
