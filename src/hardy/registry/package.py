"""Packs a bundle as an MLflow pyfunc: code, files, signature, requirements."""

import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlflow.models import Model, ModelSignature
from mlflow.types.schema import (
    Array,
    ColSpec,
    DataType,
    Object,
    ParamSchema,
    ParamSpec,
    Property,
    Schema,
)

import hardy
from hardy.registry.bundle import FILES
from hardy.tasks.base import Task

with warnings.catch_warnings():
    # MLflow warns of its own type hints as it is imported.
    warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
    import mlflow.pyfunc

_REQUIREMENTS = (
    "mlflow",
    "numpy",
    "open_clip_torch",
    "pandas",
    "pillow",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "segmentation-models-pytorch",
    "timm",
    "torch",
    "torchvision",
)
_PARAM_TYPES = {bool: "boolean", int: "long", float: "double", str: "string"}


def signature(task: Task) -> ModelSignature:
    """Return what a version of a task takes and gives.

    There is no input schema: MLflow would turn arrays, bytes and images into tables of text.
    """
    params: dict[str, int | float | bool | str] = {"adapt": False, "views": 0}
    params |= {**task.params, "seed": 0}
    return ModelSignature(
        outputs=Schema([ColSpec(_column_type(kind), name) for name, kind in task.returns.items()]),
        params=ParamSchema(
            [ParamSpec(name, _PARAM_TYPES[type(value)], value) for name, value in params.items()]
        ),
    )


def _column_type(kind: Any) -> DataType | Array | Object:  # noqa: ANN401 - see `Task.returns`
    if isinstance(kind, list):
        return Array(_column_type(kind[0]))
    if isinstance(kind, Mapping):
        return Object([Property(name, _column_type(below)) for name, below in kind.items()])
    return DataType[kind]


def requirements() -> list[str]:
    """Return what loading a version needs, each pinned to the version that is installed here.

    A build's own suffix (`+cpu`) is dropped: no public index has it.
    """
    return [f"{name}=={version(name).partition('+')[0]}" for name in _REQUIREMENTS]


def save_pyfunc(bundle: Path, target: Path, *, task: Task, run_id: str, model_id: str) -> Path:
    """Write the pyfunc of a bundle to `target` and return it.

    hardy's own package travels along, so that a machine with the requirements alone can load it.
    """
    package = Path(hardy.__file__).parent
    with warnings.catch_warnings():
        # An example input would be run through the model, for what the signature says already.
        warnings.filterwarnings("ignore", ".*input example was not provided", UserWarning)
        mlflow.pyfunc.save_model(
            path=str(target),
            mlflow_model=Model(run_id=run_id, model_id=model_id, model_uuid=model_id),
            python_model=str(package / "registry" / "serve.py"),
            artifacts={n: str(bundle / n) for n in FILES if (bundle / n).is_file()},
            code_paths=[str(package)],
            signature=signature(task),
            pip_requirements=requirements(),
            model_config={"device": "auto"},
        )
    return target
