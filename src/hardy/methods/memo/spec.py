"""Schema of the method `memo`; defaults are the paper's for ImageNet and a ResNet-50."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hardy.core.spec import Spec
from hardy.data.view_spec import AugMix, ViewSpec
from hardy.methods.optim_spec import OptimizerSpec, Sgd


class MemoSpec(Spec):
    """Minimise the entropy of the mean prediction over views of one image (arXiv:2110.09506)."""

    kind: Literal["memo"] = "memo"
    views: Annotated[ViewSpec, Field(description="Augmentation that makes the views.")] = AugMix()
    select: Annotated[
        float,
        Field(gt=0, le=1, description="Share of the most confident views that enter the loss."),
    ] = 1.0
    steps: Annotated[int, Field(ge=1, le=100, description="Optimizer steps per sample.")] = 1
    optimizer: Annotated[OptimizerSpec, Field(description="Optimizer of all weights.")] = Sgd()
    bn_prior: Annotated[
        float | None,
        Field(
            ge=0,
            description="Strength N of the training statistics in batch normalisation, in samples: "
            "their share is N / (N + 1). None keeps the training statistics alone.",
        ),
    ] = 16.0

    @model_validator(mode="after")
    def _at_least_one_view(self) -> Self:
        if self.select * self.views.count < 1:
            message = (
                f"select {self.select:g} of {self.views.count} views leaves less than one view; "
                f"use a select of at least {1 / self.views.count:.3g} or more views"
            )
            raise ValueError(message)
        return self
