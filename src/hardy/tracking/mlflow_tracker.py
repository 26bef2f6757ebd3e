"""MLflow as the store of runs."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

from mlflow import MlflowClient
from mlflow.entities import Run as RunRecord
from mlflow.entities import ViewType

from hardy.core.cache import default_cache
from hardy.core.errors import ArtifactAbsent, TrackingError
from hardy.core.hashing import canonical_json, digest
from hardy.core.paths import safe_name
from hardy.plan.tracker import FAILURE_TAG, FINGERPRINT_TAG, PastRun, Status, best_of
from hardy.tracking.heartbeat import HEARTBEAT_TAG, is_live, stamp
from hardy.tracking.mlflow_run import MlflowRun, artifact_path
from hardy.tracking.moved import EXPERIMENT_MARK, beside
from hardy.tracking.patience import Patience
from hardy.tracking.provenance import environment, source_tags
from hardy.tracking.store import (
    connect,
    experiment_id,
    is_absent,
    local_database,
    tracking_uri,
    translated,
)

DEFAULT_EXPERIMENT = "hardy"

_PARENT_TAG = "mlflow.parentRunId"
_NEWEST, _PAGE = 100, 1000
# Up to here a search for each fingerprint is faster than reading all runs.
_FEW = 16
# A parent's tags that are its own: every other `hardy.` tag is repeated on the children.
_OWN_TAGS = frozenset(
    {FINGERPRINT_TAG, FAILURE_TAG, HEARTBEAT_TAG, "hardy.version", "hardy.git_dirty"}
)
# MLflow's "bold-fish-123", given where the user gave no name.
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_INVENTED_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")


class MlflowTracker:
    """Runs in MLflow: see `hardy.plan.tracker.Tracker` for what each method promises.

    The store is met on first use: looking for a run in a store that does not exist makes none.

    Args:
        experiment: MLflow experiment of new runs; `MLFLOW_EXPERIMENT_ID` wins.

    Raises:
        SpecError: If the experiment's name cannot be part of a path.
    """

    def __init__(self, experiment: str = DEFAULT_EXPERIMENT) -> None:
        self._experiment = safe_name(experiment, what="experiment")

    @cached_property
    def _direct(self) -> MlflowClient:
        return connect()

    @cached_property
    def _patience(self) -> Patience:
        return Patience(str(self._direct.tracking_uri))

    @cached_property
    def _client(self) -> MlflowClient:
        return self._patience.around(self._direct)

    @property
    def _uri(self) -> str:
        return str(self._client.tracking_uri)

    def find(self, fingerprint: str) -> PastRun | None:
        """Return the newest finished run of a fingerprint, else a busy one, else the newest."""
        safe_name(fingerprint, what="fingerprint")
        if is_absent(tracking_uri()):
            return None
        with translated(self._uri):
            mine = f"tags.`{FINGERPRINT_TAG}` = '{fingerprint}'"
            finished = self._search(f"{mine} AND attributes.status = 'FINISHED'", 1)
            others = [] if finished else self._search(mine, _NEWEST)
        runs = [_past(record) for record in finished or others]
        return best_of(runs)

    def find_many(self, fingerprints: Iterable[str]) -> dict[str, PastRun]:
        """Return what `find` returns, by fingerprint, for those that have a run."""
        wanted = set(fingerprints)
        if len(wanted) <= _FEW:
            found = {mark: self.find(mark) for mark in wanted}
            return {mark: run for mark, run in found.items() if run is not None}
        if is_absent(tracking_uri()):
            return {}
        runs: dict[str, list[PastRun]] = {}
        with translated(self._uri):
            for record in self._all(f"tags.`{FINGERPRINT_TAG}` LIKE '%'"):
                mark = record.data.tags[FINGERPRINT_TAG]
                if mark in wanted:
                    runs.setdefault(mark, []).append(_past(record))
        best = {mark: best_of(held) for mark, held in runs.items()}
        return {mark: run for mark, run in best.items() if run is not None}

    def mean(self, metric: str, tags: Mapping[str, str]) -> tuple[float, int] | None:
        """Return a metric's mean over the newest finished runs with all the tags, and how many."""
        # MLflow's search language has no way to write a quote.
        if is_absent(tracking_uri()) or "'" in "".join(tags.values()):
            return None
        conditions = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
        finished = " AND ".join(["attributes.status = 'FINISHED'", *conditions])
        with translated(self._uri):
            records = self._search(finished, _NEWEST)
        values = [r.data.metrics[metric] for r in records if metric in r.data.metrics]
        return (sum(values) / len(values), len(values)) if values else None

    def _all(self, condition: str) -> Iterator[RunRecord]:
        """Yield all runs that hold a condition, the newest first."""
        token = None
        experiments = self._marked()
        while experiments:
            page = self._client.search_runs(
                experiments,
                condition,
                max_results=_PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _marked(self) -> list[str]:
        """Return the ids of all experiments that hold hardy's runs."""
        marked = self._client.search_experiments(
            view_type=ViewType.ACTIVE_ONLY, filter_string=f"tags.`{EXPERIMENT_MARK}` = 'true'"
        )
        return [experiment.experiment_id for experiment in marked]

    def _search(self, condition: str, count: int) -> list[RunRecord]:
        """Return the newest runs that hold a condition, of all experiments that hold hardy's."""
        experiments = self._marked()
        if not experiments:
            return []
        return list(
            self._client.search_runs(
                experiments,
                condition,
                max_results=count,
                order_by=["attributes.start_time DESC"],
            )
        )

    def get(self, run_id: str) -> PastRun:
        """Return a run by its id."""
        return _past(self._record(run_id))

    def _record(self, run_id: str) -> RunRecord:
        with translated(self._uri):
            record = self._client.get_run(run_id)
        if record.info.lifecycle_stage == "deleted":
            message = f"the run {run_id} was deleted"
            raise TrackingError(message, hint=f"Restore it: mlflow runs restore --run-id {run_id}")
        return record

    def start(
        self,
        name: str,
        *,
        tags: Mapping[str, str],
        parent: str | None = None,
        resume: str | None = None,
    ) -> MlflowRun:
        """Start a run, join the one that `mlflow run` made, or resume one."""
        existing = resume or (None if parent else self._unjoined_run())
        if resume and not parent:
            self.refer(resume)
        above = self._record(parent) if parent else None
        if existing:
            record = self._reopen(existing, name if existing != resume else None)
        else:
            record = self._create(name, above)
        # What `mlflow run` or the first start wrote about the source stays true.
        known = {**source_tags(), **_inherited(above)}
        kept = {key: value for key, value in known.items() if key not in record.data.tags}
        return self._begin(record, {**kept, **tags}, resumed=existing is not None)

    def _unjoined_run(self) -> str | None:
        """Return the run that `mlflow run` made for this process, unless it is taken."""
        made = os.environ.get("MLFLOW_RUN_ID")
        taken = bool(made) and "hardy.version" in self._record(str(made)).data.tags
        return None if taken else made

    def _create(self, name: str, above: RunRecord | None) -> RunRecord:
        # A child lies in its parent's experiment: the UI nests within one experiment only.
        if above is not None:
            experiment = above.info.experiment_id
        else:
            experiment = experiment_id(self._client, self._experiment)
        nesting = {_PARENT_TAG: above.info.run_id} if above is not None else {}
        with translated(self._uri):
            return self._client.create_run(experiment, tags=nesting, run_name=name)

    def _reopen(self, run_id: str, name: str | None) -> RunRecord:
        record = self._record(run_id)
        if _past(record).busy:
            message = f"the run {run_id} is being written by another process"
            raise TrackingError(message, hint="Wait until it ends, or stop it first.")
        renamed = name if name and _INVENTED_NAME.fullmatch(record.info.run_name or "") else None
        with translated(self._uri):
            self._client.set_experiment_tag(record.info.experiment_id, EXPERIMENT_MARK, "true")
            # First, or it would be RUNNING with the heartbeat of the process that died at it.
            self._client.set_tag(run_id, HEARTBEAT_TAG, stamp())
            self._client.update_run(run_id, status="RUNNING", name=renamed)
            if FAILURE_TAG in record.data.tags:
                self._client.delete_tag(run_id, FAILURE_TAG)
        return record

    def _begin(self, record: RunRecord, tags: Mapping[str, str], *, resumed: bool) -> MlflowRun:
        run = MlflowRun(self._direct, self._patience, record, resumed=resumed)
        try:
            run.tags(tags)
            run.text(canonical_json(environment()), "environment.json")
        except BaseException as error:
            run.end(Status.FAILED, reason=f"the run could not be begun: {error}")
            raise
        return run

    def refer(self, run_id: str) -> None:
        """Note on the run that `mlflow run` made for this process that its work is in another."""
        made = self._unjoined_run()
        if made is None or made == run_id:
            return
        experiment = self._record(run_id).info.experiment_id
        note = f"The work is in run [{run_id}](#/experiments/{experiment}/runs/{run_id})."
        tags = {**source_tags(), "hardy.referred_to": run_id, "mlflow.note.content": note}
        with translated(self._uri):
            for key, value in tags.items():
                self._client.set_tag(made, key, value)

    def artifact(self, run_id: str, path: str) -> Path:
        """Return a local copy of one artifact file: the file itself where the store is local."""
        info, path = self._record(run_id).info, artifact_path(path)
        root = beside(str(info.artifact_uri), local_database(self._uri))
        if root.startswith("file:"):
            found = Path(url2pathname(urlsplit(root).path)) / path
            return self._checked(found, run_id, path)
        # A run that is resumed ends at another time; before it has ended, nothing is final.
        version = info.end_time if info.status == Status.FINISHED else uuid4().hex
        name = f"{digest([path, version])}.{_UNSAFE.sub('_', path.rpartition('/')[2])}"
        make = partial(self._download, run_id, path)
        return default_cache().file("artifacts", f"{run_id}.{name}", make)

    def _checked(self, file: Path, run_id: str, path: str) -> Path:
        if not file.is_file():
            message = f"the run {run_id} has no artifact file {path}"
            raise ArtifactAbsent(message, hint=f"See what it has: {self.link(run_id)}")
        return file

    def _download(self, run_id: str, path: str) -> bytes:
        with TemporaryDirectory(prefix="hardy-") as folder:
            try:
                with translated(self._uri):
                    found = Path(self._client.download_artifacts(run_id, path, folder))
            except TrackingError:
                self._check_listed(run_id, path)  # servers say in many words what they lack
                raise
            return self._checked(found, run_id, path).read_bytes()

    def _check_listed(self, run_id: str, path: str) -> None:
        """Make sure that a file which was not handed out is there.

        Raises:
            ArtifactAbsent: If the store answers that the run does not have it.
            TrackingError: If the store does not answer.
        """
        folder = path.rpartition("/")[0]
        with translated(self._uri):
            listed = self._client.list_artifacts(run_id, folder or None)
        if path not in [each.path for each in listed]:
            self._checked(Path(), run_id, path)

    def link(self, run_id: str) -> str:
        """Return the run's address, or what to run and where to look for a local store."""
        place = f"#/experiments/{self._record(run_id).info.experiment_id}/runs/{run_id}"
        if self._uri.startswith(("http://", "https://")):
            return f"{self._uri.rstrip('/')}/{place}"
        return f"hardy ui, then http://127.0.0.1:5000/{place}"


def _inherited(above: RunRecord | None) -> dict[str, str]:
    """Return the tags of a parent that its children have too."""
    tags = above.data.tags if above is not None else {}
    return {k: v for k, v in tags.items() if k.startswith("hardy.") and k not in _OWN_TAGS}


def _past(record: RunRecord) -> PastRun:
    running = record.info.status == "RUNNING"
    return PastRun(
        run_id=str(record.info.run_id),
        name=str(record.info.run_name),
        finished=record.info.status == Status.FINISHED,
        busy=running and is_live(record.data.tags.get(HEARTBEAT_TAG)),
        metrics=dict(record.data.metrics),
        tags=dict(record.data.tags),
    )
