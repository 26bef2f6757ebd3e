"""The base of every schema: frozen, strict about keys, documented field by field."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]*(/\.*[a-z0-9_-][a-z0-9._-]*)*$",
        max_length=200,
        description="Name in MLflow and in listings: small letters, digits, `.`, `_` and `-`, "
        "after a letter or digit; `/` divides families, as in memo/imagenet-a.",
    ),
]
"""What an experiment or a suite is called. A part of it is never empty, `.` or `..`."""


class Spec(BaseModel):
    """A part of a declarative file: immutable, unknown keys refused, NaN refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=False
    )

    VERSION: ClassVar[int] = 1
    """Raised, or first stated by a schema itself, whenever the code behind it gives other numbers
    for the same values. It counts together with the versions that the schema inherits."""

    def identity(self) -> dict[str, Any]:
        """Return the values and versions of this part and all parts below it, as a JSON value.

        This is what a fingerprint is made of: equal identities give equal numbers. A field that
        is None is left out, so that a new option that is off by default changes no fingerprint.
        """
        values = {name: _identity(getattr(self, name)) for name in type(self).model_fields}
        stated = {name: value for name, value in values.items() if value is not None}
        versions = (vars(part).get("VERSION", 0) for part in type(self).__mro__)
        return {"VERSION": sum(versions), **stated}


def kinds(schemas: Iterable[type[Spec]]) -> list[str]:
    """Return the names of schemas that are told apart by their `kind`."""
    return [str(schema.model_fields["kind"].default) for schema in schemas]


def one_of(schemas: tuple[type[Spec], ...]) -> Any:  # noqa: ANN401 - a type, made of types
    """Return the type of a field that holds one of some schemas, told apart by their `kind`."""
    if len(schemas) == 1:
        return schemas[0]
    return Annotated[reduce(or_, schemas), Field(discriminator="kind")]


def _identity(value: Any) -> Any:  # noqa: ANN401 - any field's value
    if isinstance(value, Spec):
        return value.identity()
    if isinstance(value, tuple | list):
        return [_identity(item) for item in value]
    return value
