import os

import pytest

from hardy.core.files import write_whole


def test_a_file_is_replaced_and_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b.bin"
    for content in (b"one", b"two"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == ["b.bin"]


@pytest.mark.parametrize("sync", [True, False])
def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, monkeypatch, sync):
    path = tmp_path / "folder" / "a.bin"
    write_whole(path, b"whole")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"torn", sync=sync)
    assert path.read_bytes() == b"whole"
    assert [file.name for file in path.parent.iterdir()] == ["a.bin"]


def test_a_draft_that_could_not_be_made_is_not_missed(tmp_path, monkeypatch):
    """What the user reads is why, not that there is no draft to delete."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.open", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a.bin", b"torn")


@pytest.mark.parametrize(("stated", "waits"), [({}, 1), ({"sync": True}, 1), ({"sync": False}, 0)])
def test_the_disk_is_waited_for_unless_told_otherwise(tmp_path, monkeypatch, stated, waits):
    waited = []
    monkeypatch.setattr(os, "fsync", waited.append)
    write_whole(tmp_path / "a.bin", b"whole", **stated)
    assert len(waited) == waits
