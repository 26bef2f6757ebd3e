"""Where things are: the project, the home of stores and journals, the data."""

import os
import re
from pathlib import Path

from hardy.core.errors import SpecError

_MARKERS = ("MLproject", "experiments")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def project_root() -> Path:
    """Return the folder that holds `MLproject` and `experiments`.

    Looked for upwards from the current directory, then around this package (an editable
    install); the current directory where neither finds one.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if all((folder / marker).exists() for marker in _MARKERS):
            return folder
    return here


def home() -> Path:
    """Return the folder of the default MLflow store: `HARDY_HOME`, else the project root."""
    stated = os.environ.get("HARDY_HOME")
    return Path(stated).expanduser().resolve() if stated else project_root()


def state_dir() -> Path:
    """Return `<home>/.hardy`, made on first use: journals, checkpoints, locks, the cache."""
    folder = home() / ".hardy"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def experiments_dir() -> Path:
    """Return the folder of the named experiments."""
    return project_root() / "experiments"


def policies_dir() -> Path:
    """Return the folder of the registry's policies."""
    return project_root() / "registry"


def data_dir() -> Path:
    """Return the folder under which datasets are looked for: `HARDY_DATA`, else `<home>/data`."""
    stated = os.environ.get("HARDY_DATA")
    return Path(stated).expanduser().resolve() if stated else home() / "data"


def safe_name(name: str, *, what: str) -> str:
    """Return a name that may become one part of a path, unchanged.

    Raises:
        SpecError: If it is empty, starts with a dot, or holds anything but letters, digits,
            dots, underscores and hyphens.
    """
    if not _NAME.fullmatch(name):
        message = f"{what} {name!r} cannot be part of a path"
        raise SpecError(message, hint="Use letters, digits, '.', '_' and '-' alone.")
    return name
