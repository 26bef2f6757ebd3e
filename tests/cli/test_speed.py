"""The light verbs answer at once: see benchmarks/cli.py for the numbers."""

import statistics
import subprocess
import sys

import pytest

from benchmarks.cli import LIMIT, ROOT, VERBS, environment, measure

pytestmark = pytest.mark.slow


def test_every_light_verb_is_fast_and_loads_neither_torch_nor_mlflow(tmp_path):
    times = measure(3, tmp_path)
    # Twice the limit: tests share the cores.
    slow = {verb: t for verb, t in times.items() if statistics.median(t) > 2 * LIMIT}
    assert not slow
    for arguments in VERBS.values():
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "hardy", *arguments],
            env=environment(tmp_path),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = {
            line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()
        }
        assert "hardy" in loaded
        assert not loaded & {"torch", "mlflow", "torchvision", "timm"}
