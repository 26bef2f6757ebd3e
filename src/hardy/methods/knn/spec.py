"""Schema of the method `knn`."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hardy.core.numbers import Positive
from hardy.data.held_out_spec import HeldOut
from hardy.methods.base_spec import MethodBase, Role


class KnnSpec(MethodBase):
    """Classes by a vote of the nearest neighbours among labelled samples (arXiv:1805.01978)."""

    baseline: ClassVar[str | None] = None
    makes_head: ClassVar[bool] = True  # the network's own may be of other classes: nothing asks it
    asks_head: ClassVar[bool] = False
    registrable: ClassVar[bool] = False  # a version would need the bank
    answer_batch: ClassVar[int] = 32

    kind: Literal["knn"] = "knn"
    bank_on: Annotated[
        HeldOut,
        Field(
            description="Labelled samples among which neighbours are looked for; `clean: true` "
            "for a bank without the experiment's shift."
        ),
    ]
    k: Annotated[int, Field(ge=1, le=100_000, description="Neighbours that count.")] = 20
    temperature: Annotated[
        Positive,
        Field(
            description="A neighbour of cosine s weighs exp(s / temperature): the lower, the less "
            "count neighbours that are further away.",
        ),
    ] = 0.07

    def roles(self) -> Mapping[Role, HeldOut | None]:
        """Return the samples of the bank, and the experiment's, which it answers for."""
        return {"fit": self.bank_on, "answer": None}

    def shortest(self) -> "KnnSpec":
        """Return the same with a bank of one sample."""
        return self.model_copy(update={"bank_on": self.bank_on.model_copy(update={"samples": 1})})
