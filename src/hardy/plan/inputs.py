"""What a plan asks of data and weights, without torch; MLflow only where weights lie in it."""

from dataclasses import dataclass, field

from hardy.core.errors import RegistryError, SpecError, TrackingError, WeightsError
from hardy.core.hashing import file_sha256
from hardy.core.spec import kinds
from hardy.data.cards import DATASETS
from hardy.data.dataset import Dataset
from hardy.data.open import dataset_if_there, dataset_root, open_dataset
from hardy.data.spec import DataSpec
from hardy.models.reference import File, Package, RunFile, Version
from hardy.models.spec import ModelSpec
from hardy.models.weights import Located, locate
from hardy.plan.tracker import Stores
from hardy.tasks import TASKS
from hardy.tasks.base_spec import TaskBase


@dataclass(frozen=True)
class Samples:
    """The samples that a data part names.

    Attributes:
        digest: Digest of the manifest; empty where the data are absent.
        count: How many; None where nobody can tell.
        absent: What to do to get them; empty where they are there.
        dataset: They themselves, opened once for all that need them; None where they are absent.
    """

    digest: str
    count: int | None
    absent: str = ""
    dataset: Dataset | None = field(default=None, repr=False, compare=False)


def samples_of(data: DataSpec, *, absent_ok: bool = False) -> Samples:
    """Open the samples that a data part names.

    Args:
        data: The data part.
        absent_ok: Whether absent data are told of; else they are fetched, where the spec says so.

    Raises:
        DataError: If they are absent, or have another layout than stated.
    """
    found = dataset_if_there(data) if absent_ok else open_dataset(data)
    if found is not None:
        return Samples(found.digest, len(found.samples), dataset=found)
    source = DATASETS[data.dataset].source or "`hardy data check` says where to get it"
    if data.dataset == "folder":
        source += f" ({dataset_root(data)} does not exist)"
    return Samples("", data.subset.count if data.subset else None, absent=source)


def check_truth(task: TaskBase, dataset: Dataset) -> None:
    """Make sure that a dataset has the truth that a task's answers are held against.

    Raises:
        SpecError: If it has another one, or none.
    """
    there = {"label": dataset.classes, "mask": dataset.read_mask, "image": True, "none": True}
    if there[task.target]:
        return
    message = f"task {task.kind} needs a {task.target} a sample, and {dataset.name} has none"
    has = [part for part in ("label", "mask") if there[part]]
    others = kinds(each for each in TASKS if each.target in has)
    if has and others:
        hint = f"Its samples have a {has[0]}: set task: {' or '.join(others)}."
        raise SpecError(message, hint=f"{hint} Or choose another dataset.")
    free = kinds(each for each in TASKS if each.target in ("image", "none"))
    hint = (
        f"Its samples are images alone: set task: {' or '.join(free)}. Or choose another dataset."
    )
    raise SpecError(message, hint=hint)


def located_of(model: ModelSpec, stores: Stores, *, absent_ok: bool = False) -> Located:
    """Find a model's weights, in stores too; those of another experiment are the plan's.

    Args:
        model: The model part.
        stores: Where runs and registered models keep weights.
        absent_ok: Whether absent weights are told of: a plan is made without them, a run is not.

    Raises:
        WeightsError: If they are absent or are no weights.
        RegistryError: If there is no such registered model.
        TrackingError: If there is no such run.
    """
    try:
        return _located(model, stores)
    except (WeightsError, RegistryError, TrackingError) as error:
        source = model.weights.source
        if not absent_ok or not isinstance(source, File | Package | Version | RunFile):
            raise
        told = f"{error.message}; {error.hint}" if isinstance(source, Version) else error.message
        return Located(None, f"absent:{source}", absent=told)


def _located(model: ModelSpec, stores: Stores) -> Located:
    source = model.weights.source
    if isinstance(source, RunFile):
        return _of_run(source, stores)
    if isinstance(source, Version):
        return stores.version(source.name, source.which)
    return locate(model)


def _of_run(source: RunFile, stores: Stores) -> Located:
    """Find weights that a run left."""
    file = stores.run_file(source.run_id, source.path)
    if file.suffix != ".safetensors":
        message = f"{source} is no .safetensors file"
        raise WeightsError(message, hint="A run's weights are read from safetensors alone.")
    return Located(file, f"sha256:{file_sha256(file)}")
