from collections.abc import Callable

import pytest

from hardy.models.build import build_model
from hardy.registry import register as register_module
from tests.registry.helpers import INDICES, MODEL, Shelf


@pytest.fixture(scope="session")
def model():
    return build_model(MODEL, INDICES, seed=3)


@pytest.fixture
def shelf(store, model) -> Shelf:
    return Shelf(model)


@pytest.fixture
def stub_package(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Leave the package's code out, for tests of aliases that load nothing."""

    def save(bundle, target, **_):
        (target / "artifacts").mkdir(parents=True)
        for file in bundle.iterdir():
            (target / "artifacts" / file.name).write_bytes(file.read_bytes())
        return target

    monkeypatch.setattr(register_module, "save_pyfunc", save)
