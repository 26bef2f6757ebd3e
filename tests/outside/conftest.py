"""A copy of the tree, to which a test adds what CONTRIBUTING says that a newcomer adds."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


class Tree:
    """A copy of the project in a folder of its own, and the command line on it.

    Attributes:
        root: Its folder.
        home: Where its runs are kept.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "home"
        skipped = shutil.ignore_patterns("*.egg-info")
        shutil.copytree(ROOT / "src", root / "src", ignore=skipped)
        shutil.copyfile(ROOT / "MLproject", root / "MLproject")
        for folder in ("experiments", "registry", "home"):
            (root / folder).mkdir()
        self._before = self._files()

    def _files(self) -> dict[str, bytes]:
        return {
            str(file.relative_to(self.root)): file.read_bytes()
            for file in self.root.rglob("*")
            if file.is_file() and "__pycache__" not in file.parts and self.home not in file.parents
        }

    def add_folder(self, room: str, name: str) -> None:
        shutil.copytree(HERE / name, self.root / "src" / "hardy" / room / name)

    def add_line(self, room: str, module: str, schema: str, entries: str) -> None:
        """Import a schema in a room's `__init__.py`, and name it in the tuple."""
        file = self.root / "src" / "hardy" / room / "__init__.py"
        text = file.read_text()
        line = f"from hardy.{room}.{module}.spec import {schema}\n"
        text = re.sub(r"^(from hardy\.)", lambda found: line + found[1], text, count=1, flags=re.M)
        changed = re.sub(rf"^({entries}\b[^=]*= \()", rf"\1{schema}, ", text, count=1, flags=re.M)
        assert changed != text
        file.write_text(changed)

    def add_file(self, name: str, path: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / name, target)

    def changed(self) -> set[str]:
        """Return the files that were added or changed."""
        now = self._files()
        return {name for name, content in now.items() if self._before.get(name) != content}

    def run(self, *words: str, status: int = 0) -> str:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTEST_"))}
        done = subprocess.run(
            [sys.executable, *words],
            env=kept
            | {
                "HARDY_HOME": str(self.home),
                "PYTHONPATH": str(self.root / "src"),
                "COLUMNS": "120",
                "MLFLOW_TRACKING_URI": f"sqlite:///{self.home / 'mlflow.db'}",
            },
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def hardy(self, *words: str, status: int = 0) -> str:
        return self.run("-m", "hardy", *words, status=status)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "project")
