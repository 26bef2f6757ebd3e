import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hardy.cli.cache import KINDS, parse_size, readable
from hardy.cli.main import run
from hardy.core.cache import DEFAULT_BUDGET, default_cache
from hardy.core.errors import SpecError


@pytest.fixture
def cache():
    made = default_cache()
    for kind, key, size in (("features", "a", 1500), ("features", "b", 500), ("other", "c", 40)):
        made.put(kind, key, bytes(size - 32))
        os.utime(made.folder / kind / key, (1_000_000_000 + size, 1_000_000_000 + size))
    return made


def day(seconds: int) -> list[str]:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)).split()


def told(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> list[str]:
    assert run(["cache", *arguments]) == status
    out, err = capsys.readouterr()
    return (err if status else out).splitlines()


def test_each_kind_is_told_with_what_it_is(cache, capsys):
    lines = told(capsys)
    rows = {line.split()[0]: line for line in lines}
    assert set(KINDS) | {"other", "kind"} <= set(rows)
    assert rows["features"].split()[:5] == ["features", *["features", "of", "image", "encoders"]]
    assert rows["features"].split()[5:] == ["2", "2", "kB", *day(1_000_001_500)]
    assert rows["other"].split() == ["other", "1", "40", "B", *day(1_000_000_040)]
    assert rows["masks"].split()[-1] == "0"
    assert f"2.04 kB of 8.59 GB in {cache.folder}" in lines
    assert not [line for line in lines if "left over" in line]


def test_an_empty_cache_is_shown_and_not_made(isolated_home, capsys):
    assert f"0 B of 8.59 GB in {isolated_home}/.hardy/cache" in told(capsys)
    assert not (isolated_home / ".hardy").exists()


def test_a_bound_is_stored_and_kept_at_once(cache, capsys):
    assert told(capsys, "--bound", "1.6kB") == [f"1.5 kB of 1.6 kB in {cache.folder}"]
    assert {entry.key for entry in cache.entries()} == {"a"}
    assert cache.budget == 1600
    assert told(capsys, "--bound", "0") == [f"0 B of 0 B in {cache.folder}"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("500MB", 500_000_000),
        ("2GB", 2 * 10**9),
        (" 1.5 gib ", 3 * 2**29),
        ("8GiB", DEFAULT_BUDGET),
        ("7b", 7),
        ("1tB", 10**12),
        ("12 KiB", 12_288),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "2", "2000", "-1GB", "1e9B", "GB", "2GX", "2 G B", "nan", "²B"]
)
def test_what_is_no_size_is_refused(text, cache, capsys):
    with pytest.raises(SpecError, match="is no size"):
        parse_size(text)
    message, hint = told(capsys, f"--bound={text}", status=2)
    assert message == f"error: --bound {text!r} is no size"
    assert "500MB" in hint
    assert cache.budget == DEFAULT_BUDGET


def test_one_kind_or_all_is_removed_with_what_older_versions_left(cache, isolated_home, capsys):
    old = isolated_home / ".hardy" / "held-out"
    old.mkdir()
    (old / "x.safetensors").write_bytes(bytes(700))
    journal = isolated_home / ".hardy" / "journals" / "a.jsonl"
    journal.parent.mkdir()
    journal.touch()
    left = f"left over from an older version: {old}, 700 B (hardy cache --empty)"
    assert left in told(capsys)
    lines = told(capsys, "--empty", "features")
    assert lines == ["removed 2 kB", f"40 B of 8.59 GB in {cache.folder}", left]
    assert told(capsys, "--empty") == ["removed 740 B", f"0 B of 8.59 GB in {cache.folder}"]
    assert not old.exists()
    assert journal.exists()


def test_a_file_in_use_stays_and_is_told(cache, capsys):
    cache.file("weights", "w", lambda: bytes(40))
    assert "in use by a running process: 1 file, 40 B" in told(capsys, "--empty")
    assert [entry.key for entry in cache.entries()] == ["w"]


def test_an_unknown_kind_is_told_what_it_looks_like(cache, capsys):
    message, hint = told(capsys, "--empty", "featurs", status=2)
    assert message == "error: nothing of kind 'featurs' is ever kept"
    assert hint == "hint: Did you mean 'features'?"
    assert "Kinds: artifacts" in told(capsys, "--empty", "zzzzz", status=2)[1]
    assert len(cache.entries()) == 3


def test_both_at_once_are_refused(capsys):
    assert "one at a time" in told(capsys, "--bound", "0", "--empty", status=2)[-1]


def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HARDY_HOME", str(tmp_path / "file" / "home"))
    assert told(capsys)[-1] == f"nothing can be kept: {tmp_path}/file cannot be written"
    for arguments in (["--bound", "1GB"], ["--empty"]):
        message, hint = told(capsys, *arguments, status=1)
        assert message.startswith("error: the cache cannot be changed: ")
        assert str(tmp_path / "file") in hint


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (8 * 2**30, "8.59 GB"),
        (5e15, "5e+03 TB"),
    ],
)
def test_sizes_are_readable(size, text):
    assert readable(size) == text


def test_it_answers_without_torch_and_mlflow(isolated_home: Path):
    code = "import sys; from hardy.cli.main import run; run(['cache']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert "hardy.cli.cache" in loaded
    assert not {"torch", "mlflow", "numpy", "pandas", "filelock", "pydantic"} & set(loaded)
