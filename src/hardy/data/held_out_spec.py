"""Which labelled samples a method learns from before it meets the others."""

from typing import Annotated, Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from hardy.core.spec import Spec
from hardy.data.spec import DataSpec, Subset, splits_of


class HeldOut(Spec):
    """Labelled samples apart from those of the experiment."""

    split: Annotated[
        str | None, Field(description="Another part that the dataset comes in; this or `part`.")
    ] = None
    part: Annotated[
        str | None, Field(description="Another part of `data.partition`; this or `split`.")
    ] = None
    samples: Annotated[
        int | None, Field(ge=1, description="How many to draw of them; none: all.")
    ] = None
    clean: Annotated[
        bool | None,
        Field(
            description="Whether they are seen without the experiment's `data.shift`; none: with "
            "it. Not for samples to answer for."
        ),
    ] = None

    @model_serializer(mode="wrap")
    def _as_stated(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave `clean` out where it is not stated: what older runs keep has no such field."""
        found: dict[str, Any] = plain(self)
        return {
            name: value for name, value in found.items() if name != "clean" or value is not None
        }

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.split is None) == (self.part is None):
            message = "the held-out samples need either split or part, and not both"
            raise ValueError(message)
        return self

    def fault(self, data: DataSpec) -> str:
        """Say why these are not other samples of an experiment's data; empty if they are."""
        if self.split is not None:
            others = [split for split in splits_of(data.dataset) if split != data.part_name]
            known = f"its others are {', '.join(others[:5])}" if others else "it has no other"
            return "" if self.split in others else f"{data.dataset}, split {self.split!r}: {known}"
        if data.partition is None:
            return f"part {self.part!r} needs data.partition, which divides the samples"
        others = [part for part in data.partition.fractions if part != data.partition.part]
        known = f"the others of data.partition are {', '.join(others) or 'none'}"
        return "" if self.part in others else f"part {self.part!r}: {known}"

    def data(self, data: DataSpec, seed: int) -> DataSpec:
        """Return the data spec of these samples, under the same shift unless they are clean.

        Args:
            data: The experiment's.
            seed: Seed of the draw where not all are used.
        """
        drawn = Subset(count=self.samples, seed=seed) if self.samples else None
        changed: dict[str, Any] = {"subset": drawn, "expect_source_accuracy": None}
        if self.clean:
            changed["shift"] = None
        if data.partition is None or self.split is not None:
            return data.model_copy(update={**changed, "split": self.split, "partition": None})
        part = data.partition.model_copy(update={"part": self.part})
        return data.model_copy(update={**changed, "partition": part})
