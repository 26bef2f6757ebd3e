"""What a spec may say about which views of an image are used."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hardy.methods.base_spec import MethodBase

Marginal = Literal["probability_mean", "logit_mean", "raw_log_mean_exp"]


class Selection(MethodBase):
    """A method that keeps the most confident of its views."""

    select: Annotated[
        float,
        Field(gt=0, le=1, description="Share of the most confident views that are used."),
    ] = 1.0
    select_count: Annotated[
        int | None, Field(ge=1, description="Views that are used, in place of a share.")
    ] = None

    @model_validator(mode="after")
    def _at_least_one_view(self) -> Self:
        count = self._views()
        if self.select_count is None and self.select * count < 1:
            message = (
                f"select {self.select:g} of {count} views leaves less than one view; "
                f"use a select of at least {1 / count:.3g} or more views"
            )
            raise ValueError(message)
        if self.select_count is not None and self.select != 1.0:
            message = "select and select_count both say how many views are used; give one"
            raise ValueError(message)
        if self.select_count is not None and self.select_count > count:
            message = f"select_count {self.select_count} is more than the {count} views"
            raise ValueError(message)
        return self

    def _views(self) -> int:
        views: Any = getattr(self, "views")  # noqa: B009 - each method declares its own default
        return int(views.count)

    def answer_names(self) -> tuple[str, ...]:
        """Return the names of the source's answer, of two that cost no further pass, and its own.

        Its own stands last.
        """
        names = ("source", "view_ensemble", "majority_vote")
        return (*(name for name in names if name != self.kind), self.kind)

    def votes(self) -> frozenset[str]:
        """Return the name of the answer that counts the views' votes."""
        return frozenset({"majority_vote"})

    def keep(self, count: int) -> int:
        """Return how many of `count` views are used: ⌊share · count⌋ as published, at least 1."""
        if self.select_count is not None:
            return min(self.select_count, count)
        # The small addend undoes rounding such as 0.29 * 100 = 28.999999999999996.
        return max(1, math.floor(self.select * count + 1e-9))
