"""`hardy data`: is a dataset there, is it whole, and what does it look like?"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hardy.core.catalog import suggest
from hardy.core.errors import DataError, HardyError, SpecError
from hardy.data.cards import DATASETS, DatasetCard
from hardy.data.spec import DataSpec, splits_of
from hardy.spec import resolve
from hardy.spec.find import lookup

if TYPE_CHECKING:
    from hardy.data.dataset import Dataset

_SHOWN = 10
NAME = click.argument("name", metavar="NAME|SPEC")
ROOT = click.option("--root", help="Folder of the dataset [default: HARDY_DATA/NAME].")
SPLIT = click.option("--split", help="Part of the dataset, such as test [default: all of them].")


@click.group(name="data")
def command() -> None:
    """Check a dataset, or draw a sheet of it. NAME is a dataset's, or SPEC an experiment."""


@command.command()
@NAME
@ROOT
@SPLIT
@click.option("--decode", is_flag=True, help="Read every image and mask, and name broken ones.")
def check(name: str, root: str | None, split: str | None, decode: bool) -> None:
    """Say what of a dataset is there: samples, classes, class map, digest. Exits with 1 if unfit.

    Example: hardy data check imagenet-a --root /data/imagenet-a --decode
    """
    specs = specs_of(name, root, split)
    usable = [_check(spec, decode=decode) for spec in specs]
    if not all(usable) and name in DATASETS and root is None and _takes_root(DATASETS[name]):
        click.echo(f"  elsewhere hardy data check {name} --root FOLDER")
    if not all(usable):
        click.get_current_context().exit(DataError.exit_status)


@command.command()
@NAME
@ROOT
@SPLIT
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="PNG to write."
)
@click.option("--count", type=click.IntRange(1, 400), default=24, show_default=True, help="Images.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draw."
)
def preview(
    name: str, root: str | None, split: str | None, out: Path, count: int, seed: int
) -> None:
    """Draw a contact sheet of some samples with their labels; masks beside their images.

    Example: hardy data preview imagenet-sample --out sheet.png
    """
    from hardy.data.open import open_dataset
    from hardy.explain.sheet import contact_sheet

    dataset = open_dataset(specs_of(name, root, split)[0])
    try:
        contact_sheet(dataset, count=count, seed=seed).save(out, "PNG")
    except OSError as error:
        message = f"{out}: cannot be written: {error.strerror or error}"
        raise DataError(message, hint="Give --out a file in a folder that exists.") from error
    click.echo(f"{min(count, len(dataset.samples))} of {len(dataset.samples)} samples: {out}")


def specs_of(name: str, root: str | None, split: str | None) -> list[DataSpec]:
    """Return the data parts that are meant: one a split of a dataset, or those of an experiment.

    Raises:
        SpecError: If there is neither a dataset nor a spec of that name.
    """
    if name in DATASETS:
        one = split is not None or DATASETS[name].corrupted
        parts: list[str | None] = [split] if one else [*splits_of(name)] or [None]
        return [_spec(name, root, part) for part in parts]
    if near := suggest(name, DATASETS, count=1):
        message = f"there is no dataset {name!r}"
        raise SpecError(message, hint=f"Did you mean {near[0]!r}?")
    if lookup(name) is None:
        message = f"there is neither a dataset nor an experiment {name!r}"
        raise SpecError(message, hint="`hardy list datasets` and `hardy list` show them.")
    update = {key: value for key, value in (("root", root), ("split", split)) if value}
    found = [unit.experiment.data.model_copy(update=update) for unit in resolve(name, ()).units]
    # Units of a matrix over shifts or methods read the same samples.
    plain = [spec.model_copy(update={"shift": None}) for spec in found]
    return list({spec.model_dump_json(): spec for spec in plain}.values())


def _spec(name: str, root: str | None, split: str | None) -> DataSpec:
    try:
        return DataSpec(dataset=name, root=root, split=split)
    except ValueError as error:
        message = "; ".join(fault["msg"] for fault in error.errors())  # type: ignore[attr-defined]
        raise SpecError(message.removeprefix("Value error, "), hint="Give --split.") from error


def _takes_root(card: DatasetCard) -> bool:
    return not (card.packaged or card.generated)


def _check(spec: DataSpec, *, decode: bool) -> bool:
    from hardy.data.open import dataset_root, open_dataset

    card, title = DATASETS[spec.dataset], " ".join(filter(None, (spec.dataset, spec.part_name)))
    try:
        dataset = open_dataset(spec)
    except HardyError as error:
        click.echo(f"{title}: not usable: {error.message}")
        click.echo(f"  {error.hint}" if error.hint else "", nl=bool(error.hint))
        _print_source(spec, card)
        return False
    click.echo(f"{title}: {len(dataset.samples)} samples")
    click.echo("" if card.generated else f"  root      {dataset_root(spec)}\n", nl=False)
    for line in _facts(dataset):
        click.echo(f"  {line}")
    return _decode(dataset) if decode else True


def _print_source(spec: DataSpec, card: DatasetCard) -> None:
    if card.source:
        click.echo(f"  source    {card.source}")
    for download in card.downloads:
        size = f"{download.size / 1e6:,.1f} MB  " if download.size else ""
        click.echo(f"  download  {size}{download.url}")
        click.echo(f"            {download.checksum or 'no published checksum'}")


def _facts(dataset: "Dataset") -> Iterator[str]:
    counts = Counter(sample.label for sample in dataset.samples)
    if dataset.classes:
        names = ", ".join(dataset.classes[:4]) + (", ..." if len(dataset.classes) > 4 else "")
        yield f"classes   {len(dataset.classes)}: {names}"
        yield (
            f"a class   {min(counts.values())} to {max(counts.values())} samples; "
            f"{len(dataset.classes) - len(counts)} classes without"
        )
    if dataset.model_indices is not None:
        yield (
            f"class map {len(dataset.model_indices)} of 1,000 outputs, "
            f"{min(dataset.model_indices)} to {max(dataset.model_indices)}"
        )
    elif dataset.classes:
        yield "class map the model's outputs are the classes"
    if dataset.mask_classes:
        yield f"masks     {len(dataset.mask_classes)} labels: {', '.join(dataset.mask_classes)}"
    yield f"digest    {dataset.digest}"


def _decode(dataset: "Dataset") -> bool:
    broken = list(_broken(dataset))
    for reason in broken[:_SHOWN]:
        click.echo(f"  broken    {reason}")
    if len(broken) > _SHOWN:
        click.echo(f"            and {len(broken) - _SHOWN} more")
    click.echo(f"  decoded   {len(dataset.samples) - len(broken)} of {len(dataset.samples)}")
    return not broken


def _broken(dataset: "Dataset") -> Iterator[str]:
    for sample in dataset.samples:
        try:
            image = dataset.read(sample)
            mask = dataset.read_mask(sample) if dataset.read_mask else None
        except DataError as error:
            yield error.message
            continue
        if mask is not None and mask.size != image.size:
            yield (
                f"{sample.mask}: {mask.width} x {mask.height} pixels, but its image has "
                f"{image.width} x {image.height}"
            )
