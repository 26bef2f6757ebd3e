"""The verbs that only read load none of the large libraries, whatever they find to read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hardy.plan.measured import ModelCost, remember
from hardy.spec import resolve

ROOT = Path(__file__).parents[2]
NEVER = {"torch", "torchvision", "timm", "open_clip", "mlflow", "sqlalchemy"}
TABLES = {"numpy", "pandas", "scipy", "PIL"}
CODE = (
    "import json, sys; from hardy.cli.main import run; status = run(sys.argv[1:]);"
    "print(json.dumps([m for m in sys.modules if '.' not in m]), file=sys.stderr); sys.exit(status)"
)


def loaded(*arguments: str) -> set[str]:
    """Run a verb in a process of its own; return the top-level modules that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "quickstart"),
        ("validate", "clip-shapes/tpt"),
        ("validate", "tests/spec/broken/parts/a_good_search.yaml"),
        ("show", "tests/spec/broken/parts/a_good_search.yaml", "--origin"),
        ("show", "suites/quickstart"),
        ("show", "clip-shapes/ensemble", "--origin"),
        ("list",),
        ("list", "methods"),
        ("list", "operations"),
        ("list", "shifts"),
        ("list", "metrics"),
        ("schema", "--check"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("store")
def test_reading_a_spec_loads_no_large_library(arguments: tuple[str, ...]) -> None:
    assert not loaded(*arguments) & (NEVER | TABLES)


@pytest.mark.parametrize(
    "spec", ["quickstart", "clip-shapes/train", "ensemble/imagenet-sample-fitted"]
)
@pytest.mark.usefixtures("store")
def test_planning_loads_neither_torch_nor_mlflow(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data, weights and models inside a method are looked for; what models cost is known."""
    monkeypatch.chdir(ROOT)
    cost = ModelCost("here", 224, 1, 2, 0.01, 0.02, 3, 4, 5, 6)
    waiting = list(resolve(spec).units)
    while waiting:
        unit = waiting.pop()
        remember(unit.experiment, cost)
        waiting += unit.needs.values()
    assert not loaded("plan", spec) & NEVER
