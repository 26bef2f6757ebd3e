"""`${NAME}` in paths: replaced where a path is used, never in what is fingerprinted."""

import re
from pathlib import Path

from hardy.core import paths
from hardy.core.catalog import did_you_mean
from hardy.core.errors import SpecError

ALLOWED = ("HARDY_DATA", "HARDY_HOME", "HOME")
VARIABLE = re.compile(r"\$\{([^}]*)\}?")


def expand(text: str) -> str:
    """Replace `${HARDY_DATA}`, `${HARDY_HOME}` and `${HOME}` in a path.

    The first two have hardy's defaults where the environment does not set them.

    Raises:
        SpecError: If another name, or no name, stands in the braces.
    """
    return VARIABLE.sub(lambda match: _value(match[1]), text)


def stated_path(text: str) -> Path:
    """Return the path that a spec states: variables replaced, relative to the project.

    Raises:
        SpecError: If a variable is not one of those allowed.
    """
    path = Path(expand(text)).expanduser()
    return path if path.is_absolute() else paths.project_root() / path


def _value(name: str) -> str:
    if name == "HARDY_DATA":
        return str(paths.data_dir())
    if name == "HARDY_HOME":
        return str(paths.home())
    if name == "HOME":
        return str(Path.home())
    message = f"${{{name}}} cannot be used in a path"
    hint = did_you_mean(name, ALLOWED) or f"Allowed are {', '.join(ALLOWED)}."
    raise SpecError(message, hint=hint)
