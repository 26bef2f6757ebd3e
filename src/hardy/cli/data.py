"""`hardy data`: fetch a dataset; is it there, is it whole, and what does it look like?"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hardy.core.catalog import did_you_mean, suggest
from hardy.core.errors import DataError, HardyError, SpecError
from hardy.core.paths import data_dir, project_root
from hardy.core.variables import expand
from hardy.data.cards import DATASETS, DatasetCard
from hardy.data.sources import CHECKPOINTS, WEIGHTS_FOLDER, Download
from hardy.data.spec import DataSpec, splits_of
from hardy.spec import resolve
from hardy.spec.find import lookup

if TYPE_CHECKING:
    from hardy.data.dataset import Dataset, Sample

_SHOWN = 10
NAME = click.argument("name", metavar="NAME|SPEC")
ROOT = click.option("--root", help="Folder of the dataset [default: HARDY_DATA/NAME].")
SPLIT = click.option("--split", help="Part of the dataset, such as test [default: all of them].")


@click.group(name="data")
def command() -> None:
    """Fetch or check a dataset, or draw a sheet. NAME is a dataset's, or SPEC an experiment."""


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
@click.argument("name", required=False)
@click.option(
    "--root", help="Folder to put it in [default: HARDY_DATA/NAME; weights in HARDY_DATA/weights]."
)
def get(name: str | None, root: str | None) -> None:
    """Fetch what is published as NAME, checked and unpacked; without NAME, list what can be.

    A fetch that was cut off goes on where it was. What is there is left as it is.

    Example: hardy data get sam-vit-b
    """
    if name is None:
        for known, (downloads, _) in _gettable().items():
            click.echo(f"{known:<24} {_size(downloads):>12}  {downloads[0].host}")
        return
    if name not in _gettable():
        raise _not_gettable(name)
    downloads, place = _gettable()[name]
    target = project_root() / Path(expand(root)).expanduser() if root else place
    from hardy.data.fetch import fetch_all, fetch_file

    if name in CHECKPOINTS:
        target /= downloads[0].file
    if target.is_dir() and any(target.iterdir()):
        click.echo(f"{name}: is at {target}; `hardy data check {name}` looks at it")
        return
    click.echo(f"{name}: {_size(downloads)} to {target}", err=True)
    if name in CHECKPOINTS:
        fetch_file(downloads[0], target)
    else:
        fetch_all(downloads, target)
    click.echo(f"{name}: is at {target}")


def _gettable() -> dict[str, tuple[tuple[Download, ...], Path]]:
    """Return what can be fetched, and where it goes, by name."""
    found = {n: (card.downloads, data_dir() / n) for n, card in DATASETS.items() if card.downloads}
    return found | {n: ((each,), data_dir() / WEIGHTS_FOLDER) for n, each in CHECKPOINTS.items()}


def _size(downloads: Sequence[Download]) -> str:
    known = [each.size for each in downloads if each.size]
    told = f"{sum(known) / 1e6:,.0f} MB"
    return told if len(known) == len(downloads) else f"over {told}" if known else "no size"


def _not_gettable(name: str) -> SpecError:
    if name in DATASETS:
        source = DATASETS[name].source
        hint = f"It comes from {source}." if source else "It is drawn when it is used."
        return SpecError(f"{name} is nothing that hardy can fetch", hint=hint)
    message = f"there is nothing to fetch named {name!r}"
    known = f"There are {', '.join(_gettable())}."
    return SpecError(message, hint=did_you_mean(name, _gettable()) or known)


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
    if lookup(name) is None:
        near = suggest(name, DATASETS, count=1)
        what = "no dataset" if near else "neither a dataset nor an experiment"
        message = f"there is {what} {name!r}"
        known = f"Datasets are {', '.join(DATASETS)}; `hardy list` shows experiments."
        raise SpecError(message, hint=f"Did you mean {near[0]!r}?" if near else known)
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
    from hardy.data.files import left_aside
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
    if not (card.packaged or card.generated):
        _print_aside([*left_aside(dataset_root(spec), dataset.samples)])
    return _readable(dataset, decode=decode)


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


def _print_aside(names: list[str]) -> None:
    """Say what is no image by its name, so that nobody takes it for one that was read."""
    if names:
        click.echo(f"  aside     {len(names)} not read: {_first(names)}")


def _readable(dataset: "Dataset", *, decode: bool) -> bool:
    """Name broken images: all of them where they are decoded, else those without a file."""
    from hardy.data.files import UNREADABLE

    looked_at = [each for each in dataset.samples if decode or each.content == UNREADABLE]
    broken = list(_broken(dataset, looked_at))
    for reason in broken[:_SHOWN]:
        click.echo(f"  broken    {reason}")
    if len(broken) > _SHOWN:
        click.echo(f"            and {len(broken) - _SHOWN} more")
    if decode:
        click.echo(f"  decoded   {len(looked_at) - len(broken)} of {len(looked_at)}")
    return not broken


def _broken(dataset: "Dataset", samples: "Iterable[Sample]") -> Iterator[str]:
    for sample in samples:
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


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
