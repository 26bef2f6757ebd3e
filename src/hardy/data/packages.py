"""Data that installed Python packages carry, found without importing them."""

from importlib.util import find_spec
from pathlib import Path

from hardy.core.errors import DataError


def package_folder(package: str, *, hint: str) -> Path:
    """Return the folder of an installed top-level package; its code is not run.

    Raises:
        DataError: If it is not installed; `hint` says how to install it.
    """
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        message = f"the Python package {package!r} is not installed"
        raise DataError(message, hint=hint)
    return Path(found.submodule_search_locations[0])
