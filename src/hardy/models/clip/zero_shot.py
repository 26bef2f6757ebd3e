"""A CLIP model as a classifier: images against the texts of the classes.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision",
arXiv:2103.00020. logits = exp(s) · f/|f| · t/|t|, f an image's features, t a class's: the
normalised mean of the normalised features of its name in each template.
"""

from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from hardy.core.cache import default_cache
from hardy.core.hashing import digest
from hardy.models.clip.encode import text_features
from hardy.models.state import state_sha256

# Fewer texts are read in less time than the weights' digest takes; 1,000 classes in 80 templates
# are 80,000 texts, and minutes.
_MANY = 500
_KIND = "texts"


class ZeroShot(nn.Module):
    """Maps normalised images (B, 3, H, W) to logits (B, C) over named classes.

    Args:
        clip: A model of open_clip: `encode_image`, `encode_text`, `logit_scale`.
        tokenizer: Maps a list of texts to tokens (N, L); the model's own.
        class_names: What the templates are filled with, in label order.
        templates: Texts with one `{}` each.

    Attributes:
        text_features: (C, D), unit length, of the templates; on the model's device. Empty until
            `read_texts`, which needs the model's weights.
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

    def read_texts(self) -> None:
        """Compute the classes' features from the weights as they are now, on their device."""
        few = len(self.class_names) * len(self.templates) < _MANY
        self.text_features = self._read() if few else self._kept()

    def _kept(self) -> Tensor:
        """Return the features (C, D) from the cache, where the same were read before.

        They are known by all that they follow from: the weights, the texts, and what rounds: the
        kind of device and torch's version.
        """
        device = next(self.clip.parameters()).device
        texts = [self.class_names, self.templates]
        key = digest([state_sha256(self.clip), *texts, device.type, torch.__version__])
        content = default_cache().through(
            _KIND, key, lambda: save({_KIND: self._read().cpu().contiguous()}), once=True
        )
        features: Tensor = load(content)[_KIND]
        return features.to(device)

    def _read(self) -> Tensor:
        # Not str.format, to which a brace in a class's name would mean something.
        texts = [text.replace("{}", name) for name in self.class_names for text in self.templates]
        each = functional.normalize(text_features(self.clip, self.tokenizer, texts), dim=-1)
        means = each.view(len(self.class_names), len(self.templates), -1).mean(1)
        return functional.normalize(means, dim=-1)

    def image_features(self, images: Tensor) -> Tensor:
        """Return unit-length features (B, D) of normalised images (B, 3, H, W)."""
        return functional.normalize(self.clip.encode_image(images).float(), dim=-1)  # type: ignore[operator]

    def compare(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return logits (B, C) of unit-length image features (B, D) and text features (C, D)."""
        scale: Tensor = self.clip.logit_scale.exp().float()  # type: ignore[operator]
        bias = getattr(self.clip, "logit_bias", None)
        # In bfloat16, a logit of 25 would be rounded by up to 0.06.
        with torch.autocast(images.device.type, enabled=False):
            logits = scale * images.float() @ texts.float().T
        return logits if bias is None else logits + bias

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to logits (B, C)."""
        return self.compare(self.image_features(images), self.text_features)
