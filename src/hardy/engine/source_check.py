"""The source check: is this the model that the spec thinks it is, on the data it thinks they are?

Most published disagreements come from a wrong normalisation or class map, and show before a run
has adapted anything: the unadapted model's accuracy on a few samples is not what is known of it.
"""

from collections.abc import Iterator, Sequence

import torch

from hardy.core.errors import DataError
from hardy.core.seeding import generator
from hardy.data.item import BadSample, Prepared
from hardy.data.spec import SourceAccuracy
from hardy.data.view_spec import Identity
from hardy.engine.answer import Row, columns
from hardy.engine.setup import Setup
from hardy.measure.records import as_frame

_BATCH = 16
# Not the experiment's: every run of a comparison is tried on the same samples.
_SEED = 0
_ANSWER = "source"


def check_source(setup: Setup) -> float | None:
    """Measure the unadapted model on a few samples, under the experiment's shift.

    Returns:
        Its accuracy, or whatever the task's headline is; None where the spec expects nothing.

    Raises:
        DataError: If it is outside the band of `data.expect_source_accuracy`.
    """
    expected = setup.experiment.data.expect_source_accuracy
    if expected is None:
        return None
    places = drawn_places(len(setup.data[setup.own].samples), expected.samples)
    rows = [row for batch in _batches(setup, places) for row in _rows(setup, batch)]
    frame = as_frame(rows, setup.task.truth_fields, setup.task.fields)
    found = setup.task.metrics(frame, _ANSWER)[setup.task.headline] if rows else 0.0
    if not expected.at_least <= found <= expected.at_most:
        raise _outside(setup, expected, found, len(rows))
    return found


def drawn_places(total: int, count: int) -> list[int]:
    """Draw the places of the samples that are looked at; a fixed seed, whatever the spec's."""
    order = generator(_SEED, "gate").permutation(total)
    return [int(place) for place in order[:count]]


def _batches(setup: Setup, places: Sequence[int]) -> Iterator[list[Prepared]]:
    # The method's views are the costly part, and play no role here.
    pipeline = setup.pipeline(setup.own, places, views=Identity())
    for start in range(0, len(places), _BATCH):
        items = [pipeline[n] for n in range(start, min(start + _BATCH, len(places)))]
        # A broken sample is the run's own to report, or to skip.
        if good := [item for item in items if not isinstance(item, BadSample)]:
            yield good


@torch.no_grad()
def _rows(setup: Setup, batch: Sequence[Prepared]) -> Iterator[Row]:
    """Yield the records of the unadapted model's answers."""
    images = setup.images(batch)
    with setup.fabric.autocast():
        answers = setup.task.answer(setup.model(images))
    for item, found in zip(batch, answers, strict=True):
        yield columns(setup.task, {_ANSWER: found}, item.targets)


def _outside(setup: Setup, expected: SourceAccuracy, found: float, count: int) -> DataError:
    spec, preprocess = setup.experiment, setup.model.preprocess
    restricted, texts = setup.model.model_indices, setup.model.class_texts
    message = (
        f"data.expect_source_accuracy: {spec.model.name} has {found:.1%} on {count} samples of "
        f"{setup.data[setup.own].name} (shift {spec.data.shift_label}), expected "
        f"{expected.at_least:.1%} to {expected.at_most:.1%}"
    )
    outputs = f"outputs restricted to {len(restricted)}" if restricted else "outputs not restricted"
    outputs = f"texts such as {texts[0]!r}" if texts else outputs
    hint = (
        "Likely causes: the normalisation "
        f"(mean {preprocess.mean}, std {preprocess.std}), the size ({preprocess}), "
        f"the class map ({outputs}), or other weights "
        f"({spec.model.weights}). Check with: hardy data preview {spec.data.dataset}"
    )
    return DataError(message, hint=hint)
