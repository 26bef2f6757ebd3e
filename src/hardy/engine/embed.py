"""Features of images, as a table: what a model's head is given, for probes and neighbours."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from lightning_fabric import Fabric
from torch import Tensor

from hardy._version import __version__
from hardy.core.errors import DataError, SpecError
from hardy.data.dataset import Dataset, Sample, read_file
from hardy.data.item import BadSample, Prepared
from hardy.data.pipeline import SamplePipeline, loader
from hardy.engine.device import make_fabric
from hardy.engine.progress import Reporter
from hardy.models import head
from hardy.models.build import build_model
from hardy.models.model import Model
from hardy.models.state import state_sha256
from hardy.plan.units import OWN_WEIGHTS, PlannedUnit

_WORKERS = 4


@dataclass(frozen=True)
class Embedding:
    """A model and the images that it is to look at.

    Attributes:
        model: With its weights, on the device.
        fabric: Device and precision.
        pipeline: The images, each as the network's input.
        labels: Names of the classes; none where the images' are not known.
        facts: What the table is to say of itself, by name.
    """

    model: Model
    fabric: Fabric
    pipeline: SamplePipeline
    labels: tuple[str, ...]
    facts: Mapping[str, str]


def of_unit(planned: PlannedUnit) -> Embedding:
    """Return an experiment's model and its data under its shift; its method is not asked.

    Args:
        planned: The unit; its weights are at hand.

    Raises:
        DataError: If the data are absent.
        SpecError: If the machine has no such device.
        WeightsError: If the weights do not fit.
    """
    experiment, dataset = planned.unit.experiment, planned.own.dataset
    if dataset is None:
        message = f"{experiment.data.dataset} is absent"
        raise DataError(message, hint=planned.own.absent)
    if experiment.model.dense:
        message = f"model.kind {experiment.model.kind} has features of pixels, and none of an image"
        raise SpecError(message, hint="Take a classifier, or a model of images and texts.")
    fabric = make_fabric(experiment)
    model = build_model(
        experiment.model,
        dataset.model_indices,
        classes=dataset.classes,
        seed=experiment.seed,
        located=planned.located[OWN_WEIGHTS],
        device=fabric.device,
    )
    shift = experiment.data.shift
    pipeline = SamplePipeline(dataset, model.preprocess, shift=shift, seed=experiment.seed)
    facts = {
        "model": f"{experiment.model.kind}/{experiment.model.name}",
        "weights": planned.weights,
        "data": f"{dataset.name} {dataset.digest}",
        "shift": experiment.data.shift_label,
        "precision": experiment.precision,
    }
    return Embedding(model, fabric, pipeline, dataset.classes, facts)


def of_files(
    files: list[Path], model: Model, fabric: Fabric, facts: Mapping[str, str]
) -> Embedding:
    """Return a model and image files that it is to look at."""
    samples = tuple(Sample(str(file), 0, file, "") for file in files)
    pipeline = SamplePipeline(Dataset("files", (), None, samples, read_file), model.preprocess)
    return Embedding(model, fabric, pipeline, (), facts)


def write(asked: Embedding, out: Path, reporter: Reporter, *, batch: int) -> list[BadSample]:
    """Write a table with a row an image: `id`, `label` where it is known, and `features`.

    Args:
        asked: The model and the images.
        out: The parquet file; it is whole or absent.
        reporter: Told of images.
        batch: Images that go through the network together.

    Returns:
        The broken images, which have no row.

    Raises:
        DataError: If all are broken, or the file cannot be written.
        SpecError: If the network's head cannot be told.
    """
    bad = list[BadSample]()
    writer: pq.ParquetWriter | None = None
    with _whole(out) as draft:
        try:
            for items, found in _batches(asked, bad, reporter, batch):
                table = _table(asked, items, found)
                if writer is None:
                    schema = table.schema.with_metadata(_metadata(asked))
                    writer = pq.ParquetWriter(draft, schema)
                writer.write_table(table)
            if writer is None:
                message = f"none of {len(bad)} images can be read, such as {bad[0].reason}"
                raise DataError(message, hint="Give images that open in a viewer.")
            writer.add_key_value_metadata({"hardy.skipped": str(len(bad))})
        finally:
            if writer is not None:
                writer.close()
    return bad


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Yield a draft beside a file, which becomes the file unless the block fails."""
    draft = out.with_name(f".{uuid4().hex}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            with draft.open("rb") as stream:
                os.fsync(stream.fileno())
            draft.replace(out)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        message = f"{out}: cannot be written: {error.strerror or error}"
        raise DataError(message, hint="Give --out a file in a folder to write to.") from error


def _batches(
    asked: Embedding, bad: list[BadSample], reporter: Reporter, size: int
) -> Iterator[tuple[list[Prepared], Tensor]]:
    """Yield images that can be read, with their features (B, D) on the CPU."""
    items: list[Prepared] = []
    total = len(asked.pipeline)
    reporter.unit("features", total, what="images")
    with closing(loader(asked.pipeline, _WORKERS)) as samples:
        for place, item in enumerate(samples, start=1):
            if isinstance(item, BadSample):
                bad.append(item)
            else:
                items.append(item)
            if items and (len(items) == size or place == total):
                yield items, _features(asked, items)
                reporter.sample(place, f"{len(bad)} broken" if bad else "")
                items = []


@torch.no_grad()
def _features(asked: Embedding, items: list[Prepared]) -> Tensor:
    pixels = torch.cat([item.pixels for item in items]).to(asked.fabric.device)
    with asked.fabric.autocast():
        images = asked.model.preprocess.normalise(pixels)
        return head.features(asked.model.network, images).float().cpu()


def _table(asked: Embedding, items: list[Prepared], found: Tensor) -> pa.Table:
    width = found.shape[1]
    values = pa.array(found.numpy().ravel(), pa.float32())
    columns = {"id": pa.array([item.id for item in items], pa.string())}
    if asked.labels:
        samples = asked.pipeline.dataset.samples
        labels = [asked.labels[samples[item.index].label] for item in items]
        columns["label"] = pa.array(labels, pa.string())
    columns["features"] = pa.FixedSizeListArray.from_arrays(values, width)
    return pa.table(columns)


def _metadata(asked: Embedding) -> dict[str, str]:
    """Return what a table says of itself."""
    facts = {
        **asked.facts,
        "preprocess": json.dumps(asdict(asked.model.preprocess)),
        "state_sha256": state_sha256(asked.model.network),
        "version": __version__,
    }
    return {f"hardy.{name}": value for name, value in facts.items()}
