"""From a reference and overrides to the experiments that they mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hardy.spec.check import check
from hardy.spec.diagnostics import Diagnostic, Diagnostics
from hardy.spec.expand import expand
from hardy.spec.find import find_spec, lookup, names
from hardy.spec.merge import Loader
from hardy.spec.names import NAMED
from hardy.spec.needs import Needs
from hardy.spec.node import Node
from hardy.spec.overrides import Override, read_overrides
from hardy.spec.resolved import Resolved
from hardy.spec.suite import Member, Suite, spelled_out

_OWN = tuple(Suite.model_fields)
"""Keys of a suite itself, which no override changes."""


def resolve(reference: str, overrides: Sequence[str] = ()) -> Resolved:
    """Read, merge, override, multiply and validate a spec and all that its weights need.

    Args:
        reference: A YAML file, with or without `.yaml`, or a name below experiments/.
        overrides: Assignments such as `method.steps=2`; an entry may hold several, divided by
            whitespace, or none. They come after `extends`; one at or above a matrix axis takes
            the axis out of the matrix. Of a suite they change every member, after its own `set`.

    Raises:
        Diagnostics: If anything is wrong in the files or overrides: every fault, with its place.
        SpecError: If the reference names nothing.
    """
    path = find_spec(reference)
    faults: list[Diagnostic] = []
    found = _Resolver(faults, Needs(faults)).read(reference, path, overrides)
    if found is None or faults:
        raise Diagnostics(faults)
    return found


@dataclass
class _Resolver:
    """Collects the faults of all files that a reference leads to.

    Attributes:
        faults: What was found wrong so far.
        needs: Attaches the units whose weights others begin with.
    """

    faults: list[Diagnostic]
    needs: Needs

    def read(self, reference: str, path: Path, overrides: Sequence[str]) -> Resolved | None:
        tree = Loader(self.faults).load(path)
        assignments = read_overrides(overrides, self.faults)
        if tree is None:
            return None
        if tree.child("suite") is not None:
            return self._suite(tree, assignments, reference, path, overrides)
        found = expand(
            tree, assignments, self.faults, reference=reference, path=path, overrides=overrides
        )
        # Overrides may lead a file to weights of its own plain run.
        return self.needs.attach(found, () if assignments else (path,))

    def _suite(
        self,
        tree: Node,
        assignments: Sequence[Override],
        reference: str,
        path: Path,
        overrides: Sequence[str],
    ) -> Resolved | None:
        tree = spelled_out(tree)
        suite = check(Suite, tree, self.faults, beside=("extends",))
        assignments = self._for_members(assignments)
        if suite is None:
            return None
        if not suite.suite:
            self._fault(tree.at(("suite",)) or tree, "the suite is empty", expected="experiments")
            return None
        places = [tree.at(("suite", index)) or tree for index in range(len(suite.suite))]
        members = [
            self._member(member, place, assignments)
            for member, place in zip(suite.suite, places, strict=True)
        ]
        found = tuple(member for member in members if member is not None)
        self._check_names(members, places)
        return Resolved(
            reference=reference,
            path=path,
            overrides=tuple(overrides),
            name=suite.name,
            description=suite.description,
            matrix={},
            units=tuple(unit for member in found for unit in member.units),
            members=found,
        )

    def _for_members(self, assignments: Sequence[Override]) -> list[Override]:
        """Return the overrides that can be meant for every member."""
        for override in assignments:
            if override.path[0] in _OWN:
                message = f"`{override.path[0]}` of a suite cannot be overridden"
                expected = "a path in its experiments"
                self.faults.append(
                    Diagnostic.at(override.key, override.path[:1], message, expected=expected)
                )
        return [override for override in assignments if override.path[0] not in _OWN]

    def _member(
        self, member: Member, place: Node, assignments: Sequence[Override]
    ) -> Resolved | None:
        named = place.child("experiment") or place
        path = self._file(member.experiment, named)
        if path is None:
            return None
        note = f"in the suite at {named.origin}"
        tree = Loader(self.faults, context=note).load(path)
        own = read_overrides(member.set_, self.faults, note=note)
        if tree is None:
            return None
        if tree.child("suite") is not None:
            self._fault(named, f"{member.experiment!r} is a suite itself")
            return None
        found = expand(
            tree,
            [*own, *assignments],
            self.faults,
            reference=member.experiment,
            path=path,
            overrides=member.set_,
            label=member.name,
        )
        if found is not None and found.search is not None:
            message = f"{member.experiment!r} is a search, which runs by itself"
            self._fault(named, message, expected="set: [search=null], to run its own values alone")
            return None
        return self.needs.attach(found, () if own or assignments else (path,))

    def _file(self, reference: str, place: Node) -> Path | None:
        path = lookup(reference)
        if path is None:
            message = f"there is no experiment {reference!r}"
            self.faults.append(
                Diagnostic.at(
                    place.origin, (), message, expected=NAMED, name=reference, known=names()
                )
            )
        return path

    def _fault(self, place: Node, message: str, *, expected: str = "") -> None:
        self.faults.append(Diagnostic.at(place.origin, (), message, expected=expected))

    def _check_names(self, members: Sequence[Resolved | None], places: Sequence[Node]) -> None:
        seen: set[str] = set()
        for member, place in zip(members, places, strict=True):
            own = {unit.experiment.name for unit in member.units} if member else set()
            for name in sorted(own & seen):
                expected = "`name: LABEL`, which is appended to the experiment's name"
                self._fault(place, f"a second unit is named {name!r}", expected=expected)
            seen |= own
