"""What a spec may say about pictures."""

from typing import Annotated, Literal

from pydantic import Field

from hardy.core.spec import Spec


class GradCamSpec(Spec):
    """Which samples get Grad-CAM overlays, before and after adaptation (arXiv:1610.02391)."""

    count: Annotated[int, Field(ge=0, le=64, description="Pictures per unit.")] = 4
    choose: Annotated[
        Literal["flips", "uncertain", "first"],
        Field(
            description="Rule: `flips` takes samples whose correctness changed, then the most "
            "uncertain; `uncertain` the highest entropy after; `first` the first in order."
        ),
    ] = "flips"


class ExplainSpec(Spec):
    """Pictures that a run draws beside its numbers."""

    gradcam: Annotated[GradCamSpec | None, Field(description="Grad-CAM overlays.")] = GradCamSpec()
    view_grids: Annotated[
        int, Field(ge=0, le=16, description="Samples whose views are drawn as a grid.")
    ] = 1
