"""A CLIP model as a classifier: images against the texts of the classes.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision",
arXiv:2103.00020. logits = exp(s) · f/|f| · t/|t|, f an image's features, t a class's: the
normalised mean of the normalised features of its name in each template.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class ZeroShot(nn.Module):
    """Maps normalised images (B, 3, H, W) to logits (B, C) over named classes.

    Args:
        clip: A model of open_clip: `encode_image`, `encode_text`, `logit_scale`.
        tokenizer: Maps a list of texts to tokens (N, L); the model's own.
        class_names: What the templates are filled with, in label order.
        templates: Texts with one `{}` each.

    Attributes:
        text_features: (C, D), unit length, of the templates; on the model's device.
    """

    text_features: Tensor

    def __init__(
        self,
        clip: nn.Module,
        tokenizer: Any,  # noqa: ANN401 - open_clip's tokenizers share no type
        class_names: tuple[str, ...],
        templates: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.clip = clip
        self.tokenizer = tokenizer
        self.class_names = class_names
        self.templates = templates
        self.register_buffer("text_features", torch.empty(0), persistent=False)

    @property
    def bare(self) -> nn.Module:
        """The model whose tensors a weights file holds."""
        return self.clip

    def image_features(self, images: Tensor) -> Tensor:
        """Return unit-length features (B, D) of normalised images (B, 3, H, W)."""
        return functional.normalize(self.clip.encode_image(images).float(), dim=-1)  # type: ignore[operator]

    def compare(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return logits (B, C) of unit-length image features (B, D) and text features (C, D)."""
        scale: Tensor = self.clip.logit_scale.exp().float()  # type: ignore[operator, union-attr]
        logits = scale * images @ texts.T
        bias = getattr(self.clip, "logit_bias", None)
        return logits if bias is None else logits + bias

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to logits (B, C)."""
        return self.compare(self.image_features(images), self.text_features)
