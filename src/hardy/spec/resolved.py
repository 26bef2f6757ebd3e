"""What the spec language gives: units, each one experiment, in the order in which they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardy.spec.experiment import Experiment
from hardy.spec.node import KeyPath, Node, Origin, Source
from hardy.spec.search.spec import Scalar, SearchSpec

_NOWHERE = Node({}, Origin(Source("", ()), 1, 1, 2))


@dataclass(frozen=True)
class Setting:
    """A value that a file or an override gave, and where."""

    origin: Origin
    value: Any


@dataclass(frozen=True)
class Unit:
    """One experiment of a file.

    Attributes:
        experiment: The validated experiment; its name tells it from the file's other units.
        choices: This combination's matrix values by dotted path.
        origins: For each path that was written: the setting that holds, then those it overrode.
        needs: The units whose runs yield weights that are `experiment:NAME`, by dotted path such as
            `model.weights`.
    """

    experiment: Experiment
    choices: dict[str, Any] = field(default_factory=dict)
    origins: Mapping[KeyPath, tuple[Setting, ...]] = field(default_factory=dict, compare=False)
    needs: Mapping[str, Unit] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """What a file's `search` means for its experiment.

    Attributes:
        spec: The block; without the values that an override sets.
        own: Values of trial 0, which are the experiment's own, by path: labels of categorical ones;
            those whose conditions hold.
        first: Those of the further fixed trials, in order.
        node: The block as it was written.
        body: The experiment's tree without it.
        known: All values of the experiment itself as JSON, defaults included.
    """

    spec: SearchSpec
    own: Mapping[str, Scalar]
    first: tuple[Mapping[str, Scalar], ...] = ()
    node: Node = field(default=_NOWHERE, repr=False, compare=False)
    body: Node = field(default=_NOWHERE, repr=False, compare=False)
    known: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def fixed(self) -> tuple[Mapping[str, Scalar], ...]:
        """The values of the trials that nothing chooses: trial 0's, then those of `first`."""
        return (self.own, *self.first)


@dataclass(frozen=True)
class Resolved:
    """What a reference means: one unit, one for each combination of a matrix, or a suite's.

    Attributes:
        reference: As the user gave it; a member's as the suite gave it.
        path: The file.
        overrides: As the user gave them.
        name: The experiment's or suite's name.
        description: Its one line.
        matrix: The values of each axis by dotted path; empty without a matrix.
        units: In the matrix's order; of a suite, those of its members one after the other; of a
            search, those of trial 0.
        members: A suite's experiments; empty for an experiment.
        search: Which of its values are tried, and how; None where none are.
    """

    reference: str
    path: Path
    overrides: tuple[str, ...]
    name: str
    description: str
    matrix: dict[str, list[Any]]
    units: tuple[Unit, ...]
    members: tuple[Resolved, ...] = ()
    search: Search | None = None

    @property
    def experiments(self) -> tuple[Resolved, ...]:
        """The members of a suite, or this one experiment."""
        return self.members or (self,)


def origins(tree: Node) -> dict[KeyPath, tuple[Setting, ...]]:
    """Return, for every path of a tree, the setting that holds and those it overrode."""
    return {path: _chain(node) for path, node in tree.walk() if path}


def _chain(node: Node | None) -> tuple[Setting, ...]:
    chain = []
    while node is not None:
        chain.append(Setting(node.origin, node.plain()))
        node = node.overrode
    return tuple(chain)
