"""Contrastive training: an image's features come near its caption's, and far from the others'.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision",
arXiv:2103.00020. With unit features f of images and t of texts and the scale exp(s) ≤ 100,
l_ij = exp(s) f_i · t_j, the loss of a batch of B pairs is the mean of two cross-entropies,

    L = -1/2B Σ_i Σ_j (p_ij log softmax_j(l_i·)_j + p_ij log softmax_j(l_·i)_j).

The paper's targets are p = 1 on the diagonal. Here many pairs of a batch have the same caption, and
none of these is wrong: p_ij is uniform over the j whose caption equals that of i.
"""

import copy
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hardy.core.errors import SpecError
from hardy.core.seeding import generator
from hardy.data.item import Batch
from hardy.data.preprocess import Preprocess
from hardy.methods.base import PLAIN, Adapts, Outcome, Subject, log_probabilities
from hardy.methods.contrastive.spec import ContrastiveSpec
from hardy.methods.fitting import Fits, Work
from hardy.methods.learner import Learner, Means
from hardy.methods.stages import Stages
from hardy.models.clip.zero_shot import ZeroShot
from hardy.models.model import Model
from hardy.tasks.base import Task

_HIGHEST_SCALE = math.log(100)


class Contrastive(Fits, Adapts):
    """Trains both towers of a CLIP model; answers as it was, and as trained.

    Args:
        model: Compares images with texts; the source, which stays as it is.
        spec: Schedule, templates, augmentation.

    Attributes:
        trained: A copy of the model's network, which is trained.

    Raises:
        SpecError: If the model has no text tower.
    """

    def __init__(self, model: Model, spec: ContrastiveSpec) -> None:
        if not isinstance(model.network, ZeroShot):
            message = "method contrastive trains an image tower with a text tower"
            raise SpecError(message, hint="Set model.kind to open_clip.")
        super().__init__(model)
        self.spec = spec
        self._source = model.network
        self.trained = copy.deepcopy(model.network)

    def fit(self, work: Work) -> dict[str, Tensor]:
        """Train; return the network's tensors.

        Raises:
            SpecError: If the dataset has no captions.
        """
        dataset = work.data("fit")
        if dataset.caption is None:
            message = f"method contrastive learns from captions, and {dataset.name} has none"
            raise SpecError(message, hint="Set data.dataset to shapes.")
        learner = ContrastiveLearner(self.trained, self.spec, self.model.preprocess)
        work.train(learner, work.source("fit"), work.source("validate"))
        return {f"network.{name}": tensor for name, tensor in learner.weights().items()}

    def load(self, fitted: Mapping[str, Tensor]) -> None:
        """Take the trained network's tensors, and read the classes' texts by them."""
        tensors = {name.removeprefix("network."): tensor for name, tensor in fitted.items()}
        self.trained.bare.load_state_dict(tensors)
        self.trained.read_texts()

    @torch.no_grad()
    def predict(self, subject: Subject) -> Outcome:
        """Answer from the unchanged image, untrained and trained."""
        stages = Stages(subject.views.device)
        source = self.model(subject.views[:1])[0]
        stages.done("source")
        self.model.network = self.trained
        trained = self.model(subject.views[:1])[0]
        stages.done("predict")
        answers = {
            "source": log_probabilities(source),
            self.spec.kind: log_probabilities(trained),
        }
        needs = {"source": (*PLAIN, "source"), self.spec.kind: (*PLAIN, "predict")}
        return Outcome(answers, milliseconds=stages.milliseconds, needs=needs)

    def reset(self) -> None:
        """Give the model its untrained network back."""
        self.model.network = self._source


class ContrastiveLearner(Learner):
    """Both towers of a CLIP model, trained on images and captions.

    Args:
        network: Trained in place.
        spec: Schedule, templates, augmentation.
        preprocess: The network's normalisation.
    """

    network: ZeroShot
    spec: ContrastiveSpec

    def __init__(self, network: ZeroShot, spec: ContrastiveSpec, preprocess: Preprocess) -> None:
        super().__init__(network, spec)
        self.preprocess = preprocess

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean loss of a batch, differentiable."""
        pixels, texts = batch.inputs, self._texts(batch)
        if batch.epoch:
            pixels = cropped(pixels, self._boxes(batch))
        images = self.network.image_features(self.preprocess.normalise(pixels))
        # Equal texts have equal features, so each is encoded once.
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        tokens = self.network.tokenizer(list(places)).to(pixels.device)
        each = functional.normalize(self.network.clip.encode_text(tokens).float(), dim=-1)  # type: ignore[operator]
        features = each[[places[text] for text in texts]]
        logits = self.network.compare(images, features)
        return {"loss": contrastive_loss(logits, batch.targets.caption)}

    def _texts(self, batch: Batch) -> list[str]:
        templates = self.spec.caption_templates
        chosen = [
            int(generator(batch.seed, "template", batch.epoch, id_).integers(len(templates)))
            if batch.epoch
            else 0
            for id_ in batch.ids
        ]
        pairs = zip(chosen, batch.targets.caption, strict=True)
        return [templates[place].replace("{}", caption) for place, caption in pairs]

    def _boxes(self, batch: Batch) -> Tensor:
        """Draw a square for each image (B, 3): its side and its centre, in shares of the image."""
        boxes = []
        for id_ in batch.ids:
            area, x, y = generator(batch.seed, "crop", batch.epoch, id_).random(3)
            side = np.sqrt(self.spec.crop + (1 - self.spec.crop) * area)
            boxes.append((side, side / 2 + x * (1 - side), side / 2 + y * (1 - side)))
        return torch.tensor(boxes, dtype=torch.float32, device=batch.inputs.device)

    def end_step(self, step: int) -> None:
        """Keep the scale at 100 or below, as the paper does."""
        with torch.no_grad():
            self.network.clip.logit_scale.clamp_(max=_HIGHEST_SCALE)  # type: ignore[operator]

    def refresh(self) -> None:
        """Encode the classes' texts by the weights as they are now."""
        self.network.read_texts()

    @torch.no_grad()
    def measure(self, batch: Batch) -> tuple[Means, Tensor | None]:
        """Return the loss and the zero-shot accuracy of a batch."""
        images = self.preprocess.normalise(batch.inputs)
        right = int((self.network(images).argmax(-1) == batch.targets.label).sum())
        return {**self(batch), "accuracy": right / len(batch.ids)}, None

    def merit(self, measures: Mapping[str, float]) -> float:
        """Return the zero-shot accuracy."""
        # A mean over batches may differ in its last bits where as many samples are right.
        return round(measures["accuracy"], 9)


def contrastive_loss(logits: Tensor, captions: tuple[str, ...]) -> Tensor:
    """Return the mean of both cross-entropies of logits (B, B), images by texts.

    Args:
        logits: Scaled similarities.
        captions: What each image, and each text, is about; equal ones belong together.
    """
    known = {caption: place for place, caption in enumerate(dict.fromkeys(captions))}
    number = torch.tensor([known[caption] for caption in captions], device=logits.device)
    same = (number[:, None] == number).to(logits.dtype)
    targets = same / same.sum(1, keepdim=True)
    images = functional.cross_entropy(logits, targets)
    texts = functional.cross_entropy(logits.T, targets)
    return (images + texts) / 2


def cropped(pixels: Tensor, boxes: Tensor) -> Tensor:
    """Return squares of images (B, 3, S, S), bilinearly resized to the same size, as float32.

    Args:
        pixels: Any range and dtype.
        boxes: (B, 3), each a side and a centre (x, y), in shares of the image.
    """
    shifts = torch.zeros(len(boxes), 2, 3, device=pixels.device)
    shifts[:, 0, 0] = shifts[:, 1, 1] = boxes[:, 0]
    shifts[:, :, 2] = 2 * boxes[:, 1:] - 1
    grid = functional.affine_grid(shifts, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)


def build(spec: ContrastiveSpec, models: Sequence[Model], task: Task) -> Contrastive:
    """Build the method from its schema."""
    del task  # its answers are those of `classify`
    return Contrastive(models[0], spec)
