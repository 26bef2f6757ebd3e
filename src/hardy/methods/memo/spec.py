"""Schema of the method `memo`; defaults are the paper's for ImageNet and a ResNet-50."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hardy.core.spec import Spec
from hardy.data.view_spec import AugMix, ViewSpec
from hardy.methods.base_spec import MethodBase, Passes
from hardy.methods.optim_spec import OptimizerSpec, Sgd
from hardy.methods.select_spec import Marginal, Selection


class Rho(Spec):
    """The training statistics' share itself, as some published settings state it."""

    rho: Annotated[float, Field(ge=0, le=1, description="Share of the training statistics.")]


class MemoSpec(Selection, MethodBase):
    """Minimise the entropy of the mean prediction over views of one image (arXiv:2110.09506)."""

    # 1: batch-norm statistics by another kernel, which rounds otherwise.
    VERSION: ClassVar[int] = 1

    tasks: ClassVar[tuple[str, ...]] = ("classify", "segment")

    kind: Literal["memo"] = "memo"
    views: Annotated[ViewSpec, Field(description="Augmentation that makes the views.")] = AugMix()
    reselect: Annotated[
        bool, Field(description="Select views anew at each step, not at the first alone.")
    ] = False
    marginal: Annotated[
        Marginal,
        Field(
            description="How views are joined: `probability_mean` is the paper's; `logit_mean` and "
            "`raw_log_mean_exp` reproduce published re-implementations."
        ),
    ] = "probability_mean"
    steps: Annotated[int, Field(ge=1, le=100, description="Optimizer steps per sample.")] = 1
    tune: Annotated[
        Literal["all", "norm"] | tuple[str, ...],
        Field(
            description="Parameters to adapt: all, those of normalisation layers, or those whose "
            "names match one of the given globs."
        ),
    ] = "all"
    optimizer: Annotated[OptimizerSpec, Field(description="Optimizer of the adapted weights.")] = (
        Sgd()
    )
    optimizer_state: Annotated[
        Literal["reset", "carry"],
        Field(
            description="`reset` forgets moments after each sample; `carry` keeps them, as the "
            "published code does with AdamW, so that results depend on the order of samples."
        ),
    ] = "reset"
    bn_prior: Annotated[
        float | Rho | None,
        Field(
            description="Strength N of the training statistics in batch normalisation, in samples: "
            "their share is N / (N + 1). Or `{rho: SHARE}`. None keeps the training statistics "
            "alone.",
        ),
    ] = 16.0

    @model_validator(mode="after")
    def _prior_is_not_negative(self) -> Self:
        if isinstance(self.bn_prior, float) and self.bn_prior < 0:
            message = f"bn_prior is {self.bn_prior:g}; a strength is at least 0, or null for none"
            raise ValueError(message)
        return self

    @property
    def bn_share(self) -> float | None:
        """Share of the training statistics in batch normalisation; None for them alone."""
        if self.bn_prior is None or isinstance(self.bn_prior, Rho):
            return self.bn_prior.rho if self.bn_prior else None
        return self.bn_prior / (self.bn_prior + 1)

    @property
    def episodic(self) -> bool:
        """Whether a sample's answer depends on no other sample."""
        return self.optimizer_state == "reset"

    def cost(self) -> Passes:
        """Return one sample's passes: source and answer, and each step over the views."""
        count = self.views.count
        keep = self.keep(count)
        if keep == count:
            return Passes(2 + self.steps * count, self.steps * count, count)
        # All views are run without a graph, then the selected ones with it. Later steps need all
        # again only for a new selection, or for batch-norm statistics under the new weights.
        again = self.reselect or self.bn_share is not None
        scans = self.steps if again else 1
        return Passes(2 + scans * count + self.steps * keep, self.steps * keep, keep)
