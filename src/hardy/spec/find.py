"""From a reference to the file that it means, and the files that there are to name."""

import re
from pathlib import Path

import yaml

from hardy.core.catalog import did_you_mean
from hardy.core.errors import SpecError
from hardy.core.paths import experiments_dir

SUFFIX = ".yaml"
_LISTED = 8
_BASE, _SUITES = "base", "suites"
_SEARCH = re.compile(r"^search:(?!\s+(?:null|~)\s*(?:#|$))", re.MULTILINE)


def find_spec(reference: str) -> Path:
    """Return the file that a reference means: a path, or a name below experiments/.

    Raises:
        SpecError: If there is none; the hint names experiments that look like it, or what a
            folder holds.
    """
    found = lookup(reference)
    if found is not None:
        return found
    for folder in _places(reference):
        if _is_folder(folder):
            message = f"{reference!r} is a folder, and a spec is a file"
            raise SpecError(message, hint=_held(folder, reference))
    message = f"there is no experiment {reference!r}"
    hint = did_you_mean(reference, names()) or "`hardy list` shows the experiments by name."
    raise SpecError(message, hint=hint)


def lookup(reference: str) -> Path | None:
    """Return the file that a reference means, or None."""
    whole = reference if Path(reference).suffix in (SUFFIX, ".yml") else reference + SUFFIX
    for path in _places(whole):
        if _is_file(path):
            return path.resolve()
    return None


def _places(reference: str) -> list[Path]:
    """Return what a reference may mean: a path, and a name below experiments/ where it is one."""
    named = not set(reference.split("/")) & {"", ".", ".."}
    return [Path(reference), *([experiments_dir() / reference] if named else [])]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False  # a name too long, or one with a NUL in it


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _held(folder: Path, reference: str) -> str:
    """Say which specs a folder holds, for one of these may be meant."""
    try:
        stems = sorted(path.stem for path in folder.iterdir() if path.suffix == SUFFIX)
    except OSError:
        stems = []
    found = [f"{reference.rstrip('/')}/{stem}" for stem in stems]
    if not found:
        return "Name a YAML file, or an experiment as `hardy list` shows it."
    return f"It holds {', '.join(found[:_LISTED])}{', ...' if found[_LISTED:] else ''}: name one."


def names() -> list[str]:
    """Return the names of all experiments and suites, sorted."""
    return [name for name, _ in _files() if not _is_in(name, _BASE)]


def named_experiments() -> list[tuple[str, str, Path]]:
    """Return name, description and file of every experiment, sorted by name.

    The name is what `resolve` takes: the path below experiments/ without its suffix. The
    description is the file's own; what it would inherit is not looked up.
    """
    return [
        (name, _description(path), path)
        for name, path in _files()
        if not _is_in(name, _BASE) and not _is_in(name, _SUITES)
    ]


def named_suites() -> list[tuple[str, str, Path]]:
    """Return name, description and file of every suite, sorted by name."""
    return [(name, _description(path), path) for name, path in _files() if _is_in(name, _SUITES)]


def _is_in(name: str, folder: str) -> bool:
    return name.startswith(f"{folder}/")


def _files() -> list[tuple[str, Path]]:
    folder = experiments_dir()
    files = [path.relative_to(folder) for path in folder.rglob(f"*{SUFFIX}")]
    return sorted((file.with_suffix("").as_posix(), folder / file) for file in files)


def is_search(path: Path) -> bool:
    """Say whether a file has a `search` of its own; what it would inherit is not looked up."""
    try:
        return _SEARCH.search(path.read_text(encoding="utf-8-sig")) is not None
    except (OSError, ValueError):
        return False


def _description(path: Path) -> str:
    """Return the top-level `description`, reading no further than it; empty if there is none."""
    depth, key, entry = 0, "", 0
    try:
        for event in yaml.parse(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader):
            if isinstance(event, yaml.ScalarEvent) and depth == 1:
                if entry % 2 and key == "description":
                    return str(event.value)
                key, entry = event.value, entry + 1
            elif isinstance(event, (yaml.CollectionStartEvent, yaml.AliasEvent)):
                entry += depth == 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
    except (OSError, ValueError, yaml.YAMLError):
        return ""  # `hardy validate` says what is wrong; a listing goes on
    return ""
