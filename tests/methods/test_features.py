"""Features by the views' own pixels: computed once, the same bits from memory and from disk."""

import torch
from torch import Tensor

from hardy.core.cache import Cache
from hardy.methods.features import FeatureMemory


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
    (made,) = FeatureMemory("a", Cache(tmp_path)).of([views(0)], encoder)
    (kept,) = FeatureMemory("a", Cache(tmp_path)).of([views(0)], encoder)
    assert torch.equal(made, kept)
    assert encoder.seen == [5]


def test_another_encoder_or_other_pixels_are_encoded_anew(tmp_path):
    encoder = Encoder()
    FeatureMemory("a", Cache(tmp_path)).of([views(0)], encoder)
    FeatureMemory("b", Cache(tmp_path)).of([views(0)], encoder)
    nearly = views(0)
    nearly[4, 2, 3, 3] += 1e-6
    FeatureMemory("a", Cache(tmp_path)).of([nearly], encoder)
    assert encoder.seen == [5, 5, 5]


def test_a_damaged_file_is_made_anew(tmp_path):
    encoder = Encoder()
    FeatureMemory("a", Cache(tmp_path)).of([views(0)], encoder)
    (file,) = (tmp_path / "features").iterdir()
    file.write_bytes(file.read_bytes()[:20])
    (found,) = FeatureMemory("a", Cache(tmp_path)).of([views(0)], encoder)
    assert encoder.seen == [5, 5]
    assert torch.equal(found, views(0).flatten(1)[:, :4] * 3)


def test_nothing_is_kept_on_disk_without_a_cache(isolated_home):
    FeatureMemory("a").of([views(0)], Encoder())
    assert not list(isolated_home.iterdir())


def test_no_graph_is_kept():
    memory = FeatureMemory("a")
    (features,) = memory.of([views(0).requires_grad_()], Encoder())
    assert not features.requires_grad
