"""Every verb, of each kind of experiment, where something that it needs is not there.

No traceback, an exit status that scripts can use, and a hint with each error. One process a
condition carries out all lines, for it takes seconds to load torch and MLflow.
"""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "walked"
KINDS = ("memo", "supervised", "search", "segment")

# The exit status of each verb: where the home is whole but no network is there, where there is no
# home, where it is read-only, on a disk that is full, and where the tracking server does not
# answer. KIND stands for each of the four experiments, RUN for a finished run of each.
STATUSES = """
                                     offline  no-home  read-only  full  dead-server
list                                    0        0         0       0         0
list shifts                             0        0         0       0         0
doctor                                  0        0         0       0         1
data check shapes                       0        0         0       0         0
data get sam-vit-b                      1        1         1       1         1
doctor --clean                          0        0        0       0         1
data preview shapes --out SHEET         0        0        0       0         0
cache                                   0        0         0       0         0
cache --empty                           0        0         1       0         0
completion bash                         0        0         0       0         0
predict --model models:/toy@champion P  0        1         0       0         1
promote toy --dry-run                   0        1         0       0         1
promote toy --undo --dry-run            0        1         0       0         1
promote toy --undo --yes                0        1         1       1         1
validate KIND                           0        0         0       0         0
show KIND                               0        0         0       0         0
plan KIND                               0        0         0       0         1
run memo                                0        0        0       0         1
run supervised                          0        0        1       0         1
run search                              0        0        1       1         1
run segment                             0        0        0       0         1
run KIND --set seed=5                   0        0        1       1         1
resume RUN                              0        1         0       0         1
reproduce RUN                           0        1         1       1         1
show RUN --diff RUN                     0        1         0       0         1
embed supervised --out OUT              0        0         0       0         0
"""


def read(table: str) -> dict[str, dict[str, int]]:
    """Return the status of each line by its condition."""
    heads, *rows = [line.split() for line in table.strip("\n").splitlines()]
    cut = -len(heads)
    return {" ".join(row[:cut]): dict(zip(heads, map(int, row[cut:]), strict=True)) for row in rows}


TABLE = read(STATUSES)


@dataclass
class Case:
    """A condition, made.

    Attributes:
        home: What HARDY_HOME is.
        before: Command that makes the condition for the one that follows.
        variables: What is set in the environment.
    """

    home: Path
    before: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


def in_namespace(flag: str, script: str) -> list[str]:
    """Return the command that carries out a script, then another command, in a namespace.

    The tests' root may make one where it is not forbidden to, as in some containers.
    """
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", flag, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"unshare {flag} is not allowed here: no such condition can be made")
    return ["unshare", flag, "sh", "-c", f'{script} && exec "$@"', "sh"]


def offline(home: Path) -> Case:
    return Case(home, in_namespace("-n", "ip link set lo up"))


def no_home(home: Path) -> Case:
    return Case(home.parent / "absent" / "deep")


def read_only(home: Path) -> Case:
    return Case(
        home, in_namespace("-m", f"mount --bind {home} {home} && mount -o remount,bind,ro {home}")
    )


def full(home: Path) -> Case:
    """A disk of its own that is filled up, as far as to the last byte."""
    used = sum(file.stat().st_blocks for file in home.rglob("*")) * 512
    copied = f"cp -a {home} {home}.whole && mount -t tmpfs -o size={used + (1 << 20)} none {home}"
    filled = f"cp -a {home}.whole/. {home} && (cat /dev/zero > {home}/filler 2>/dev/null || true)"
    return Case(home, in_namespace("-m", f"{copied} && {filled}"))


def dead_server(home: Path) -> Case:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    return Case(home, [], {"MLFLOW_TRACKING_URI": address, "HARDY_SERVER_WAIT": "0"})


CONDITIONS: dict[str, Callable[[Path], Case]] = {
    "offline": offline,
    "no-home": no_home,
    "read-only": read_only,
    "full": full,
    "dead-server": dead_server,
}


def walk(case: Case, project: Path, lines: list[list[str]]) -> list[dict[str, object]]:
    """Carry out lines in one process; return what each came to."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTEST_"))}
    variables = {"HARDY_HOME": str(case.home), "COLUMNS": "80", **case.variables}
    done = subprocess.run(
        [*case.before, sys.executable, str(HERE / "walk.py")],
        input=json.dumps(lines),
        env=kept | variables,
        cwd=project,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(lines), done.stderr
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, str]]:
    """A project, a home that holds a run of each experiment, and the ids of the runs."""
    folder = tmp_path_factory.mktemp("conditions")
    project, home = folder / "project", folder / "home"
    shutil.copytree(HERE, project)
    Image.new("RGB", (40, 40), (200, 30, 30)).save(project / "photograph.png")
    lines = [["run", kind] for kind in ("supervised", "memo", "search", "segment")]
    found = walk(Case(home), project, lines)
    assert [each["status"] for each in found] == [0] * len(lines), found
    with closing(sqlite3.connect(home / "mlflow.db")) as store:
        runs = dict(store.execute("SELECT name, run_uuid FROM runs"))
    return project, home, {kind: runs[kind] for kind in KINDS}


def lines_of(row: str, runs: dict[str, str], project: Path) -> Iterator[list[str]]:
    """Yield the command lines that a row of the table stands for."""
    files = {"OUT": "features.parquet", "SHEET": "sheet.png", "P": "photograph.png"}
    words = [str(project / files[word]) if word in files else word for word in row.split()]
    kinds = KINDS if {"KIND", "RUN"} & set(words) else ("",)
    for kind in kinds:
        named = {"KIND": kind, "RUN": runs.get(kind, "")}
        yield [named.get(word, word) for word in words]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_verb_says_what_is_wrong(
    condition: str, made: tuple[Path, Path, dict[str, str]], tmp_path: Path
) -> None:
    project, whole, runs = made
    home = tmp_path / "copied"
    shutil.copytree(whole, home)
    case = CONDITIONS[condition](home)
    asked = [(row, line) for row in TABLE for line in lines_of(row, runs, project)]
    faults = []
    for (row, line), found in zip(asked, walk(case, project, [x for _, x in asked]), strict=True):
        said, wanted = str(found["said"]), TABLE[row][condition]
        fault = "Traceback" in said or found["status"] != wanted
        # A usage error of click points at --help; `show --diff` says by 1 that there is something.
        silent = found["status"] == 1 and "hint: " not in said
        if fault or silent:
            faults.append(f"{' '.join(line)}: {found['status']}, not {wanted}\n{said[-1500:]}")
    assert not faults, "\n\n".join(faults)
