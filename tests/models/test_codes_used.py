"""How many codes a VQ-VAE comes to use on the embedded shapes, with restarts and without."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from hardy.data.open import open_dataset
from hardy.data.spec import DataSpec
from hardy.models.build import build_network
from hardy.models.segmenters.spec import VqVae

SIDE, BATCH = 64, 16


def images(split, count):
    """Return the first embedded shapes of a split, levels in [0, 1]: (N, 3, 64, 64)."""
    spec = DataSpec.model_validate(
        {"dataset": "shapes", "split": split, "shapes": {"count": count, "size": SIDE}}
    )
    dataset = open_dataset(spec)
    pixels = np.stack([np.asarray(dataset.read(sample)) for sample in dataset.samples])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def trained(fit, steps, **options):
    """Train a small VQ-VAE to rebuild images by P3's loss; return it in evaluation."""
    sizes = {"hidden": 64, "residual": 32, "layers": 2, **options}
    network, _ = build_network(VqVae(name="vqvae", **sizes), outputs=3, of_image=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    order = torch.Generator().manual_seed(0)
    network.train()
    for _ in range(steps):
        batch = fit[torch.randint(len(fit), (BATCH,), generator=order)]
        loss = functional.mse_loss(network(batch), batch)
        (loss + 0.25 * network.aux_losses()["commitment"]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return network.eval()


def usage(network, fresh):
    with torch.no_grad():
        return len(network.codes(fresh).unique()) / network.codebook.codes.shape[1]


@pytest.mark.slow
def test_with_restarts_most_of_128_codes_are_in_use():
    fit, fresh = images("train", 300), images("test", 60)
    network = trained(fit, 150, codes=128, restart=20)
    assert usage(network, fresh) > 0.5
    with torch.no_grad():
        assert functional.mse_loss(network(fresh), fresh) < fresh.var() / 2
