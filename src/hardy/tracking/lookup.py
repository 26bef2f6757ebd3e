"""Finds a run by what a person types."""

import re

from mlflow.entities import ViewType

from hardy.core.errors import TrackingError
from hardy.tracking.store import connect, is_absent, public, tracking_uri, translated

MIN_PREFIX = 6

_ID = re.compile(r"[0-9a-f]{6,32}")


def looks_like_run(reference: str) -> bool:
    """Tell whether a text can be a run's id or its beginning: 6 to 32 hexadecimal digits."""
    return bool(_ID.fullmatch(reference))


def find_run(reference: str) -> str:
    """Return the id of the run that an id or a unique beginning of one names.

    Raises:
        TrackingError: If there is none, or more than one.
    """
    if not looks_like_run(reference):
        message = f"{reference!r} is no run id"
        hint = f"Give an id from `hardy ui` or its first {MIN_PREFIX} characters or more."
        raise TrackingError(message, hint=hint)
    found = [] if is_absent(tracking_uri()) else _search(f"attributes.run_id LIKE '{reference}%'")
    if len(found) == 1:
        return found[0]
    what = f"runs whose ids begin with {reference}"
    if found:
        message = f"there are {len(found)} {what}: {', '.join(found[:5])}"
        raise TrackingError(message, hint="Give more characters.")
    message = f"there are no {what} in {public(tracking_uri())}"
    raise TrackingError(message, hint="`hardy list` shows the last runs, `hardy ui` all of them.")


def _search(condition: str) -> list[str]:
    client = connect()
    with translated(str(client.tracking_uri)):
        experiments = client.search_experiments(view_type=ViewType.ACTIVE_ONLY)
        ids = [experiment.experiment_id for experiment in experiments]
        return [str(run.info.run_id) for run in client.search_runs(ids, condition)]
