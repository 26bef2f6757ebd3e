"""The last runs of the named experiments, asked of any store through MLflow."""

from mlflow.entities import ViewType

from hardy.tracking.recent import Glimpse
from hardy.tracking.store import EXPERIMENT_MARK, connect, is_absent, tracking_uri, translated

_MOST = 1000
_CONDITION = "tags.`hardy.spec` != '' AND tags.`hardy.aside` IS NULL"


def remote_last_runs() -> dict[str, Glimpse]:
    """Return the last run of each named experiment among the newest 1,000 runs.

    Raises:
        TrackingError: If the store cannot be reached.
    """
    if is_absent(tracking_uri()):
        return {}
    client = connect()
    with translated(str(client.tracking_uri)):
        marked = client.search_experiments(
            view_type=ViewType.ACTIVE_ONLY, filter_string=f"tags.`{EXPERIMENT_MARK}` = 'true'"
        )
        runs = client.search_runs(
            [experiment.experiment_id for experiment in marked],
            f"{_CONDITION} AND tags.`mlflow.parentRunId` IS NULL",
            max_results=_MOST,
            order_by=["attributes.start_time DESC"],
        )
    found: dict[str, Glimpse] = {}
    for run in reversed(runs):
        info = run.info
        glimpse = Glimpse(str(info.run_id), str(info.status), info.start_time, run.data.metrics)
        found[str(run.data.tags["hardy.spec"])] = glimpse
    return found
