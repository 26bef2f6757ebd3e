"""The identity gate: is this the model that the spec thinks it is, on the data it thinks they are?

Most published disagreements come from a wrong normalisation or class map, and show before a run
has adapted anything: the unadapted model's accuracy on a few samples is not what is known of it.
"""

from collections.abc import Iterator, Sequence

import torch

from hardy.core.errors import DataError
from hardy.core.seeding import generator
from hardy.data.pipeline import BadSample, Prepared, SamplePipeline
from hardy.data.spec import SourceAccuracy
from hardy.data.view_spec import Identity
from hardy.engine.setup import Bench

_BATCH = 16
# Not the experiment's: every run of a comparison is tried on the same samples.
_SEED = 0


def check_source(bench: Bench) -> float | None:
    """Measure the unadapted model on a few samples, under the experiment's shift.

    Returns:
        Its accuracy, 0 to 1; None where the spec expects nothing.

    Raises:
        DataError: If the accuracy is outside the band of `data.expect_source_accuracy`.
    """
    expected = bench.experiment.data.expect_source_accuracy
    if expected is None:
        return None
    places = gate_places(len(bench.dataset.samples), expected.samples)
    right = [correct for batch in _batches(bench, places) for correct in _answers(bench, batch)]
    accuracy = sum(right) / len(right) if right else 0.0
    if not expected.at_least <= accuracy <= expected.at_most:
        raise _outside(bench, expected, accuracy, len(right))
    return accuracy


def gate_places(total: int, count: int) -> list[int]:
    """Draw the places of the samples that the gate looks at; a fixed seed, whatever the spec's."""
    order = generator(_SEED, "gate").permutation(total)
    return [int(place) for place in order[:count]]


def _batches(bench: Bench, places: Sequence[int]) -> Iterator[list[Prepared]]:
    pipeline: SamplePipeline = bench.pipeline(places)
    pipeline.views = Identity()  # the method's views are the costly part, and play no role here
    for start in range(0, len(places), _BATCH):
        items = [pipeline[n] for n in range(start, min(start + _BATCH, len(places)))]
        # A broken sample is the run's own to report, or to skip.
        if good := [item for item in items if not isinstance(item, BadSample)]:
            yield good


@torch.no_grad()
def _answers(bench: Bench, batch: Sequence[Prepared]) -> list[bool]:
    pixels = torch.stack([item.pixels[0] for item in batch]).to(bench.fabric.device)
    with bench.fabric.autocast():
        logits = bench.model(bench.model.preprocess.normalise(pixels))
    labels = torch.tensor([item.label for item in batch], device=logits.device)
    return [bool(correct) for correct in (logits.argmax(1) == labels).tolist()]


def _outside(bench: Bench, expected: SourceAccuracy, accuracy: float, count: int) -> DataError:
    spec, preprocess = bench.experiment, bench.model.preprocess
    restricted, texts = bench.model.model_indices, bench.model.class_texts
    message = (
        f"data.expect_source_accuracy: {spec.model.name} has {accuracy:.1%} on {count} samples of "
        f"{bench.dataset.name} (shift {spec.data.shift_label}), expected {expected.at_least:.1%} "
        f"to {expected.at_most:.1%}"
    )
    outputs = f"outputs restricted to {len(restricted)}" if restricted else "outputs not restricted"
    outputs = f"texts such as {texts[0]!r}" if texts else outputs
    hint = (
        "Likely causes: the normalisation "
        f"(mean {preprocess.mean}, std {preprocess.std}), the size (resize {preprocess.resize}, "
        f"crop {preprocess.size}), the class map ({outputs}), or other weights "
        f"({spec.model.weights}). Check with: hardy data preview {spec.data.dataset}"
    )
    return DataError(message, hint=hint)
