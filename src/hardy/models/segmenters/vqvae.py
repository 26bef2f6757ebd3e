"""A VQ-VAE: the decoder sees a grid of codes alone (van den Oord et al. 2017, arXiv:1711.00937).

Encoder, codebook and decoder are Sonnet's (sonnet/examples/vqvae_example.ipynb), as the seed
COMP0197 ported them: strided convolutions, a stack of residual layers, and the way back by
transposed convolutions. Outputs are linear. With the defaults an image of 120 x 120 px becomes
30 x 30 codes.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from hardy.models.segmenters.codebook import Codebook
from hardy.models.segmenters.padded import Padded, padded
from hardy.models.segmenters.spec import VqVae


class VQVAE(Padded):
    """Maps images (B, 3, H, W) to planes (B, outputs, H, W).

    Args:
        outputs: Channels of the answer.
        spec: Sizes, codebook.
        own_head: Whether the last layer is called `head`, and not, as that of a reconstruction is,
            the last of `decoder.up`: weights of a reconstruction leave it as it is then.
    """

    def __init__(self, outputs: int, spec: VqVae, *, own_head: bool = False) -> None:
        super().__init__()
        self.multiple = 2**spec.downsampling
        last = _up(spec.hidden // 2, outputs)
        self.encoder = _Encoder(spec)
        self.codebook = Codebook(
            spec.codes,
            spec.code_dim,
            learned=spec.codebook == "learned",
            decay=spec.decay,
            restart=spec.restart,
        )
        self.decoder = _Decoder(spec, None if own_head else last)
        self.head = last if own_head else nn.Identity()

    def planes(self, images: Tensor) -> Tensor:
        """Map images whose sides fit to planes of their size."""
        quantised = self.codebook(self.encoder(images))
        planes: Tensor = self.head(self.decoder(quantised))
        return planes

    def aux_losses(self) -> dict[str, Tensor]:
        """Return terms of a loss, of the last forward pass."""
        return dict(self.codebook.losses)

    def epoch_measures(self) -> dict[str, float]:
        """Return `codebook_usage` (0 to 1) and `perplexity` (1 to K) since the last call."""
        return self.codebook.epoch_measures()

    def codes(self, images: Tensor) -> Tensor:
        """Return which code each place takes (B, h, w), int64."""
        return self.codebook.nearest(self.encoder(padded(images, self.multiple)))

    def latents(self, images: Tensor) -> Tensor:
        """Return the codes that the decoder sees (B, D, h, w)."""
        return self.codebook.at(self.codes(images))


class _Encoder(nn.Module):
    """Maps images (B, 3, H, W) to vectors (B, D, H / 2^n, W / 2^n)."""

    def __init__(self, spec: VqVae) -> None:
        super().__init__()
        widths = [3, spec.hidden // 2] + [spec.hidden] * (spec.downsampling - 1)
        self.down = nn.ModuleList(
            nn.Conv2d(fine, coarse, 4, 2, 1) for fine, coarse in pairwise(widths)
        )
        self.last = nn.Conv2d(spec.hidden, spec.hidden, 3, padding=1)
        self.residual = _residual(spec)
        self.project = nn.Conv2d(spec.hidden, spec.code_dim, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the vectors that are quantised."""
        for down in self.down:
            images = functional.relu(down(images))
        vectors: Tensor = self.project(_through(self.residual, self.last(images)))
        return vectors


class _Decoder(nn.Module):
    """Maps codes (B, D, h, w) to planes, or with no last layer to what that layer is given."""

    def __init__(self, spec: VqVae, last: nn.Module | None) -> None:
        super().__init__()
        widths = [spec.hidden] * (spec.downsampling - 1) + [spec.hidden // 2]
        self.conv = nn.Conv2d(spec.code_dim, spec.hidden, 3, padding=1)
        self.residual = _residual(spec)
        ups = [_up(coarse, fine) for coarse, fine in pairwise(widths)]
        self.up = nn.ModuleList([*ups, last] if last is not None else ups)
        self._hidden = len(ups)

    def forward(self, codes: Tensor) -> Tensor:
        """Return planes, linear, or features, rectified."""
        features = _through(self.residual, self.conv(codes))
        for place, up in enumerate(self.up):
            features = up(features)
            features = functional.relu(features) if place < self._hidden else features
        return features


def _up(coarse: int, fine: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(coarse, fine, 4, 2, 1)


def _residual(spec: VqVae) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(spec.hidden, spec.residual, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(spec.residual, spec.hidden, 1),
        )
        for _ in range(spec.layers)
    )


def _through(layers: nn.ModuleList, features: Tensor) -> Tensor:
    for layer in layers:
        features = features + layer(features)
    return functional.relu(features)
