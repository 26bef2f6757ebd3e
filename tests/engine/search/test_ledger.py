"""What is kept of a search, after every way to stop: on disk, and in a database."""

import contextlib
import multiprocessing
import sqlite3
import time
from pathlib import Path

import optuna
import pytest

from hardy.core.errors import TrackingError
from hardy.engine.search.ledger import DIED, Ledger, _told_well, mend
from hardy.results.search.trial import Trial
from tests.engine.search.test_guide import OWN, spec

# It need not load Optuna again.
FORK = multiprocessing.get_context("fork")
OTHER = {"lr": 0.2, "steps": 4, "prior": '{"kind": "fixed"}'}
WHOLE = Trial(
    0,
    OWN,
    "complete",
    (0.1 + 0.2,),
    intervals=((0.1, 0.5),),
    constraints=(-0.25, 0.5),
    reports={0: 0.25, 3: 1 / 3},
    marks={"completed_rung_0": 0.3},
    runs=("a", "b"),
    samples=20,
    seconds=1.5,
)


@pytest.fixture(params=["journal", "database"], autouse=True)
def place(request, tmp_path, monkeypatch):
    monkeypatch.setenv("HARDY_HOME", str(tmp_path))
    if request.param == "database":
        monkeypatch.setenv("HARDY_STUDIES", f"sqlite:///{tmp_path}/studies.db")
    else:
        monkeypatch.delenv("HARDY_STUDIES", raising=False)
    return request.param


def ledger(directions=("max",), **changed) -> Ledger:
    return Ledger(spec(**changed), "some", directions)


def test_what_is_told_is_read_again_to_the_last_bit():
    before = ledger()
    before.begin(0, OWN)
    before.begin(1, OTHER)
    before.end(WHOLE)
    assert before.results() == {0: WHOLE}
    stopped = Trial(1, OTHER, "pruned", reports={1: 0.5}, runs=("c",), samples=3)
    before.end(stopped)
    before.begin(2, OWN)
    failed = Trial(2, OWN, "failed", reason="the loss is nan", runs=("d",))
    before.end(failed)
    after = ledger()
    assert after.results() == {0: WHOLE, 1: stopped, 2: failed}
    assert after.values() == {0: OWN, 1: OTHER, 2: OWN}


def test_optuna_itself_shows_it():
    kept = ledger(pruner={"kind": "median"})
    kept.begin(0, OWN)
    kept.end(WHOLE)
    (trial,) = kept.study.trials
    assert trial.state == optuna.trial.TrialState.COMPLETE
    assert trial.params == OWN
    assert trial.values == [0.1 + 0.2]
    assert trial.user_attrs["hardy.runs"] == ["a", "b"]
    assert trial.intermediate_values == {0: 0.25, 3: 1 / 3}
    assert list(trial.constraints.values()) == [-0.25, 0.5]


def test_two_objectives_are_kept():
    kept = ledger(directions=("max", "min"))
    kept.begin(0, OWN)
    kept.end(Trial(0, OWN, "complete", (0.5, 2.0)))
    assert ledger(directions=("max", "min")).results()[0].objectives == (0.5, 2.0)


def test_what_ran_when_the_process_died_failed_and_is_tried_once_more():
    before = ledger()
    for index in range(3):
        before.begin(index, OWN if index else OTHER)
    before.end(Trial(1, OWN, "complete", (1.0,)))
    after = ledger()
    assert set(after.results()) == {1}
    assert {trial.state.name for trial in after.study.trials} == {"FAIL", "COMPLETE", "WAITING"}
    after.begin(2, OWN)  # the later one first: each gets its own values
    after.begin(0, OTHER)
    after.end(Trial(0, OTHER, "complete", (0.5,)))
    after.end(Trial(2, OWN, "complete", (0.7,)))
    found = ledger().results()
    assert [(found[i].values, found[i].objectives) for i in range(3)] == [
        (OTHER, (0.5,)),
        (OWN, (1.0,)),
        (OWN, (0.7,)),
    ]
    states = [trial.state.name for trial in after.study.trials]
    assert sorted(states) == ["COMPLETE"] * 3 + ["FAIL"] * 2


def test_a_worker_that_died_has_its_trial_queued_once():
    kept = ledger()
    kept.begin(0, OWN)
    kept.died(0)
    assert kept.results() == {}
    kept.begin(0, OWN)
    assert [trial.state.name for trial in kept.study.trials] == ["FAIL", "RUNNING"]
    kept.end(Trial(0, OWN, "failed", reason=DIED))
    assert ledger().results()[0].reason == DIED


def test_a_trial_that_died_before_its_values_were_written_keeps_them(monkeypatch):
    kept = ledger()
    with monkeypatch.context() as patched:
        patched.setattr("hardy.engine.search.ledger.suggest", dying)
        with pytest.raises(SystemExit):
            kept.begin(0, OTHER)
    after = ledger()
    after.begin(0, OTHER)
    assert after.study.trials[-1].params == OTHER


def dying(*_):
    raise SystemExit


def test_studies_in_mlflows_own_database_are_refused(monkeypatch, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("CREATE TABLE registered_models (name TEXT)")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("HARDY_STUDIES", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(TrackingError, match="MLflow"):
        ledger()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense://x", "cannot be opened"),
        ("sqlite:////nowhere/at/all.db", "cannot be opened"),
        ("postgresql+pg8000://localhost/x", "not installed"),
    ],
)
def test_a_database_that_does_not_open_is_told(monkeypatch, address, said):
    monkeypatch.setenv("HARDY_STUDIES", address)
    with pytest.raises(TrackingError, match=said):
        ledger()


def test_a_torn_last_line_is_cut_off(place, tmp_path):
    if place != "journal":
        return
    kept = ledger()
    kept.begin(0, OWN)
    kept.end(WHOLE)
    (journal,) = (tmp_path / ".hardy" / "studies").glob("*.journal")
    whole = journal.read_bytes()
    for cut in (1, 7, 40):
        journal.write_bytes(whole + whole[:cut])
        again = ledger()
        assert again.results() == {0: WHOLE}
        again.begin(1, OTHER)  # and it goes on
        again.end(Trial(1, OTHER, "failed"))
        assert set(ledger().results()) == {0, 1}
    mend(tmp_path / "absent.journal")


@pytest.mark.parametrize(
    "line", [b"{}", b"[1]", b"null", b"garbage {{", bytes(range(128, 256)), b'{"op_code": 99}']
)
def test_a_journal_that_is_no_journal_is_named(place, tmp_path, line):
    if place != "journal":
        return
    ledger().begin(0, OWN)
    journal = tmp_path / ".hardy" / "studies" / "some.journal"
    first, *others = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([first, line + b"\n", *others]))
    with pytest.raises(TrackingError, match=r"some\.journal cannot be read or written") as told:
        ledger()
    assert "move the file away" in str(told.value.hint)


def test_a_folder_that_cannot_be_made_is_named(place, tmp_path):
    if place != "journal":
        return
    (tmp_path / ".hardy").mkdir()
    (tmp_path / ".hardy" / "studies").write_text("a file")
    with pytest.raises(TrackingError, match=r"some\.journal cannot be read or written"):
        ledger()


def write(told):
    """Write trials until killed, and say which were told."""
    kept = ledger()
    done = kept.results()
    for index in range(1000):
        if index not in done:
            kept.begin(index, OWN)
            kept.end(Trial(index, OWN, "complete", (index / 7,)))
            told.send(index)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.002, 0.004, 0.008])
def test_killed_at_any_moment_nothing_that_was_told_is_lost(seconds):
    done = -1
    for _ in range(2):
        here, there = FORK.Pipe(duplex=False)
        process = FORK.Process(target=write, args=(there,))
        process.start()
        there.close()
        while here.recv() < done + 3:
            pass
        time.sleep(seconds)
        process.kill()
        process.join()
        with contextlib.suppress(EOFError):
            while True:
                done = here.recv()
        here.close()
        found = ledger().results()
        assert set(range(done + 1)) <= set(found) <= set(range(max(found) + 1))
        assert all(each.objectives == (index / 7,) for index, each in found.items())
        done = max(found)


def test_the_journal_lies_beside_the_store(place, tmp_path):
    kept = ledger()
    if place == "journal":
        assert Path(kept.address) == tmp_path / ".hardy" / "studies" / "some.journal"
    else:
        assert kept.address == f"sqlite:///{tmp_path}/studies.db"


@pytest.mark.parametrize("step", ["hardy.engine.search.ledger.Ledger._queue", "optuna.Study.tell"])
def test_a_kill_while_it_is_told_that_one_died_loses_nothing(step, monkeypatch):
    ledger().begin(0, OWN)
    with monkeypatch.context() as patched:
        patched.setattr(step, killed)
        with pytest.raises(KeyboardInterrupt):
            ledger()
    after = ledger()
    assert after.results() == {}
    after.begin(0, OWN)
    after.end(WHOLE)
    assert ledger().results() == {0: WHOLE}


def killed(*_, **__):
    raise KeyboardInterrupt


def test_time_is_that_of_trials_that_ended_side_by_side_once():
    kept = ledger()
    start = time.monotonic()
    kept.begin(0, OWN)
    kept.begin(1, OTHER)
    time.sleep(0.2)
    kept.end(WHOLE)
    kept.end(Trial(1, OTHER, "failed", reason="the loss is nan"))
    assert 0.2 <= kept.seconds() <= time.monotonic() - start
    kept.begin(2, OWN)
    before = kept.seconds()
    time.sleep(0.2)
    assert ledger().seconds() == before


def test_a_closed_ledger_holds_no_connection(place, monkeypatch):
    kept = ledger()
    ended = []
    if place == "database":
        monkeypatch.setattr(kept._storage, "remove_session", lambda: ended.append("session"))
        monkeypatch.setattr(kept._storage.engine, "dispose", lambda: ended.append("engine"))
    kept.close()
    assert ended == (["session", "engine"] if place == "database" else [])


def test_a_trial_that_was_told_of_nothing_has_nothing():
    """As where a process was killed between two of its writes."""
    kept = ledger()
    kept.begin(0, OWN)
    kept.study.tell(kept._open[0], state=optuna.trial.TrialState.FAIL)
    assert ledger().results() == {0: Trial(0, OWN, "failed")}


@pytest.mark.parametrize("address", ["postgresql://me:secret@host/db", "host/db"])
@pytest.mark.parametrize("error", [OSError("no room"), KeyError("no room")])
def test_a_study_that_fails_is_told_without_its_password(address, error):
    with (
        pytest.raises(TrackingError, match=r"study host/db cannot be read or written: .*no room"),
        _told_well(address),
    ):
        raise error
