"""Runs in MLflow: the only code that writes to its tracking store."""

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hardy.plan.tracker import Finder, Tracker

# MLflow reads these when it is first imported, so they are set on the way in; what the user
# states wins. hardy prints its own progress and errors: MLflow's log lines, its "View run at"
# lines and its bars would run through them. hardy sends nothing to third parties. MLflow's own
# retries last for minutes without a word: what is to go on, hardy tries again (`patience.py`).
for _name, _value in {
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}.items():
    os.environ.setdefault(_name, _value)

# For the case that somebody imported MLflow before.
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())


def default_tracker() -> "Tracker":
    """Return the tracker of hardy's store; MLflow is loaded here and not before."""
    from hardy.tracking.mlflow_tracker import MlflowTracker

    return MlflowTracker()


def default_finder() -> "Finder":
    """Return what looks into hardy's store; MLflow is loaded only if that is no local file."""
    from hardy.tracking.sqlite_finder import SqliteFinder
    from hardy.tracking.store import local_database, tracking_uri

    database = local_database(tracking_uri())
    return default_tracker() if database is None else SqliteFinder(database, default_tracker)
