"""A search by four workers in two databases of a real PostgreSQL: MLflow's server and the study."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from hardy.engine.search import run
from hardy.engine.search.ledger import DIED, Ledger
from hardy.spec import resolve
from hardy.tracking.store import connect
from tests.engine.search import jobs
from tests.engine.search.jobs import SPEC, search

pytestmark = pytest.mark.slow
TRIALS = 40


def program(name):
    """Return the path of one of PostgreSQL's programs, which Debian keeps apart; None for none."""
    found = shutil.which(name) or next(
        iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )
    return None if found is None else str(found)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def postgres():
    """Start a server with two databases; return the beginning of their addresses."""
    initdb, ctl, createdb = (program(each) for each in ("initdb", "pg_ctl", "createdb"))
    if initdb is None or ctl is None or createdb is None:
        pytest.skip("needs PostgreSQL's programs (Debian's package postgresql)")
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'hardy[postgres]'")
    folder, as_user = Path(tempfile.mkdtemp(prefix="hardy-postgres-")), []
    if os.geteuid() == 0:  # it refuses root
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("needs the user postgres, as PostgreSQL refuses root")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = ["su", "postgres", "-s", "/bin/sh", "-c"]

    def do(*words):
        line = " ".join(f"'{word}'" for word in words)
        command = [*as_user, line] if as_user else list(words)
        subprocess.run(command, check=True, capture_output=True, cwd="/")

    data, port = folder / "data", free_port()
    do(initdb, "-D", str(data), "--auth=trust", "-U", "hardy", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    do(ctl, "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        for name in ("runs", "studies"):
            do(createdb, "-h", "127.0.0.1", "-p", str(port), "-U", "hardy", name)
        yield f"postgresql+psycopg://hardy@127.0.0.1:{port}"
    finally:
        do(ctl, "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(postgres, tmp_path):
    """Start MLflow's server on one of the databases; return its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"{postgres}/runs"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            time.sleep(0.2)
        else:
            pytest.fail((tmp_path / "server.log").read_text()[-2000:])
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(params=["postgres", "journal"])
def place(request, tmp_path, monkeypatch):
    """Say where runs and the study lie: a server and a database, or files."""
    if request.param == "postgres":
        postgres = request.getfixturevalue("postgres")
        monkeypatch.setenv("HARDY_STUDIES", f"{postgres}/studies")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("server"))
    else:
        request.getfixturevalue("store")
    return request.param


def test_no_trial_is_lost_or_doubled_when_workers_are_killed(place, tmp_path, monkeypatch, request):
    for name in ("TrialJob",):
        monkeypatch.setattr(run, name, getattr(run, name))
    monkeypatch.setattr(run._Running, "_tested", run._Running._tested)
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    for name in ("before-6", "within-21"):
        (deaths / name).write_text("1")
    monkeypatch.setenv(jobs.FOLDER, str(deaths))
    monkeypatch.setenv(jobs.FAILS, "1000")
    file = tmp_path / "toy.yaml"
    whole = SPEC.replace("trials: 12", f"trials: {TRIALS}")
    found = search(file, jobs=4 if place == "postgres" else 2, spec=whole)
    parent = connect().get_run(found.run_id)
    name = parent.data.tags["hardy.study"]
    ledger = Ledger(resolve(str(file)).search.spec, name, ["max"])
    request.addfinalizer(ledger.close)
    trials = [each for each in ledger.results().values() if each.state == "complete"]
    assert [trial.index for trial in trials] == [i for i in range(TRIALS) if i != 3]
    assert len({str(trial.values) for trial in trials}) == TRIALS - 1
    reasons = [each.user_attrs.get("hardy.reason") for each in ledger.study.trials]
    assert reasons.count(DIED) == 2
    condition = f"tags.`mlflow.parentRunId` = '{found.run_id}' AND attributes.status = 'FINISHED'"
    children = connect().search_runs([parent.info.experiment_id], condition)
    assert len(children) == TRIALS
    by_trial = {child.data.tags["hardy.trial"]: child.info.run_id for child in children}
    assert len(by_trial) == TRIALS
    assert all(trial.runs == (by_trial[str(trial.index)],) for trial in trials)
    assert ledger.address.startswith("postgresql" if place == "postgres" else "/")
    # And they are those of one process.
    monkeypatch.setenv("HARDY_HOME", str(tmp_path / "alone"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/alone.db")
    monkeypatch.delenv("HARDY_STUDIES", raising=False)
    search(file, spec=whole)
    alone = Ledger(resolve(str(file)).search.spec, name, ["max"]).results()
    assert [alone[trial.index].values for trial in trials] == [trial.values for trial in trials]
