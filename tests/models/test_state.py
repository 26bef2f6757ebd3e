"""Files of what a run fitted: two tables of tensors and a manifest, by independent readers."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hardy.core.errors import WeightsError
from hardy.models.state import (
    FITTED,
    MANIFEST,
    WEIGHTS,
    copied,
    manifest_of,
    read_fitted,
    state_sha256,
    write_fitted,
)

TENSORS = {
    "network.conv.weight": torch.arange(6.0).view(2, 3),
    "network.conv.steps": torch.tensor(3),
    "temperatures": torch.tensor([1.5, 0.7]),
    "target.networks": torch.ones(2, dtype=torch.float16),
}


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[n], b[n]) and a[n].dtype == b[n].dtype for n in a)


def test_what_was_written_is_read_under_the_same_names(tmp_path):
    files = write_fitted(tmp_path, TENSORS)
    assert list(files) == [WEIGHTS, FITTED, MANIFEST]
    assert same(read_fitted(files.values()), TENSORS)
    assert same(read_fitted(reversed(list(files.values()))), TENSORS)


def test_the_network_lies_apart_under_its_own_names(tmp_path):
    files = write_fitted(tmp_path, TENSORS)
    assert files[WEIGHTS] == tmp_path / "weights" / "weights.safetensors"
    network = load_file(files[WEIGHTS])
    assert same(
        network, {"conv.weight": TENSORS["network.conv.weight"], "conv.steps": torch.tensor(3)}
    )
    assert set(load_file(files[FITTED])) == {"temperatures", "target.networks"}
    told = json.loads(files[MANIFEST].read_text())
    assert told == manifest_of(files[MANIFEST])
    for path in (WEIGHTS, FITTED):
        assert told[path] == hashlib.sha256(files[path].read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("part", "written"), [("network.", WEIGHTS), ("temperatures", FITTED), ("nothing", None)]
)
def test_a_file_that_would_be_empty_is_absent(tmp_path, part, written):
    tensors = {name: t for name, t in TENSORS.items() if name.startswith(part)}
    files = write_fitted(tmp_path, tensors)
    assert list(files) == [*([written] if written else []), MANIFEST]
    assert same(read_fitted(files.values()), tensors)


@pytest.mark.parametrize("path", [WEIGHTS, FITTED])
def test_exchanged_and_lost_files_are_refused(tmp_path, path):
    files = write_fitted(tmp_path, TENSORS)
    save_file({"a": torch.zeros(1)}, files[path])
    with pytest.raises(WeightsError, match=f"{path} of the run is not what its manifest says"):
        read_fitted(files.values())
    with pytest.raises(WeightsError, match=path):
        read_fitted(file for name, file in files.items() if name != path)


@pytest.mark.parametrize("text", ["", "[]", '{"weights/other.safetensors": "0"}'])
def test_a_damaged_manifest_is_refused(tmp_path, text):
    files = write_fitted(tmp_path, TENSORS)
    files[MANIFEST].write_text(text)
    with pytest.raises(WeightsError, match="damaged"):
        read_fitted(files.values())


def test_files_without_a_manifest_are_not_whole(tmp_path):
    files = write_fitted(tmp_path, TENSORS)
    del files[MANIFEST]
    with pytest.raises(WeightsError, match=f"no {MANIFEST}"):
        read_fitted(files.values())


def test_copies_share_no_memory():
    tensor = torch.arange(4.0)
    found = copied({"a": tensor, "b": tensor[1:], "c": tensor.view(2, 2).T})
    tensor.zero_()
    assert found["a"].tolist() == [0, 1, 2, 3]
    assert found["b"].tolist() == [1, 2, 3]
    assert found["c"].is_contiguous()
    assert len({t.data_ptr() for t in found.values()}) == 3


def test_the_digest_of_a_state_by_hand():
    network = nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, 2.0]]))
        network.bias.zero_()
    content = b"bias torch.float32 (1,);" + bytes(4)
    content += b"weight torch.float32 (1, 2);" + bytes([0, 0, 128, 63, 0, 0, 0, 64])
    assert state_sha256(network) == hashlib.sha256(content).hexdigest()
