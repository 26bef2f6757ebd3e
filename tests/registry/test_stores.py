"""The weights of a registered version, as an experiment begins with them."""

from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file

from hardy.core.errors import RegistryError
from hardy.core.hashing import file_sha256
from hardy.models.reference import parse
from hardy.registry import versions
from hardy.registry.stores import default_stores, locate_version


@pytest.fixture
def uri(shelf, stub_package) -> str:
    return shelf.add(20).uri


def test_the_file_is_the_registered_one(uri, shelf, model, isolated_home):
    found = locate_version(uri)
    assert found.path is not None
    assert found.identity == f"sha256:{file_sha256(found.path)}"
    assert found.identity == f"sha256:{shelf.tags('1')['hardy.weights_sha256']}"
    assert found.path.is_relative_to(isolated_home / ".hardy" / "cache" / "weights")
    assert not found.in_order
    state = load_file(found.path)
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(state[name], tensor)


def test_an_alias_is_followed(uri, shelf):
    shelf.client.set_registered_model_alias("tiny", "champion", "1")
    assert locate_version("models:/tiny@champion") == locate_version(uri)


def test_it_is_fetched_once_and_again_if_it_was_damaged(uri, monkeypatch):
    found = locate_version(uri)
    found.path.write_bytes(b"damaged")
    assert locate_version(uri) == found
    assert found.identity == f"sha256:{file_sha256(found.path)}"
    monkeypatch.setattr("hardy.registry.versions.fetched", None)
    assert locate_version(uri) == found


def test_weights_that_were_damaged_in_the_store_are_refused(uri, shelf, monkeypatch):
    real = versions.fetched

    @contextmanager
    def altered(*arguments):
        with real(*arguments) as folder:
            (folder / "weights.safetensors").write_bytes(b"other weights")
            yield folder

    monkeypatch.setattr(versions, "fetched", altered)
    with pytest.raises(RegistryError, match="do not have the SHA-256"):
        locate_version(uri)
    monkeypatch.undo()


def test_where_nothing_can_be_kept_the_weights_are_there_all_the_same(uri, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hardy.core.cache.write_whole", full)
    found = locate_version(uri)
    assert found.identity == f"sha256:{file_sha256(found.path)}"


def test_other_files_than_the_registered_ones_are_refused(uri, shelf):
    shelf.client.set_model_version_tag("tiny", "1", "hardy.weights_sha256", "0" * 64)
    with pytest.raises(RegistryError, match="the registry says"):
        locate_version(uri)


def test_a_version_that_is_not_there(uri):
    with pytest.raises(RegistryError, match="no alias"):
        locate_version("models:/tiny@champian")


def test_the_stores_ask_the_registry_for_what_a_reference_names(uri, shelf):
    shelf.client.set_registered_model_alias("tiny", "champion", "1")
    for text in (uri, "models:/tiny@champion"):
        source = parse(text)
        assert default_stores().version(source.name, source.which) == locate_version(uri)


def test_the_stores_meet_nothing_before_they_are_asked(monkeypatch):
    for name in ("default_tracker", "default_finder"):
        monkeypatch.setattr(f"hardy.registry.stores.{name}", None)
    assert default_stores() is not None
