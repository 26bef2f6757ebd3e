"""The light verbs answer at once: see benchmarks/cli.py for the numbers."""

import resource
import subprocess
import sys

import pytest

from benchmarks.cli import LIMIT, ROOT, VERBS, environment, prepare, seconds

pytestmark = pytest.mark.slow


def processor_seconds(arguments, home) -> float:
    """Return what a verb costs the processor: tests share the cores, which its wall time sees."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds(arguments, home)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_every_light_verb_is_fast_and_loads_neither_torch_nor_mlflow(tmp_path):
    prepare(tmp_path)
    took = {v: min(processor_seconds(a, tmp_path) for _ in range(4)) for v, a in VERBS.items()}
    # Twice the limit: a core that is shared is slower, too.
    assert not {verb: least for verb, least in took.items() if least > 2 * LIMIT}
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
