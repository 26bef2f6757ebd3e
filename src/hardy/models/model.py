"""A network as methods see it: normalised images in, logits over the dataset's classes out.

For a task whose answers are features, what the network's head is given comes out in their place.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hardy.core.errors import SpecError
from hardy.data.preprocess import Preprocess
from hardy.models import head
from hardy.models.spec import ModelSpec
from hardy.models.weights import Loaded


class Model(nn.Module):
    """A network, the record of its input, and the classes that its outputs are restricted to.

    Args:
        network: Maps (B, 3, H, W) to logits (B, K).
        preprocess: How an image becomes the network's input.
        model_indices: For each class of the dataset, its index among the K outputs; None for all.
            Logits are restricted *before* the softmax, as the ImageNet-A and -R protocols say.
        loaded: What came of loading its weights; None where they lie in no file.
        of_features: Whether it gives what the head is given (B, D), in place of logits.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocess: Preprocess,
        model_indices: tuple[int, ...] | None = None,
        loaded: Loaded | None = None,
        *,
        of_features: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.preprocess = preprocess
        self.loaded = loaded
        self.of_features = of_features
        self.model_indices = list(model_indices) if model_indices is not None else None

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to logits (B, C) over the dataset's classes.

        Raises:
            SpecError: If features are wanted, and the network has no head that can be told.
        """
        if self.of_features:
            return head.features(self.network, images)
        logits: Tensor = self.network(images)
        return logits if self.model_indices is None else logits[:, self.model_indices]

    @property
    def class_texts(self) -> tuple[str, ...] | None:
        """What an image-text model calls the classes; None for other models."""
        return getattr(self.network, "class_names", None)

    @torch.no_grad()
    def outputs(self) -> int:
        """Return K, the number of the network's own outputs or channels, by one forward pass.

        Of a model that gives features, it is their dimension.

        Asked of the network, with a grey image: libraries keep the number under different names.
        """
        shape, device = self.preprocess, next(self.parameters()).device
        grey = torch.zeros(1, 3, shape.height, shape.width, device=device)
        logits: Tensor = self(grey) if self.of_features else self.network(grey)
        return logits.shape[1]


@contextmanager
def takes_size(spec: ModelSpec) -> Iterator[None]:
    """Say of a network that fails on its first images that they have a size it does not take.

    Raises:
        SpecError: If it fails, and the spec states the size; else its own error passes.
    """
    try:
        yield
    except (AssertionError, RuntimeError, ValueError) as error:
        if spec.input is None or spec.input.size is None:
            raise
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        message = f"model.input.size: {spec.name} does not take {spec.input.size}: {reason}"
        hint = (
            "Transformers have position embeddings for one size, convolutional networks a least "
            "one: state such a size, or leave size out."
        )
        raise SpecError(message, hint=hint) from error
