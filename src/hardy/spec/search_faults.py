"""What does not go together in a search: rules, a function each."""

from collections.abc import Callable, Iterator

from hardy.spec.diagnostics import Diagnostic
from hardy.spec.node import KeyPath, Node
from hardy.spec.resolved import Search, Unit


def search_faults(search: Search, base: Unit) -> Iterator[Diagnostic]:
    """Yield what does not go together in a search of an experiment.

    Args:
        search: The block, whose values are right one by one.
        base: The experiment with its own values.
    """
    for rule in _RULES:
        yield from rule(search, base)


def fault_at(
    node: Node, path: KeyPath, message: str, *, expected: str = "", got: str = ""
) -> Diagnostic:
    """Make the diagnostic of the entry at a path of a search block."""
    place = node.deepest(path).place
    return Diagnostic.at(place, ("search", *path), message, expected=expected, got=got)


_RULES: tuple[Callable[[Search, Unit], Iterator[Diagnostic]], ...] = ()
