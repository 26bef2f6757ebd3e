"""Schema of the task `dense`."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hardy.tasks.base_spec import Metric, TaskBase


class DenseSpec(TaskBase):
    """One class a pixel, on a coarse grid."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "miou": Metric("mean over the classes of the overlap of pixels over their union", True),
        "pixel_error": Metric("share of pixels of another class, 0 to 1", False),
    }

    target: ClassVar[Literal["label", "mask", "image"]] = "mask"

    kind: Literal["dense"] = "dense"
    side: Annotated[int, Field(ge=1, description="Rows and columns of the grid.")] = 16
