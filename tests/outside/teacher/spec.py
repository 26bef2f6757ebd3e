"""Schema of the method `teacher`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hardy.methods.training_spec import TrainingSpec


class TeacherSpec(TrainingSpec):
    """Train a network that follows its own slower copy."""

    baseline: ClassVar[str | None] = "target"
    makes_head: ClassVar[bool] = True

    kind: Literal["teacher"] = "teacher"
    momentum: Annotated[
        float, Field(ge=0, lt=1, description="Of the slower copy's weights, a step.")
    ] = 0.9
    codes: Annotated[int, Field(ge=1, description="Typical outputs that are kept.")] = 4
