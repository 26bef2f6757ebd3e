"""Schema of the method `tpt`; defaults are the paper's for ImageNet and CLIP."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from hardy.core.spec import Spec
from hardy.data.view_spec import Cut, ViewSpec
from hardy.methods.base_spec import Passes
from hardy.methods.optim_spec import AdamW, OptimizerSpec
from hardy.methods.select_spec import Marginal, Selection
from hardy.models.files import content_identity

CLASS = "[CLS]"
"""Where a prompt has the class's name."""


def _checked(prompt: str) -> str:
    count = prompt.count(CLASS)
    if count != 1:
        message = f"a prompt has one {CLASS} for the class's name, {prompt!r} has {count}"
        raise ValueError(message)
    if not prompt.replace(CLASS, "").strip().removesuffix(".").strip():
        message = f"the prompt {prompt!r} has no word to tune beside {CLASS}"
        raise ValueError(message)
    return prompt


class Words(Spec):
    """A context that begins as words; one that surrounds the name is tuned on both sides."""

    kind: Literal["words"] = "words"
    prompt: Annotated[
        str,
        Field(
            description="Words with one `[CLS]` where the class's name goes, at the start, in the "
            "middle or at the end. Every token is tuned but a full stop at the very end."
        ),
        AfterValidator(_checked),
    ] = "a photo of a [CLS]."


class _Placed(Spec):
    """A context without words; a fixed full stop ends the prompt."""

    position: Annotated[
        Literal["end", "middle", "front"],
        Field(
            description="Where the class's name stands: after the context, between its halves, or "
            "before it."
        ),
    ] = "end"


class Random(_Placed):
    """A context that begins as noise N(0, 0.02²), the same for every sample of a seed."""

    kind: Literal["random"] = "random"
    tokens: Annotated[int, Field(ge=1, le=75, description="Length of the context.")] = 4


class _Trained(_Placed):
    checkpoint: Annotated[
        str,
        Field(
            min_length=1,
            description="Path of the published file, or of a safetensors with its tensors, such "
            "as `${HARDY_DATA}/weights/NAME.pth`. What it holds enters the fingerprint, not where "
            "it lies.",
        ),
    ]

    def identity(self) -> dict[str, Any]:
        """Return values and versions, with the checkpoint's SHA-256 in place of its path."""
        return super().identity() | {"checkpoint": content_identity(self.checkpoint)}


class Coop(_Trained):
    """A context that CoOp trained (arXiv:2109.01134), one for all classes or one a class."""

    kind: Literal["coop"] = "coop"


class Cocoop(_Trained):
    """A context that CoCoOp's network makes of the image (arXiv:2203.05557)."""

    kind: Literal["cocoop"] = "cocoop"


ContextSpec = Annotated[Words | Random | Coop | Cocoop, Field(discriminator="kind")]


class TptSpec(Selection):
    """Tune a prompt to lower the entropy of the confident views' mean prediction."""

    reads_texts: ClassVar[bool] = True

    kind: Literal["tpt"] = "tpt"
    views: Annotated[ViewSpec, Field(description="Augmentation that makes the views.")] = Cut()
    select: Annotated[
        float,
        Field(gt=0, le=1, description="Share of the most confident views that are used."),
    ] = 0.1
    marginal: Annotated[
        Marginal,
        Field(description="How views are joined; `probability_mean` is the paper's. See `memo`."),
    ] = "probability_mean"
    steps: Annotated[int, Field(ge=1, le=100, description="Optimizer steps per sample.")] = 1
    optimizer: Annotated[
        OptimizerSpec,
        Field(description="Optimizer of the prompt; its state is forgotten after each sample."),
    ] = AdamW(lr=5e-3)
    context: Annotated[ContextSpec, Field(description="What is tuned, and how it begins.")] = (
        Words()
    )
    learn_classes: Annotated[
        bool,
        Field(description="Tune one token a class, N(0, 0.02²) at first, in place of its name."),
    ] = False
    align_steps: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description="Steps that the image encoder takes before, to draw the selected views' "
            "features together.",
        ),
    ] = 0
    align_optimizer: Annotated[OptimizerSpec, Field(description="Optimizer of these steps.")] = (
        AdamW(lr=1e-4)
    )

    @model_validator(mode="before")
    @classmethod
    def _count_replaces_the_share(cls, values: Any) -> Any:  # noqa: ANN401 - not validated yet
        if isinstance(values, dict) and values.get("select_count") is not None:
            return {"select": 1.0, **values}
        return values

    @property
    def files(self) -> tuple[str, ...]:
        """The checkpoint of a trained context."""
        return (self.context.checkpoint,) if isinstance(self.context, Coop | Cocoop) else ()

    def answer_names(self) -> tuple[str, ...]:
        """Return the names of its answers, that of the untuned prompt included."""
        *others, own = super().answer_names()
        return (*others, "zero_shot", own)

    def cost(self) -> Passes:
        """Return one sample's passes through the image encoder; prompts pass it by."""
        keep = self.keep(self.views.count)
        aligned = self.align_steps * keep
        if not aligned:
            return Passes(self.views.rows, 0)
        # The selected views and the unchanged image are encoded once more, as aligned.
        return Passes(self.views.rows + aligned + keep + 1, aligned, keep)
