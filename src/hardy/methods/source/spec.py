"""Schema of the method `source`."""

from typing import ClassVar, Literal

from hardy.methods.base_spec import MethodBase


class SourceSpec(MethodBase):
    """The source model as it is: the baseline of every adaptation."""

    baseline: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ()

    kind: Literal["source"] = "source"
