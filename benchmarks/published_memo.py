"""MEMO on CIFAR-10 as its published code runs it: one image, one view after the other.

The plain loop for the clock and an oracle for the answers; only the views' random numbers come from
hardy's generator, so that both adapt to the same views.
"""

from copy import deepcopy

import torch
from torch import Tensor
from torchvision.transforms import functional as tvf

from hardy.core.seeding import generator
from hardy.engine.setup import Setup
from tests.data.published_augmix import pad_and_flip, published_view


class PublishedMemo:
    """Adapts a network of its own to one image at a time by one step of SGD.

    Args:
        setup: Where the images and the source model come from; the model is copied.
        views: Augmented views of an image; the image itself is not one of them.
        rate: Learning rate.
    """

    def __init__(self, setup: Setup, views: int, rate: float) -> None:
        self.dataset, self.seed = setup.data["answer"], setup.experiment.seed
        self.views = views
        self.preprocess = setup.model.preprocess
        self.network = deepcopy(setup.model).to(memory_format=torch.contiguous_format)
        self.state = deepcopy(self.network.state_dict())
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=rate)

    def __call__(self, index: int) -> Tensor:
        """Return the log-probabilities (C,) of the image at a place of the manifest."""
        self.network.load_state_dict(self.state)
        sample = self.dataset.samples[index]
        image = self.preprocess.geometry(self.dataset.read(sample))
        size, mean, std = self.preprocess.size, self.preprocess.mean, self.preprocess.std
        views = []
        for view in range(1, self.views + 1):
            rng = generator(self.seed, sample.id, "view", view)
            views.append(published_view(image, rng, size, mean, std, pad_and_flip))
        self.optimizer.zero_grad()
        marginal_entropy(self.network(torch.stack(views))).backward()
        self.optimizer.step()
        with torch.no_grad():
            logits = self.network(tvf.normalize(tvf.to_tensor(image), mean, std)[None])[0]
        return torch.log_softmax(logits, dim=0)


def marginal_entropy(logits: Tensor) -> Tensor:
    """Return the loss as the published code writes it."""
    log_p = logits - logits.logsumexp(dim=-1, keepdim=True)
    average = log_p.logsumexp(dim=0) - torch.log(torch.tensor(len(logits)))
    average = average.clamp(min=torch.finfo(average.dtype).min)
    return -(average * average.exp()).sum()
