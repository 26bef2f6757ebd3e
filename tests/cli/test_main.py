"""The command itself: verbs found late, errors as messages, exit statuses, speed of start."""

import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import IO

import click
import pytest

from hardy import __version__
from hardy.cli import main as cli
from hardy.core.errors import DataError, Interrupted, SpecError

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "mlflow", "numpy", "pandas", "torchvision", "timm", "PIL", "scipy"}


def verb(monkeypatch: pytest.MonkeyPatch, error: BaseException | int) -> None:
    """Make the verb `run` raise an error, or return a status."""

    @click.command(name="run")
    def command() -> int:
        if isinstance(error, BaseException):
            raise error
        return error

    module = ModuleType("stand_in")
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hardy.cli.run", module)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (SpecError("wrong spec", hint="mend it"), 2, "error: wrong spec\nhint: mend it\n"),
        (DataError("no data"), 1, "error: no data\n"),
        (Interrupted(15, hint="hardy resume x"), 143, "error: stopped by SIGTERM\nhint: "),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.UsageError("wrong use"), 2, "wrong use"),
    ],
)
def test_errors_become_messages_and_statuses(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    message: str,
) -> None:
    verb(monkeypatch, error)
    assert cli.run(["run"]) == status
    captured = capsys.readouterr()
    assert message in captured.err
    assert not captured.out


def test_a_verb_s_own_status_is_the_command_s(monkeypatch: pytest.MonkeyPatch) -> None:
    verb(monkeypatch, 7)
    with pytest.raises(SystemExit) as caught:
        cli.main(["run"])
    assert caught.value.code == 7


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    verb(monkeypatch, ZeroDivisionError("defect"))
    with pytest.raises(ZeroDivisionError):
        cli.run(["run"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["validte"], "Did you mean 'validate'?"),
        (["shw", "x"], "Did you mean 'show'?"),
        (["zzz"], "there is no verb 'zzz'"),
        (["show", "--orign", "x"], "--origin"),
        (["--versio"], "--version"),
        (["show"], "Missing argument"),
    ],
)
def test_wrong_use_exits_with_2_and_says_what_is_near(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert cli.run(arguments) == 2
    assert words in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"hardy, version {__version__}\n"


def test_the_listing_has_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    listed = capsys.readouterr().out
    for name, (_, line) in cli.VERBS.items():
        assert f"  {name}" in listed
        assert line in listed


@pytest.mark.parametrize("name", ["list", "show", "validate", "schema"])
def test_each_help_has_an_example(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert cli.run([name, "--help"]) == 0
    assert f"Example: hardy {name}" in capsys.readouterr().out


class Terminal:
    def isatty(self) -> bool:
        return True


def test_colours_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert cli.coloured(Terminal())  # type: ignore[arg-type]
    assert not cli.coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not cli.coloured(Terminal())  # type: ignore[arg-type]


def test_a_reader_that_goes_away_is_no_error() -> None:
    hardy = subprocess.Popen(
        [sys.executable, "-m", "hardy", "show", "quickstart"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert hardy.stdout is not None
    assert hardy.stderr is not None
    hardy.stdout.close()
    assert hardy.wait(timeout=60) == 1
    assert hardy.stderr.read() == b""
    hardy.stderr.close()


class Gone(io.StringIO):
    """A stream whose reader went away, which has a file all the same."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self.fileno = file.fileno  # type: ignore[method-assign]

    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_an_error_that_nobody_reads_keeps_its_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    verb(monkeypatch, Interrupted(13, hint="hardy resume x"))
    with (tmp_path / "gone").open("wb") as file:
        monkeypatch.setattr(sys, "stderr", Gone(file))
        assert cli.run(["run"]) == 141


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["list"],
        ["list", "metrics"],
        ["validate", "quickstart"],
        ["show", "quickstart", "--origin"],
        ["schema", "--check"],
    ],
    ids=" ".join,
)
def test_the_light_verbs_import_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hardy", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    modules = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert "hardy.cli.main" in modules
    assert not HEAVY & {module.partition(".")[0] for module in modules}


def test_an_override_without_its_option_is_told_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "quickstart", "seed=1", "compute.device=cuda"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == (
        "hint: values are overridden by --set: "
        "hardy run quickstart --set seed=1 --set compute.device=cuda"
    )
    assert cli.run(["run", "quickstart", "more"]) == 2
    assert "hint" not in capsys.readouterr().err
