"""`hardy cache`: what is kept on disk for other runs, how much of it, and away with it."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click

from hardy.core.cache import Cache, Entry, default_cache
from hardy.core.catalog import did_you_mean
from hardy.core.errors import HardyError, SpecError
from hardy.core.paths import home

KINDS = {
    "features": "features of image encoders",
    "views": "views of images, for a search's trials",
    "masks": "masks of segmenters",
    "texts": "features of classes' texts",
    "opinions": "answers for held-out samples",
    "costs": "what models cost",
    "weights": "weights of registered versions",
    "artifacts": "files of runs on a server",
}
"""Kind -> what its files are."""

# Where hardy kept each of them before there was one cache.
_LEFT_OVER = ("features", "masks", "texts", "held-out", "costs", "weights", "artifacts")
_UNITS = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**n for n, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}ib": 1024**n for n, prefix in enumerate("kmgt", 1)},
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
_ALL = "*"


@click.command()
@click.option("--bound", metavar="SIZE", help="Keep no more than that: 500MB, 2GB, 0.")
@click.option(
    "--empty",
    metavar="[KIND]",
    is_flag=False,
    flag_value=_ALL,
    help="Remove all of one kind, or all and what older versions left.",
)
def command(bound: str | None, empty: str | None) -> None:
    """Show what is kept on disk for other runs; bound it, or empty it.

    All of it can be made again, so that to remove it costs time alone. Of what exceeds the bound,
    what was used longest ago goes first. Files that a running process was given stay.

    Example: hardy cache --bound 2GB
    """
    if bound is not None and empty is not None:
        message = "--bound and --empty go one at a time"
        raise click.UsageError(message)
    cache = default_cache()
    if bound is not None:
        with _changing(cache):
            cache.bound(parse_size(bound))
    elif empty is not None:
        _empty(cache, None if empty == _ALL else empty)
    entries = cache.entries()
    lines = [] if bound or empty else _table(entries)
    click.echo("\n".join([*lines, *_summary(cache, entries)]))


def parse_size(text: str) -> int:
    """Return the bytes of a size such as 500MB, 1.5 GiB or 0.

    Raises:
        SpecError: If it is no size, or a number other than 0 without a unit.
    """
    match = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None or (not match[2] and float(match[1])):
        message = f"--bound {text!r} is no size"
        raise SpecError(message, hint="Give a number with its unit, such as 500MB or 2GB, or 0.")
    size: int = round(float(match[1]) * unit)
    return size


def _empty(cache: Cache, kind: str | None) -> None:
    """Empty one kind, or all; say what went, and what stays since it is in use."""
    known = {*KINDS, *(entry.kind for entry in cache.entries())}
    if kind is not None and kind not in known:
        message = f"nothing of kind {kind!r} is ever kept"
        near = did_you_mean(kind, known)
        raise SpecError(message, hint=near or f"Kinds: {', '.join(sorted(known))}.")
    with _changing(cache):
        gone = cache.empty(kind)
        for folder, size in _left_over().items() if kind is None else ():
            shutil.rmtree(folder)
            gone += size
    click.echo(f"removed {readable(gone)}")
    stay = [entry for entry in cache.entries() if kind in (None, entry.kind)]
    if stay:
        files = "1 file" if len(stay) == 1 else f"{len(stay):,} files"
        click.echo(f"in use by a running process: {files}, {readable(_total(stay))}")


@contextmanager
def _changing(cache: Cache) -> Iterator[None]:
    """Say why a folder cannot be changed."""
    try:
        yield
    except OSError as error:
        message = f"the cache cannot be changed: {error}"
        raise HardyError(message, hint=f"See who may write to {cache.folder}.") from error


def _table(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield a line for each kind: what it is, files, size, last used."""
    kinds: dict[str, list[Entry]] = {kind: [] for kind in KINDS}
    for entry in entries:
        kinds.setdefault(entry.kind, []).append(entry)
    rows = [("kind", "what", "files", "size", "last used")]
    for kind, found in kinds.items():
        last = max((entry.used for entry in found), default=None)
        size, count = readable(_total(found)) if found else "", f"{len(found):,}"
        rows.append((kind, KINDS.get(kind, ""), count, size, _day(last) if last else ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, what, files, size, used in rows:
        left = f"{name:{widths[0]}}  {what:{widths[1]}}"
        yield f"{left}  {files:>{widths[2]}}  {size:>{widths[3]}}  {used}".rstrip()


def _summary(cache: Cache, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield what it comes to, where it is, and what else there is to say."""
    yield f"{readable(_total(entries))} of {readable(cache.budget)} in {cache.folder}"
    there = next(path for path in (cache.folder, *cache.folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        yield f"nothing can be kept: {there} cannot be written"
    elif (free := shutil.disk_usage(there).free) < cache.budget:
        yield f"{readable(free)} are free on that disk; where it is full, nothing more is kept"
    for folder, size in _left_over().items():
        yield f"left over from an older version: {folder}, {readable(size)} (hardy cache --empty)"


def _left_over() -> dict[Path, int]:
    """Return the folders of older versions that are there, with their bytes."""
    folders = [home() / ".hardy" / name for name in _LEFT_OVER]
    return {
        folder: sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
        for folder in folders
        if folder.is_dir() and not folder.is_symlink()
    }


def _total(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries)


def _day(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9).astimezone().strftime("%Y-%m-%d %H:%M")


def readable(size: float) -> str:
    """Write bytes with three digits and a decimal unit, such as 8.59 GB."""
    for prefix in ("", "k", "M", "G"):
        if size < 999.5:
            return f"{size:.3g} {prefix}B"
        size /= 1000
    return f"{size:.3g} TB"
