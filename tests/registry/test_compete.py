from types import SimpleNamespace

import pytest

from hardy.registry import register as module
from tests.registry.helpers import CLASSES, INDICES, POLICY, records, result

pytestmark = pytest.mark.usefixtures("stub_package")


def test_a_finished_run_competes_and_says_what_came_of_it(shelf, monkeypatch):
    built = []
    dataset = SimpleNamespace(name="made", classes=CLASSES, model_indices=INDICES)
    monkeypatch.setattr(module, "open_dataset", lambda spec: built.append(spec) or dataset)
    policy = POLICY.model_copy(update={"keep": 1})

    def compete(right: int) -> list[str]:
        run = [result(records(right), f"{right:032}")]
        lines, uri = module.compete(policy, run, shelf.run())
        addresses.append(uri)
        return lines

    addresses: list[str] = []

    lines = compete(20)
    assert lines[0] == "registered as models:/tiny/1"
    assert lines[-1] == "  version 1 is now champion"
    lines = compete(20)
    assert lines[0] == "is registered already as models:/tiny/1"
    assert lines[-1] == "  version 1 is already champion"
    assert len(built) == 1  # the data were not opened again for a version that exists
    assert addresses == ["models:/tiny@champion"] * 2
    assert compete(21)[-1] == "  not promoted: 1 gate(s) failed"
    assert addresses[-1] == "models:/tiny/2"
    compete(22)
    assert compete(23)[-1] == "deleted old version(s) 2"
    assert shelf.aliases() == {"champion": "1", "challenger": "4"}
