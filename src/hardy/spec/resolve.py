"""From a reference and overrides to the experiments that they mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from hardy.core.catalog import did_you_mean
from hardy.core.errors import SpecError
from hardy.core.paths import experiments_dir, policies_dir
from hardy.registry.spec import Policy
from hardy.spec.check import check
from hardy.spec.diagnostics import Diagnostic, Diagnostics
from hardy.spec.experiment import Experiment
from hardy.spec.matrix import Axis, Choice, choices, drop_overridden, read_axes
from hardy.spec.merge import Loader
from hardy.spec.names import experiment_faults, policy_faults, policy_names
from hardy.spec.node import KeyPath, Node, Origin
from hardy.spec.overrides import Override, assign, read_overrides

_SUFFIX = ".yaml"
# The units of a large matrix mostly share their faults.
_ENOUGH_FAULTS = 1000
_NOT_EXPERIMENTS = ("base", "suites")


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
    """

    experiment: Experiment
    choices: dict[str, Any] = field(default_factory=dict)
    origins: Mapping[KeyPath, tuple[Setting, ...]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Resolved:
    """What a reference means: one unit, or one for each combination of its matrix.

    Attributes:
        reference: As the user gave it.
        path: The file.
        overrides: As the user gave them.
        name: The experiment's name.
        description: Its one line.
        matrix: The values of each axis by dotted path; empty without a matrix.
        units: In the matrix's order.
    """

    reference: str
    path: Path
    overrides: tuple[str, ...]
    name: str
    description: str
    matrix: dict[str, list[Any]]
    units: tuple[Unit, ...]


def resolve(reference: str, overrides: Sequence[str] = ()) -> Resolved:
    """Read, merge, override, multiply and validate a spec.

    Args:
        reference: A YAML file, with or without `.yaml`, or a name below experiments/.
        overrides: Assignments such as `method.steps=2`; an entry may hold several, divided by
            whitespace, or none. They come after `extends`; one at or above a matrix axis takes
            the axis out of the matrix.

    Raises:
        Diagnostics: If anything is wrong in the files or overrides: every fault, with its place.
        SpecError: If the reference names nothing.
    """
    path = find_spec(reference)
    loader = Loader()
    faults = loader.faults
    tree = loader.load(path)
    assignments = read_overrides(overrides, faults)
    if tree is None:
        raise Diagnostics(faults)
    tree, assignments = _set_matrix(tree, assignments, faults)
    axes = drop_overridden(read_axes(tree, faults), assignments)
    body = tree.without("matrix")
    combinations = choices(axes, faults) if axes else [Choice((), (), "")]
    units = []
    for choice in combinations:
        unit = _unit(body, choice, assignments, faults)
        units += [unit] if unit else []
        if len(faults) > _ENOUGH_FAULTS:
            break
    if faults:
        raise Diagnostics(faults)
    return _resolved(reference, path, overrides, axes, units)


def _resolved(
    reference: str, path: Path, overrides: Sequence[str], axes: tuple[Axis, ...], units: list[Unit]
) -> Resolved:
    first = units[0]
    name = first.origins[("name",)][0].value
    return Resolved(
        reference=reference,
        path=path,
        overrides=tuple(overrides),
        name=name,
        description=first.experiment.description,
        matrix={axis.name: [value.plain() for value in axis.values] for axis in axes},
        units=tuple(units),
    )


def _set_matrix(
    tree: Node, overrides: list[Override], faults: list[Diagnostic]
) -> tuple[Node, list[Override]]:
    """Apply the overrides of the matrix itself; return the tree and the other overrides.

    What follows `matrix.` is an axis whole, as in a file, where an axis is one dotted key.
    """
    others = []
    for override in overrides:
        head, rest = override.path[0], override.path[1:]
        if head == "matrix":
            path = (head, ".".join(rest)) if rest else (head,)
            tree = assign(tree, path, override.value, override.key, faults)
        elif head == "extends":
            message = "`extends` cannot be overridden"
            faults.append(Diagnostic.at(override.key, (head,), message))
        else:
            others.append(override)
    return tree, others


def _unit(
    tree: Node, choice: Choice, overrides: list[Override], faults: list[Diagnostic]
) -> Unit | None:
    tree = choice.apply(tree, faults)
    for override in overrides:
        tree = assign(tree, override.path, override.value, override.key, faults)
    named = _labelled(tree, choice.label)
    faults.extend(experiment_faults(tree))
    experiment = check(Experiment, named, faults)
    if experiment is None:
        return None
    values = {a.name: v.plain() for a, v in zip(choice.axes, choice.values, strict=True)}
    return Unit(experiment, values, origins(tree))


def _labelled(tree: Node, label: str) -> Node:
    """Append the combination's label to the experiment's name."""
    name = tree.child("name")
    if not label or name is None or not isinstance(name.value, str):
        return tree
    entries = tree.value if isinstance(tree.value, dict) else {}
    return replace(tree, value={**entries, "name": replace(name, value=f"{name.value}/{label}")})


def origins(tree: Node) -> dict[KeyPath, tuple[Setting, ...]]:
    """Return, for every path of a tree, the setting that holds and those it overrode."""
    return {path: _chain(node) for path, node in tree.walk() if path}


def _chain(node: Node | None) -> tuple[Setting, ...]:
    chain = []
    while node is not None:
        chain.append(Setting(node.origin, node.plain()))
        node = node.overrode
    return tuple(chain)


def find_spec(reference: str) -> Path:
    """Return the file that a reference means.

    Raises:
        SpecError: If there is none; the hint names experiments that look like it.
    """
    plain = Path(reference)
    if plain.suffix not in (_SUFFIX, ".yml"):
        plain = Path(reference + _SUFFIX)
    for path in (plain, experiments_dir() / plain):
        if _is_file(path):
            return path.resolve()
    message = f"there is no experiment {reference!r}"
    known = [name for name, _ in _named_files()]
    hint = did_you_mean(reference, known) or "`hardy list` shows the experiments by name."
    raise SpecError(message, hint=hint)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False  # a name too long, or one with a NUL in it


def load_policy(name: str) -> Policy:
    """Read and validate registry/NAME.yaml.

    Raises:
        Diagnostics: Every fault, with its place.
        SpecError: If there is no such policy; the hint names near ones.
    """
    names = policy_names()
    if name not in names:
        message = f"there is no policy {name!r} under registry/"
        hint = did_you_mean(name, names) or f"Known policies: {', '.join(names) or 'none'}."
        raise SpecError(message, hint=hint)
    loader = Loader()
    tree = loader.load((policies_dir() / f"{name}{_SUFFIX}").resolve())
    policy = None
    if tree is not None:
        loader.faults.extend(policy_faults(tree))
        policy = check(Policy, tree, loader.faults)
    if policy is None or loader.faults:
        raise Diagnostics(loader.faults)
    return policy


def named_experiments() -> list[tuple[str, str, Path]]:
    """Return name, description and file of every experiment, sorted by name.

    The name is what `resolve` takes: the path below experiments/ without its suffix. The
    description is the file's own; what it would inherit is not looked up.
    """
    return [(name, _description(path), path) for name, path in _named_files()]


def _named_files() -> list[tuple[str, Path]]:
    folder = experiments_dir()
    files = [path.relative_to(folder) for path in folder.rglob(f"*{_SUFFIX}")]
    return sorted(
        (str(file.with_suffix("").as_posix()), folder / file)
        for file in files
        if file.parts[0] not in _NOT_EXPERIMENTS
    )


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
