"""The sources of a commit or of the work tree, and what they make of experiments in a store."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import zipfile
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pandas as pd

from hardy.core.hashing import digest
from hardy.measure.drift import is_time
from hardy.measure.records import TIMING, read_parquet

ROOT = Path(__file__).parents[1]
RECORDS = "records/records.parquet"


@dataclass(frozen=True)
class Job:
    """An experiment as `hardy run` is told it."""

    spec: str
    overrides: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([self.spec, *self.overrides])


@dataclass(frozen=True)
class Ran:
    """A job that was carried out: its seconds, and its units' runs by name."""

    seconds: float
    runs: dict[str, str]


@dataclass(frozen=True)
class UnitRecord:
    """What a run left: metrics, a step's under `NAME @ STEP`, and records; no times."""

    metrics: dict[str, float]
    frame: pd.DataFrame


class CannotRunError(Exception):
    """An experiment ended with an error."""


@dataclass(frozen=True)
class Side:
    """The sources of one side, and the folder of its store, its logs and what it has run.

    Attributes:
        tree: Holds src and experiments.
        folder: May be there from an earlier call: what it has run is then not run again.
    """

    tree: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The caller's, but for the store, the sources, and whatever names another store."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        data = os.environ.get("HARDY_DATA") or str(ROOT / "data")
        own = {"HARDY_HOME": str(self.home), "PYTHONPATH": str(self.tree / "src")}
        return {**kept, **own, "HARDY_DATA": str(Path(data).absolute())}

    @property
    def home(self) -> Path:
        """Holds the store."""
        return self.folder / "home"

    def ran(self, job: Job) -> tuple[Ran, bool]:
        """Return what came of a job, and whether an earlier call had run it.

        Raises:
            CannotRunError: If it ended with an error.
        """
        note = self.folder / f"{digest(str(job))}.json"
        if note.is_file():
            return Ran(**json.loads(note.read_text())["ran"]), True
        done = self._run(job, note.with_suffix(".log"))
        note.write_text(json.dumps({"job": str(job), "ran": vars(done)}, indent=1))
        return done, False

    def _run(self, job: Job, log: Path) -> Ran:
        self.home.mkdir(parents=True, exist_ok=True)
        # Journals and caches: no job is to find what another one has computed.
        shutil.rmtree(self.home / ".hardy", ignore_errors=True)
        flags = [flag for text in job.overrides for flag in ("--set", text)]
        command = [sys.executable, "-m", "hardy", "run", job.spec, *flags, "--again"]
        begun, start = time.time(), time.perf_counter()
        with log.open("w") as stream:
            status = subprocess.run(
                command,
                cwd=self.tree,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        if status:
            raise CannotRunError(_why(log.read_text()))
        return Ran(time.perf_counter() - start, self._runs_since(begun))

    def _runs_since(self, begun: float) -> dict[str, str]:
        found = self._ask(
            "SELECT name, run_uuid FROM runs WHERE status = 'FINISHED' AND end_time >= ? "
            "ORDER BY end_time",  # one that goes on where a killed call left it began before
            int(1000 * begun),
        )
        return {name: run for name, run in found if self._records(run).is_file()}

    def _records(self, run: str) -> Path:
        ((uri,),) = self._ask("SELECT artifact_uri FROM runs WHERE run_uuid = ?", run)
        return Path(url2pathname(urlsplit(uri).path)) / RECORDS

    def _ask(self, query: str, *values: object) -> list[tuple]:
        with closing(sqlite3.connect(self.home / "mlflow.db")) as connection:
            return connection.execute(query, values).fetchall()

    def record(self, run: str) -> UnitRecord:
        """Read what a run left."""
        rows = self._ask("SELECT key, step, value FROM metrics WHERE run_uuid = ?", run)
        frame = read_parquet(self._records(run))
        return UnitRecord(
            {f"{k} @ {step}" if step else k: v for k, step, v in rows if not is_time(k)},
            frame[[c for c in frame.columns if not str(c).startswith(TIMING)]],
        )


def _why(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()] or ["it said nothing"]
    return next((line for line in lines if line.startswith("error:")), lines[-1])


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, check=True).stdout


def commit_id(name: str) -> str:
    """Return the whole id of a commit."""
    return git("rev-parse", "--verify", f"{name}^{{commit}}").decode().strip()


def sources(commit: str, folder: Path) -> Path:
    """Write a commit's files below a folder, unless they are there; return where they are."""
    tree = folder / "tree"
    if not tree.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / "tree.creating"
        with zipfile.ZipFile(BytesIO(git("archive", "--format=zip", commit))) as archive:
            archive.extractall(draft)
        draft.rename(tree)
    return tree
