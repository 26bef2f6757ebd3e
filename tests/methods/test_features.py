"""Features by the views' own pixels: computed once, the same bits from memory and from disk."""

import torch
from torch import Tensor

from hardy.methods.features import FeatureMemory, clear_oldest


class Encoder:
    """Counts the images that it was asked for."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        return images.flatten(1)[:, :4] * 3


def views(seed: int, count: int = 5) -> Tensor:
    return torch.randn(count, 3, 4, 4, generator=torch.manual_seed(seed))


def test_each_set_is_encoded_once_and_several_in_one_batch():
    encoder, memory = Encoder(), FeatureMemory("a")
    sets = [views(0), views(1, 3)]
    first = memory.of(sets, encoder)
    assert encoder.seen == [8]
    assert [len(f) for f in first] == [5, 3]
    for features, images in zip(first, sets, strict=True):
        assert torch.equal(features, images.flatten(1)[:, :4] * 3)
    again = memory.of([views(1, 3), views(2)], encoder)
    assert encoder.seen == [8, 5]
    assert torch.equal(again[0], first[1])


def test_they_outlive_the_process_bit_for_bit(tmp_path):
    encoder = Encoder()
    (made,) = FeatureMemory("a", tmp_path).of([views(0)], encoder)
    (kept,) = FeatureMemory("a", tmp_path).of([views(0)], encoder)
    assert torch.equal(made, kept)
    assert encoder.seen == [5]


def test_another_encoder_or_other_pixels_are_encoded_anew(tmp_path):
    encoder = Encoder()
    FeatureMemory("a", tmp_path).of([views(0)], encoder)
    FeatureMemory("b", tmp_path).of([views(0)], encoder)
    nearly = views(0)
    nearly[4, 2, 3, 3] += 1e-6
    FeatureMemory("a", tmp_path).of([nearly], encoder)
    assert encoder.seen == [5, 5, 5]


def test_a_damaged_file_is_made_anew(tmp_path):
    encoder = Encoder()
    FeatureMemory("a", tmp_path).of([views(0)], encoder)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:20])
    (found,) = FeatureMemory("a", tmp_path).of([views(0)], encoder)
    assert encoder.seen == [5, 5]
    assert torch.equal(found, views(0).flatten(1)[:, :4] * 3)


def test_no_graph_is_kept():
    memory = FeatureMemory("a")
    (features,) = memory.of([views(0).requires_grad_()], Encoder())
    assert not features.requires_grad


def test_the_oldest_go_first(tmp_path):
    import os

    for age, name in enumerate(["c", "a", "b"]):
        file = tmp_path / "x" / f"{name}.safetensors"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(bytes(100))
        os.utime(file, ns=(age, age))
    clear_oldest(tmp_path, 250)
    assert sorted(file.stem for file in tmp_path.rglob("*.safetensors")) == ["a", "b"]
    clear_oldest(tmp_path, 0)
    assert not list(tmp_path.rglob("*.safetensors"))
