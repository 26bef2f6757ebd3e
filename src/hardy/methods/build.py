"""From a method's schema to the method itself; its code is imported only here."""

from collections.abc import Sequence
from importlib import import_module
from typing import cast

from hardy.methods.base import Method
from hardy.methods.base_spec import MethodBase
from hardy.models.model import Model
from hardy.tasks.base import Task


def build_method(spec: MethodBase, models: Sequence[Model], task: Task) -> Method:
    """Build the method that a schema names, by `build` of the module beside the schema.

    Args:
        spec: The method's schema.
        models: The experiment's model, then those of the schema's `further_models`.
        task: What its answers are.

    Raises:
        SpecError: If the method cannot work on such a model.
    """
    folder = type(spec).__module__.rpartition(".")[0]
    return cast("Method", import_module(f"{folder}.method").build(spec, models, task))
