"""LinkNet as the seed COMP0197 has it, over torchvision's ResNet-34.

Chaurasia & Culurciello 2017, arXiv:1707.03718: decoder blocks add the encoder's features of their
scale. The seed's (linknet/linknet.py) has three such skips, at 1/4, 1/8 and 1/16 of the sides, and
widths of its own.
"""

from torch import Tensor, nn
from torchvision import models

from hardy.models.segmenters.padded import Padded


class LinkNet(Padded):
    """Maps images (B, 3, H, W) to planes (B, outputs, H, W).

    Args:
        outputs: Channels of the answer.
        pretrained: Whether the encoder has torchvision's weights IMAGENET1K_V1.
    """

    multiple = 32

    def __init__(self, outputs: int, *, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder = _Encoder(pretrained=pretrained)
        self.decoder4 = _block(512, 256)
        self.decoder3 = _block(256, 128)
        self.decoder2 = _block(128, 64)
        self.decoder1 = _block(64, 64)
        # 2 h + 1, then 2 h - 1, then 2 h: the convolutions have the seed's padding.
        self.head = nn.Sequential(
            nn.ConvTranspose2d(64, 32, 3, 2),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, outputs, 2, padding=1),
        )

    def planes(self, images: Tensor) -> Tensor:
        """Map images whose sides fit to planes of their size."""
        fine, middle, coarse, coarsest = self.encoder(images)
        features = self.decoder4(coarsest) + coarse
        features = self.decoder3(features) + middle
        features = self.decoder2(features) + fine
        planes: Tensor = self.head(self.decoder1(features))
        return planes


class _Encoder(nn.Module):
    """ResNet-34 without its head, under torchvision's names."""

    def __init__(self, *, pretrained: bool) -> None:
        super().__init__()
        weights = models.ResNet34_Weights.IMAGENET1K_V1 if pretrained else None
        network = models.resnet34(weights=weights)
        for name, part in network.named_children():
            if name not in ("avgpool", "fc"):
                self.add_module(name, part)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features at 1/4, 1/8, 1/16 and 1/32 of the sides."""
        found, features = [], images
        for name, part in self.named_children():
            features = part(features)
            if name.startswith("layer"):
                found.append(features)
        return found


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Double the sides, in a quarter of the channels."""
    inner = inputs // 4
    return nn.Sequential(
        nn.Conv2d(inputs, inner, 1),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.ConvTranspose2d(inner, inner, 3, 2, padding=1, output_padding=1),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, outputs, 1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
