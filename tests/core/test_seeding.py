import numpy as np
import torch

from hardy.core.seeding import derive, generator, torch_generator


def test_coordinates_are_kept_apart():
    seen = {
        derive(0, "a", 12),
        derive(0, "a1", 2),
        derive(0, "a", "12"),
        derive(0, "a"),
        derive(1, "a", 12),
        derive(0, 12, "a"),
    }
    assert len(seen) == 6


def test_a_generator_depends_on_its_coordinates_alone():
    first = generator(3, "sample", 1).random(4)
    generator(3, "sample", 0).random(100)
    assert np.array_equal(generator(3, "sample", 1).random(4), first)
    assert not np.array_equal(generator(3, "sample", 2).random(4), first)


def test_known_value_never_changes():
    """Records made by an earlier release must stay reproducible."""
    assert derive(0, "sample", "view", 1) == 0x996063571F0ABA4CD9938118AB1869D5
    assert torch_generator(0, "sample", "view", 1).initial_seed() == 0x59938118AB1869D5


def test_torch_generators_agree_likewise():
    a = torch.rand(3, generator=torch_generator(0, "x"))
    b = torch.rand(3, generator=torch_generator(0, "x"))
    assert torch.equal(a, b)
