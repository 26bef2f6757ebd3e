"""Named things, and what to say when a name is unknown."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from hardy.core.errors import SpecError

T = TypeVar("T")


def suggest(name: str, known: Iterable[str], *, count: int = 3) -> list[str]:
    """Return up to `count` known names that look like `name`, the nearest first.

    Hyphens, underscores and case are not told apart: `gaussian-noise` is near `gaussian_noise`.
    """
    plain = {_plain(candidate): candidate for candidate in known}
    near = difflib.get_close_matches(_plain(name), list(plain), n=count, cutoff=0.6)
    return [plain[match] for match in near]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the sentence "Did you mean ...?", or an empty string if no known name is near."""
    near = suggest(name, known)
    return f"Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


class Catalog(Mapping[str, T], Generic[T]):
    """A read-only mapping from names to things whose `KeyError` helps.

    Args:
        what: What the names name, in the singular ("dataset"), for messages.
        entries: The things by name; a name given twice is refused.

    Raises:
        ValueError: If two entries share a name.
    """

    def __init__(self, what: str, entries: Iterable[tuple[str, T]]) -> None:
        self._what = what
        self._entries: dict[str, T] = {}
        for name, entry in entries:
            if name in self._entries:
                message = f"two entries are named {name!r} in the catalog of {what}s"
                raise ValueError(message)
            self._entries[name] = entry

    def __getitem__(self, name: str) -> T:
        """Return the thing of that name.

        Raises:
            SpecError: If there is none; the hint names near ones.
        """
        if name in self._entries:
            return self._entries[name]
        message = f"there is no {self._what} {name!r}"
        listing = ", ".join(self._entries)
        raise SpecError(
            message, hint=did_you_mean(name, self._entries) or f"Known {self._what}s: {listing}."
        )

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
