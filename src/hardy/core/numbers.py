"""Numbers of a spec that reach a network, which computes in 32 bits.

Such a number times or divided by what it meets (a gradient, a weight, a logit) is to be one that
32 bits hold: at most 3.4e38, and not 0 where it is more. Hence one bound far inside, for all.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

LARGEST, SMALLEST = 1e30, 1e-30


def _is_held(value: float) -> float:
    """Refuse what is not 0 in a spec, and 0 or infinite in a network."""
    if value and not SMALLEST <= abs(value) <= LARGEST:
        message = f"a network computes in 32 bits, which want {SMALLEST:g} to {LARGEST:g} here"
        raise ValueError(message)
    return value


# Editors read the bound in the schema; the validator says it in words.
_TOP = {"maximum": LARGEST}

Positive = Annotated[float, Field(gt=0, json_schema_extra=_TOP), AfterValidator(_is_held)]
"""Above 0, as a network can have it."""

NonNegative = Annotated[float, Field(ge=0, json_schema_extra=_TOP), AfterValidator(_is_held)]
"""0 or more, as a network can have it."""

Decay = Annotated[float, Field(ge=0, le=1e6), AfterValidator(_is_held)]
"""A penalty's weight: some optimizers multiply it by a learning rate."""
