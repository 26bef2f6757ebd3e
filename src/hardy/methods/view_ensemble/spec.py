"""Schema of the method `view_ensemble`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hardy.data.view_spec import Cut, ViewSpec
from hardy.methods.base_spec import Passes
from hardy.methods.select_spec import Selection


class ViewEnsembleSpec(Selection):
    """The mean prediction over views: of crops (cut ensemble), or with dropout over copies."""

    tasks: ClassVar[tuple[str, ...]] = ("classify", "segment")

    kind: Literal["view_ensemble"] = "view_ensemble"
    views: Annotated[ViewSpec, Field(description="Augmentation that makes the views.")] = Cut()
    dropout: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Probability of dropping a value of the last feature map before it is "
            "pooled, drawn anew for each view (Monte Carlo dropout, arXiv:1506.02142).",
        ),
    ] = 0.0

    @property
    def pooled(self) -> str:
        """The field that changes what is pooled, where it is stated."""
        return "dropout" if self.dropout else ""

    def cost(self) -> Passes:
        """Return one sample's passes: the source model's, and one a view."""
        return Passes(forward=1 + self.views.count, backward=0)
