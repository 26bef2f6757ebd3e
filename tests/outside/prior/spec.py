"""Schema of the method `prior`."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from hardy.data.held_out_spec import HeldOut
from hardy.methods.base_spec import MethodBase, Role


class PriorSpec(MethodBase):
    """Reweigh the classes by how frequent they are among labelled samples."""

    kind: Literal["prior"] = "prior"
    count_on: Annotated[HeldOut, Field(description="Samples whose classes are counted.")]

    def roles(self) -> Mapping[Role, HeldOut | None]:
        """Return the samples to count, and those to answer."""
        return {"fit": self.count_on, "answer": None}
