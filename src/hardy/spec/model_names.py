"""Names of models and of their weights, as the libraries have them."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache

from hardy.models.names import open_clip_tags, timm_names, torchvision_weights
from hardy.models.reference import Source, parse
from hardy.spec.diagnostics import Diagnostic
from hardy.spec.node import KeyPath, Node

_CAPITALS = re.compile(r"[A-Z][A-Z0-9_]*")
_WORD = re.compile(r"[a-z0-9][a-z0-9_]*")
_KNOWN: dict[str, Callable[[], Collection[str]]] = {
    "open_clip": open_clip_tags,
    "timm": timm_names,
    "torchvision": torchvision_weights,
}


def text_at(tree: Node, path: KeyPath) -> tuple[Node, str] | None:
    """Return the node at a path and its text; None if there is no text."""
    node = tree.at(path)
    return (node, node.value) if node and isinstance(node.value, str) else None


def weights_path(tree: Node, model: KeyPath) -> KeyPath:
    """Return where the text of a model's weights stands: alone, or as `from`."""
    path: KeyPath = (*model, "weights")
    node = tree.at(path)
    return (*path, "from") if node and isinstance(node.value, dict) else path


def source_of(text: str) -> Source | None:
    """Return what a text of weights names; None if it has no source's form."""
    try:
        return parse(text)
    except ValueError:
        return None


def unknown(tree: Node, path: KeyPath, what: str, known: Iterable[str]) -> Iterator[Diagnostic]:
    """Yield a fault if the text at a path is not one of the known names."""
    found = text_at(tree, path)
    names = list(known)
    if found and found[1] not in names:
        node, name = found
        message = f"there is no {what} {name!r}"
        yield Diagnostic.at(node.origin, path, message, name=name, known=names)


def model_faults(tree: Node, model: KeyPath) -> Iterator[Diagnostic]:
    """Yield what is wrong with the names of the model and of its weights that lie at a path."""
    kind, name = text_at(tree, (*model, "kind")), text_at(tree, (*model, "name"))
    library = kind[1] if kind else ""
    if not name or library not in _KNOWN:
        return
    known = _KNOWN[library]()
    called = name[1].replace("/", "-") if library == "open_clip" else name[1]
    if called in known:
        yield from _weights_faults(tree, model, library, called)
        return
    yield from unknown(tree, (*model, "name"), f"{library} model", sorted(known))


def _weights_faults(tree: Node, model: KeyPath, library: str, name: str) -> Iterator[Diagnostic]:
    path = weights_path(tree, model)
    found = text_at(tree, path)
    if library == "timm":
        yield from _timm_weights_faults(tree, model, name)
    elif library == "open_clip":
        yield from _open_clip_weights_faults(tree, model, name)
    elif found and _CAPITALS.fullmatch(found[1]):
        yield from unknown(tree, path, f"set of {name} weights", torchvision_weights()[name])


def _timm_weights_faults(tree: Node, model: KeyPath, name: str) -> Iterator[Diagnostic]:
    path = weights_path(tree, model)
    node, weights = text_at(tree, path) or (tree.at((*model, "name")), "pretrained")
    if node is None:
        return
    if _CAPITALS.fullmatch(weights):
        message = f"{weights} is a tag of torchvision's, but the model is timm's"
        expected = "random, pretrained, package:NAME or file:PATH; timm's tags end the model's name"
        yield Diagnostic.at(node.origin, path, message, expected=expected)
    if weights == "pretrained" and "." not in name and name not in _with_weights():
        message = f"timm has no pretrained weights of {name}"
        yield Diagnostic.at(
            node.origin, path, message, expected="random, package:NAME or file:PATH"
        )


def _open_clip_weights_faults(tree: Node, model: KeyPath, name: str) -> Iterator[Diagnostic]:
    path = weights_path(tree, model)
    node, weights = text_at(tree, path) or (tree.at((*model, "name")), "openai")
    known = ["random", *open_clip_tags()[name]]
    if node is not None and _WORD.fullmatch(weights) and weights not in known:
        message = f"open_clip has no weights {weights} of {name}"
        yield Diagnostic.at(node.origin, path, message, name=weights, known=known)


@cache
def _with_weights() -> frozenset[str]:
    """Return the architectures of timm that have a tag, which is to say weights."""
    return frozenset(name.partition(".")[0] for name in timm_names() if "." in name)
