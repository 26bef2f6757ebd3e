"""What a shell asks, as its script asks it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hardy.cli.complete import paths
from hardy.cli.main import VERBS, run
from hardy.data.spec import CORRUPTIONS
from hardy.spec import resolve

ROOT = Path(__file__).parents[2]


def complete(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> list[str]:
    """Return the values that bash is offered at the last word."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("_HARDY_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "\n".join(["hardy", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    with pytest.raises(SystemExit) as caught:
        run([])
    assert caught.value.code == 0
    return [line.partition(",")[2] for line in capsys.readouterr().out.split("\n") if line]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    return lambda *words: complete(monkeypatch, capsys, *words)


def test_verbs(offered) -> None:
    assert offered("") == list(VERBS)
    assert offered("re") == ["resume", "reproduce"]
    assert "--version" in offered("--v")


def test_names_of_experiments(offered) -> None:
    assert "quickstart" in offered("run", "quick")
    assert "quickstart" in offered("show", "shot", "--diff", "q")
    assert offered("run", "./exp") == ["./exp"]  # the shell goes on with files


def test_dotted_paths(offered) -> None:
    assert offered("run", "quickstart", "--set", "method.st") == ["method.steps="]
    found = offered("run", "quickstart", "--set", "data.subset.")
    assert {"data.subset.count=", "data.subset.seed="} <= set(found)
    assert offered("run", "a", "--set", "search.budget.t") == ["search.budget.trials="]
    assert offered("run", "a", "--set", "search.space.method.st") == ["search.space.method.steps="]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        # Bash hands the word over in pieces, and keeps what stands before the `=`.
        (("--set", "method.kind", "=", "sou"), ["source"]),
        (("--set", "data.on_bad_sample", "="), ["error", "skip"]),
        (("--set", "=", "method.st"), ["method.steps="]),
        (("--set", "=", "precision", "=", "bf"), ["bf16-mixed"]),
        (("--set", "seed", "=", "1"), []),
        (("--set", "no.such", "=", "1"), []),
    ],
)
def test_values(offered, words: tuple[str, ...], values: list[str]) -> None:
    assert offered("run", "quickstart", *words) == values


def test_every_corruption_is_offered(offered) -> None:
    found = offered("run", "quickstart", "--set", "data.shift.kind", "=")
    assert set(CORRUPTIONS) <= set(found)


def test_every_value_of_the_quickstart_has_a_path() -> None:
    known = paths()

    def leaves(value: object, path: str) -> list[str]:
        if isinstance(value, dict) and value:
            return [p for k, v in value.items() for p in leaves(v, f"{path}.{k}".lstrip("."))]
        return [path]

    written = resolve("quickstart").units[0].experiment.model_dump(mode="json", by_alias=True)
    assert set(leaves(written, "")) <= set(known)
    assert known["method.steps"].description


def test_no_store_no_runs(offered, isolated_home: Path) -> None:
    assert offered("resume", "ab") == []
    assert list(isolated_home.iterdir()) == []


def test_run_ids(offered, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hardy.plan.tracker import Status
    from hardy.tracking.mlflow_tracker import MlflowTracker

    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    made = MlflowTracker().start("unit", tags={"hardy.role": "unit"})
    made.end(Status.KILLED)
    for verb in ("resume", "reproduce"):
        assert offered(verb, made.run_id[:3]) == [made.run_id]
        assert offered(verb, "quick") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_HARDY_COMPLETE={shell}_complete" in script
    if shell == "bash":
        assert "compopt -o nospace" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_an_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "csh"]) == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


def test_bash_itself_completes(tmp_path: Path) -> None:
    """Bash runs the script's function, and its answer is what the function leaves."""
    (tmp_path / "hardy").write_text(f'#!/bin/sh\nexec {sys.executable} -m hardy "$@"\n')
    (tmp_path / "hardy").chmod(0o755)
    script = (
        'eval "$(hardy completion bash)"\n'
        "compopt() { :; }\n"  # has no meaning outside a completion under way
        "COMP_WORDS=(hardy run quickstart --set method.kind = sou) COMP_CWORD=6\n"
        '_hardy_completion hardy\necho "${COMPREPLY[*]}"\n'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("source\n", "")


def test_it_is_fast_and_light() -> None:
    environment = os.environ | {
        "_HARDY_COMPLETE": "bash_complete",
        "COMP_WORDS": "hardy\nrun\nquickstart\n--set\nmethod.",
        "COMP_CWORD": "4",
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hardy"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - began < 5  # loose: other tests share the cores
    assert "method.steps=" in done.stdout
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not {"torch", "mlflow", "numpy", "pandas"} & modules


def test_embed_completes_specs_and_overrides(offered) -> None:
    assert "quickstart" in offered("embed", "quick")
    assert "seed=" in offered("embed", "quickstart", "--set", "see")
    assert {"--model", "--out", "--batch"} <= {*offered("embed", "--")}
