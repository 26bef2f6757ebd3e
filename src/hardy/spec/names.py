"""Names in a tree that no schema knows: models, weights, policies, metrics, variables."""

import re
from collections.abc import Iterable, Iterator
from functools import cache

from hardy.core.paths import policies_dir
from hardy.data.cards import DATASETS
from hardy.measure.names import EXPECTABLE, METRICS
from hardy.models.names import timm_names, torchvision_weights
from hardy.spec.check import texts
from hardy.spec.diagnostics import Diagnostic
from hardy.spec.find import lookup, names
from hardy.spec.node import KeyPath, Node
from hardy.spec.variables import ALLOWED, VARIABLE

EXPERIMENT = "experiment:"
"""What weights begin with that the run of another experiment yields."""

NAMED = "a path, or a name that `hardy list` shows"

_TAG = re.compile(r"[A-Z][A-Z0-9_]*")


def experiment_faults(tree: Node) -> Iterator[Diagnostic]:
    """Yield the unknown names of an experiment's tree."""
    yield from _model_faults(tree)
    yield from _needs_faults(tree)
    yield from _policy_faults(tree)
    yield from _variable_faults(tree)
    expect = tree.child("expect")
    for index, _ in enumerate(expect.value if expect and isinstance(expect.value, list) else ()):
        yield from _unknown(tree, ("expect", index, "metric"), "metric", EXPECTABLE)


def policy_faults(tree: Node) -> Iterator[Diagnostic]:
    """Yield the unknown names of a policy's tree."""
    yield from _unknown(tree, ("metric", "name"), "metric", METRICS)
    yield from _unknown(tree, ("candidates", "dataset"), "dataset", DATASETS)
    gates = tree.child("gates")
    for index, _ in enumerate(gates.value if gates and isinstance(gates.value, list) else ()):
        yield from _unknown(tree, ("gates", index, "metric"), "metric", METRICS)


def policy_names() -> list[str]:
    """Return the names of the policies under registry/, sorted."""
    return sorted(file.stem for file in policies_dir().glob("*.yaml"))


def _text(tree: Node, path: KeyPath) -> tuple[Node, str] | None:
    node = tree.at(path)
    return (node, node.value) if node and isinstance(node.value, str) else None


def _unknown(tree: Node, path: KeyPath, what: str, known: Iterable[str]) -> Iterator[Diagnostic]:
    found = _text(tree, path)
    names = list(known)
    if found and found[1] not in names:
        node, name = found
        message = f"there is no {what} {name!r}"
        yield Diagnostic.at(node.origin, path, message, name=name, known=names)


def _model_faults(tree: Node) -> Iterator[Diagnostic]:
    kind, name = _text(tree, ("model", "kind")), _text(tree, ("model", "name"))
    if not kind or not name or kind[1] not in ("timm", "torchvision"):
        return
    library = kind[1]
    known = timm_names() if library == "timm" else frozenset(torchvision_weights())
    if name[1] in known:
        yield from _weights_faults(tree, library, name[1])
        return
    yield from _unknown(tree, ("model", "name"), f"{library} model", sorted(known))


def _weights_faults(tree: Node, library: str, name: str) -> Iterator[Diagnostic]:
    path: KeyPath = ("model", "weights")
    found = _text(tree, path)
    if library == "timm":
        yield from _timm_weights_faults(tree, name)
    elif found and _TAG.fullmatch(found[1]):
        yield from _unknown(tree, path, f"set of {name} weights", torchvision_weights()[name])


def _timm_weights_faults(tree: Node, name: str) -> Iterator[Diagnostic]:
    path: KeyPath = ("model", "weights")
    node, weights = _text(tree, path) or (tree.at(("model", "name")), "pretrained")
    if node is None:
        return
    if _TAG.fullmatch(weights):
        message = f"{weights} is a tag of torchvision's, but the model is timm's"
        expected = "random, pretrained, package:NAME or file:PATH; timm's tags end the model's name"
        yield Diagnostic.at(node.origin, path, message, expected=expected)
    if weights == "pretrained" and "." not in name and name not in _with_weights():
        message = f"timm has no pretrained weights of {name}"
        yield Diagnostic.at(
            node.origin, path, message, expected="random, package:NAME or file:PATH"
        )


@cache
def _with_weights() -> frozenset[str]:
    """Return the architectures of timm that have a tag, which is to say weights."""
    return frozenset(name.partition(".")[0] for name in timm_names() if "." in name)


def _needs_faults(tree: Node) -> Iterator[Diagnostic]:
    found = _text(tree, ("model", "weights"))
    if found and found[1].startswith(EXPERIMENT):
        node, weights = found
        name = weights.removeprefix(EXPERIMENT)
        if lookup(name) is None:
            message = f"there is no experiment {name!r}"
            path: KeyPath = ("model", "weights")
            yield Diagnostic.at(
                node.origin, path, message, expected=NAMED, name=name, known=names()
            )


def _policy_faults(tree: Node) -> Iterator[Diagnostic]:
    yield from _unknown(tree, ("register",), "policy under registry/ named", policy_names())


def _variable_faults(tree: Node) -> Iterator[Diagnostic]:
    for path, node, text in texts(tree):
        for match in VARIABLE.finditer(text):
            name = match[1]
            if not _is_path(path, text):
                message = f"{match[0]} stands outside a path"
                expected = (
                    "variables only in `data.root`, `file:` weights and `method.segmenter."
                    "checkpoint`"
                )
                yield Diagnostic.at(node.origin, path, message, expected=expected)
            elif name not in ALLOWED or not match[0].endswith("}"):
                message = f"{match[0]} cannot be used in a path"
                allowed = [f"${{{n}}}" for n in ALLOWED]
                yield Diagnostic.at(node.origin, path, message, name=match[0], known=allowed)


def _is_path(path: KeyPath, text: str) -> bool:
    if path == ("model", "weights"):
        return text.startswith("file:")
    return path in (("data", "root"), ("method", "segmenter", "checkpoint"))
