"""Schema of the method `source`."""

from typing import Literal

from hardy.methods.base_spec import MethodBase


class SourceSpec(MethodBase):
    """The source model as it is: the baseline of every adaptation."""

    kind: Literal["source"] = "source"
