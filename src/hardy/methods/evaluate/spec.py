"""Schemas of the methods `evaluate` and `source`, which differ in the name of their answer."""

from typing import ClassVar, Literal

from hardy.methods.base_spec import MethodBase


class _AsItIs(MethodBase):
    """A model that nothing changes."""

    baseline: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ()
    answer_batch: ClassVar[int] = 32


class EvaluateSpec(_AsItIs):
    """A finished model of any task as it is: how good it is, under whatever shift."""

    kind: Literal["evaluate"] = "evaluate"


class SourceSpec(_AsItIs):
    """The source model as it is: the baseline of every adaptation."""

    kind: Literal["source"] = "source"
