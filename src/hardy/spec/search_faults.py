"""What does not go together in a search: rules, a function each."""

from collections.abc import Callable, Iterator

from hardy.spec.diagnostics import Diagnostic
from hardy.spec.resolved import Search, Unit


def search_faults(search: Search, base: Unit) -> Iterator[Diagnostic]:
    """Yield what does not go together in a search of an experiment.

    Args:
        search: The block, whose values are right one by one.
        base: The experiment with its own values.
    """
    for rule in _RULES:
        yield from rule(search, base)


_RULES: tuple[Callable[[Search, Unit], Iterator[Diagnostic]], ...] = ()
