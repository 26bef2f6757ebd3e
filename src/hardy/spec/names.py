"""Names in a tree that no schema knows: policies, metrics, datasets, variables."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from hardy.core.spec import kinds
from hardy.core.variables import ALLOWED, VARIABLE
from hardy.methods import METHODS
from hardy.methods.base_spec import MethodBase
from hardy.models.reference import File, OfExperiment
from hardy.spec.check import texts
from hardy.spec.diagnostics import Diagnostic
from hardy.spec.find import lookup, names
from hardy.spec.model_names import model_faults, source_of, text_at, unknown, weights_path
from hardy.spec.node import KeyPath, Node
from hardy.spec.policies import NEW_POLICY, policy_names
from hardy.tasks import PLAIN_TASK, TASKS
from hardy.tasks.base_spec import TaskBase
from hardy.tasks.names import expectable

NAMED = "a path, or a name that `hardy list` shows"

_CHECKPOINTS = (("segmenter", "checkpoint"), ("context", "checkpoint"))


def experiment_faults(tree: Node) -> Iterator[Diagnostic]:
    """Yield the unknown names of an experiment's tree."""
    for path in _models(tree):
        yield from model_faults(tree, path)
    yield from _needs_faults(tree)
    yield from _policy_faults(tree)
    yield from _variable_faults(tree)
    expect = tree.child("expect")
    known = expectable([*_answers(), *_member_names(tree)], _votes(), _tasks(tree))
    for index, _ in enumerate(expect.value if expect and isinstance(expect.value, list) else ()):
        yield from unknown(tree, ("expect", index, "metric"), "metric", known)


def _tasks(tree: Node) -> list[type[TaskBase]]:
    """Return the schema of the task that a tree names; all where it names none that there is."""
    found = text_at(tree, ("task", "kind"))
    kind = found[1] if found else PLAIN_TASK.kind
    named = [task for task, name in zip(TASKS, kinds(TASKS), strict=True) if name == kind]
    return named or list(TASKS)


@cache
def _answers() -> tuple[str, ...]:
    """Return the names of the answers that methods give beside their own, which stands last.

    The members of an ensemble are the tree's to name.
    """
    names = [name for method in _blank_methods() for name in method.answer_names()[:-1]]
    return tuple(dict.fromkeys(names))


@cache
def _votes() -> frozenset[str]:
    """Return the names of the methods' answers that are shares of votes."""
    return frozenset().union(*(method.votes() for method in _blank_methods()))


def _blank_methods() -> Iterator[MethodBase]:
    """Yield each method by its defaults; what it requires is left empty."""
    for method in METHODS:
        required: Any = {n: () for n, field in method.model_fields.items() if field.is_required()}
        yield method.model_construct(**required)


def _member_names(tree: Node) -> list[str]:
    """Return what the members of an ensemble answer as."""
    names = [text_at(tree, (*path[:-1], "name")) for path in _models(tree)[1:]]
    return [found[1] for found in names if found]


def _models(tree: Node) -> list[KeyPath]:
    """Return where a tree says what a model is: its own, and those of an ensemble's members."""
    members = tree.at(("method", "members"))
    count = len(members.value) if members and isinstance(members.value, list) else 0
    return [("model",), *(("method", "members", n, "model") for n in range(count))]


def _needs_faults(tree: Node) -> Iterator[Diagnostic]:
    for model in _models(tree):
        path = weights_path(tree, model)
        found = text_at(tree, path)
        source = source_of(found[1]) if found else None
        if found and isinstance(source, OfExperiment) and lookup(source.name) is None:
            message = f"there is no experiment {source.name!r}"
            yield Diagnostic.at(
                found[0].origin, path, message, expected=NAMED, name=source.name, known=names()
            )


def _policy_faults(tree: Node) -> Iterator[Diagnostic]:
    known = policy_names()
    expected = ", or ".join([*([f"one of {', '.join(known)}"] if known else []), NEW_POLICY])
    for fault in unknown(tree, ("register",), "policy under registry/ named", known):
        yield replace(fault, expected=expected)


def _variable_faults(tree: Node) -> Iterator[Diagnostic]:
    for path, node, text in texts(tree):
        for match in VARIABLE.finditer(text):
            name = match[1]
            if not _is_path(path, text):
                message = f"{match[0]} stands outside a path"
                expected = (
                    "variables only in `data.root`, `file:` weights, `file:` class names and "
                    "checkpoints"
                )
                yield Diagnostic.at(node.origin, path, message, expected=expected)
            elif name not in ALLOWED or not match[0].endswith("}"):
                message = f"{match[0]} cannot be used in a path"
                allowed = [f"${{{n}}}" for n in ALLOWED]
                yield Diagnostic.at(node.origin, path, message, name=match[0], known=allowed)


def _is_path(path: KeyPath, text: str) -> bool:
    if path[-2:] == ("model", "class_names"):
        return text.startswith("file:")
    if path[-2:] == ("model", "weights") or path[-3:] == ("model", "weights", "from"):
        return isinstance(source_of(text), File)
    return path == ("data", "root") or path[-2:] in _CHECKPOINTS
