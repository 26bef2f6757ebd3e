"""`hardy predict`: what a registered model says of image files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hardy.core.errors import DataError
from hardy.spec.scalars import read_scalar

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

_SHOWN = 10


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    required=True,
    metavar="URI",
    help="models:/NAME@ALIAS or models:/NAME/VERSION.",
)
@click.option("--adapt", is_flag=True, help="Adapt to each image first, by the version's method.")
@click.option(
    "--views",
    type=click.IntRange(min=1),
    help="Views an image where adapting [default: the version's own].",
)
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the version's task, such as top_k=3.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where to write the pictures that the version makes, such as masks.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of views.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def command(
    images: tuple[Path, ...],
    model: str,
    adapt: bool,
    views: int | None,
    params: tuple[str, ...],
    out: Path | None,
    seed: int,
    form: str,
) -> None:
    """Predict for IMAGES: files, or folders of files.

    An image that cannot be read is named and has no answer; the others have theirs, and the exit
    status is 1.

    Example: hardy predict --model models:/imagenet-robust@champion photo.jpg --adapt
    """
    if views is not None and not adapt:
        message = "--views needs --adapt: without adapting only the image itself is looked at"
        raise click.UsageError(message)
    given = dict(map(_param, params))
    files = find_images(images)  # wrong names fail here, before torch is imported
    if out is not None:
        _check_stems(files)

    from hardy.registry.load import load

    predictor = load(model)
    decoded, broken = _decoded(files)
    read = [file for file in files if file not in broken]
    rows = list[dict[str, Any]]()
    if decoded:
        table = predictor.predict(decoded, adapt=adapt, views=views or 0, seed=seed, **given)
        rows = _rows(read, table)
    written = list[list[str]]()
    if out and rows:
        pairs = zip(rows, decoded, strict=True)
        written = _write(out, read, [predictor.task.files(row, image) for row, image in pairs])
    if form == "json":
        of = {row["file"]: row for row in rows}
        all_rows = [of.get(str(f)) or {"file": str(f), "error": broken[f].message} for f in files]
        click.echo(json.dumps(all_rows, indent=2, ensure_ascii=False))
    else:
        for number, row in enumerate(rows):
            lines = [*predictor.task.told(row), *(written[number] if written else ())]
            click.echo("\n".join([row["file"], *(f"  {line}" for line in lines)]))
    if broken:
        raise _without_answer(broken, len(files))


def _decoded(files: Sequence[Path]) -> "tuple[list[Image], dict[Path, DataError]]":
    """Return the images that can be read, and of the other files what is wrong with them."""
    from hardy.data.decode import decode

    images, broken = list["Image"](), dict[Path, DataError]()
    for file in files:
        try:
            images.append(decode(file, name=str(file)))
        except DataError as error:
            broken[file] = error
    return images, broken


def _without_answer(broken: Mapping[Path, DataError], total: int) -> DataError:
    first, *others = [error.message for error in broken.values()]
    for message in others[:_SHOWN]:
        click.echo(f"no answer: {message}", err=True)
    if len(others) > _SHOWN:
        click.echo(f"no answer: {len(others) - _SHOWN} more", err=True)
    message = first if total == 1 else f"{len(broken)} of {total} images have no answer: {first}"
    message += " (the others are named above)" if others else ""
    hint = "Give image files that open in a viewer, or leave these out."
    return DataError(message, hint=hint)


def _check_stems(files: list[Path]) -> None:
    """Make sure that no image's pictures would take the place of another's.

    Raises:
        DataError: If two images have the same name, but for its ending and folder.
    """
    known: dict[str, Path] = {}
    for file in files:
        if file.stem in known:
            message = f"{known[file.stem]} and {file}: pictures of both would have the same name"
            raise DataError(message, hint="Predict them in two calls, each with its own --out.")
        known[file.stem] = file


def _write(out: Path, files: list[Path], pictures: list[Mapping[str, bytes]]) -> list[list[str]]:
    """Write the pictures of each image into a folder; return the paths, a list an image.

    Raises:
        DataError: If there are none, or the folder cannot be written to.
    """
    if not any(pictures):
        message = "--out: this version makes no pictures"
        raise DataError(message, hint="Leave --out away.")
    written = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, own in zip(files, pictures, strict=True):
            paths = {out / f"{file.stem}.{end}": content for end, content in own.items()}
            for path, content in paths.items():
                path.write_bytes(content)
            written.append([str(path) for path in paths])
    except OSError as error:
        message = f"--out {out}: {error.strerror or error}"
        raise DataError(message, hint="Name a folder that can be written to.") from error
    return written


def _param(text: str) -> tuple[str, Any]:
    """Split `NAME=VALUE`; the value is read as in a spec."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        message = f"--param {text} is no assignment: write NAME=VALUE"
        raise click.UsageError(message)
    if name in ("adapt", "views", "seed"):
        message = f"--param {text}: {name} is an option of its own: --{name}"
        raise click.UsageError(message)
    return name, read_scalar(value)


def find_images(paths: tuple[Path, ...]) -> list[Path]:
    """Return the files named, and of folders the images directly in them, sorted by name.

    Images are what a dataset's are: a link to nothing is one, which cannot be read. What else is in
    a folder is told on stderr.

    Raises:
        DataError: If a path does not exist, or a folder holds no image.
    """
    return [file for path in paths for file in _files(path)]


def _files(path: Path) -> list[Path]:
    from hardy.data.files import SUFFIXES, found_in

    if not (path.exists() or path.is_symlink()):
        message = f"{path}: no such file"
        raise DataError(message, hint="Give image files or folders of them.")
    if not path.is_dir():
        return [path]
    found, others = found_in(path)
    if not found:
        message = f"{path}: the folder holds no image"
        hint = f"Looked for {', '.join(sorted(SUFFIXES))}."
        if any(entry.is_dir() for entry in path.iterdir()):
            hint += f" Folders in it are not looked into: name them, such as {path}/*."
        raise DataError(message, hint=hint)
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        told = ", ".join(others[:_SHOWN]) + more
        click.echo(f"{path}: {len(others)} not read: {told}", err=True)
    return found


def _rows(files: list[Path], table: "pd.DataFrame") -> list[dict[str, Any]]:
    named = table.assign(file=[str(file) for file in files])[["file", *table.columns]]
    return named.to_dict(orient="records")  # type: ignore[return-value]  # the keys are names
