"""What every method's schema says of it before it runs: all that the other rooms ask."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, cast

from hardy.core.spec import Spec
from hardy.data.augment_spec import AugmentStep
from hardy.data.held_out_spec import HeldOut
from hardy.data.view_spec import ViewSpec
from hardy.models.spec import ModelSpec

Role = Literal["fit", "validate", "answer"]
"""What samples are for: to learn from, to measure a training on, to give answers for."""


# Of blocks. What more images make between two layers leaves a CPU's caches: 32 photographs take it
# half as long again as eight times 4. Answers' last digits depend on all three.
_SIDE, _LARGEST_BLOCK, _CPU_SHARE = 224, 256, 8


@dataclass(frozen=True)
class Passes:
    """What one sample costs, in passes of a single image through the network.

    Attributes:
        forward: Forward passes.
        backward: Backward passes.
        batch: Images whose activations are held at once for a backward pass; 1 where there is none.
    """

    forward: int
    backward: int
    batch: int = 1


class MethodBase(Spec):
    """Base of the methods' schemas."""

    kind: str

    baseline: ClassVar[str | None] = "source"
    """The answer that the method's own is compared with; None where there is none."""

    tasks: ClassVar[tuple[str, ...]] = ("classify",)
    """Kinds of the tasks that it answers; empty for all."""

    needs_loss: ClassVar[bool] = False
    """Whether it trains by the task's own loss."""

    yields_weights: ClassVar[bool] = False
    """Whether a run leaves `weights/weights.safetensors` for other experiments to begin with."""

    leaves_more: ClassVar[bool] = True
    """Whether such a run may leave other things that it fitted beside its network's tensors."""

    networks_left: ClassVar[int] = 0
    """How many files as large as its network's weights a run leaves."""

    makes_head: ClassVar[bool] = False
    """Whether it gives its network a new head where the outputs are not the task's classes."""

    separable: ClassVar[bool] = True
    """Whether a loss that it trains by is the mean of its samples' own losses: only then may a
    batch be divided among devices, or a step among batches."""

    measures: ClassVar[frozenset[str] | None] = None
    """Names of what a training of it is measured by, beside the task's metrics; None where only
    its first epoch tells."""

    registrable: ClassVar[bool] = True
    """Whether one network and this method are all that a registered version needs."""

    asks_head: ClassVar[bool] = True
    """Whether classes are named by its network's head: else no picture shows what that says, and
    no version, which asks it, serves them."""

    fewest: ClassVar[int] = 1
    """Samples below which it cannot learn, as where a batch norm must see more than one."""

    answer_batch: ClassVar[int] = 1
    """Images of 224 pixels that a GPU answers in one pass; above 1 only for a method that adapts
    nothing, and then a part of the fingerprint, since digits depend on it."""

    needs_canvas: ClassVar[bool] = False
    """Whether the method looks at the image that views are cut from, beside the views."""

    reads_texts: ClassVar[bool] = False
    """Whether the method needs a model of images and texts."""

    warnings: ClassVar[Mapping[str, str]] = {}
    """Details of a record that are true where the method could not do what it is for, by name; and
    what to say of such samples. A run has their share as a metric, and warns of them."""

    @property
    def further_models(self) -> Mapping[str, ModelSpec]:
        """Models beside the experiment's own, by their path below the method, in order."""
        return {}

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of files that the method reads, such as checkpoints, as the spec states them."""
        return ()

    @property
    def episodic(self) -> bool:
        """Whether a sample's answer depends on no other sample: it may run anywhere, any time."""
        return True

    @property
    def wants_parts(self) -> bool:
        """Whether it needs samples apart from the experiment's and states none: see `on_parts`."""
        return False

    def on_parts(self, validate: HeldOut, answer: HeldOut) -> Self:
        """Return the same with these samples to measure a training on and to answer for.

        An experiment whose dataset is one whole asks for it, where `wants_parts`.
        """
        del validate, answer
        return self

    @property
    def work(self) -> str:
        """What the time of a sample depends on, beside the passes; nothing by default."""
        return ""

    @property
    def needs_layers(self) -> bool:
        """Whether layers of the network learn at rates of their own."""
        return False

    @property
    def pooled(self) -> str:
        """The field, if stated, that changes what only classifiers have: maps to be pooled."""
        return ""

    @property
    def needs_labels(self) -> str:
        """The field, if stated, that asks for a label a sample though the method does not."""
        return ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names that it states of classes, which the dataset must have."""
        return ()

    @property
    def monitored(self) -> str | None:
        """The measure that a training's epochs are compared by, where it is stated."""
        return None

    @property
    def loss_options(self) -> Mapping[str, str]:
        """What it states of the task's loss: `TaskBase.loss_options` and the fields that do."""
        return {}

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the terms that it states its loss is made of; none: the task's own."""
        return ()

    @property
    def thaws(self) -> bool:
        """Whether parts of the network begin to learn later than others."""
        return False

    def roles(self) -> Mapping[Role, HeldOut | None]:
        """Return which samples it needs for what; None stands for the experiment's `data`."""
        return {"answer": None}

    def answer_names(self) -> tuple[str, ...]:
        """Return the names of its answers, its own last."""
        names = (self.baseline, self.kind)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def votes(self) -> frozenset[str]:
        """Return the names of its answers that are shares of votes, and no probabilities."""
        return frozenset()

    def pairs(self, model: ModelSpec) -> Iterator[tuple["MethodBase", ModelSpec]]:
        """Yield itself with its model; then the methods inside it, each with its own."""
        yield self, model

    def cost(self) -> Passes:
        """Return what one sample costs; by default one forward pass, as of the model as it is."""
        return Passes(forward=1, backward=0)

    def block(self, height: int, width: int, device: str) -> int:
        """Return how many samples are answered together.

        Blocks lie at fixed places of the manifest, [k · b, (k + 1) · b), so that an answer depends
        neither on where a run was stopped nor on the number of processes.

        Args:
            height: Of the network's input, in pixels.
            width: Of the network's input.
            device: Type of the device, such as `cpu`.
        """
        if self.answer_batch == 1:
            return 1
        block = min(max(self.answer_batch * _SIDE**2 // (height * width), 1), _LARGEST_BLOCK)
        return -(-block // _CPU_SHARE) if device == "cpu" else block

    def spent(self, samples: int) -> float:
        """Return how many times `cost` so many samples take, each, where a budget says so; 1."""
        return 1.0

    def shortest(self) -> Self:
        """Return the same cut down to where it still goes the whole way, for a smoke test."""
        return self


def augment_of(spec: MethodBase) -> tuple[AugmentStep, ...]:
    """Return what a method does to its training batches."""
    return cast("tuple[AugmentStep, ...]", getattr(spec, "augment", ()))


def views_of(spec: MethodBase) -> ViewSpec | None:
    """Return the views that a method asks for; None means the unchanged image alone."""
    return cast("ViewSpec | None", getattr(spec, "views", None))
