"""`search` of a file: read, checked against its schema, then value by value on the experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hardy.spec.check import check
from hardy.spec.diagnostics import Diagnostic
from hardy.spec.node import Node
from hardy.spec.resolved import Search
from hardy.spec.search_faults import fault_at, search_faults
from hardy.spec.search_spec import SearchSpec
from hardy.spec.search_try import Values
from hardy.spec.search_values import label_in, same
from hardy.spec.units import make_unit, value_at, values_of


def search_path(tree: Node, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return where an override below `search.` lies: dotted paths are single keys in a file."""
    match path[1:]:
        case ["space", *rest] if rest:
            whole = ".".join(rest)
            space = tree.at(("search", "space"))
            known = space.value if space and isinstance(space.value, dict) else {}
            above = [key for key in known if whole == key or whole.startswith(f"{key}.")]
            key = max(above, key=len, default=whole)
            below = whole[len(key) + 1 :]
            if below.startswith("when."):
                return ("search", "space", key, "when", below.removeprefix("when."))
            return ("search", "space", key, *(below.split(".") if below else ()))
        case ["first", index, *rest] if rest:
            return ("search", "first", index, ".".join(rest))
    return path


def read_search(
    node: Node, body: Node, overridden: Sequence[tuple[str, ...]], faults: list[Diagnostic]
) -> Search | None:
    """Check a search block; append one diagnostic per fault.

    Args:
        node: The block.
        body: The experiment's tree without it, overrides included.
        overridden: Paths that were overridden; what is searched at or below them is left out.
        faults: Faults are appended here.

    Returns:
        The search, or None if there are faults.
    """
    found: list[Diagnostic] = []
    node = _known_conditions(_spelled_out(node), found)
    spec = check(SearchSpec, node, found)
    faults.extend(replace(f, path=f"search.{f.path}" if f.path else "search") for f in found)
    base = make_unit(body, faults)
    if spec is None or base is None or found:
        return None
    spec = _narrowed(spec, values_of(base.experiment), overridden)
    if not spec.space:
        message = "every searched value is overridden: nothing is left to search"
        faults.append(fault_at(node, ("space",), message, expected="search=null beside it"))
        return None
    told = len(faults)
    search = Values(Search(spec, {}, node=node, body=body), base, faults).read()
    faults.extend(search_faults(search, base))
    return search if len(faults) == told else None


def _spelled_out(node: Node) -> Node:
    """Return the block with each list that stands alone under `space` as a categorical."""
    space = node.child("space")
    if space is None or not isinstance(space.value, dict) or not isinstance(node.value, dict):
        return node
    entries = {
        path: replace(
            each, value={"kind": Node("categorical", each.origin, each.key), "choices": each}
        )
        if isinstance(each.value, list)
        else each
        for path, each in space.value.items()
    }
    return replace(node, value={**node.value, "space": replace(space, value=entries)})


def _known_conditions(node: Node, faults: list[Diagnostic]) -> Node:
    """Return the block without conditions that name no other searched value; tell of them."""
    space = node.child("space")
    if space is None or not isinstance(space.value, dict) or not isinstance(node.value, dict):
        return node
    entries = dict(space.value)
    for path, each in space.value.items():
        when = each.child("when")
        if when is None or not isinstance(when.value, dict) or not isinstance(each.value, dict):
            continue
        others = [other for other in space.value if other != path]
        unknown = [other for other in when.value if other not in others]
        for other in unknown:
            message = f"{path} depends on {other!r}, which is no other searched value"
            key = ("space", path, "when", other)
            place = when.value[other].place
            faults.append(Diagnostic.at(place, key, message, name=other, known=others))
        if unknown:
            kept = when.without(*unknown)
            entries[path] = replace(each, value={**each.value, "when": kept})
    return replace(node, value={**node.value, "space": replace(space, value=entries)})


def _narrowed(
    spec: SearchSpec, known: Mapping[str, Any], overridden: Sequence[tuple[str, ...]]
) -> SearchSpec:
    """Return a search without the values that an override sets, nor those that it makes idle."""
    steps = {path: tuple(path.split(".")) for path in spec.space}
    fixed = {p for p in spec.space if any(steps[p][: len(o)] == o for o in overridden)}
    seeds = () if ("seed",) in overridden else spec.seeds
    if not fixed:
        return spec.model_copy(update={"seeds": seeds})
    space = {}
    for path in spec.ordered:
        when = spec.space[path].when or {}
        if path in fixed or any(other not in space and other not in fixed for other in when):
            continue  # it, or what it depends on, is not tried
        if all(
            _holds(spec, other, wanted, known) for other, wanted in when.items() if other in fixed
        ):
            rest = {other: wanted for other, wanted in when.items() if other not in fixed}
            space[path] = spec.space[path].model_copy(update={"when": rest or None})
    ordered = {path: space[path] for path in spec.space if path in space}
    first = tuple(
        {path: value for path, value in entry.items() if path in space or path not in spec.space}
        for entry in spec.first
    )
    return spec.model_copy(update={"space": ordered, "first": first, "seeds": seeds})


def _holds(spec: SearchSpec, path: str, wanted: object, known: Mapping[str, Any]) -> bool:
    """Whether a condition holds under the value that an override has set."""
    label = label_in(spec.space[path], value_at(known, path))
    value = label[0] if label else value_at(known, path)
    return any(same(value, each) for each in (wanted if isinstance(wanted, tuple) else (wanted,)))
