"""`hardy predict`: what a registered model says of image files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hardy.core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


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
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Classes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of views.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def command(
    images: tuple[Path, ...],
    model: str,
    adapt: bool,
    views: int | None,
    top: int,
    seed: int,
    form: str,
) -> None:
    """Predict the classes of IMAGES: files, or folders of files.

    Example: hardy predict --model models:/imagenet-robust@champion photo.jpg --adapt
    """
    if views is not None and not adapt:
        message = "--views needs --adapt: without adapting only the image itself is looked at"
        raise click.UsageError(message)
    files = find_images(images)  # wrong names fail here, before torch is imported

    from hardy.data.decode import decode
    from hardy.registry.load import load

    predictor = load(model)
    decoded = [decode(file, name=str(file)) for file in files]
    table = predictor.predict(decoded, adapt=adapt, views=views or 0, top_k=top, seed=seed)
    click.echo(_json(files, table) if form == "json" else _text(files, table))


def find_images(paths: tuple[Path, ...]) -> list[Path]:
    """Return the files named, and of folders the images directly in them, sorted by name.

    Raises:
        DataError: If a path does not exist, or a folder holds no image.
    """
    return [file for path in paths for file in _files(path)]


def _files(path: Path) -> list[Path]:
    if not path.exists():
        message = f"{path}: no such file"
        raise DataError(message, hint="Give image files or folders of them.")
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not found:
        message = f"{path}: the folder holds no image"
        raise DataError(message, hint=f"Looked for {', '.join(sorted(_SUFFIXES))}.")
    return found


def _rows(files: list[Path], table: "pd.DataFrame") -> list[dict[str, Any]]:
    named = table.assign(file=[str(file) for file in files])[["file", *table.columns]]
    return named.to_dict(orient="records")  # type: ignore[return-value]  # the keys are names


def _json(files: list[Path], table: "pd.DataFrame") -> str:
    return json.dumps(_rows(files, table), indent=2, ensure_ascii=False)


def _text(files: list[Path], table: "pd.DataFrame") -> str:
    blocks = []
    for row in _rows(files, table):
        lines = [f"  {100 * top['confidence']:6.2f} %  {top['name']}" for top in row["top"]]
        blocks.append("\n".join([row["file"], *lines]))
    return "\n".join(blocks)
