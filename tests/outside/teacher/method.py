"""L = CE(f(x), y) + KL(g(x) ‖ f(x)), g a mean of f's weights over steps; outputs in K codes."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hardy.data.item import Batch
from hardy.methods.base import Answers
from hardy.methods.fitting import Fits, Work
from hardy.methods.learner import Learner, Means
from hardy.models.model import Model
from hardy.models.state import NETWORK, bare, copied
from hardy.tasks.base import Task

from .spec import TeacherSpec

_TARGET, _CODES = "target.", "codes"


class TeacherLearner(Learner):
    """The network, its slower copy, and the codebook."""

    spec: TeacherSpec
    codes: Tensor

    def __init__(self, model: Model, spec: TeacherSpec, task: Task, codes: Tensor) -> None:
        super().__init__(model.network, spec)
        self.preprocess, self.task = model.preprocess, task
        self.target = copy.deepcopy(model.network).requires_grad_(requires_grad=False)
        self.register_buffer("codes", codes.clone())

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss, its second part, and the share of codes that the batch uses."""
        inputs = self.preprocess.normalise(batch.inputs)
        outputs = self.network(inputs).float()
        with torch.no_grad():
            wanted = self.target(inputs).float().softmax(1)
        near = torch.cdist(outputs.detach(), self.codes).argmin(1)
        if self.training:
            for code in near.unique():
                self.codes[code] = self.codes[code].lerp(
                    outputs[near == code].detach().mean(0), 0.1
                )
        pull = functional.kl_div(outputs.log_softmax(1), wanted, reduction="batchmean")
        loss = self.task.loss(outputs, batch.targets).mean() + pull
        used = torch.tensor(near.unique().numel() / len(self.codes))
        return {"loss": loss, "pull": pull.detach(), "used": used}

    @torch.no_grad()
    def measure(self, batch: Batch) -> tuple[Means, Tensor | None]:
        """Return the same of a validation batch, and the network's answers."""
        outputs = self.network(self.preprocess.normalise(batch.inputs))
        return self(batch), self.task.answer(outputs)

    @torch.no_grad()
    def end_step(self, step: int) -> None:
        """Move the slower copy."""
        ours, theirs = self.network.state_dict(), self.target.state_dict()
        for name, tensor in theirs.items():
            if tensor.is_floating_point():
                tensor.lerp_(ours[name], 1 - self.spec.momentum)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Return how far the codes are from each other."""
        return {"codes/spread": float(torch.pdist(self.codes).mean())}


class Teacher(Fits, Answers):
    """Answers by the slower copy, drawn to the nearest code, and by the network."""

    def __init__(self, model: Model, spec: TeacherSpec, task: Task) -> None:
        super().__init__(model)
        self.spec, self.task = spec, task
        self.target = copy.deepcopy(model.network)
        self.codes = torch.eye(task.outputs)[torch.arange(spec.codes) % task.outputs]
        self.codes = self.codes.to(next(model.network.parameters()).device)

    def fit(self, work: Work) -> dict[str, Tensor]:
        """Train; return the network, its copy and the codes."""
        learner = TeacherLearner(self.model, self.spec, self.task, self.codes).to(work.device)
        work.train(learner, work.source("fit"), work.source("validate"))
        target = bare(learner.target).state_dict()
        return {
            **{f"{NETWORK}{name}": tensor for name, tensor in learner.weights().items()},
            **copied({f"{_TARGET}{name}": tensor for name, tensor in target.items()}),
            _CODES: learner.codes.cpu(),
        }

    def load(self, fitted: Mapping[str, Tensor]) -> None:
        """Take all three."""
        for prefix, network in ((NETWORK, self.model.network), (_TARGET, self.target)):
            own = {n.removeprefix(prefix): t for n, t in fitted.items() if n.startswith(prefix)}
            bare(network).load_state_dict(own)
        self.codes = fitted[_CODES].to(self.codes.device)
        self.model.eval()
        self.target.eval()

    @torch.no_grad()
    def answer(self, images: Tensor) -> dict[str, Tensor]:
        """Answer for normalised images (B, 3, H, W)."""
        outputs = self.target(images).float()
        near = self.codes[torch.cdist(outputs, self.codes).argmin(1)]
        return {
            "target": self.task.answer(outputs.lerp(near, 0.5)),
            "teacher": self.task.answer(self.model(images)),
        }


def build(spec: TeacherSpec, models: Sequence[Model], task: Task) -> Teacher:
    """Build the method from its schema."""
    return Teacher(models[0], spec, task)
