"""Schema of the method `source`."""

from typing import Literal

from hardy.core.spec import Spec


class SourceSpec(Spec):
    """The source model as it is: the baseline of every adaptation."""

    kind: Literal["source"] = "source"
