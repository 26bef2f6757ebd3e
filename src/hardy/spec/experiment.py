"""The whole of an experiment: the parts' schemas composed into one."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hardy.core.spec import Name, Spec
from hardy.data.held_out_spec import HeldOut
from hardy.data.spec import OWN_PARTS, DataSpec, splits_of
from hardy.explain.spec import ExplainSpec
from hardy.methods import MethodSpec
from hardy.models.reference import WeightsRef
from hardy.models.spec import ModelSpec
from hardy.spec.agreement import disagreements
from hardy.tasks import PLAIN_TASK, TaskSpec

Scalar = bool | int | float | str | None


class Expect(Spec):
    """A number that this experiment is expected to reach, and who says so."""

    metric: Annotated[str, Field(description="Metric of the method's own answer.")]
    value: Annotated[float, Field(description="Expected value, in the metric's own unit.")]
    tolerance: Annotated[float, Field(ge=0, description="Largest distance that still agrees.")]
    source: Annotated[str, Field(min_length=1, description="Paper, table, or command.")]
    unverified: Annotated[
        bool, Field(description="True where the source was quoted from memory.")
    ] = False


class Compute(Spec):
    """How the work is carried out. Only several devices of a training change numbers."""

    workers: Annotated[
        int | None,
        Field(
            ge=0,
            le=256,
            description="Threads that prepare views; none: all cores but one, or 0 where each "
            "core runs the network.",
        ),
    ] = None
    processes: Annotated[
        int | None,
        Field(
            ge=1,
            le=256,
            description="Processes that run the network on a CPU, each on samples of its own; "
            "none: one a core for inputs up to 64 pixels, else one.",
        ),
    ] = None
    threads: Annotated[
        int | None,
        Field(
            ge=1,
            le=256,
            description="Threads of one operation in each process on a CPU; numbers differ by "
            "rounding. None: torch's own choice, one a core, or one for inputs up to 64 pixels.",
        ),
    ] = None
    batch: Annotated[
        int,
        Field(
            ge=1,
            le=256,
            description="Samples whose views go through a frozen image encoder together; above 1 "
            "a GPU is kept busier, and numbers differ by rounding.",
        ),
    ] = 1
    image_memory: Annotated[
        int,
        Field(
            ge=0,
            description="Memory for decoded images and masks that a training keeps, in MB of 10^6 "
            "bytes, in each process; samples beyond it are decoded anew each epoch, ahead of use.",
        ),
    ] = 2000
    keep_features: Annotated[
        bool,
        Field(
            description="Whether features of a frozen image encoder are kept for other "
            "runs on the same views; `hardy cache` bounds and empties what is kept."
        ),
    ] = True
    keep_views: Annotated[
        bool | None,
        Field(
            description="Whether views are kept for other runs on the same images, as far as half "
            "of what `hardy cache` allows holds them; none: for the trials of a search, unless it "
            "asks how long they take."
        ),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], Field(description="Where the network runs.")
    ] = "auto"
    devices: Annotated[
        int | None,
        Field(
            ge=1,
            le=1024,
            description="Devices of a machine that a network is trained on together, a process "
            "each (on a CPU, processes that share it); a batch is divided among them, and numbers "
            "differ by rounding. None: one.",
        ),
    ] = None
    nodes: Annotated[
        int | None,
        Field(
            ge=1,
            le=1024,
            description="Machines with so many devices each, on which torchrun has started hardy; "
            "they share the folders of the data and the weights. None: this one.",
        ),
    ] = None


class Experiment(Spec):
    """One experiment: which model meets which data by which method, and what is kept of it."""

    name: Name
    description: Annotated[str, Field(description="One line for listings.")] = ""
    task: Annotated[
        TaskSpec,
        Field(description="What an answer is, and how it is judged; a kind alone, or a mapping."),
    ] = PLAIN_TASK
    data: Annotated[DataSpec, Field(description="Which samples, under which shift.")]
    model: Annotated[ModelSpec, Field(description="Architecture and weights.")]
    method: Annotated[MethodSpec, Field(description="How the model is trained or adapted.")]
    explain: Annotated[ExplainSpec, Field(description="Pictures to draw.")] = ExplainSpec()
    seed: Annotated[int, Field(ge=0, description="Seed of every random number.")] = 0
    precision: Annotated[
        Literal["32-true", "bf16-mixed", "16-mixed"],
        Field(
            description="Lightning Fabric's precision; anything but 32-true is approximate. "
            "16-mixed needs a CUDA device."
        ),
    ] = "32-true"
    expect: Annotated[tuple[Expect, ...], Field(description="Published or measured values.")] = ()
    register_as: Annotated[
        str | None,
        Field(alias="register", description="Policy under registry/ by which results compete."),
    ] = None
    compute: Annotated[Compute, Field(description="How the work is carried out.")] = Compute()

    def models(self) -> dict[str, ModelSpec]:
        """Return its model and the further ones of its method by dotted path, its own first."""
        further = self.method.further_models
        return {"model": self.model, **{f"method.{path}": each for path, each in further.items()}}

    def weights(self) -> dict[str, WeightsRef]:
        """Return the references to all models' weights by dotted path, its own first."""
        return {f"{path}.weights": model.weights for path, model in self.models().items()}

    @model_validator(mode="after")
    def _parts_of_a_whole(self) -> Self:
        """Divide a dataset that is one whole, where the method needs parts and none are stated."""
        data, method = self.data, self.method
        if not method.wants_parts:
            return self
        if data.partition is not None or len(splits_of(data.dataset)) > 1:
            raise ValueError(_lines_to_write(method.kind, data))
        validate, answer = (HeldOut(part=name) for name in ("val", "test"))
        # The fields of what is being validated; nobody has seen it yet.
        object.__setattr__(self, "data", data.model_copy(update={"partition": OWN_PARTS}))
        object.__setattr__(self, "method", method.on_parts(validate, answer))
        return self

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        for fault in disagreements(self):
            raise ValueError(fault)
        return self


def _lines_to_write(kind: str, data: DataSpec) -> str:
    """Say which samples a method could be measured on, as lines of a spec."""
    if data.partition is not None:
        own, key = data.partition.part, "part"
        others = [part for part in data.partition.fractions if part != own]
        stated = "data.partition"
    else:
        own, key = ("train" if "train" in splits_of(data.dataset) else data.part_name), "split"
        others = [split for split in splits_of(data.dataset) if split != own]
        stated = f"data: {{split: {own}}}"
    other = next((name for name in ("val", *others) if name in others), "OTHER")
    return (
        f"method {kind} learns from the samples of `data`, and needs others to be measured on; "
        f"beside {stated}, write method: {{validate_on: {{{key}: {other}}}}}"
    )
