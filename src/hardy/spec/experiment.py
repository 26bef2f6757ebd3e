"""The whole of an experiment: the parts' schemas composed into one."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hardy.core.catalog import did_you_mean
from hardy.core.errors import SpecError
from hardy.core.spec import Spec, kinds
from hardy.data.augment_spec import check_augment
from hardy.data.cards import DATASETS
from hardy.data.held_out_spec import HeldOut
from hardy.data.spec import OWN_PARTS, DataSpec, splits_of
from hardy.explain.spec import ExplainSpec
from hardy.methods import MethodSpec
from hardy.methods.base_spec import augment_of, views_of
from hardy.models.reference import WeightsRef
from hardy.models.spec import MODELS, ModelSpec
from hardy.spec.fit import misfit, way_out
from hardy.tasks import PLAIN_TASK, TASKS, TaskSpec

_DENSE_KINDS = " or ".join(kinds(m for m in MODELS if m.dense))
_DENSE_TASKS = " or ".join(kinds(t for t in TASKS if t.dense))

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

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9._/-]*$",
            max_length=200,
            description="Name in MLflow and in listings.",
        ),
    ]
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
    def _samples_are_apart(self) -> Self:
        if not self.method.episodic and (self.compute.processes or 1) > 1:
            message = (
                f"compute.processes is above 1, but as {self.method.kind} is set here, each sample "
                "depends on the one before; use one process"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _devices_can_do_it(self) -> Self:
        compute, method = self.compute, self.method
        count, message = (compute.devices or 1) * (compute.nodes or 1), ""
        if count > 1 and not method.separable:
            message = (
                f"compute asks for {count} devices, but the loss of {method.kind} compares all "
                "samples of a batch, which cannot be divided; leave devices and nodes out"
            )
        elif count > 1 and compute.device == "mps":
            message = "compute asks for several devices, but a machine has one mps; leave them out"
        elif self.precision == "16-mixed" and compute.device in ("cpu", "mps"):
            message = (
                f"precision 16-mixed needs a CUDA device, but compute.device is {compute.device}; "
                "set precision to bf16-mixed"
            )
        if message:
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _task_is_answered(self) -> Self:
        for method, _ in self.method.pairs(self.model):
            if method.tasks and self.task.kind not in method.tasks:
                message = (
                    f"method {method.kind} does not answer the task {self.task.kind}, but "
                    f"{', '.join(method.tasks)}"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _heads_are_of_classifiers(self) -> Self:
        if self.method.makes_head and self.model.compares_texts:
            message = (
                f"method {self.method.kind} trains networks with outputs of their own, and "
                f"model.kind {self.model.kind} compares images with texts"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _what_is_monitored_is_measured(self) -> Self:
        name, own = self.method.monitored, self.method.measures
        known = {*(own or ()), *self.task.metrics}
        plain = name and name.removeprefix("validation/")
        if name is not None and own is not None and plain not in known:
            message = f"method.monitor is {name}, which no epoch of {self.method.kind} has; "
            message += did_you_mean(name, known) or f"it has {', '.join(sorted(known))}"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _augmentation_goes_with_the_shift(self) -> Self:
        try:
            check_augment(augment_of(self.method), self.data.shift)
        except SpecError as error:
            message = f"{error.message}. {error.hint}"
            raise ValueError(message) from error
        return self

    @model_validator(mode="after")
    def _the_loss_has_what_is_stated_of_it(self) -> Self:
        for option, field in self.method.loss_options.items():
            if option not in self.task.loss_options:
                message = f"method.{field} is for losses of classes, and the task {self.task.kind} "
                message += "has another; leave it out"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _planes_are_asked_for_and_given(self) -> Self:
        for _, model in self.method.pairs(self.model):
            fit = model.input and model.input.fit
            message = ""
            if self.task.dense and not model.dense:
                message = (
                    f"the task {self.task.kind} wants an answer for each pixel, and model.kind "
                    f"{model.kind} gives one an image; set model.kind to {_DENSE_KINDS}"
                )
            elif model.dense and not self.task.dense:
                message = (
                    f"model.kind {model.kind} answers for each pixel, and the task "
                    f"{self.task.kind} wants one answer an image; set task to {_DENSE_TASKS}"
                )
            elif self.task.dense and fit == "shorter_side":
                message = (
                    f"model.input.fit is {fit}, a centre crop, which has no way back: an answer "
                    "must be brought to the whole image's size; use squeeze or pad"
                )
            if message:
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _texts_need_an_image_text_model(self) -> Self:
        for method, model in self.method.pairs(self.model):
            if method.reads_texts and not model.compares_texts:
                message = (
                    f"method {method.kind} needs a model of images and texts, which model.kind "
                    f"{model.kind} is not; set model.kind to open_clip"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _input_size_is_taken(self) -> Self:
        for path, model in self.models().items():
            size, only = model.input and model.input.size, model.only_size
            if size is not None and only is not None and size != only:
                message = (
                    f"{path}.input.size is {list(size) if isinstance(size, tuple) else size}, but "
                    f"{model.name} has position embeddings for {only} alone; leave size out, or "
                    "take a network for that size"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _outputs_are_the_classes(self) -> Self:
        """Say what names alone tell; a plan, which opens the data, tells of all others."""
        card = DATASETS[self.data.dataset]
        if self.task.target != "label" or not card.classes or card.of_imagenet:
            return self
        for path, model in self.models().items():
            if model.stated_outputs is None or (self.method.makes_head and path == "model"):
                continue
            fault = misfit(model.name, model.stated_outputs, self.data.dataset, card.classes)
            if fault:
                message = f"{fault}. {way_out()}"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _views_fit_the_input(self) -> Self:
        for method, model in self.method.pairs(self.model):
            views, size = views_of(method), model.input and model.input.size
            if isinstance(size, tuple) and views is not None and views.needs_square:
                message = (
                    f"model.input.size is {list(size)}, but {views.kind} as set here makes square "
                    "views; give one number, or other views"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _views_of_the_native_image_are_unshifted(self) -> Self:
        for method, _ in self.method.pairs(self.model):
            views = views_of(method)
            if views is not None and views.on_native and self.data.shift is not None:
                message = (
                    "the method's views act_on native images, but data.shift is put on the "
                    "network's input: set act_on to input, or leave shift out"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _held_out_and_registered(self) -> Self:
        for held_out in filter(None, self.method.roles().values()):
            if fault := held_out.fault(self.data):
                message = (
                    f"the method's held-out samples must be others than the experiment's: {fault}"
                )
                raise ValueError(message)
        if not self.method.registrable and self.register_as is not None:
            message = (
                "register names a policy, but a version holds one model's weights; "
                "register the members"
            )
            raise ValueError(message)
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
