"""Whether the parts of an experiment go together: rules over several of them, a function each.

What one part alone tells, its own schema refuses; what only the opened data tell, a plan does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from hardy.core.catalog import did_you_mean
from hardy.core.errors import SpecError
from hardy.core.spec import kinds
from hardy.data.augment_spec import check_augment
from hardy.data.cards import DATASETS
from hardy.data.shift_spec import turns
from hardy.methods.base_spec import augment_of, views_of
from hardy.models.spec import MODELS
from hardy.spec.fit import misfit, way_out
from hardy.tasks import TASKS
from hardy.tasks.base_spec import PSEUDO

if TYPE_CHECKING:
    from hardy.spec.experiment import Experiment

_DENSE_KINDS = " or ".join(kinds(m for m in MODELS if m.dense))
_DENSE_TASKS = " or ".join(kinds(t for t in TASKS if t.dense))


def disagreements(experiment: Experiment) -> Iterator[str]:
    """Yield what does not go together in an experiment, and what to do about it."""
    for rule in _RULES:
        yield from rule(experiment)


def _samples_are_apart(experiment: Experiment) -> Iterator[str]:
    if not experiment.method.episodic and (experiment.compute.processes or 1) > 1:
        yield (
            f"compute.processes is above 1, but as {experiment.method.kind} is set here, each "
            "sample depends on the one before; use one process"
        )


def _devices_can_do_it(experiment: Experiment) -> Iterator[str]:
    compute, method = experiment.compute, experiment.method
    count = (compute.devices or 1) * (compute.nodes or 1)
    if count > 1 and not method.separable:
        yield (
            f"compute asks for {count} devices, but the loss of {method.kind} compares all "
            "samples of a batch, which cannot be divided; leave devices and nodes out"
        )
    elif count > 1 and compute.device == "mps":
        yield "compute asks for several devices, but a machine has one mps; leave them out"
    elif experiment.precision == "16-mixed" and compute.device in ("cpu", "mps"):
        yield (
            f"precision 16-mixed needs a CUDA device, but compute.device is {compute.device}; "
            "set precision to bf16-mixed"
        )


def _task_is_answered(experiment: Experiment) -> Iterator[str]:
    for method, _ in experiment.method.pairs(experiment.model):
        if method.tasks and experiment.task.kind not in method.tasks:
            yield (
                f"method {method.kind} does not answer the task {experiment.task.kind}, but "
                f"{', '.join(method.tasks)}"
            )


def _labels_are_there(experiment: Experiment) -> Iterator[str]:
    stated, task = experiment.method.needs_labels, experiment.task
    if stated and task.target != "label":
        yield f"method.{stated} needs labels, and the task {task.kind} has none; leave it out"


def _the_task_can_be_trained_for(experiment: Experiment) -> Iterator[str]:
    if experiment.method.needs_loss and not experiment.task.has_loss:
        kind = experiment.task.kind
        others = ", ".join(kinds(task for task in TASKS if task.has_loss))
        yield (
            f"method {experiment.method.kind} trains by the task's loss, and the task {kind} has "
            f"none; train for one of {others}, and answer with its weights, experiment:NAME, here"
        )


def _heads_are_of_classifiers(experiment: Experiment) -> Iterator[str]:
    method = experiment.method
    if method.makes_head and method.yields_weights and experiment.model.compares_texts:
        yield (
            f"method {experiment.method.kind} trains networks with outputs of their own, and "
            f"model.kind {experiment.model.kind} compares images with texts"
        )


def _layers_are_known(experiment: Experiment) -> Iterator[str]:
    if experiment.method.needs_layers and not experiment.model.layered:
        yield (
            "method.layer_decay needs layers that timm can tell, and model.kind is "
            f"{experiment.model.kind}; take a model of kind timm, or leave layer_decay out"
        )


def _what_is_monitored_is_measured(experiment: Experiment) -> Iterator[str]:
    name, own = experiment.method.monitored, experiment.method.measures
    known = {*(own or ()), *experiment.task.metrics}
    plain = name and name.removeprefix("validation/")
    if name is not None and own is not None and plain not in known:
        message = f"method.monitor is {name}, which no epoch of {experiment.method.kind} has; "
        message += did_you_mean(name, known) or f"it has {', '.join(sorted(known))}"
        yield message


def _augmentation_goes_with_the_shift(experiment: Experiment) -> Iterator[str]:
    try:
        check_augment(augment_of(experiment.method), experiment.data.shift)
    except SpecError as error:
        yield f"{error.message}. {error.hint}"


def _turned_images_have_their_truth(experiment: Experiment) -> Iterator[str]:
    angles = turns(experiment.data.shift)
    if angles and experiment.task.target == "mask":
        yield (
            "data.shift turns images, but not their masks, which the task "
            f"{experiment.task.kind} answers are held against; leave turn out, or augment by rotate"
        )
    for path, model in experiment.models().items():
        size = model.input and model.input.size
        if angles & {90, 270} and isinstance(size, tuple) and size[0] != size[1]:
            yield (
                f"data.shift turns images by 90 or 270 degrees, but {path}.input.size is "
                f"{list(size)}; make it one number, or turn by 0 and 180"
            )


def _the_loss_has_what_is_stated_of_it(experiment: Experiment) -> Iterator[str]:
    for option, field in experiment.method.loss_options.items():
        if option not in experiment.task.loss_options:
            yield (
                f"the loss of the task {experiment.task.kind} has nothing that method.{field} "
                "could say of it; leave it out"
            )
        elif option == "only" and experiment.data.shift is None:
            yield (
                f"method.{field} is of the pixels that data.shift changes, and there is none: "
                "nothing would be learned; set data.shift, or leave it out"
            )


def _the_terms_of_the_loss_are_known(experiment: Experiment) -> Iterator[str]:
    terms, own = experiment.method.loss_terms, experiment.task.loss_terms
    known = sorted(own | experiment.model.aux)
    for term in terms:
        if term not in known:
            parts = f"the task {experiment.task.kind} and {experiment.model.name} have "
            found = did_you_mean(term, known) or f"{parts}{', '.join(known) or 'none'}"
            yield f"method.loss names {term}, which is no term of it; {found}"
    if terms and not any(term in own and not term.startswith(PSEUDO) for term in terms):
        yield (
            "method.loss has no term that sees the truth; add one of "
            f"{', '.join(sorted(t for t in own if not t.startswith(PSEUDO)))}"
        )
    lacking = sorted(experiment.model.needed - set(terms))
    if experiment.method.needs_loss and lacking:
        yield (
            f"method.loss lacks {', '.join(lacking)}, without which a part of "
            f"{experiment.model.name} would never learn; add it with a weight, such as 1"
        )


def _codes_are_there(experiment: Experiment) -> Iterator[str]:
    for entry in ("latents", "codebook"):
        if getattr(experiment.explain, entry) is not None and not experiment.model.coded:
            yield (
                f"explain.{entry} looks at a codebook, and {experiment.model.name} has none; take "
                f"a network with one, or leave {entry} out"
            )


def _what_thaws_is_on_one_device(experiment: Experiment) -> Iterator[str]:
    compute = experiment.compute
    if experiment.method.thaws and (compute.devices or 1) * (compute.nodes or 1) > 1:
        yield (
            "method.freeze changes what learns, which several devices settle before they begin; "
            "use one device, or train twice: with tune, then from those weights"
        )


def _planes_are_asked_for_and_given(experiment: Experiment) -> Iterator[str]:
    for _, model in experiment.method.pairs(experiment.model):
        fit = model.input and model.input.fit
        if experiment.task.dense and not model.dense:
            yield (
                f"the task {experiment.task.kind} wants an answer for each pixel, and model.kind "
                f"{model.kind} gives one an image; set model.kind to {_DENSE_KINDS}"
            )
        elif model.dense and not experiment.task.dense:
            yield (
                f"model.kind {model.kind} answers for each pixel, and the task "
                f"{experiment.task.kind} wants one answer an image; set task to {_DENSE_TASKS}"
            )
        elif experiment.task.dense and fit == "shorter_side":
            yield (
                f"model.input.fit is {fit}, a centre crop, which has no way back: an answer "
                "must be brought to the whole image's size; use squeeze or pad"
            )


def _texts_need_an_image_text_model(experiment: Experiment) -> Iterator[str]:
    for method, model in experiment.method.pairs(experiment.model):
        if method.reads_texts and not model.compares_texts:
            yield (
                f"method {method.kind} needs a model of images and texts, which model.kind "
                f"{model.kind} is not; set model.kind to open_clip"
            )


def _input_size_is_taken(experiment: Experiment) -> Iterator[str]:
    for path, model in experiment.models().items():
        size, only = model.input and model.input.size, model.only_size
        if size is not None and only is not None and size != only:
            yield (
                f"{path}.input.size is {list(size) if isinstance(size, tuple) else size}, but "
                f"{model.name} has position embeddings for {only} alone; leave size out, or "
                "take a network for that size"
            )


def _outputs_are_the_classes(experiment: Experiment) -> Iterator[str]:
    """Say what names alone tell; a plan, which opens the data, tells of all others."""
    card = DATASETS[experiment.data.dataset]
    if experiment.task.target != "label" or not card.classes or card.of_imagenet:
        return
    for path, model in experiment.models().items():
        if model.stated_outputs is None or (experiment.method.makes_head and path == "model"):
            continue
        fault = misfit(model.name, model.stated_outputs, experiment.data.dataset, card.classes)
        if fault:
            yield f"{fault}. {way_out()}"


def _views_fit_the_input(experiment: Experiment) -> Iterator[str]:
    for method, model in experiment.method.pairs(experiment.model):
        views, size = views_of(method), model.input and model.input.size
        if isinstance(size, tuple) and views is not None and views.needs_square:
            yield (
                f"model.input.size is {list(size)}, but {views.kind} as set here makes square "
                "views; give one number, or other views"
            )


def _views_fit_an_answer_for_each_pixel(experiment: Experiment) -> Iterator[str]:
    for method, _ in experiment.method.pairs(experiment.model):
        views = views_of(method)
        if experiment.task.dense and views is not None and views.moving:
            yield (
                f"method.views of {method.kind} move pixels ({', '.join(views.moving)}), and the "
                f"task {experiment.task.kind} joins answers pixel by pixel; set views to {{kind: "
                "photometric}, whose flips are undone"
            )
        if views is not None and not experiment.task.normal:
            yield (
                f"method.views of {method.kind} are joined by probabilities that sum to one, and "
                f"those of the task {experiment.task.kind} do not; leave task.probabilities out"
            )
        if experiment.task.dense and method.pooled:
            yield (
                f"method.{method.pooled} changes the feature map that a classifier pools, and the "
                f"task {experiment.task.kind} wants an answer for each pixel; leave it out"
            )


def _views_of_the_native_image_are_unshifted(experiment: Experiment) -> Iterator[str]:
    for method, _ in experiment.method.pairs(experiment.model):
        views = views_of(method)
        if views is not None and views.on_native and experiment.data.shift is not None:
            yield (
                "the method's views act_on native images, but data.shift is put on the "
                "network's input: set act_on to input, or leave shift out"
            )


def _held_out_and_registered(experiment: Experiment) -> Iterator[str]:
    for held_out in filter(None, experiment.method.roles().values()):
        if fault := held_out.fault(experiment.data):
            yield (f"the method's held-out samples must be others than the experiment's: {fault}")
    answered = experiment.method.roles()["answer"]
    if answered is not None and answered.clean and experiment.data.shift is not None:
        yield (
            "answers are given under data.shift, so that the samples to answer for cannot be "
            "`clean`; state answer_on without it, or leave data.shift out"
        )
    method = experiment.method
    served = method.registrable and (method.asks_head or experiment.task.target != "label")
    if not served and experiment.register_as is not None:
        yield (
            "register names a policy, but a version holds one network's weights, and "
            f"{method.kind} answers by more; register what it is made of"
        )


_RULES: tuple[Callable[[Experiment], Iterator[str]], ...] = (
    _samples_are_apart,
    _devices_can_do_it,
    _task_is_answered,
    _labels_are_there,
    _the_task_can_be_trained_for,
    _heads_are_of_classifiers,
    _layers_are_known,
    _what_is_monitored_is_measured,
    _augmentation_goes_with_the_shift,
    _turned_images_have_their_truth,
    _the_loss_has_what_is_stated_of_it,
    _the_terms_of_the_loss_are_known,
    _codes_are_there,
    _what_thaws_is_on_one_device,
    _planes_are_asked_for_and_given,
    _texts_need_an_image_text_model,
    _input_size_is_taken,
    _outputs_are_the_classes,
    _views_fit_the_input,
    _views_fit_an_answer_for_each_pixel,
    _views_of_the_native_image_are_unshifted,
    _held_out_and_registered,
)
