"""Every method on a GPU that is there: near the CPU's numbers, and the same bits twice."""

import pytest
import torch

from hardy.engine.answer import rows
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.fit import fit, load_fitted
from hardy.engine.progress import Reporter
from tests.engine.runs import KeptRun
from tests.engine.test_processes import CASES, built, experiment, plain

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU that torch sees: torch.cuda.is_available()"
)

# Networks with random weights answer nearly alike for all classes, so a last digit may tip one.
NEAR = 2e-3


def records(kind, device, precision="32-true"):
    spec = experiment(kind)
    compute = spec.compute.model_copy(update={"device": device})
    spec = spec.model_copy(update={"compute": compute, "precision": precision})
    fitted = fit(built(spec), Checkpoint(kind, "f" * 32), KeptRun(kind), Reporter())
    setup = built(spec)
    assert setup.fabric.device.type == device
    load_fitted(setup.method, fitted)
    return {place: plain(row) for place, row in rows(setup, range(6), workers=0)}


def confidences(found):
    columns = [key for key in found[0] if key.endswith(".confidence")]
    return torch.tensor([[row[key] for key in columns] for _, row in sorted(found.items())])


@pytest.fixture
def again(tmp_path, monkeypatch):
    """Records made anew: nothing is taken from the cache of a run before."""
    count = iter(range(9))

    def make(*args):
        monkeypatch.setenv("HARDY_HOME", str(tmp_path / f"home-{next(count)}"))
        return records(*args)

    return make


@pytest.mark.parametrize("kind", CASES)
def test_answers_are_near_those_of_the_cpu(again, kind):
    there, here = confidences(again(kind, "cuda")), confidences(again(kind, "cpu"))
    torch.testing.assert_close(there, here, atol=NEAR, rtol=0)


@pytest.mark.parametrize("kind", CASES)
def test_the_same_seed_gives_the_same_bits(again, kind):
    assert again(kind, "cuda") == again(kind, "cuda")


@pytest.mark.parametrize("kind", CASES)
def test_half_precision_is_near(again, kind):
    half, whole = confidences(again(kind, "cuda", "bf16-mixed")), confidences(again(kind, "cuda"))
    assert torch.isfinite(half).all()
    torch.testing.assert_close(half, whole, atol=0.1, rtol=0)
    assert not torch.equal(half, whole)
