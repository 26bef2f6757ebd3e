"""From a method's schema to the method itself; its code is imported only here."""

from importlib import import_module
from typing import Any, cast

from hardy.data.view_spec import ViewSpec
from hardy.methods.base import TestTimeMethod
from hardy.models.model import Model


def build_method(
    spec: Any,  # noqa: ANN401 - a union
    model: Model,
    *further: Model,
) -> TestTimeMethod:
    """Build the method that a schema names, from `hardy.methods.<kind>.method`.

    Args:
        spec: The method's schema.
        model: The experiment's model.
        further: The models of the schema's `further_models`.
    """
    module = import_module(f"hardy.methods.{spec.kind}.method")
    return cast("TestTimeMethod", module.build(model, spec, *further))


def views_of(spec: Any) -> ViewSpec | None:  # noqa: ANN401 - a union
    """Return the views that a method asks for; None means the unchanged image alone."""
    return cast("ViewSpec | None", getattr(spec, "views", None))
