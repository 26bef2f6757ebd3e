"""Disks that take nothing more: what is told, and nothing that is no matter of a disk."""

import errno
import sqlite3
from pathlib import Path

import pytest

from hardy.cli import main
from hardy.core import disk
from hardy.core.errors import HardyError, TrackingError
from hardy.engine.checkpoint import room_for
from hardy.engine.runner import going_on
from hardy.tracking.store import translated


def failing(number: int, name: str | None = None) -> OSError:
    return OSError(number, "it says why", name)


def test_a_full_disk_is_known_by_its_number_or_its_words():
    assert disk.is_full(failing(errno.ENOSPC))
    assert disk.is_full(failing(errno.EDQUOT))
    assert disk.is_full(sqlite3.OperationalError("database or disk is full"))
    assert disk.is_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert not disk.is_full(failing(errno.ENOENT))
    assert not disk.is_full(RuntimeError("something else"))


def test_free_bytes_are_those_of_the_folder_that_is_there(tmp_path):
    found = disk.free_bytes(tmp_path / "not" / "yet")
    assert found is not None
    assert found > 0


def test_the_folder_and_what_is_free_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda _: 1_500_000)
    told = disk.not_written(failing(errno.ENOSPC, str(tmp_path / "a.png")))
    assert told.message == f"{tmp_path / 'a.png'} cannot be written: it says why"
    assert told.hint.startswith(f"Make room in {tmp_path} (1.5 MB are free), or set HARDY_HOME")


def test_of_an_open_file_it_is_the_disk_with_the_least_room(tmp_path, monkeypatch):
    monkeypatch.setenv("HARDY_HOME", str(tmp_path))
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 1 if folder == tmp_path else 2)
    assert str(tmp_path) in disk.not_written(failing(errno.ENOSPC)).message
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 2 if folder == tmp_path else 1)
    assert str(tmp_path) not in disk.not_written(failing(errno.ENOSPC)).message


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOTDIR])
def test_a_folder_that_takes_nothing_is_told_with_another_way_out(number, tmp_path):
    told = disk.not_written(failing(number, str(tmp_path / "a")))
    assert "cannot be written" in told.message
    assert "Set HARDY_HOME to a folder that you may write to" in told.hint


def test_other_errors_stay_what_they_are():
    assert disk.not_written(failing(errno.ENOENT)) is None
    with pytest.raises(FileNotFoundError), going_on("hardy run x"):
        raise FileNotFoundError(errno.ENOENT, "gone")


def test_a_run_says_how_to_go_on():
    with pytest.raises(HardyError, match="cannot be written") as caught, going_on("hardy run x"):
        raise failing(errno.ENOSPC, "/somewhere/a")
    assert "Make room in /somewhere" in caught.value.hint
    assert caught.value.hint.endswith("Then go on: hardy run x")


def test_the_command_line_prints_a_message_and_no_traceback(monkeypatch, capsys):
    def full(*_: object, **__: object) -> None:
        raise failing(errno.ENOSPC, "/somewhere/a")

    monkeypatch.setattr(main.cli, "main", full)
    assert main.run(["list"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: /somewhere/a cannot be written")
    assert "hint: Make room in /somewhere" in told
    monkeypatch.setattr(main.cli, "main", lambda *_, **__: open("/no/such/file"))  # noqa: PTH123,SIM115
    with pytest.raises(FileNotFoundError):
        main.run(["list"])


def test_the_store_and_checkpoints_say_the_same(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(TrackingError, match="the disk is full") as caught, translated(uri):
        raise sqlite3.OperationalError("database or disk is full")
    assert f"Make room in {tmp_path}" in caught.value.hint
    with pytest.raises(TrackingError) as caught, room_for(Path("/somewhere/a")):
        raise failing(errno.ENOSPC)
    assert "Make room in /somewhere" in caught.value.hint
