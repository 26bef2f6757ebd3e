"""The registered model as MLflow runs it (models from code): no object is ever unpickled.

MLflow executes this file when it loads a version; `hardy` itself travels beside it.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from hardy.core.errors import HardyError
from hardy.registry.bundle import CARD
from hardy.registry.inputs import as_images
from hardy.registry.predictor import load_predictor


class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow is untyped here
    """A `Predictor` behind MLflow's interface."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 - MLflow's own type
        """Build the network from the version's files."""
        device = (context.model_config or {}).get("device", "auto")
        self.predictor = load_predictor(Path(context.artifacts[CARD]).parent, device=device)

    # MLflow checks inputs against this hint, except where it is a table; hence the table. Arrays
    # and lists are as welcome: see `as_images`.
    def predict(
        self,
        context: Any,  # noqa: ANN401
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return one row an image; see `Predictor.predict`.

        Raises:
            MlflowException: If the input or a parameter is wrong; a server answers 400.
        """
        try:
            return self.predictor.predict(as_images(model_input), **(params or {}))
        except HardyError as error:
            text = f"{error.message}. {error.hint}"
            raise MlflowException(text, error_code=INVALID_PARAMETER_VALUE) from error


mlflow.models.set_model(ServedModel())
